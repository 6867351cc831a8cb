//! Unit tests of [`PromptTokenizer`] on a vocabulary of single characters and a few merges.

use serde_json::json;

use super::*;

const MERGES: &str = "#version: 0.2\nc a\nca t</w>\nt o\nto y</w>\n";

fn vocab() -> Vec<String> {
    let characters = || "abcdefghijklmnopqrstuvwxyz<>-!_0123456789".chars();
    let mut tokens: Vec<_> = characters().map(String::from).collect();
    tokens.extend(characters().map(|character| format!("{character}</w>")));
    let whole = ["ca", "cat</w>", "to", "toy</w>", "<|startoftext|>", "<|endoftext|>"];
    tokens.extend(whole.map(String::from));
    tokens
}

fn vocab_json(tokens: &[String]) -> Vec<u8> {
    let ids: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    serde_json::to_vec(&ids).unwrap()
}

fn with_config(config: serde_json::Value) -> Result<PromptTokenizer, TokenizerError> {
    let config = serde_json::to_vec(&config).unwrap();
    PromptTokenizer::clip(&vocab_json(&vocab()), MERGES.as_bytes(), Some(&config), None)
}

fn tokenizer() -> PromptTokenizer {
    PromptTokenizer::clip(&vocab_json(&vocab()), MERGES.as_bytes(), None, None).unwrap()
}

fn id(token: &str) -> u32 {
    vocab().iter().position(|known| known == token).unwrap() as u32
}

#[test]
fn a_prompt_is_bos_ids_eos_and_padding() {
    let tokenizer = tokenizer();
    let (bos, eos) = (id("<|startoftext|>"), id("<|endoftext|>"));
    let ids = [bos, id("cat</w>"), id("toy</w>"), eos, eos, eos];
    assert_eq!(tokenizer.encode(" Cat\t TOY ", 6), ids);
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()), (bos, eos, eos));
    assert_eq!((tokenizer.vocab_size(), tokenizer.model_max_length()), (vocab().len(), 77));
}

#[test]
fn a_long_prompt_is_cut_and_keeps_its_eos() {
    let tokenizer = tokenizer();
    let (bos, eos, cat) = (id("<|startoftext|>"), id("<|endoftext|>"), id("cat</w>"));
    assert_eq!(tokenizer.encode("cat cat cat", 4), [bos, cat, cat, eos]);
    assert_eq!(tokenizer.encode("cat cat cat", 2), [bos, eos]);
    assert_eq!(tokenizer.encode("cat", 1), [bos]);
    assert_eq!(tokenizer.encode("cat", 0), [0u32; 0]);
}

#[test]
fn a_placeholder_stands_for_all_its_vectors_in_order() {
    let mut tokenizer = tokenizer();
    let first = vocab().len() as u32;
    assert_eq!(tokenizer.add_placeholder("<One>", 1).unwrap(), [first]);
    assert_eq!(tokenizer.add_placeholder("<two>", 2).unwrap(), [first + 1, first + 2]);
    let ids = [id("cat</w>"), first + 1, first + 2, first, id("toy</w>"), first + 2];
    assert_eq!(tokenizer.token_ids("cat <two><ONE>toy <two>_1"), ids);
    assert_eq!(tokenizer.vocab_size(), vocab().len());
    let (bos, eos) = (tokenizer.bos_id(), tokenizer.eos_id());
    assert_eq!(tokenizer.encode("<two> <two>", 5), [bos, first + 1, first + 2, first + 1, eos]);
}

#[test]
fn a_placeholder_with_white_space_or_an_impossible_number_of_vectors_is_refused() {
    let mut tokenizer = tokenizer();
    for form in ["", " ", "a b", "<a>\n", "<a\u{a0}b>"] {
        let refused = tokenizer.add_placeholder(form, 1);
        assert_eq!(refused, Err(TokenizerError::PlaceholderForm(form.into())));
    }
    for count in [0, 76, usize::MAX] {
        let refused = tokenizer.add_placeholder("<a>", count);
        assert!(matches!(refused, Err(TokenizerError::PlaceholderVectors { most: 75, .. })));
    }
}

#[test]
fn a_placeholder_that_already_is_a_token_is_refused_and_names_it() {
    let mut tokenizer = tokenizer();
    tokenizer.add_placeholder("<cat-toy>", 2).unwrap();
    for (placeholder, token) in [
        ("ca", "ca"),
        ("cat", "cat</w>"),
        ("CAT", "cat</w>"),
        ("!", "!"),
        ("<|endoftext|>", "<|endoftext|>"),
        ("<|EndOfText|>", "<|endoftext|>"),
        ("<cat-toy>", "<cat-toy>"),
        ("<CAT-toy>", "<cat-toy>"),
        ("<cat-toy>_1", "<cat-toy>_1"),
    ] {
        let refused = tokenizer.add_placeholder(placeholder, 1);
        let (placeholder, token) = (placeholder.to_string(), token.to_string());
        assert_eq!(refused, Err(TokenizerError::PlaceholderTaken { placeholder, token }));
    }
    let next = tokenizer.add_placeholder("<free>", 1).unwrap();
    assert_eq!(next, [vocab().len() as u32 + 2]);
}

