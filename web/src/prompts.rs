//! Prompts that a page can draw as they stand.

use dvar::{
    data::templates::fill,
    pipelines::{
        CutPrompt, PromptTokenizers,
        signs::{network, weighted},
    },
    session::{CheckedOptions, Start},
};

use crate::error::PageError;

/// Refuses a prompt that the model would not read to its end, or that says something dvar does not understand:
/// a picture does not show that.
///
/// # Errors
///
/// A sentence that says what, and what to do.
pub fn check(tokenizers: &PromptTokenizers, prompt: &str) -> Result<(), String> {
    if let Some(weighted) = weighted(prompt) {
        return Err(format!(
            "`{weighted}` weighs words, which dvar does not; leave out the brackets and the number"
        ));
    }
    if let Some(network) = network(prompt) {
        return Err(format!("`{network}` in a prompt loads nothing here; leave it out"));
    }
    let Some(CutPrompt { tokens, room, lost }) = tokenizers.cut(prompt) else { return Ok(()) };
    let without = match &lost[..] {
        [] => String::new(),
        words => format!(", without `{}`", words.join("`, `")),
    };
    Err(format!(
        "the prompt `{prompt}` has {tokens} tokens, of which this model reads only {room}{without}; \
         shorten it"
    ))
}

/// Checks the prompts of a run's pictures.
pub fn check_samples(
    CheckedOptions { config, model, .. }: &CheckedOptions,
    start: &Start,
) -> Result<(), PageError> {
    let token = &config.placeholder_token;
    let mut tokenizers = model.tokenizers()?;
    tokenizers.add_placeholder(token, start.num_vectors(config))?;
    for prompt in &config.validation_prompts {
        check(&tokenizers, &fill(prompt, token))
            .map_err(|problem| PageError::option("validation_prompt", problem))?;
    }
    Ok(())
}
