//! Learned embeddings of every format, as the tools that write them lay them out.

use std::io::{Cursor, Write};

use dvar::embedding::{self, EmbeddingError, FileProblem, LearnedEmbedding};
use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::{Dtype, tensor::TensorView};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::golden;

fn golden_file(extension: &str) -> Vec<u8> {
    let path = golden::root().join(format!("golden/learned_weights_last.{extension}"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn read(bytes: &[u8], file_name: &str) -> LearnedEmbedding {
    embedding::read(bytes, file_name).unwrap()
}

/// The problem and the sentence that a user sees.
pub fn problem(bytes: &[u8]) -> (FileProblem, String) {
    let error = embedding::read(bytes, "wrong.pt").unwrap_err();
    let sentence = error.to_string();
    println!("{sentence}");
    assert!(sentence.contains("`wrong.pt`") && !sentence.ends_with('.'), "{sentence}");
    match error {
        EmbeddingError::File { problem, .. } => (problem, sentence),
        other => panic!("not a file error: {other:?}"),
    }
}

pub fn safetensors_file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let tensors = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap())
    });
    safetensors::serialize(tensors, None).unwrap()
}

pub fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A zip as `torch.save` makes it: stored, everything under one folder.
pub fn torch_zip(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let mut add = |name: &str, content: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(content).unwrap();
    };
    add("data.pkl", pickle);
    add("byteorder", b"little");
    for (key, content) in storages {
        add(&format!("data/{key}"), content);
    }
    add("version", b"3\n");
    zip.finish().unwrap().into_inner()
}

/// Pickle opcodes of a text, `BINUNICODE`.
pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn small(value: usize) -> [u8; 2] {
    [b'K', u8::try_from(value).unwrap()]
}

fn tuple(values: &[usize]) -> Vec<u8> {
    [b"(".to_vec(), values.iter().flat_map(|v| small(*v)).collect(), b"t".to_vec()].concat()
}

const ORDERED_DICT: &[u8] = b"ccollections\nOrderedDict\n)R";

/// Pickle opcodes of a tensor, `torch._utils._rebuild_tensor_v2(..)`.
pub fn tensor(class: &str, key: &str, offset: usize, shape: &[usize], stride: &[usize]) -> Vec<u8> {
    let storage = [b"((", &text("storage")[..], format!("ctorch\n{class}\n").as_bytes()].concat();
    let device = [&text(key)[..], &text("cuda:0"), &small(9), b"tQ"].concat();
    let view = [&small(offset)[..], &tuple(shape), &tuple(stride), b"\x89"].concat();
    let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n";
    [&rebuild[..], &storage, &device, &view, ORDERED_DICT, b"tR"].concat()
}

fn parameter(tensor: &[u8]) -> Vec<u8> {
    [b"ctorch._utils\n_rebuild_parameter\n(", tensor, b"\x88", ORDERED_DICT, b"tR"].concat()
}

pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> =
        entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &entries[..], b"u"].concat()
}

pub fn pickle(object: &[u8]) -> Vec<u8> {
    [b"\x80\x02", object, b"."].concat()
}

/// A diffusers `.bin` with the tensor that the opcodes make from one storage.
fn torch_bin(tensor: Vec<u8>, storage: Vec<u8>) -> Vec<u8> {
    torch_zip(&pickle(&dict(&[("<a>", tensor)])), &[("0", storage)])
}

fn automatic1111(params: Vec<u8>, name: &str) -> Vec<u8> {
    let token = [b"J", &265_i32.to_le_bytes()[..]].concat();
    let saved = dict(&[
        ("string_to_token", dict(&[("*", token)])),
        ("string_to_param", params),
        ("name", text(name)),
        ("step", small(99).to_vec()),
        ("sd_checkpoint", b"N".to_vec()),
    ]);
    torch_zip(&pickle(&saved), &[("0", le_bytes(&[1.0, 2.0, 3.0, 4.0]))])
}