#[test]
fn a_placeholder_that_would_be_split_is_refused_and_leaves_no_trace() {
    let mut tokenizer = with_config(json!({ "pad_token": "!" })).unwrap();
    assert_eq!(tokenizer.pad_id(), id("!"));
    let refused = tokenizer.add_placeholder("cat!toy", 1);
    let pieces = ["cat</w>", "!", "toy</w>"].map(String::from).to_vec();
    let placeholder = "cat!toy".to_string();
    assert_eq!(refused, Err(TokenizerError::PlaceholderSplits { placeholder, pieces }));
    assert_eq!(tokenizer.add_placeholder("<free>", 1).unwrap(), [vocab().len() as u32]);
}

#[test]
fn thousands_of_saved_tokens_are_read_with_their_ids() {
    let (first, count) = (vocab().len(), 8_000);
    let numbered = || (first..first + count).map(|id| (id, format!("<number-{id}>")));
    let beside: serde_json::Map<_, _> = numbered().map(|(id, name)| (name, json!(id))).collect();
    let beside = tokenizer().with_added_tokens(&serde_json::to_vec(&beside).unwrap()).unwrap();
    let inside: serde_json::Map<_, _> =
        numbered().map(|(id, name)| (id.to_string(), json!({ "content": name }))).collect();
    let inside = with_config(json!({ "added_tokens_decoder": inside })).unwrap();
    for tokenizer in [beside, inside] {
        assert_eq!(tokenizer.vocab_size(), first + count);
        assert_eq!(tokenizer.token_ids("<number-900>"), [900]);
    }
}

#[test]
fn an_initializer_must_be_one_known_token() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.initializer_id("toy").unwrap(), id("toy</w>"));
    let error = tokenizer.initializer_id("cat toy").unwrap_err().to_string();
    assert!(error.contains("`cat</w>`, `toy</w>`"), "{error}");
    for word in ["", " ", "catoy", "\u{e9}", "?"] {
        let refused = tokenizer.initializer_id(word);
        assert!(matches!(refused, Err(TokenizerError::Initializer { .. })), "{word}: {refused:?}");
    }
}

#[test]
fn an_entry_that_texts_have_only_inside_of_words_is_an_initializer_and_no_word() {
    let mut tokenizer = tokenizer();
    assert_eq!(tokenizer.initializer_id("ca").unwrap(), id("ca"));
    assert_eq!(tokenizer.initializer_id("cat").unwrap(), id("cat</w>"));
    tokenizer.add_placeholder("<one>", 2).unwrap();
    // neither a placeholder, nor what stands for all that is unknown
    for word in ["<one>", "<|endoftext|>"] {
        let refused = tokenizer.initializer_id(word);
        assert!(matches!(refused, Err(TokenizerError::Initializer { .. })), "{word}: {refused:?}");
    }
    let refused = tokenizer.word_id("ca");
    assert!(matches!(refused, Err(TokenizerError::Initializer { .. })), "{refused:?}");
}

#[test]
fn a_word_in_other_letters_than_ascii_s_is_a_word_and_a_byte_of_a_letter_is_none() {
    // an e with an accent is these two bytes
    let mut tokens = vocab();
    tokens.extend(["\u{c3}", "\u{a9}</w>", "\u{c3}\u{a9}</w>"].map(String::from));
    // the byte 1, a control character
    tokens.push("\u{101}</w>".into());
    let merges = format!("{MERGES}\u{c3} \u{a9}</w>\n");
    let tokenizer = PromptTokenizer::clip(&vocab_json(&tokens), merges.as_bytes(), None, None);
    let words = tokenizer.unwrap().words();
    let (first, whole) = (vocab().len() as u32, vocab().len() as u32 + 2);
    let found: Vec<_> = words.iter().filter(|(id, _)| *id >= first).collect();
    assert_eq!(found, [&(whole, "\u{e9}".to_string())]);
    assert!(words.contains(&(id("cat</w>"), "cat".to_string())), "{words:?}");
}

