//! Which part of a picture is trained on, and at which size.

use dvar_models::unet::TimeIds;

use super::{
    image::Picture,
    reading::{CropMode, Reading},
    resize::Filter,
};

/// How many steps of [`Reading::multiple`] a resolution must have where pictures keep their proportions:
/// with fewer, much would be cut off to reach whole steps.
pub(crate) const STEPS: usize = 8;

/// Longest side over shortest of such pictures: no side is then under half the resolution.
pub(super) const MAX_ASPECT: usize = 4;

/// What becomes of a picture's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    crop: CropMode,
    multiple: usize,
    resolution: usize,
}

impl Framing {
    pub(super) fn new(reading: Reading, resolution: usize) -> Self {
        Self { crop: reading.crop, multiple: reading.multiple, resolution }
    }

    /// The part of the picture that is used, at the size that is used.
    pub(super) fn apply(self, picture: &Picture, filter: Filter) -> Picture {
        let side = self.resolution;
        match self.crop {
            CropMode::Center => picture.center_crop().resize(side, side, filter),
            CropMode::Squash => picture.resize(side, side, filter),
            CropMode::None => {
                let original = [picture.height(), picture.width()];
                let size = self.size(original);
                let [height, width] = covering(original, size);
                let [top, left] = self.cut_off(original);
                picture.resize(width, height, filter).crop(left, top, size[1], size[0])
            }
        }
    }

    /// What SDXL is told of a picture of this height and width.
    pub(super) fn time_ids(self, original: [usize; 2]) -> TimeIds {
        TimeIds::new(original, self.cut_off(original), self.size(original))
    }

    /// Height and width that a picture has in the end: of the area of a square, each side rounded to
    /// the nearest multiple, where it keeps its proportions.
    fn size(self, original: [usize; 2]) -> [usize; 2] {
        if self.crop != CropMode::None {
            return [self.resolution; 2];
        }
        let [height, width] = original.map(|side| side as f64);
        let multiple = self.multiple as f64;
        [height / width, width / height].map(|ratio| {
            let side = self.resolution as f64 * ratio.sqrt();
            (side / multiple).round().max(1.0) as usize * self.multiple
        })
    }

    /// Rows and columns of the resized picture that are cut off above and at the left.
    fn cut_off(self, original: [usize; 2]) -> [usize; 2] {
        match self.crop {
            CropMode::Center => {
                let shorter = original[0].min(original[1]);
                original.map(|side| (side - shorter) / 2 * self.resolution / shorter)
            }
            CropMode::Squash => [0; 2],
            CropMode::None => {
                let size = self.size(original);
                let covering = covering(original, size);
                [0, 1].map(|side| (covering[side] - size[side]) / 2)
            }
        }
    }
}

/// Height and width of a picture that was resized until it covers these, and no further.
fn covering(original: [usize; 2], size: [usize; 2]) -> [usize; 2] {
    let scales = [0, 1].map(|side| size[side] as f64 / original[side] as f64);
    let scale = scales[0].max(scales[1]);
    [0, 1].map(|side| ((original[side] as f64 * scale).round() as usize).max(size[side]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing(crop: CropMode, resolution: usize, multiple: usize) -> Framing {
        Framing::new(Reading { multiple, ..crop.into() }, resolution)
    }

    proptest! {
        #[test]
        fn a_picture_that_keeps_its_proportions_has_the_area_of_a_square_and_loses_little(
            multiple in prop::sample::select(vec![4_usize, 8, 32, 64]),
            steps in STEPS..40,
            odd in 0_usize..64,
            height in 8_usize..2000,
            aspect in 0.25_f64..4.0,
        ) {
            let width = ((height as f64 * aspect).round() as usize).clamp(height.div_ceil(4), 4 * height);
            let resolution = multiple * steps + odd % multiple;
            let framing = framing(CropMode::None, resolution, multiple);
            let size = framing.size([height, width]);
            prop_assert!(size.iter().all(|side| side.is_multiple_of(multiple)));
            // at worst half a step too much on a side of 4 steps and on one of 16
            let area = (size[0] * size[1]) as f64 / (resolution * resolution) as f64;
            prop_assert!((0.84..1.17).contains(&area), "{area}");
            let covering = covering([height, width], size);
            prop_assert!(covering[0] == size[0] || covering[1] == size[1]);
            let kept = (size[0] * size[1]) as f64 / (covering[0] * covering[1]) as f64;
            prop_assert!(kept > 0.8, "{kept}");
            // proportions, but for half a pixel on one side
            let [exact, rounded] = [height as f64 / width as f64, covering[0] as f64 / covering[1] as f64];
            let half_a_pixel = 0.5 / size[0].min(size[1]) as f64;
            prop_assert!((rounded / exact).ln().abs() <= -(1.0 - half_a_pixel).ln() + 1e-9);
            let cut = framing.cut_off([height, width]);
            prop_assert!((0..2).all(|side| cut[side] + size[side] <= covering[side]));
        }
    }

    #[test]
    fn sizes_at_512_are_multiples_of_64() {
        let framing = framing(CropMode::None, 512, 64);
        for ([height, width], size) in [
            ([3000, 4000], [448, 576]),
            ([4000, 3000], [576, 448]),
            ([500, 500], [512, 512]),
            ([1080, 1920], [384, 704]),
            ([100, 400], [256, 1024]),
        ] {
            assert_eq!(framing.size([height, width]), size, "{height} x {width}");
        }
    }

    #[test]
    fn sizes_are_the_files_and_cuts_those_of_the_resized_picture() {
        let told = |crop: CropMode, original| framing(crop, 512, 64).time_ids(original).0;
        let wide = [600, 1200];
        assert_eq!(told(CropMode::Center, wide), [600.0, 1200.0, 0.0, 256.0, 512.0, 512.0]);
        assert_eq!(told(CropMode::Squash, wide), [600.0, 1200.0, 0.0, 0.0, 512.0, 512.0]);
        assert_eq!(told(CropMode::Center, [90, 60])[2..4], [128.0, 0.0]);
        assert_eq!(told(CropMode::Center, [64, 64])[2..4], [0.0, 0.0]);
        // 768 x 384 covers 704 x 384
        assert_eq!(told(CropMode::None, wide), [600.0, 1200.0, 0.0, 32.0, 384.0, 704.0]);
    }

    #[test]
    fn the_middle_of_a_picture_that_keeps_its_proportions_is_kept() {
        // 20 x 10: grey levels that rise to the right, one for each column
        let pixels = (0..200).flat_map(|i| [10 * (i % 20) as u8; 3]).collect();
        let picture = Picture::from_rgb(20, 10, pixels).unwrap();
        let framed = framing(CropMode::None, 14, 2).apply(&picture, Filter::Bicubic);
        assert_eq!((framed.width(), framed.height()), (20, 10), "of about 14 x 14 pixels");
        assert_eq!(framed, picture);
        // 24 x 12 is cut to 20 x 12
        let framed = framing(CropMode::None, 15, 4).apply(&picture, Filter::Bilinear);
        assert_eq!((framed.width(), framed.height()), (20, 12));
        let row = &framed.pixels()[..60];
        let mirrored: Vec<u8> = row.chunks(3).rev().map(|pixel| 190 - pixel[0]).collect();
        let level: Vec<u8> = row.chunks(3).map(|pixel| pixel[0]).collect();
        let apart = level.iter().zip(&mirrored).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(1), "as much is cut off at the left as at the right: {level:?}");
    }
}
