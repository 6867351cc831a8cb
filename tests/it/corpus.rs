//! What was found by feeding the readers with arbitrary bytes (`fuzz/run`), read again.

#[path = "../../fuzz/src/readers.rs"]
mod readers;

use std::path::Path;

#[test]
fn what_once_broke_a_reader_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut read = 0;
    for folder in std::fs::read_dir(corpus).unwrap().map(|folder| folder.unwrap()) {
        let name = folder.file_name().into_string().unwrap();
        let target = readers::TARGETS.into_iter().find(|(target, _)| *target == name);
        let (_, reader) = target.unwrap_or_else(|| panic!("no reader is called `{name}`"));
        for file in std::fs::read_dir(folder.path()).unwrap() {
            reader(&std::fs::read(file.unwrap().path()).unwrap());
            read += 1;
        }
    }
    assert!(read > 0, "`fuzz/corpus` is empty");
}
