//! Embeddings as many tools leave them, and as the program writes them for each.

use std::{collections::BTreeMap, fs, io::Cursor};

use dvar::embedding::{self, EmbeddingFormat, EncoderVectors, FileProblem, LearnedEmbedding};
use safetensors::{Dtype, SafeTensors};
use zip::{CompressionMethod, ZipArchive};

use crate::{
    embedding::{dict, le_bytes, pickle, problem, read, safetensors_file, tensor, text, torch_zip},
    golden,
};

const ALL: [EmbeddingFormat; 5] = [
    EmbeddingFormat::Diffusers,
    EmbeddingFormat::A1111,
    EmbeddingFormat::Kohya,
    EmbeddingFormat::Comfyui,
    EmbeddingFormat::Onetrainer,
];

/// An embedding for one text encoder, and one for SDXL's two.
fn embeddings() -> [LearnedEmbedding; 2] {
    let values = |count: usize| (0..count).map(|i| i as f32 / 7.0 - 0.5).collect::<Vec<_>>();
    let sdxl = [("clip_l", 3), ("clip_g", 5)].map(|(key, dim)| EncoderVectors {
        key: Some(key.into()),
        values: values(2 * dim),
        dim,
    });
    [
        LearnedEmbedding::new("<my cat>", values(8), 2, 4).unwrap(),
        LearnedEmbedding::for_encoders("<my cat>", sdxl.into(), 2).unwrap(),
    ]
}

#[test]
fn the_files_of_every_tool_give_the_listed_token_and_vectors() {
    let listed = golden::json_at(&golden::more().join("golden/embeddings.json"));
    let files = listed["files"].as_array().unwrap();
    assert!(!files.is_empty());
    for about in files {
        let file = about["file"].as_str().unwrap();
        let bytes = fs::read(golden::more().join(file)).unwrap();
        let learned = embedding::read(&bytes, file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(learned.placeholder_token(), about["token"].as_str().unwrap(), "{file}");

        let want: BTreeMap<&str, Vec<f32>> = (about["encoders"].as_object().unwrap().iter())
            .map(|(key, rows)| {
                let rows = rows.as_array().unwrap().iter();
                (key.as_str(), rows.flat_map(golden::numbers).map(|v| v as f32).collect())
            })
            .collect();
        for encoder in learned.encoders() {
            let values = match &encoder.key {
                Some(key) => want.get(key.as_str()),
                // by its width alone nobody knows which
                None => want.values().next(),
            };
            assert_eq!(values, Some(&encoder.values), "{file}");
        }
        assert_eq!(learned.encoders().len(), want.len(), "{file}");
    }
}

#[test]
fn what_is_written_for_a_tool_is_read_back_from_it() {
    for learned in embeddings() {
        for format in ALL {
            let files = format.write(&learned);
            assert_eq!(files, format.write(&learned), "the same bytes each time");
            let mut read = files.iter().map(|file| read(&file.bytes, "my-cat.pt"));
            let mut again = read.next().unwrap();
            if let Some(second) = read.next() {
                again = again.joined(&second).unwrap();
            }
            assert_eq!(again.encoders(), learned.encoders(), "{format:?}");
            let keeps_token = format == EmbeddingFormat::Diffusers || files[0].ending == ".pt";
            let token = if keeps_token { "<my cat>" } else { "my-cat" };
            assert_eq!(again.placeholder_token(), token, "{format:?}");
        }
    }
}

#[test]
fn each_tool_finds_the_names_that_it_looks_for() {
    let [single, sdxl] = embeddings();
    let keys = |format: EmbeddingFormat,
                learned: &LearnedEmbedding|
     -> Vec<(String, Vec<String>)> {
        let files = format.write(learned).into_iter();
        files
            .map(|file| {
                let tensors = SafeTensors::deserialize(&file.bytes).unwrap();
                let mut names: Vec<_> = tensors.names().into_iter().map(str::to_owned).collect();
                names.sort();
                (file.ending, names)
            })
            .collect()
    };
    let one = |name: &str| vec![(".safetensors".to_owned(), vec![name.to_owned()])];
    assert_eq!(keys(EmbeddingFormat::Diffusers, &single), one("<my cat>"));
    assert_eq!(keys(EmbeddingFormat::Kohya, &single), one("emb_params"));
    assert_eq!(keys(EmbeddingFormat::Comfyui, &single), one("emb_params"));
    assert_eq!(keys(EmbeddingFormat::Onetrainer, &single), one("emp_params"));
    for format in &ALL[1..] {
        let both = vec!["clip_g".to_owned(), "clip_l".to_owned()];
        assert_eq!(keys(*format, &sdxl), [(".safetensors".to_owned(), both)], "{format:?}");
    }
    let endings = keys(EmbeddingFormat::Diffusers, &sdxl).into_iter().map(|(ending, _)| ending);
    assert_eq!(endings.collect::<Vec<_>>(), [".safetensors", "_2.safetensors"]);
}

#[test]
fn a_pt_file_holds_only_what_strict_readers_take() {
    let [single, _] = embeddings();
    let files = EmbeddingFormat::A1111.write(&single);
    let mut archive = ZipArchive::new(Cursor::new(&files[0].bytes)).unwrap();
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).unwrap();
        assert_eq!(entry.compression(), CompressionMethod::Stored);
        names.push(entry.name().unwrap().into_owned());
    }
    assert_eq!(names, ["archive/data.pkl", "archive/data/0", "archive/version"]);
}

