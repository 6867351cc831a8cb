//! CLIP's and BERT's tokenizers against transformers 4.57.3 (column `fast` of the golden rows:
//! exact), and on texts and files nobody wrote on purpose.

use std::{fs, sync::LazyLock};

use dvar::{
    data::templates::{LearnableProperty, fill},
    pipelines::{LongPrompts, PromptIds},
};
use dvar_models::tokenizer::{PromptTokenizer, TokenizerError, openai_clip};
use proptest::prelude::*;

use crate::{
    golden::{self, Tensors},
    support::{self, SIDES, rows, tiny},
};

/// The golden sets of the two tokenizers.
const KINDS: [&str; 2] = ["clip", "bert"];

fn file(model: &str, name: &str) -> Vec<u8> {
    let path = golden::root().join("models").join(model).join("tokenizer").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn build_clip(vocab: &[u8], merges: &[u8]) -> Result<PromptTokenizer, TokenizerError> {
    let json = |name: &str| file("tiny-sd", name);
    let (config, map) = (json("tokenizer_config.json"), json("special_tokens_map.json"));
    PromptTokenizer::clip(vocab, merges, Some(&config), Some(&map))
}

fn build_bert(vocab: &[u8]) -> Result<PromptTokenizer, TokenizerError> {
    let json = |name: &str| file("tiny-ldm", name);
    let (config, map) = (json("tokenizer_config.json"), json("special_tokens_map.json"));
    PromptTokenizer::bert(vocab, Some(&config), Some(&map))
}

fn tokenizer(kind: &str) -> PromptTokenizer {
    match kind {
        "clip" => build_clip(&file("tiny-sd", "vocab.json"), &file("tiny-sd", "merges.txt")),
        _ => build_bert(&file("tiny-ldm", "vocab.txt")),
    }
    .expect("the golden tokenizer")
}

#[test]
fn every_prompt_gets_the_ids_of_the_fast_tokenizer_of_transformers() {
    for kind in KINDS {
        let golden = golden::json(&format!("tokenizer_{kind}"));
        let number = |key: &str| golden[key].as_u64().unwrap();
        let placeholder = golden["placeholder"].as_str().unwrap();
        let mut tokenizer = tokenizer(kind);
        assert_eq!(tokenizer.vocab_size() as u64, number("vocab_size_without_added"));
        assert_eq!(tokenizer.model_max_length() as u64, number("model_max_length"));
        let special = [tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()].map(u64::from);
        let names = if kind == "clip" { ["bos", "eos", "pad"] } else { ["cls", "sep", "pad"] };
        assert_eq!(special, names.map(number));
        let ids = tokenizer.add_placeholder(placeholder, 1).unwrap();
        assert_eq!(ids, [number("placeholder_id") as u32]);

        let rows = golden["rows"].as_array().unwrap();
        assert!(!rows.is_empty());
        let max_length = number("max_length_used") as usize;
        for row in rows {
            let prompt = row["prompt"].as_str().unwrap();
            let want: Vec<u32> = serde_json::from_value(row["fast"].clone()).unwrap();
            assert_eq!(tokenizer.encode(prompt, max_length), want, "{kind} {prompt:?}");
        }
        println!("tokenizer_{kind}: {} rows exact", rows.len());
    }
}

#[test]
fn tokenizers_that_pad_with_a_letter_of_the_vocabulary_cut_it_out_of_prompts() {
    let golden = golden::json("tokenizer_more");
    let placeholder = golden["placeholder"].as_str().unwrap();
    let folders = [("sd1", 0, "tokenizer"), ("sd2", 0, "tokenizer")];
    let xl = [("sdxl", 0, "tokenizer"), ("sdxl", 1, "tokenizer_2")];
    let xl = xl.into_iter().filter(|(side, ..)| support::has_model(side));
    for (side, place, folder) in folders.into_iter().chain(xl) {
        let about = &golden["tokenizers"][format!("tiny-{side}/{folder}")];
        let mut tokenizers = tiny(side).tokenizers().unwrap();
        tokenizers.add_placeholder(placeholder, 1).unwrap();
        let tokenizer = &tokenizers.each()[place];
        assert_eq!(u64::from(tokenizer.pad_id()), about["pad"].as_u64().unwrap(), "{side}");
        // the set has a second token, `{placeholder}_1`, which dvar names by the first alone
        let second = format!("{placeholder}_1");
        let rows = about["rows"].as_array().unwrap().iter();
        let rows = rows.map(|row| (row["prompt"].as_str().unwrap(), &row["fast"]));
        let rows: Vec<_> = rows.filter(|(prompt, _)| !prompt.contains(&second)).collect();
        assert!(rows.iter().any(|(prompt, _)| prompt.contains('!')));
        for (prompt, want) in rows {
            let want: Vec<u32> = serde_json::from_value(want.clone()).unwrap();
            let got = tokenizer.encode(prompt, want.len());
            assert_eq!(got, want, "{side} {prompt:?}");
        }
    }
}

#[test]
fn tokens_that_older_libraries_add_in_a_file_of_their_own_follow_the_vocabulary() {
    let plain = tokenizer("clip");
    let next = plain.vocab_size();
    let with = |json: String| plain.clone().with_added_tokens(json.as_bytes());
    let added = format!(r#"{{"<second>": {}, "<first>": {next}}}"#, next + 1);
    let mut both = with(added).unwrap();
    assert_eq!(both.vocab_size(), next + 2);
    assert_eq!(both.token_ids("<first> <second>"), [next as u32, next as u32 + 1]);
    assert_eq!(both.add_placeholder("<third>", 1).unwrap(), [next as u32 + 2]);
    for wrong in [format!(r#"{{"<first>": {}}}"#, next + 1), "[]".into(), "{".into()] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains("added_tokens.json"), "{error}");
    }
}

#[test]
fn a_broken_tokenizer_json_is_an_error() {
    for json in [
        "",
        "[]",
        r#"{"model": {}}"#,
        r#"{"model": {"vocab": {"a": 1}, "merges": []}}"#,
        r#"{"model": {"vocab": {"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}, "merges": ["a b"]}}"#,
        r#"{"model": {"vocab": {"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}, "merges": ["a"]}}"#,
        r#"{"model": {"vocab": {"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}, "merges": []},
            "added_tokens": [3]}"#,
    ] {
        assert!(PromptTokenizer::clip_from_json(json.as_bytes(), None, None).is_err(), "{json}");
        assert!(PromptTokenizer::bert_from_json(json.as_bytes(), None, None).is_err(), "{json}");
    }
    let whole =
        r#"{"model": {"vocab": {"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}, "merges": []}}"#;
    assert!(PromptTokenizer::clip_from_json(whole.as_bytes(), Some(b"7"), None).is_ok());
}

/// Draws strings as `tests/fixtures/open_clip/make.py` does.
struct Strings {
    state: u64,
    alphabet: Vec<char>,
}

impl Strings {
    fn below(&mut self, limit: usize) -> usize {
        let (factor, summand) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);
        self.state = self.state.wrapping_mul(factor).wrapping_add(summand);
        (self.state >> 33) as usize % limit
    }

    fn next(&mut self) -> String {
        let length = 1 + self.below(40);
        let places = (0..length).map(|_| self.below(self.alphabet.len())).collect::<Vec<_>>();
        places.into_iter().map(|place| self.alphabet[place]).collect()
    }
}

#[test]
fn the_published_tokenizer_reads_10000_random_strings_as_open_clip_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/open_clip/tokens.json");
    let want = golden::json_at(path.as_ref());
    let (vocab, merges) = (openai_clip::vocab_json(), openai_clip::MERGES);
    let tokenizer = PromptTokenizer::clip(vocab.as_bytes(), merges.as_bytes(), None, None).unwrap();
    let alphabet = want["alphabet"].as_str().unwrap().chars().collect();
    let mut strings = Strings { state: 49_408, alphabet };
    let blocks = want["blocks"].as_array().unwrap();
    let size = want["block"].as_u64().unwrap() as usize;
    assert_eq!(blocks.len() * size, 10_000);
    for block in blocks {
        let texts: Vec<String> = (0..size).map(|_| strings.next()).collect();
        assert_eq!(block["text"], texts[0].as_str(), "the strings are drawn alike");
        let ids = texts.iter().map(|text| tokenizer.token_ids(text));
        let ids: Vec<Vec<u32>> = ids.collect();
        assert_eq!(serde_json::json!(ids[0]), block["ids"], "{:?}", texts[0]);
        let all = ids.iter().flat_map(|ids| ids.iter().chain([&49_407]));
        // FNV-1a
        let mark =
            all.flat_map(|id| id.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |mark, byte| {
                (mark ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        assert_eq!(block["mark"], mark.to_string(), "one of {texts:?}");
    }
}

/// The official code tokenises LDM's captions to 512 ids and cuts them to the 77 positions.
#[test]
fn captions_get_the_ids_of_the_official_code() {
    for side in SIDES {
        let tokenizers = support::tokenizers(&tiny(side));
        let tokenizer = &tokenizers.each()[0];
        let check = |captions: &[String], golden: &golden::Golden| {
            let ids: Vec<_> = captions.iter().map(|c| tokenizer.encode_caption(c)).collect();
            assert_eq!(ids, rows(golden), "{side}");
        };
        let name = format!("text_encoder_{side}");
        let prompts: Vec<String> =
            serde_json::from_value(golden::json(&name)["prompts"].clone()).unwrap();
        check(&prompts, Tensors::open(&name).get("input_ids"));

        let kind = if side == "sd" { "clip" } else { "bert" };
        let meta = golden::json(&format!("tokenizer_{kind}"));
        let placeholder = meta["placeholder"].as_str().unwrap();
        let dataset = Tensors::open("dataset");
        for (name, property) in
            [("object", LearnableProperty::Object), ("style", LearnableProperty::Style)]
        {
            let captions: Vec<_> =
                property.templates().iter().map(|template| fill(template, placeholder)).collect();
            check(&captions, dataset.get(&format!("{side}.{name}.tokenized_templates")));
        }
    }
}

#[test]
fn the_initializer_is_the_token_that_was_meant() {
    for kind in KINDS {
        let golden = golden::json(&format!("tokenizer_{kind}"));
        let want: Vec<u32> =
            serde_json::from_value(golden["initializer_ids_intended"].clone()).unwrap();
        let word = golden["initializer"].as_str().unwrap();
        let tokenizer = tokenizer(kind);
        assert_eq!(tokenizer.token_ids(word), want);
        assert_eq!(tokenizer.initializer_id(word).ok(), (want.len() == 1).then(|| want[0]));
    }
}

#[test]
fn several_vectors_take_the_place_of_the_placeholder_in_every_prompt() {
    for kind in KINDS {
        let golden = golden::json(&format!("tokenizer_{kind}"));
        let placeholder = golden["placeholder"].as_str().unwrap();
        let (mut one, mut three) = (tokenizer(kind), tokenizer(kind));
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
            assert_eq!(three.token_ids(prompt), want, "{kind} {prompt:?}");
        }
    }
}

#[test]
fn a_long_prompt_is_read_in_parts_that_take_no_learned_word_apart() {
    let tokenizers = tiny("sd").tokenizers().unwrap();
    let mut tokenizers = tokenizers.with_long_prompts(LongPrompts::Chunk);
    tokenizers.add_placeholder("<new>", 2).unwrap();
    let learned = tokenizers.placeholder_ids()[0].clone();
    let tokenizer = &tokenizers.each()[0];
    let word = tokenizers.words().remove(0);
    let id = tokenizer.word_id(&word).unwrap();
    let room = tokenizer.positions() - 2;
    let parts = |words: usize, end: &str| -> Vec<Vec<u32>> {
        let prompt = format!("{}{end}", format!("{word} ").repeat(words));
        let parts = tokenizers.encode_parts(&prompt).into_iter();
        parts.map(|PromptIds(mut each)| each.remove(0)).collect()
    };
    let part = |words: usize, end: &[u32]| {
        let (begin, words) = ([tokenizer.bos_id()], vec![id; words]);
        let mut ids = [&begin[..], &words, end, &[tokenizer.eos_id()]].concat();
        ids.resize(room + 2, tokenizer.pad_id());
        ids
    };
    assert_eq!(parts(room - 2, "<new>"), [part(room - 2, &learned)]);
    assert_eq!(parts(room - 1, "<new>"), [part(room - 1, &[]), part(0, &learned)]);
    assert_eq!(parts(room, ""), [part(room, &[])]);
    assert_eq!(parts(room + 1, ""), [part(room, &[]), part(1, &[])]);
    assert_eq!(parts(0, ""), [part(0, &[])]);
}

static SHARED: LazyLock<[PromptTokenizer; 2]> = LazyLock::new(|| KINDS.map(tokenizer));

proptest! {
    #[test]
    fn any_text_becomes_exactly_as_many_ids_as_asked_for(text in "\\PC{0,60}|.{0,60}", len in 2usize..90) {
        for tokenizer in &*SHARED {
            let ids = tokenizer.encode(&text, len);
            let content = tokenizer.token_ids(&text);
            let kept = content.len().min(len - 2);
            prop_assert_eq!(ids.len(), len);
            prop_assert_eq!(ids[0], tokenizer.bos_id());
            prop_assert_eq!(&ids[1..=kept], &content[..kept]);
            prop_assert_eq!(ids[kept + 1], tokenizer.eos_id());
            prop_assert!(ids[kept + 2..].iter().all(|id| *id == tokenizer.pad_id()));
        }
    }

    #[test]
    fn a_placeholder_is_read_as_its_ids_or_refused(word in "\\PC{0,8}|[a-z<>!|*_A-Z-]{1,8}", count in 1usize..4) {
        for shared in &*SHARED {
            let mut tokenizer = shared.clone();
            match tokenizer.add_placeholder(&word, count) {
                Ok(ids) => {
                    prop_assert_eq!(ids.len(), count);
                    prop_assert_eq!(ids[0] as usize, tokenizer.vocab_size());
                    prop_assert_eq!(tokenizer.token_ids(&word), ids);
                }
                Err(error) => {
                    prop_assert!(!error.to_string().is_empty());
                    prop_assert_eq!(tokenizer.token_ids(&word), shared.token_ids(&word));
                }
            }
        }
    }

    #[test]
    fn damaged_files_never_panic(cut in 0.0..1.0f64, at in 0.0..1.0f64, byte: u8) {
        let place = |len: usize, share: f64| (len as f64 * share) as usize;
        let damaged = |name: &str, model: &str| {
            let mut bytes = file(model, name);
            let at = place(bytes.len(), at);
            bytes[at] = byte;
            bytes
        };
        let (vocab, merges) = (file("tiny-sd", "vocab.json"), file("tiny-sd", "merges.txt"));
        // a line's end after the last brace is no part of it
        let part = place(vocab.trim_ascii_end().len(), cut);
        prop_assert!(build_clip(&vocab[..part], &merges).is_err());
        let _ = build_clip(&vocab, &merges[..place(merges.len(), cut)]);
        let lines = file("tiny-ldm", "vocab.txt");
        let _ = build_bert(&lines[..place(lines.len(), cut)]);
        for tokenizer in [
            build_clip(&damaged("vocab.json", "tiny-sd"), &merges),
            build_clip(&vocab, &damaged("merges.txt", "tiny-sd")),
            build_bert(&damaged("vocab.txt", "tiny-ldm")),
        ] {
            let _ = tokenizer.map(|tokenizer| tokenizer.encode("a photo of a cat", 77));
        }
    }
}
