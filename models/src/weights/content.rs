//! What a file of weights is by its first bytes, whatever it is called: people rename files, and what a
//! refused download leaves is called as the file would be.

use std::io::{Read, Seek};

use super::torch;

/// How much of a file is looked at.
const HEAD: usize = 256;

/// The ways in which tensors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Safetensors,
    Torch,
}

/// The container that a file's first bytes tell; none where they tell nothing.
///
/// # Errors
///
/// A phrase that fits after "`file` is not usable: " if the file cannot be read, or is something else.
pub(super) fn container(reader: &mut (impl Read + Seek)) -> Result<Option<Container>, String> {
    let mut head = Vec::new();
    let read =
        reader.rewind().and_then(|()| reader.by_ref().take(HEAD as u64).read_to_end(&mut head));
    read.map_err(|error| error.to_string())?;
    // The length of a header, and the header; no PyTorch file can have a brace there.
    if head.get(8) == Some(&b'{') {
        return Ok(Some(Container::Safetensors));
    }
    if torch::MAGIC.iter().any(|magic| head.starts_with(magic)) {
        return Ok(Some(Container::Torch));
    }
    other_content(&head).map_or(Ok(None), |what| Err(what.into()))
}

/// What a file is that begins so, where it is known and holds no tensors that are read; a phrase that fits
/// after "`file` is not usable: ".
pub fn other_content(begin: &[u8]) -> Option<&'static str> {
    const PICTURES: [&[u8]; 4] = [b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8"];
    let head = &begin[..begin.len().min(HEAD)];
    let is_text = |byte: &u8| byte.is_ascii_whitespace() || !byte.is_ascii_control();
    Some(if head.starts_with(b"GGUF") {
        "it is a GGUF file, whose weights are quantised; give the f16 or f32 file"
    } else if PICTURES.iter().any(|begin| head.starts_with(begin)) {
        "it is a picture; an embedding inside one is what `--embedding` takes"
    } else if head.starts_with(b"version https://git-lfs") {
        "it is a pointer of git LFS and not the file itself; fetch that with `git lfs pull`"
    } else if !head.is_empty() && head.iter().all(is_text) {
        "it is a text, such as a web page or a server's message that was saved in place of the file; \
         download the file itself, signed in where the site asks for it"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn of(bytes: &[u8]) -> Result<Option<Container>, String> {
        container(&mut Cursor::new(bytes))
    }

    #[test]
    fn a_container_is_told_by_its_first_bytes() {
        let header = [&[2, 0, 0, 0, 0, 0, 0, 0][..], b"{}"].concat();
        assert_eq!(of(&header), Ok(Some(Container::Safetensors)));
        assert_eq!(of(b"PK\x03\x04\0\0\x08\x08\0\0"), Ok(Some(Container::Torch)));
        let old = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
        assert_eq!(of(old), Ok(Some(Container::Torch)));
        assert_eq!(of(b""), Ok(None));
        assert_eq!(of(&[0; 300]), Ok(None));
    }

    #[test]
    fn what_a_download_leaves_in_place_of_a_file_is_called_what_it_is() {
        let what = |bytes: &[u8]| of(bytes).unwrap_err();
        let pointer =
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265380512\n";
        assert!(what(pointer).contains("`git lfs pull`"));
        for text in ["<!DOCTYPE html>\n<html>", "\u{feff}<html>", r#"{"error":"Unauthorized"}"#] {
            assert!(what(text.as_bytes()).contains("it is a text"), "{text}");
        }
        assert!(
            what("<p>é".repeat(100).as_bytes()).contains("it is a text"),
            "cut within a letter"
        );
    }
}
