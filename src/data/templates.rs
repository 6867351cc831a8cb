//! The captions a concept is trained with; `{}` stands where the placeholder token goes.
//!
//! Data of the reference implementation of DVAR (arXiv 2302.04841), licensed under Apache-2.0: the
//! templates of Textual Inversion (arXiv 2208.01618) with repetitions taken out, extended by the
//! same captions as illustrations and depictions. The style list is kept as published, two of its
//! 19 lines appear twice.

use serde::{Deserialize, Serialize};

/// What the new word names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LearnableProperty {
    /// A thing: "a photo of a {}".
    #[default]
    Object,
    /// A manner of painting: "a painting in the style of {}".
    Style,
}

impl LearnableProperty {
    /// The caption templates, each with one `{}` for the placeholder token.
    pub fn templates(self) -> &'static [&'static str] {
        match self {
            Self::Object => &OBJECT_TEMPLATES,
            Self::Style => &STYLE_TEMPLATES,
        }
    }
}

/// A template with `placeholder` set in for each `{}`.
pub fn fill(template: &str, placeholder: &str) -> String {
    template.replace("{}", placeholder)
}

/// Where the concept stands in a user's template, here and in A1111.
const CONCEPT: [&str; 2] = ["{}", "[name]"];

/// Where the text beside the picture stands, here and in A1111.
const CAPTION: [&str; 2] = ["[caption]", "[filewords]"];

/// Whether a user's template has a place for the concept.
pub fn names_concept(template: &str) -> bool {
    CONCEPT.iter().any(|place| template.contains(place))
}

/// Whether a user's template has a place for the text beside the picture.
pub fn names_caption(template: &str) -> bool {
    CAPTION.iter().any(|place| template.contains(place))
}

/// A user's template with the text beside the picture and then the placeholder set in, which may also
/// stand in that text.
pub fn fill_caption(template: &str, caption: &str, placeholder: &str) -> String {
    let with = |text: String, places: [&str; 2], by: &str| {
        places.iter().fold(text, |text, place| text.replace(place, by))
    };
    with(with(template.into(), CAPTION, caption), CONCEPT, placeholder)
}

const OBJECT_TEMPLATES: [&str; 57] = [
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a photo of a clean {}",
    "a photo of a dirty {}",
    "a dark photo of the {}",
    "a photo of my {}",
    "a photo of the cool {}",
    "a close-up photo of a {}",
    "a bright photo of the {}",
    "a cropped photo of a {}",
    "a photo of the {}",
    "a good photo of the {}",
    "a photo of one {}",
    "a close-up photo of the {}",
    "a rendition of the {}",
    "a photo of the clean {}",
    "a rendition of a {}",
    "a photo of a nice {}",
    "a good photo of a {}",
    "a photo of the nice {}",
    "a photo of the small {}",
    "a photo of the weird {}",
    "a photo of the large {}",
    "a photo of a cool {}",
    "a photo of a small {}",
    "an illustration of a {}",
    "an illustration of a clean {}",
    "an illustration of a dirty {}",
    "an illustration of my {}",
    "an illustration of the cool {}",
    "an illustration of the {}",
    "an illustration of one {}",
    "an illustration of the clean {}",
    "an illustration of a nice {}",
    "an illustration of the nice {}",
    "an illustration of the small {}",
    "an illustration of the weird {}",
    "an illustration of the large {}",
    "an illustration of a cool {}",
    "an illustration of a small {}",
    "a depiction of a {}",
    "a depiction of a clean {}",
    "a depiction of a dirty {}",
    "a depiction of my {}",
    "a depiction of the cool {}",
    "a depiction of the {}",
    "a depiction of one {}",
    "a depiction of the clean {}",
    "a depiction of a nice {}",
    "a depiction of the nice {}",
    "a depiction of the small {}",
    "a depiction of the weird {}",
    "a depiction of the large {}",
    "a depiction of a cool {}",
    "a depiction of a small {}",
];

const STYLE_TEMPLATES: [&str; 19] = [
    "a painting in the style of {}",
    "a rendering in the style of {}",
    "a cropped painting in the style of {}",
    "the painting in the style of {}",
    "a clean painting in the style of {}",
    "a dirty painting in the style of {}",
    "a dark painting in the style of {}",
    "a picture in the style of {}",
    "a cool painting in the style of {}",
    "a close-up painting in the style of {}",
    "a bright painting in the style of {}",
    "a cropped painting in the style of {}",
    "a good painting in the style of {}",
    "a close-up painting in the style of {}",
    "a rendition in the style of {}",
    "a nice painting in the style of {}",
    "a small painting in the style of {}",
    "a weird painting in the style of {}",
    "a large painting in the style of {}",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_template_of_the_user_s_takes_the_caption_and_the_word_in_it() {
        let filled = fill_caption("a {}, [caption]", "red, {} on grass", "<cat>");
        assert_eq!(filled, "a <cat>, red, <cat> on grass");
        assert_eq!(fill_caption("[name], [filewords]", "red", "<cat>"), "<cat>, red");
        assert!(names_concept("[name]") && !names_concept("[caption]"));
        assert!(names_caption("[filewords]") && !names_caption("{}"));
    }

    #[test]
    fn every_template_has_one_place_and_only_style_lines_repeat() {
        for (property, distinct) in
            [(LearnableProperty::Object, 57), (LearnableProperty::Style, 17)]
        {
            let templates = property.templates();
            assert!(templates.iter().all(|template| template.matches("{}").count() == 1));
            assert_eq!(templates.iter().collect::<HashSet<_>>().len(), distinct, "{property:?}");
        }
    }
}