#[test]
fn the_official_files_give_the_golden_vectors_exactly() {
    let want = golden::Tensors::open("learned_weights_last").get("embedding").clone();
    let token = golden::json("learned_weights_last")["token"].as_str().unwrap().to_owned();
    for (extension, token) in [("bin", token.as_str()), ("safetensors", "embedding")] {
        let learned = read(&golden_file(extension), "anything.xyz");
        assert_eq!(learned.placeholder_token(), token);
        assert_eq!([learned.num_vectors(), learned.encoders()[0].dim], want.shape[..]);
        assert_eq!(learned.encoders()[0].values, want.f32());
    }
}

#[test]
fn number_types_of_safetensors_become_f32() {
    let values = [1.5_f32, -0.25, 3.0, 8.0];
    let half: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    let brain: Vec<u8> = values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    for (dtype, data) in [(Dtype::F32, le_bytes(&values)), (Dtype::F16, half), (Dtype::BF16, brain)]
    {
        let learned = read(&safetensors_file(&[("<a>", dtype, &[2, 2], &data)]), "x");
        assert_eq!(learned, LearnedEmbedding::new("<a>", values.to_vec(), 2, 2).unwrap());
    }
    let one = safetensors_file(&[("<a>", Dtype::F32, &[4], &le_bytes(&values))]);
    assert_eq!(read(&one, "x"), LearnedEmbedding::new("<a>", values.to_vec(), 1, 4).unwrap());
}

#[test]
fn files_without_a_token_are_named_after_the_file() {
    let data = le_bytes(&[1.0, 2.0]);
    for key in ["emb_params", "emp_params"] {
        let bytes = safetensors_file(&[(key, Dtype::F32, &[1, 2], &data)]);
        assert_eq!(read(&bytes, "style/my-cat.safetensors").placeholder_token(), "my-cat");
    }
    let params = dict(&[("*", tensor("FloatStorage", "0", 0, &[2, 2], &[2, 1]))]);
    assert_eq!(read(&automatic1111(params, ""), "my-cat.pt").placeholder_token(), "my-cat");
}

#[test]
fn automatic1111_files_of_every_age_are_read() {
    let want = LearnedEmbedding::new("birb", vec![1.0, 2.0, 3.0, 4.0], 2, 2).unwrap();
    let plain = tensor("FloatStorage", "0", 0, &[2, 2], &[2, 1]);
    let star = dict(&[("*", parameter(&plain))]);
    let attributes = dict(&[
        ("training", b"\x88".to_vec()),
        ("_parameters", star.clone()),
        ("_non_persistent_buffers_set", b"c__builtin__\nset\n(]tR".to_vec()),
    ]);
    let module = b"ctorch.nn.modules.container\nParameterDict\n)\x81";
    let old = [&module[..], &attributes, b"b"].concat();
    for params in [dict(&[("*", plain)]), star, old] {
        assert_eq!(read(&automatic1111(params, "birb"), "other.pt"), want);
    }
}

