//! What the pictures are trained with.

use super::SessionError;
use crate::{
    config::{MethodConfig, TrainConfig},
    data::templates::fill,
    objective::CAPTION_PREFIXES,
    pipelines::{PromptIds, PromptTokenizers},
    rng::{Purpose, Stream},
};

/// The token ids of the captions. Custom Diffusion trains on one template, drawn from the seed, with
/// the class' name after the placeholder, and with words on the picture's size before it.
pub(super) fn captions(config: &TrainConfig, tokenizers: &PromptTokenizers) -> Vec<PromptIds> {
    let templates = config.learnable_property.templates();
    let token = &config.placeholder_token;
    let MethodConfig::CustomDiffusion { class_prompt, .. } = &config.method else {
        return templates.iter().map(|t| tokenizers.encode_caption(&fill(t, token))).collect();
    };
    let drawn = Stream::new(config.seed, Purpose::Pairs, u64::MAX).below(templates.len());
    let caption = fill(templates[drawn], &format!("{token} {class_prompt}"));
    let prefixes = CAPTION_PREFIXES.iter();
    prefixes.map(|prefix| tokenizers.encode_caption(&format!("{prefix}{caption}"))).collect()
}

/// Checks that every caption holds all vectors of the concept, none of which may be cut off its end.
pub(super) fn check_room(
    config: &TrainConfig,
    tokenizers: &PromptTokenizers,
) -> Result<(), SessionError> {
    let fits = |ids: &[u32], vectors: &[u32]| {
        vectors.iter().take_while(|vector| ids.contains(vector)).count()
    };
    let captions = captions(config, tokenizers);
    let each =
        captions.iter().flat_map(|caption| caption.0.iter().zip(tokenizers.placeholder_ids()));
    let most = each.map(|(ids, vectors)| fits(ids, vectors)).min().unwrap_or(0);
    let wanted = tokenizers.num_vectors();
    if most < wanted {
        return Err(SessionError::NoRoomForVectors { wanted, most });
    }
    Ok(())
}