#[test]
fn bare_tensors_and_leading_ones_are_read() {
    let values = [1.0, 2.0, 3.0, 4.0];
    let want = |token: &str| LearnedEmbedding::new(token, values.to_vec(), 2, 2).unwrap();
    let bare = tensor("FloatStorage", "0", 0, &[1, 2, 2], &[4, 2, 1]);
    let bare = torch_zip(&pickle(&bare), &[("0", le_bytes(&values))]);
    assert_eq!(read(&bare, "style/birb.pt"), want("birb"));
    let data = le_bytes(&values);
    let one = safetensors_file(&[("<a>", Dtype::F32, &[1, 2, 2], &data)]);
    assert_eq!(read(&one, "x"), want("<a>"));
}

#[test]
fn one_row_of_a_whole_table_is_read_however_large_the_table() {
    // the table of a model whose words are 1024 wide, of which only the row is written
    let (rows, dim, row) = (49_408, 1024, 3);
    let mut table = vec![0; rows * dim * 4];
    let values: Vec<f32> = (0..dim).map(|i| i as f32).collect();
    table[row * dim * 4..][..dim * 4].copy_from_slice(&le_bytes(&values));
    // the helper's numbers are single bytes
    let number = |n: usize| [b"\x8a\x08", &(n as u64).to_le_bytes()[..]].concat();
    let view = [
        &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &number(rows * dim),
        b"tQ",
        &number(row * dim),
        b"(",
        &number(dim),
        b"t(K\x01t\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat();
    let bytes = torch_zip(&pickle(&dict(&[("<a>", view)])), &[("0", table)]);
    assert!(bytes.len() > 150 << 20);
    assert_eq!(read(&bytes, "x"), LearnedEmbedding::new("<a>", values, 1, dim).unwrap());
}

#[test]
fn what_lies_in_the_place_of_a_file_is_told() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3840\n";
    let (lfs, said) = problem(pointer.as_bytes());
    assert!(matches!(lfs, FileProblem::LfsPointer) && said.contains("git lfs pull"), "{said}");
    for page in ["<!DOCTYPE html>\n<html>", "\u{feff}\n <html lang=en>"] {
        let (page, said) = problem(page.as_bytes());
        assert!(matches!(page, FileProblem::WebPage) && said.contains("a web page"), "{said}");
    }
}

#[test]
fn pictures_without_a_whole_embedding_are_refused() {
    let listed = golden::json_at(&golden::more().join("golden/embeddings.json"));
    let files = listed["files"].as_array().unwrap().iter();
    let mut pictures = files.filter_map(|about| about["file"].as_str()?.strip_suffix(".png"));
    let picture = pictures.next().map(|stem| golden::more().join(format!("{stem}.png")));
    let picture = fs::read(picture.unwrap()).unwrap();
    let keyword = b"sd-ti-embedding\0";
    let at = picture.windows(keyword.len()).position(|window| window == keyword).unwrap();

    let mut other = picture.clone();
    other[at] = b'S';
    assert!(problem(&other).1.contains("no embedding in it"));
    let mut damaged = picture.clone();
    damaged[at + keyword.len() + 40] ^= 1;
    assert!(problem(&damaged).1.contains("damaged"));
    for length in 8..at + 200 {
        assert!(matches!(problem(&picture[..length]).0, FileProblem::Picture(_)), "{length}");
    }
}