#[test]
fn tokens_saved_with_the_tokenizer_keep_their_ids() {
    let first = vocab().len();
    let saved = json!({ (first + 1).to_string(): { "content": "<b>" }, first.to_string(): { "content": "<a>" } });
    let mut tokenizer = with_config(json!({ "added_tokens_decoder": saved })).unwrap();
    assert_eq!(tokenizer.token_ids("<b><a>"), [first as u32 + 1, first as u32]);
    assert_eq!(tokenizer.vocab_size(), first + 2);
    assert_eq!(tokenizer.add_placeholder("<c>", 1).unwrap(), [first as u32 + 2]);
    let refused = tokenizer.add_placeholder("<a>", 1);
    assert!(matches!(refused, Err(TokenizerError::PlaceholderTaken { .. })), "{refused:?}");
}

#[test]
fn the_greatest_length_comes_from_the_configuration() {
    for (written, length) in [(json!(32), 32), (json!(1e30), 77), (json!(null), 77)] {
        let tokenizer = with_config(json!({ "model_max_length": written })).unwrap();
        assert_eq!(tokenizer.model_max_length(), length);
    }
}

#[test]
fn the_map_of_special_tokens_comes_before_a_configuration_without_added_tokens() {
    let map = br#"{"pad_token": {"content": "!"}}"#;
    for (config, pad) in [
        (json!({ "pad_token": "-" }), "!"),
        (json!({ "pad_token": "-", "added_tokens_decoder": {} }), "-"),
    ] {
        let config = serde_json::to_vec(&config).unwrap();
        let vocab = vocab_json(&vocab());
        let tokenizer =
            PromptTokenizer::clip(&vocab, MERGES.as_bytes(), Some(&config), Some(map)).unwrap();
        assert_eq!(tokenizer.pad_id(), id(pad), "{config:?}");
    }
}

#[test]
fn vocabularies_that_are_not_rows_of_a_table_are_refused() {
    for bytes in [
        &b""[..],
        b"\xff\xfe",
        b"[]",
        br#"{"a": -1}"#,
        br#"{"a": 1}"#,
        br#"{"a": 0, "b": 0}"#,
        br#"{"a": 0, "b": 2}"#,
    ] {
        let refused = PromptTokenizer::clip(bytes, MERGES.as_bytes(), None, None);
        assert!(matches!(refused, Err(TokenizerError::Vocabulary { .. })), "{refused:?}");
    }
}

#[test]
fn merges_that_do_not_fit_the_vocabulary_are_refused() {
    let long = format!("#version\n{} {}\n", "<|startoftext|>", "<|startoftext|>");
    for merges in
        [&b"\xff"[..], b"", b"#v\nc\n", b"#v\nc a t\n", b"#v\nc z\n", b"#v\nC a", long.as_bytes()]
    {
        let refused = PromptTokenizer::clip(&vocab_json(&vocab()), merges, None, None);
        assert!(matches!(refused, Err(TokenizerError::Merges(_))), "{refused:?}");
    }
}

#[test]
fn configurations_that_contradict_the_vocabulary_are_refused() {
    for config in [
        json!({ "bos_token": "<s>" }),
        json!({ "unk_token": "<unk>" }),
        json!({ "pad_token": 3 }),
        json!({ "model_max_length": 1 }),
        json!({ "model_max_length": -5 }),
        json!({ "model_max_length": "77" }),
        json!({ "added_tokens_decoder": { "3": { "content": "<a>" } } }),
        json!({ "added_tokens_decoder": { "x": { "content": "<a>" } } }),
        json!({ "added_tokens_decoder": { "88": {} } }),
    ] {
        let refused = with_config(config.clone());
        assert!(matches!(refused, Err(TokenizerError::Config(_))), "{config}: {refused:?}");
    }
    let vocab = vocab_json(&vocab());
    let refused = PromptTokenizer::clip(&vocab, MERGES.as_bytes(), None, Some(b"{"));
    assert!(matches!(refused, Err(TokenizerError::Config(_))), "{refused:?}");
    let without = vocab_json(&["a".to_string()]);
    let refused = PromptTokenizer::clip(&without, b"#version\n", None, None);
    assert!(matches!(refused, Err(TokenizerError::Config(_))), "{refused:?}");
}

const WORDS: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\ntoy\ncafe\n##s\n<\n>\n-\n\u{732b}\n##\u{732b}\n";

fn word(token: &str) -> u32 {
    WORDS.lines().position(|known| known == token).unwrap() as u32
}

fn bert(config: serde_json::Value) -> Result<PromptTokenizer, TokenizerError> {
    PromptTokenizer::bert(WORDS.as_bytes(), Some(&serde_json::to_vec(&config).unwrap()), None)
}

