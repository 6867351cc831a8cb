//! The CLIP tokenizer against transformers 4.57.3 (column `fast` of the golden rows: exact), and
//! on texts and files nobody wrote on purpose.

use std::{fs, sync::LazyLock};

use dvar_models::tokenizer::ClipTokenizer;
use proptest::prelude::*;

use crate::golden;

fn file(name: &str) -> Vec<u8> {
    let path = golden::root().join("models/tiny-sd/tokenizer").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn build(vocab: &[u8], merges: &[u8]) -> Option<ClipTokenizer> {
    let (config, map) = (file("tokenizer_config.json"), file("special_tokens_map.json"));
    ClipTokenizer::new(vocab, merges, Some(&config), Some(&map)).ok()
}

fn tokenizer() -> ClipTokenizer {
    build(&file("vocab.json"), &file("merges.txt")).expect("the golden tokenizer")
}

#[test]
fn every_prompt_gets_the_ids_of_the_fast_tokenizer_of_transformers() {
    let golden = golden::json("tokenizer_clip");
    let number = |key: &str| golden[key].as_u64().unwrap();
    let placeholder = golden["placeholder"].as_str().unwrap();
    let mut tokenizer = tokenizer();
    assert_eq!(tokenizer.vocab_size() as u64, number("vocab_size_without_added"));
    assert_eq!(tokenizer.model_max_length() as u64, number("model_max_length"));
    let special = [tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()].map(u64::from);
    assert_eq!(special, [number("bos"), number("eos"), number("pad")]);
    let ids = tokenizer.add_placeholder(placeholder, 1).unwrap();
    assert_eq!(ids, [number("placeholder_id") as u32]);

    let rows = golden["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    let max_length = number("max_length_used") as usize;
    for row in rows {
        let prompt = row["prompt"].as_str().unwrap();
        let want: Vec<u32> = serde_json::from_value(row["fast"].clone()).unwrap();
        assert_eq!(tokenizer.encode(prompt, max_length), want, "{prompt:?}");
    }
    println!("tokenizer_clip: {} rows exact", rows.len());
}

#[test]
fn the_initializer_is_the_token_that_was_meant() {
    let golden = golden::json("tokenizer_clip");
    let want: Vec<u32> =
        serde_json::from_value(golden["initializer_ids_intended"].clone()).unwrap();
    let word = golden["initializer"].as_str().unwrap();
    assert_eq!(tokenizer().token_ids(word), want);
    assert_eq!(tokenizer().initializer_id(word).ok(), (want.len() == 1).then(|| want[0]));
}

#[test]
fn several_vectors_take_the_place_of_the_placeholder_in_every_prompt() {
    let golden = golden::json("tokenizer_clip");
    let placeholder = golden["placeholder"].as_str().unwrap();
    let (mut one, mut three) = (tokenizer(), tokenizer());
    let single = one.add_placeholder(placeholder, 1).unwrap()[0];
    let vectors = three.add_placeholder(placeholder, 3).unwrap();
    assert_eq!(vectors, [single, single + 1, single + 2]);
    for row in golden["rows"].as_array().unwrap() {
        let prompt = row["prompt"].as_str().unwrap();
        let want: Vec<u32> = one
            .token_ids(prompt)
            .into_iter()
            .flat_map(|id| if id == single { vectors.clone() } else { vec![id] })
            .collect();
        assert_eq!(three.token_ids(prompt), want, "{prompt:?}");
    }
}

static SHARED: LazyLock<ClipTokenizer> = LazyLock::new(tokenizer);

proptest! {
    #[test]
    fn any_text_becomes_exactly_as_many_ids_as_asked_for(text in "\\PC{0,60}|.{0,60}", len in 2usize..90) {
        let ids = SHARED.encode(&text, len);
        let content = SHARED.token_ids(&text);
        let kept = content.len().min(len - 2);
        prop_assert_eq!(ids.len(), len);
        prop_assert_eq!(ids[0], SHARED.bos_id());
        prop_assert_eq!(&ids[1..=kept], &content[..kept]);
        prop_assert_eq!(ids[kept + 1], SHARED.eos_id());
        prop_assert!(ids[kept + 2..].iter().all(|id| *id == SHARED.pad_id()));
    }

    #[test]
    fn a_placeholder_is_read_as_its_ids_or_refused(word in "\\PC{0,8}|[a-z<>!|*_A-Z-]{1,8}", count in 1usize..4) {
        let mut tokenizer = SHARED.clone();
        match tokenizer.add_placeholder(&word, count) {
            Ok(ids) => {
                prop_assert_eq!(ids.len(), count);
                prop_assert_eq!(ids[0] as usize, tokenizer.vocab_size());
                prop_assert_eq!(tokenizer.token_ids(&word), ids);
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                prop_assert_eq!(tokenizer.token_ids(&word), SHARED.token_ids(&word));
            }
        }
    }

    #[test]
    fn damaged_files_never_panic(cut in 0.0..1.0f64, at in 0.0..1.0f64, byte: u8) {
        let (mut vocab, mut merges) = (file("vocab.json"), file("merges.txt"));
        let place = |len: usize, share: f64| (len as f64 * share) as usize;
        prop_assert!(build(&vocab[..place(vocab.len(), cut)], &merges).is_none());
        let _ = build(&vocab, &merges[..place(merges.len(), cut)]);
        let (v, m) = (place(vocab.len(), at), place(merges.len(), at));
        vocab[v] = byte;
        merges[m] = byte;
        for tokenizer in [build(&vocab, &file("merges.txt")), build(&file("vocab.json"), &merges)] {
            tokenizer.inspect(|tokenizer| drop(tokenizer.encode("a photo of a cat", 77)));
        }
    }
}
