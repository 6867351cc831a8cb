//! CLIP's own preprocessing: shortest side resized by bicubic, middle cut out, normalised.

use super::{
    image::{Picture, half_to_even},
    resize::Filter,
};

/// Mean of each colour in 0..=1 that OpenAI's CLIP models expect.
pub const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];

/// Standard deviation of each colour that OpenAI's CLIP models expect.
pub const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Two codes prepare pictures for CLIP; they differ in grey, palette and transparent pictures and
/// by a pixel in where an odd excess is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipOrder {
    /// transformers' `CLIPImageProcessor`: to RGB first, crop offset rounded down.
    HuggingFace,
    /// OpenAI's `clip` on torchvision: to RGB last, crop offset rounded half to even.
    OpenAi,
}

/// Prepares a picture as `[3, size, size]` values of (sample / 255 - `mean`) / `std`.
///
/// # Panics
///
/// If `size` or a side of the picture is zero.
pub fn clip_pixel_values(
    picture: &Picture,
    size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    order: ClipOrder,
) -> Vec<f32> {
    let source = match order {
        ClipOrder::HuggingFace => &picture.clone().into_rgb(),
        ClipOrder::OpenAi => picture,
    };
    let short = source.width().min(source.height());
    let side = |length: usize| size * length / short;
    let resized = source.resize(side(source.width()), side(source.height()), Filter::Bicubic);
    let offset = |length: usize| match order {
        ClipOrder::HuggingFace => (length - size) / 2,
        ClipOrder::OpenAi => half_to_even(length - size),
    };
    let (left, top) = (offset(resized.width()), offset(resized.height()));
    resized.crop(left, top, size, size).normalized(mean, std)
}