#[test]
fn views_of_a_storage_are_read_through_their_strides() {
    let stored = le_bytes(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // The storage counts up from 0, so a value is its place.
    let cases = [
        (1, vec![2, 3], vec![3, 1], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (1, vec![3, 2], vec![1, 3], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        (2, vec![2], vec![4], vec![2.0, 6.0]),
        (6, vec![2, 2], vec![0, 0], vec![6.0; 4]),
    ];
    for (offset, shape, stride, want) in cases {
        let tensor = tensor("FloatStorage", "0", offset, &shape, &stride);
        assert_eq!(read(&torch_bin(tensor, stored.clone()), "x").encoders()[0].values, want);
    }
    for (offset, shape, stride) in [(2, [2, 3], [3, 1]), (0, [2, 2], [6, 1])] {
        let tensor = tensor("FloatStorage", "0", offset, &shape, &stride);
        assert!(matches!(problem(&torch_bin(tensor, stored.clone())).0, FileProblem::Pickle(_)));
    }
}

#[test]
fn number_types_of_pytorch_become_f32() {
    let half = [1.0_f32, -2.5].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    let brain = [1.0_f32, -2.5].iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    let double = [1.0_f64, -2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    for (class, data) in
        [("HalfStorage", half), ("BFloat16Storage", brain), ("DoubleStorage", double)]
    {
        let bytes = torch_bin(tensor(class, "0", 0, &[1, 2], &[2, 1]), data);
        assert_eq!(read(&bytes, "x").encoders()[0].values, [1.0, -2.5]);
    }
}

#[test]
fn the_bare_pickles_of_old_pytorch_are_read() {
    let saved = dict(&[
        ("unused", b"N".to_vec()),
        ("<a>", tensor("FloatStorage", "94", 0, &[1, 2], &[2, 1])),
    ]);
    let bytes = [
        &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..],
        &pickle(b"M\xe9\x03"),
        &pickle(&dict(&[("little_endian", b"\x88".to_vec())])),
        &pickle(&saved),
        &pickle(&[b"](", &text("94")[..], b"e"].concat()),
        &2_u64.to_le_bytes(),
        &le_bytes(&[0.5, 0.75]),
    ]
    .concat();
    let want = LearnedEmbedding::new("<a>", vec![0.5, 0.75], 1, 2).unwrap();
    assert_eq!(read(&bytes, "old.bin"), want);
    for length in 15..bytes.len() {
        problem(&bytes[..length]);
    }
}

#[test]
fn wrong_files_are_refused_with_their_reason() {
    let data = le_bytes(&[1.0, 2.0]);
    let row = |name| (name, Dtype::F32, &[1, 2][..], &data[..]);
    let two = safetensors_file(&[row("<b>"), row("<a>")]);
    assert!(problem(&two).1.contains(r#"2 tensors ("<a>", "<b>" ..)"#));
    let lora = safetensors_file(&[row("lora_unet_a.lora_down.weight"), row("lora_unet_a.alpha")]);
    assert!(problem(&lora).1.contains("a LoRA, of 2 tensors"));
    let unlike =
        [("clip_l", Dtype::F32, &[1, 2][..], &data[..]), ("clip_g", Dtype::F32, &[2, 1], &data)];
    assert!(problem(&safetensors_file(&unlike)).1.contains("[1, 2] vectors"));
    assert!(matches!(problem(&safetensors_file(&[])).0, FileProblem::NoTensor));
    let integers = safetensors_file(&[("<a>", Dtype::I64, &[1, 1], &data)]);
    assert!(problem(&integers).1.contains("I64"));
    let kernel = safetensors_file(&[("<a>", Dtype::F32, &[2, 1, 1], &data)]);
    assert!(problem(&kernel).1.contains("[2, 1, 1]"));
    let spoiled = safetensors_file(&[("<a>", Dtype::F32, &[1, 2], &le_bytes(&[1.0, f32::NAN]))]);
    assert!(problem(&spoiled).1.contains("not finite"));
    for other in [&b""[..], b"{}", &torch_zip(b"", &[])[4..]] {
        assert!(matches!(problem(other).0, FileProblem::UnknownContainer));
    }
}

#[test]
fn wrong_pickles_are_refused_with_their_reason() {
    let foreign = torch_zip(&pickle(b"cposix\nsystem\n(X\x02\0\0\0lstR"), &[]);
    assert!(problem(&foreign).1.contains("posix.system"));
    let plain = || tensor("FloatStorage", "0", 0, &[1, 1], &[1, 1]);
    let storage = || [("0", le_bytes(&[1.0]))];
    let two = torch_zip(&pickle(&dict(&[("<a>", plain()), ("<b>", plain())])), &storage());
    assert!(matches!(problem(&two).0, FileProblem::SeveralTokens { count: 2, .. }));
    let checkpoint = dict(&[("epoch", small(1).to_vec()), ("state_dict", dict(&[("a", plain())]))]);
    let checkpoint = torch_zip(&pickle(&checkpoint), &storage());
    assert!(problem(&checkpoint).1.contains("a checkpoint of a whole model, of 1 tensors"));
    let none = torch_zip(&pickle(&dict(&[("<a>", b"N".to_vec())])), &[]);
    assert!(matches!(problem(&none).0, FileProblem::NoTensor));
    let missing = torch_zip(&pickle(&dict(&[("<a>", plain())])), &[]);
    assert!(problem(&missing).1.contains("storage is missing"));
    // 2^62 values of stride 0 from a storage of one value.
    let large = b"\x8a\x04\0\0\0\x40".repeat(2);
    let bomb = [&b"(K\x00("[..], &large, b"t(K\0K\0t"].concat();
    let bytes = plain();
    let view = [&small(0)[..], &tuple(&[1, 1]), &tuple(&[1, 1])].concat();
    let at = bytes.windows(view.len()).position(|window| window == view).unwrap();
    let bomb = [&bytes[..at], &bomb[1..], &bytes[at + view.len()..]].concat();
    let bomb = torch_bin(bomb, le_bytes(&[1.0]));
    assert!(matches!(problem(&bomb).0, FileProblem::TooLarge));
}

#[test]
fn cut_off_files_and_absurd_headers_are_refused() {
    for extension in ["bin", "safetensors"] {
        let bytes = golden_file(extension);
        for length in 0..bytes.len() {
            assert!(embedding::read(&bytes[..length], "cut").is_err(), "{extension} {length}");
        }
    }
    let mut absurd = golden_file("safetensors");
    absurd[..8].copy_from_slice(&1_000_000_000_000_000_000_u64.to_le_bytes());
    assert!(matches!(problem(&absurd).0, FileProblem::Safetensors(_)));
    let header = r#"{"<a>":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4000000000000000000]}}"#;
    let claims = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 64]].concat();
    assert!(matches!(problem(&claims).0, FileProblem::Safetensors(_)));
}

/// One valid file of every container and layout, small so that a mutation hits what matters.
fn valid_files() -> Vec<Vec<u8>> {
    let plain = || tensor("FloatStorage", "0", 0, &[2, 2], &[2, 1]);
    vec![
        golden_file("bin"),
        golden_file("safetensors"),
        automatic1111(dict(&[("*", parameter(&plain()))]), "birb"),
        torch_bin(plain(), le_bytes(&[1.0; 4])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read_back(
        token in "[^\0]{0,6}[^\0\\s][^\0]{0,5}",
        (num_vectors, dim, vectors) in (1_usize..5, 1_usize..40).prop_flat_map(|(n, d)| {
            (Just(n), Just(d), prop::collection::vec(-1e38_f32..1e38, n * d))
        }),
    ) {
        let learned = LearnedEmbedding::new(token, vectors, num_vectors, dim).unwrap();
        let bytes = embedding::write(&learned);
        prop_assert_eq!(&bytes, &embedding::write(&learned.clone()));
        prop_assert_eq!(embedding::read(&bytes, "x").unwrap(), learned);
    }

    #[test]
    fn mutated_files_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = which.get(&valid_files()).clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        // Damage that hits only a value or a name may still give an embedding, never a wrong one.
        if let Ok(learned) = embedding::read(&bytes, "x") {
            prop_assert!(learned.encoders()[0].values.iter().all(|value| value.is_finite()));
            prop_assert_eq!(learned.encoders()[0].values.len(), learned.num_vectors() * learned.encoders()[0].dim);
        }
    }

    /// Inside the archive, whose checksum would otherwise hide the interpreter from mutations.
    #[test]
    fn mutated_pickles_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        removed in any::<prop::sample::Index>(),
        remove in any::<bool>(),
    ) {
        let plain = tensor("FloatStorage", "0", 0, &[2, 2], &[2, 1]);
        let star = dict(&[("*", parameter(&plain))]);
        let mut bytes = pickle(&dict(&[("string_to_param", star), ("name", text("birb"))]));
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if remove {
            bytes.remove(removed.index(bytes.len()));
        }
        let storage = [("0", le_bytes(&[1.0, 2.0, 3.0, 4.0]))];
        if let Ok(learned) = embedding::read(&torch_zip(&bytes, &storage), "x") {
            prop_assert!(learned.encoders()[0].values.iter().all(|value| [1.0, 2.0, 3.0, 4.0].contains(value)));
        }
    }
}
