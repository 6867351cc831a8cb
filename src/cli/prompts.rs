//! Prompts as users type them: learned words by the names of their files, and what is cut.

use std::path::Path;

use dvar_models::tokenizer::composed;

use super::{CliError, distinct::distinct, learned::split};
use crate::{
    embedding::LearnedEmbedding,
    pipelines::{
        CutPrompt, LongPrompts, ModelFolder, PromptTokenizers,
        signs::{EMBEDDING, network, weighted},
    },
    session::tokenizers_with,
};

/// Learned words for the prompts, from files.
pub(super) struct Words {
    pub embeddings: Vec<LearnedEmbedding>,
    /// What the user gave for each.
    given: Vec<String>,
    pub tokenizers: PromptTokenizers,
}

impl Words {
    /// Checks each word against the model and the others. `given` is what the user gave for each of the
    /// embeddings: `FILE` or `FILE=TOKEN`.
    pub(super) fn new(
        embeddings: Vec<LearnedEmbedding>,
        given: &[String],
        model: &ModelFolder,
        long_prompts: LongPrompts,
    ) -> Result<Self, CliError> {
        for embedding in &embeddings {
            embedding.check_fit(model)?;
        }
        // one after the other, to tell which file has a word that cannot be used
        for (count, given) in given.iter().enumerate() {
            tokenizers_with(model, &embeddings[..=count]).map_err(|error| {
                CliError::Input(format!(
                    "{error}; `--embedding {}=<another-word>` calls it by another word",
                    split(given).0
                ))
            })?;
        }
        let tokenizers = tokenizers_with(model, &embeddings)?.with_long_prompts(long_prompts);
        Ok(Self { embeddings, given: given.to_vec(), tokenizers })
    }

    /// A prompt with `embedding:name` replaced by the word of the embedding with that name; what else
    /// A1111 and ComfyUI understand, and dvar does not, is refused.
    pub(super) fn understood(&self, prompt: &str) -> Result<String, CliError> {
        if let Some(weighted) = weighted(prompt) {
            return Err(CliError::Input(format!(
                "`{weighted}` weighs words, which dvar does not; leave out the brackets and the \
                 number, or give `--literal-prompts` to draw from the text as it stands"
            )));
        }
        if let Some(network) = network(prompt) {
            return Err(CliError::Input(format!(
                "`{network}` in a prompt loads nothing here; leave it out and give the file with \
                 `--lora FILE:0.8`, or give `--literal-prompts` to draw from the text as it stands"
            )));
        }
        let mut understood = String::new();
        let mut rest = prompt;
        while let Some((before, after)) = rest.split_once(EMBEDDING) {
            let ends = |c: char| c.is_whitespace() || [',', ')', '('].contains(&c);
            let (name, after) = after.split_at(after.find(ends).unwrap_or(after.len()));
            understood += before;
            understood += self.called(name)?;
            rest = after;
        }
        Ok(understood + rest)
    }

    /// The word of the embedding that ComfyUI would call so: by its file's name.
    fn called(&self, name: &str) -> Result<&str, CliError> {
        let plain = |text: &str| composed(&text.to_lowercase());
        let stem =
            |path: &str| plain(&Path::new(path).file_stem().unwrap_or_default().to_string_lossy());
        let mut known = self.given.iter().map(|given| stem(split(given).0)).zip(&self.embeddings);
        let found = known.find(|(file, learned)| {
            let token = plain(learned.placeholder_token());
            [plain(name), stem(name)].iter().any(|name| *name == token || name == file)
        });
        found.map(|(_, learned)| learned.placeholder_token()).ok_or_else(|| {
            CliError::Input(format!(
                "`embedding:{name}` stands in a prompt, and no embedding of this name is given; give \
                 it with `--embedding`, or `--literal-prompts` to draw from the text as it stands"
            ))
        })
    }

    /// Checks that each word is used.
    pub(super) fn check_used<'a>(
        &self,
        prompts: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), CliError> {
        let used: Vec<&str> = prompts.flat_map(|prompt| self.tokenizers.words_in(prompt)).collect();
        for (embedding, given) in self.embeddings.iter().zip(&self.given) {
            let token = embedding.placeholder_token();
            if !used.contains(&token) {
                return Err(CliError::Input(format!(
                    "no prompt contains `{token}`, the token of `{}`; write it into `--prompt` or \
                     `--negative-prompt`",
                    split(given).0
                )));
            }
        }
        Ok(())
    }
}

/// Says of each `<word>` in a prompt that is no token: its embedding was forgotten, or has another word.
pub(super) fn say_unknown<'a>(
    tokenizers: &PromptTokenizers,
    prompts: impl Iterator<Item = &'a str>,
) {
    for word in distinct(prompts.flat_map(in_angle_brackets)) {
        let is_token = tokenizers.token_ids(word).0.iter().all(|ids| ids.len() == 1);
        if is_token || !tokenizers.words_in(word).is_empty() {
            continue;
        }
        eprintln!(
            "warning: `{word}` in a prompt is no learned word here; give its embedding with \
             `--embedding`"
        );
    }
}

/// Each `<word>` of a prompt.
fn in_angle_brackets(prompt: &str) -> impl Iterator<Item = &str> {
    prompt.match_indices('<').filter_map(|(start, _)| {
        let length = prompt[start..].find('>')?;
        let word = &prompt[start..=start + length];
        let is_word = length > 1 && !word[1..].contains(|c: char| c.is_whitespace() || c == '<');
        is_word.then_some(word)
    })
}

/// Says of each prompt whether its end is left out.
pub(super) fn say_cut<'a>(tokenizers: &PromptTokenizers, prompts: impl Iterator<Item = &'a str>) {
    for prompt in distinct(prompts) {
        let Some(CutPrompt { tokens, room, lost }) = tokenizers.cut(prompt) else { continue };
        let lost = if lost.is_empty() {
            String::new()
        } else {
            format!(", and with its end `{}` is lost", lost.join("`, `"))
        };
        eprintln!(
            "warning: of the {tokens} tokens of the prompt `{prompt}` only {room} are drawn{lost}; \
             shorten it, or give `--long-prompts chunk` to `dvar generate`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_angle_brackets_are_told_from_comparisons() {
        let words = |prompt: &'static str| in_angle_brackets(prompt).collect::<Vec<_>>();
        assert_eq!(words("a <my-cat> and <b>, 1 < 2 > 0 <> <<c>"), ["<my-cat>", "<b>", "<c>"]);
        assert!(words("a <my cat> < ").is_empty());
    }
}
