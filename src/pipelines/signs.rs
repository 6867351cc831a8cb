//! Signs in prompts that A1111 and ComfyUI understand, and dvar does not.

/// The first `(words:1.2)` of a prompt, which weighs words there.
pub fn weighted(prompt: &str) -> Option<&str> {
    prompt.match_indices(')').find_map(|(end, _)| {
        let (words, number) = prompt[..end].rsplit_once(':')?;
        number.trim().parse::<f64>().ok()?;
        let start = words.rfind('(')?;
        (!words[start..].contains(')')).then_some(&prompt[start..=end])
    })
}

/// The first `<lora:name:0.8>` of a prompt, which loads a network there.
pub fn network(prompt: &str) -> Option<&str> {
    let kinds = ["<lora:", "<lyco:", "<hypernet:"];
    let start = kinds.iter().filter_map(|kind| prompt.find(kind)).min()?;
    let length = prompt[start..].find('>')?;
    Some(&prompt[start..=start + length])
}

/// What stands before the name of an embedding's file in ComfyUI's prompts.
pub const EMBEDDING: &str = "embedding:";

/// Whether a prompt has any such sign.
pub fn has_signs(prompt: &str) -> bool {
    weighted(prompt).is_some() || network(prompt).is_some() || prompt.contains(EMBEDDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_networks_are_told_from_plain_brackets() {
        for (prompt, want) in [
            ("a (red cat:1.2) on it", Some("(red cat:1.2)")),
            ("((cat:.8))", Some("(cat:.8)")),
            ("a cat (a photo: old) at 10:30)", None),
            ("a cat at (10:30)", Some("(10:30)")),
            ("a (cat)", None),
            (r"\(cat:1\)", None),
        ] {
            assert_eq!(weighted(prompt), want, "{prompt}");
        }
        assert_eq!(network("a cat <lora:ink:0.8> big"), Some("<lora:ink:0.8>"));
        assert_eq!(network("a <lora-cat>"), None);
    }
}
