//! The published tokenizer of CLIP, for models that bring none.

use std::collections::BTreeMap;

use super::WORD_END;

/// `merges.txt`; see `LICENSE.md` beside it.
pub const MERGES: &str = include_str!("openai_clip/merges.txt");

/// `vocab.json`, which follows from the merges: all bytes, all bytes at a word's end, what each merge
/// makes, and the two special tokens.
pub fn vocab_json() -> String {
    let bytes: Vec<String> = byte_characters().iter().map(char::to_string).collect();
    let at_end = bytes.iter().map(|byte| format!("{byte}{WORD_END}"));
    let merged = MERGES.lines().skip(1).map(|merge| merge.replace(' ', ""));
    let special = ["<|startoftext|>", "<|endoftext|>"].map(String::from);
    let tokens = bytes.iter().cloned().chain(at_end).chain(merged).chain(special);
    let vocab: BTreeMap<String, usize> =
        tokens.enumerate().map(|(id, token)| (token, id)).collect();
    serde_json::to_string(&vocab).expect("text keys and numbers are JSON")
}

/// The characters that stand for the 256 bytes, in the order of the vocabulary: those that print
/// first, as themselves, then the others as what follows Latin 1.
fn byte_characters() -> Vec<char> {
    let printed = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    printed.chain((0..68).filter_map(|byte| char::from_u32(256 + byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::PromptTokenizer;

    fn published() -> PromptTokenizer {
        PromptTokenizer::clip(vocab_json().as_bytes(), MERGES.as_bytes(), None, None).unwrap()
    }

    #[test]
    fn files_are_built_in_as_they_are_in_the_repository() {
        // also where Git would have changed the ends of their lines
        assert!(!MERGES.contains('\r'));
    }

    #[test]
    fn the_published_tokenizer_has_49408_tokens_and_reads_text_as_published() {
        let tokenizer = published();
        assert_eq!(tokenizer.vocab_size(), 49_408);
        // as in CLIP's own documentation and tests
        let ids = tokenizer.encode("a photo of a cat", 8);
        assert_eq!(ids, [49_406, 320, 1_125, 539, 320, 2_368, 49_407, 49_407]);
    }

    #[test]
    fn the_word_of_the_official_commands_is_one_that_vectors_can_start_from() {
        let tokenizer = published();
        // a rare piece of words; the token that Custom Diffusion and DreamBooth-LoRA begin with
        assert_eq!(tokenizer.initializer_id("ktn").unwrap(), 42_170);
        assert_eq!(tokenizer.token_ids("ktn").len(), 2);
        // also a piece of words, but first of all a word
        assert_eq!(tokenizer.initializer_id("cat").unwrap(), 2_368);
    }
}
