//! AUTOMATIC1111's `.pt`, as `torch.save` wrote it before it added entries that strict readers refuse:
//! a zip of `data.pkl`, `data/0` and `version`, nothing compressed.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, result::ZipResult, write::SimpleFileOptions};

/// The id of `*` in CLIP's vocabulary, which this file's readers never look at.
const STAR: usize = 265;

/// `{string_to_token, string_to_param, name, step, ..}` with one contiguous tensor of f32,
/// `[num_vectors, dim]`. Equal embeddings give equal bytes.
pub(super) fn automatic1111(token: &str, values: &[f32], shape: [usize; 2]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let star = |value: Vec<u8>| dict(&[("*", value)]);
    let none = || b"N".to_vec();
    let root = dict(&[
        ("string_to_token", star(integer(STAR))),
        ("string_to_param", star(tensor(shape))),
        ("name", text(token)),
        ("step", none()),
        ("sd_checkpoint", none()),
        ("sd_checkpoint_name", none()),
    ]);
    let pickle = [b"\x80\x02", &root[..], b"."].concat();
    let archive = [("data.pkl", &pickle[..]), ("data/0", &data), ("version", b"3\n")];
    zip(&archive).expect("memory takes every byte")
}

fn zip(entries: &[(&str, &[u8])]) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in entries {
        archive.start_file(format!("archive/{name}"), stored)?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}

// Opcodes of pickle protocol 2; Python's `pickletools` explains them.

/// `torch._utils._rebuild_tensor_v2(storage 0, offset 0, shape, stride, requires_grad, hooks)`
fn tensor(shape: [usize; 2]) -> Vec<u8> {
    let [count, dim] = shape;
    let storage = tuple(&[
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        integer(count * dim),
    ]);
    let arguments = tuple(&[
        [&storage[..], b"Q"].concat(),
        integer(0),
        tuple(&[integer(count), integer(dim)]),
        tuple(&[integer(dim), integer(1)]),
        b"\x89".to_vec(),
        b"ccollections\nOrderedDict\n)R".to_vec(),
    ]);
    [b"ctorch._utils\n_rebuild_tensor_v2\n", &arguments[..], b"R"].concat()
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| [text(key), value.clone()]);
    [b"}(".to_vec(), entries.collect::<Vec<_>>().concat(), b"u".to_vec()].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// As an integer of eight bytes, which holds any size.
fn integer(value: usize) -> Vec<u8> {
    [b"\x8a\x08", &(value as u64).to_le_bytes()[..]].concat()
}
