//! What the pictures are trained with.

use super::SessionError;
use crate::{
    config::{MethodConfig, TrainConfig},
    data::{
        dataset::Dataset,
        templates::{fill_caption, names_caption, names_concept},
    },
    objective::CAPTION_PREFIXES,
    pipelines::{PromptIds, PromptTokenizers},
    rng::{Purpose, Stream},
};

/// How often a caption's tags are shuffled or dropped. Each result is a caption of its own, which the
/// evaluation fixes as it fixes templates.
const VARIANTS: u64 = 32;

/// The captions of a run.
pub(super) struct Captions {
    /// Their token ids.
    pub ids: Vec<PromptIds>,
    /// Whether each picture of a round has as many of its own, those of the first picture first.
    pub of_pictures: bool,
}

impl Captions {
    /// Reads the captions of a run's pictures.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if one does not name the concept, or has no room for all its vectors.
    pub(super) fn new(
        config: &TrainConfig,
        dataset: &Dataset,
        tokenizers: &PromptTokenizers,
    ) -> Result<Self, SessionError> {
        if !config.caption_templates.iter().any(|template| names_caption(template)) {
            return Ok(Self { ids: shared(config, tokenizers)?, of_pictures: false });
        }
        let token = &config.placeholder_token;
        let mut ids = Vec::new();
        for (place, picture) in dataset.round().iter().enumerate() {
            let caption = dataset.captions()[*picture].as_deref().unwrap_or_default();
            let of_picture = |source| SessionError::OfPicture {
                picture: dataset.names()[*picture].clone(),
                source: Box::new(source),
            };
            for caption in variants(config, place, caption, tokenizers) {
                for template in &config.caption_templates {
                    let text = fill_caption(template, &caption, token);
                    ids.push(checked(&text, tokenizers).map_err(of_picture)?);
                }
            }
        }
        Ok(Self { ids, of_pictures: true })
    }
}

/// The captions that all pictures share. Custom Diffusion trains on one template, drawn from the seed,
/// with the class' name after the placeholder, and with words on the picture's size before it.
///
/// # Errors
///
/// Those of [`Captions::new`].
pub(super) fn shared(
    config: &TrainConfig,
    tokenizers: &PromptTokenizers,
) -> Result<Vec<PromptIds>, SessionError> {
    let token = &config.placeholder_token;
    let templates: Vec<&str> = match &config.caption_templates[..] {
        [] => config.learnable_property.templates().to_vec(),
        own => own.iter().map(String::as_str).collect(),
    };
    let MethodConfig::CustomDiffusion { class_prompt, .. } = &config.method else {
        // those that wait for the pictures' own texts are checked with these
        let own = templates.iter().filter(|template| !names_caption(template));
        return own.map(|t| checked(&fill_caption(t, "", token), tokenizers)).collect();
    };
    let drawn = Stream::new(config.seed, Purpose::Pairs, u64::MAX).below(templates.len());
    let caption = fill_caption(templates[drawn], "", &format!("{token} {class_prompt}"));
    let prefixes = CAPTION_PREFIXES.iter();
    prefixes.map(|prefix| checked(&format!("{prefix}{caption}"), tokenizers)).collect()
}

/// The ids of a caption that holds all vectors of the concept, none of which is cut off its end.
fn checked(caption: &str, tokenizers: &PromptTokenizers) -> Result<PromptIds, SessionError> {
    if tokenizers.words_in(caption).is_empty() {
        return Err(SessionError::CaptionWithoutConcept { caption: caption.into() });
    }
    let ids = tokenizers.encode_caption(caption);
    let wanted = tokenizers.num_vectors();
    let each = ids.0.iter().zip(tokenizers.placeholder_ids());
    let held = each.map(|(ids, vectors)| vectors.iter().filter(|v| ids.contains(v)).count());
    let room = held.min().unwrap_or(0);
    if room < wanted {
        return Err(SessionError::NoRoomForVectors { wanted, room, caption: caption.into() });
    }
    Ok(ids)
}

/// The text of a picture, at its place in a round, with its tags shuffled and dropped, where that is asked
/// for: drawn from the seed.
fn variants(
    config: &TrainConfig,
    place: usize,
    caption: &str,
    tokenizers: &PromptTokenizers,
) -> Vec<String> {
    let (shuffle, dropout) = (config.shuffle_tags, config.tag_dropout);
    if !shuffle && dropout == 0.0 {
        return vec![caption.into()];
    }
    let is_concept = |tag: &str| names_concept(tag) || !tokenizers.words_in(tag).is_empty();
    let tags = caption.split(',').map(str::trim).map(|tag| (tag, is_concept(tag)));
    let tags: Vec<(&str, bool)> = tags.collect();
    let variant = |number: u64| {
        let step = place as u64 * VARIANTS + number;
        let mut stream = Stream::new(config.seed, Purpose::Captions, step);
        let order =
            if shuffle { stream.permutation(tags.len()) } else { (0..tags.len()).collect() };
        let kept = order.into_iter().map(|tag| tags[tag]).filter(|(_, is_concept)| {
            let dropped = stream.chance(dropout);
            !dropped || *is_concept
        });
        kept.map(|(tag, _)| tag).collect::<Vec<_>>().join(", ")
    };
    (0..VARIANTS).map(variant).collect()
}
