//! CLIP's own preprocessing: shortest side resized by bicubic, middle cut out, normalised.

use super::{
    image::{Picture, half_to_even},
    resize::Filter,
};

/// Mean of each colour in 0..=1 that OpenAI's CLIP models expect.
pub const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];

/// Standard deviation of each colour that OpenAI's CLIP models expect.
pub const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Prepares a picture as `[3, size, size]` values of (sample / 255 - `mean`) / `std`, as OpenAI's
/// `clip` does on torchvision: to RGB last, the offset of the crop rounded half to even.
/// (transformers' `CLIPImageProcessor` goes to RGB first and rounds down, which differs in grey,
/// palette and transparent pictures.)
///
/// # Panics
///
/// If `size` or a side of the picture is zero.
pub fn clip_pixel_values(
    picture: &Picture,
    size: usize,
    mean: [f32; 3],
    std: [f32; 3],
) -> Vec<f32> {
    let short = picture.width().min(picture.height());
    let side = |length: usize| size * length / short;
    let resized = picture.resize(side(picture.width()), side(picture.height()), Filter::Bicubic);
    let offset = |length: usize| half_to_even(length - size);
    let (left, top) = (offset(resized.width()), offset(resized.height()));
    resized.crop(left, top, size, size).normalized(mean, std)
}