#[test]
fn a_prompt_of_bert_is_cls_ids_sep_and_padding() {
    let tokenizer = PromptTokenizer::bert(WORDS.as_bytes(), None, None).unwrap();
    let ids = ["[CLS]", "cat", "##s", "cafe", "[UNK]", "[SEP]", "[PAD]"].map(word);
    assert_eq!(tokenizer.encode(" CATS\tcaf\u{e9} dog", 7), ids);
    assert_eq!(tokenizer.token_ids("[MASK] cat"), ["[MASK]", "cat"].map(word));
    assert_eq!((tokenizer.vocab_size(), tokenizer.model_max_length()), (14, 512));
}

#[test]
fn a_long_caption_of_bert_is_cut_to_the_positions_and_loses_its_sep() {
    let tokenizer = PromptTokenizer::bert(WORDS.as_bytes(), None, None).unwrap().with_positions(4);
    let (cls, sep, pad, cat) = (word("[CLS]"), word("[SEP]"), word("[PAD]"), word("cat"));
    assert_eq!(tokenizer.encode_caption("cat cat cat"), [cls, cat, cat, cat]);
    assert_eq!(tokenizer.encode_caption("cat cat"), [cls, cat, cat, sep]);
    assert_eq!(tokenizer.encode_caption("cat"), [cls, cat, sep, pad]);
    assert_eq!(tokenizer.encode("cat cat cat", tokenizer.positions()), [cls, cat, cat, sep]);
}

#[test]
fn a_placeholder_of_bert_stands_for_all_its_vectors_in_order() {
    let mut tokenizer = PromptTokenizer::bert(WORDS.as_bytes(), None, None).unwrap();
    assert_eq!(tokenizer.add_placeholder("<cat-toy>", 2).unwrap(), [14, 15]);
    assert_eq!(tokenizer.token_ids("toy <CAT-toy>s"), [word("toy"), 14, 15, word("[UNK]")]);
    // characters without any token of their own
    assert_eq!(tokenizer.add_placeholder("\u{434}\u{43e}\u{43c}", 1).unwrap(), [16]);
    for taken in ["cat", "CAT", "[SEP]", "##s", "<cat-toy>"] {
        let refused = tokenizer.add_placeholder(taken, 1);
        assert!(matches!(refused, Err(TokenizerError::PlaceholderTaken { .. })), "{refused:?}");
    }
}

#[test]
fn an_initializer_of_bert_must_be_one_known_token() {
    let tokenizer = PromptTokenizer::bert(WORDS.as_bytes(), None, None).unwrap();
    assert_eq!(tokenizer.initializer_id("Toy").unwrap(), word("toy"));
    for refused in ["", "cats", "dog", "cat toy"] {
        let refused = tokenizer.initializer_id(refused);
        assert!(matches!(refused, Err(TokenizerError::Initializer { .. })), "{refused:?}");
    }
}

#[test]
fn the_configuration_says_how_bert_cleans_text() {
    let ids = |config, text: &str| bert(config).unwrap().token_ids(text);
    let chinese = "cat\u{732b}cat";
    for (config, text, tokens) in [
        (json!({ "do_lower_case": false }), "Cat", &["[UNK]"][..]),
        (json!({ "do_lower_case": false }), "caf\u{e9}", &["[UNK]"]),
        (json!({ "strip_accents": false }), "caf\u{e9}", &["[UNK]"]),
        (json!({ "do_lower_case": false, "strip_accents": true }), "caf\u{e9}", &["cafe"]),
        (json!({ "strip_accents": null }), chinese, &["cat", "\u{732b}", "cat"]),
        (json!({ "tokenize_chinese_chars": false }), "cat\u{732b}", &["cat", "##\u{732b}"]),
    ] {
        let want: Vec<u32> = tokens.iter().map(|token| word(token)).collect();
        assert_eq!(ids(config.clone(), text), want, "{config} {text}");
    }
}

#[test]
fn vocabularies_and_configurations_that_bert_cannot_use_are_refused() {
    for bytes in [&b"\xff"[..], b"[UNK]\ncat\ncat\n"] {
        let refused = PromptTokenizer::bert(bytes, None, None);
        let told = matches!(refused, Err(TokenizerError::Vocabulary { file: "vocab.txt", .. }));
        assert!(told, "{refused:?}");
    }
    for bytes in [&b""[..], b"[UNK]\n[CLS]\n[SEP]\n", b"[PAD]\n[CLS]\n[SEP]\n"] {
        let refused = PromptTokenizer::bert(bytes, None, None);
        assert!(matches!(refused, Err(TokenizerError::Config(_))), "{refused:?}");
    }
    for config in [json!({ "do_lower_case": "yes" }), json!({ "cls_token": "<s>" })] {
        let refused = bert(config);
        assert!(matches!(refused, Err(TokenizerError::Config(_))), "{refused:?}");
    }
}
