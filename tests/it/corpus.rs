//! What was found by feeding the readers with arbitrary bytes (`fuzz/run`), read again.

#[path = "../../fuzz/src/readers.rs"]
mod readers;

use std::path::Path;

#[test]
fn what_once_broke_a_reader_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut read = 0;
    for (target, reader) in readers::TARGETS {
        for file in std::fs::read_dir(corpus.join(target)).into_iter().flatten() {
            reader(&std::fs::read(file.unwrap().path()).unwrap());
            read += 1;
        }
    }
    assert!(read > 0, "`fuzz/corpus` is empty");
}
