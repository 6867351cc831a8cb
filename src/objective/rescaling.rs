//! The random rescaling of Custom Diffusion (Kumari et al. 2023, section 3.3), as its authors'
//! and the official code draw it: a picture is shrunk onto black, enlarged and cut, or left.

use crate::{
    data::{image::Picture, resize::Filter},
    rng::Stream,
};

/// What the caption begins with: nothing, two for shrunk pictures, two for enlarged ones.
pub const CAPTION_PREFIXES: [&str; 5] =
    ["", "a far away ", "very small ", "zoomed in ", "close up "];

/// One input's size and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// Both sides of the whole picture, in pixels; even.
    pub scale: usize,
    /// Row and column of its middle, in the frame if it is shrunk, in the picture if enlarged.
    pub center: [usize; 2],
    /// Index into [`CAPTION_PREFIXES`].
    pub prefix: usize,
}

impl Rescale {
    /// Draws one for frames of `size` pixels.
    pub fn draw(stream: &mut Stream, size: usize) -> Self {
        let between = |stream: &mut Stream, low: usize, high: usize| {
            low + stream.below((high + 1).saturating_sub(low).max(1))
        };
        let scale = match stream.below(3) {
            0 | 1 => between(stream, size / 3, size),
            _ => between(stream, 12 * size / 10, (14 * size / 10).max(1) - 1),
        };
        let scale = scale + scale % 2;
        let (small, large) = (scale * 10 < size * 6, scale > size);
        let (inner, outer) = (scale.min(size) / 2, scale.max(size));
        let place = |stream: &mut Stream| {
            if small || large { between(stream, inner, outer - inner) } else { size / 2 }
        };
        let center = [place(stream), place(stream)];
        let prefix = match (small, large) {
            (true, _) => 1 + stream.below(2),
            (_, true) => 3 + stream.below(2),
            _ => 0,
        };
        Self { scale, center, prefix }
    }

    /// Whether the picture is shrunk onto black.
    fn is_small(&self) -> bool {
        (1..=2).contains(&self.prefix)
    }

    /// The picture at this size and place, in [-1, 1], `[3, size, size]`; around a shrunk one lies
    /// 0, as in the reference.
    pub fn apply(&self, picture: &Picture, size: usize) -> Vec<f32> {
        if self.prefix == 0 {
            return picture.resize(size, size, Filter::Bilinear).to_pixel_values();
        }
        let scale = self.scale;
        let values = picture.resize(scale, scale, Filter::Bilinear).to_pixel_values();
        let mut frame = vec![0.0; 3 * size * size];
        let half = if self.is_small() { scale / 2 } else { size / 2 };
        let [top, left] = self.center.map(|middle| middle.saturating_sub(half));
        for channel in 0..3 {
            for row in 0..scale.min(size) {
                let (from, to, width) = if self.is_small() {
                    (row * scale, (top + row) * size + left, scale)
                } else {
                    ((top + row) * scale + left, row * size, size)
                };
                let (from, to) = (from + channel * scale * scale, to + channel * size * size);
                frame[to..to + width].copy_from_slice(&values[from..from + width]);
            }
        }
        frame
    }

    /// 1 where a latent shows the picture, 0 where it shows black; `[side, side]` with
    /// `side = size / downscale`. The picture's rim is left out where anything remains.
    pub fn mask(&self, size: usize, downscale: usize) -> Vec<f32> {
        let side = size / downscale;
        if !self.is_small() {
            return vec![1.0; side * side];
        }
        let inside = self.center.map(|middle| {
            let half = self.scale / 2;
            let (low, high) = ((middle - half) / downscale, (middle + half) / downscale);
            if low + 1 + 1 < high {
                low + 1..high - 1
            } else {
                // the reference's mask is empty here, and its loss no number
                low..high.max(low + 1).min(side)
            }
        });
        (0..side * side)
            .map(|i| {
                let seen = inside[0].contains(&(i / side)) && inside[1].contains(&(i % side));
                f32::from(u8::from(seen))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Purpose;

    fn picture() -> Picture {
        let pixels = (0..40 * 30 * 3).map(|i| (i % 251) as u8).collect();
        Picture::from_rgb(40, 30, pixels).unwrap()
    }

    proptest! {
        #[test]
        fn every_draw_fits_its_frame_and_shows_something(seed: u64, side in 2_usize..20) {
            let size = 8 * side;
            let mut stream = Stream::new(seed, Purpose::Rescaling, 0);
            let rescale = Rescale::draw(&mut stream, size);
            prop_assert!(rescale.scale.is_multiple_of(2) && rescale.scale <= size * 14 / 10 + 1);
            let values = rescale.apply(&picture(), size);
            prop_assert_eq!(values.len(), 3 * size * size);
            prop_assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
            let mask = rescale.mask(size, 8);
            prop_assert_eq!(mask.len(), side * side);
            prop_assert!(mask.iter().sum::<f32>() > 0.0);
        }
    }

    #[test]
    fn two_pictures_of_three_are_shrunk_down_to_a_third_and_the_caption_says_it() {
        let draw = |seed| Rescale::draw(&mut Stream::new(seed, Purpose::Rescaling, 0), 60);
        let draws: Vec<Rescale> = (0..3000).map(draw).collect();
        let scales = |prefixes: std::ops::RangeInclusive<usize>| {
            let of = draws.iter().filter(|draw| prefixes.contains(&draw.prefix));
            let scales: Vec<usize> = of.map(|draw| draw.scale).collect();
            (scales.iter().min().copied(), scales.iter().max().copied(), scales.len())
        };
        let (least, most, _) = scales(1..=2);
        assert_eq!((least, most), (Some(20), Some(34)));
        let (least, most, _) = scales(0..=0);
        assert_eq!((least, most), (Some(36), Some(60)));
        let (least, most, enlarged) = scales(3..=4);
        assert_eq!((least, most), (Some(72), Some(84)));
        assert!((900..1100).contains(&enlarged), "{enlarged} of 3000 are enlarged");
        assert!((1..=4).all(|prefix| scales(prefix..=prefix).2 > 100));
    }

    #[test]
    fn a_shrunk_picture_lies_on_black_where_the_mask_says() {
        let rescale = Rescale { scale: 32, center: [16, 40], prefix: 1 };
        let values = rescale.apply(&picture(), 64);
        let at = |row: usize, column: usize| values[row * 64 + column];
        assert!(at(0, 24) != 0.0 && at(31, 55) != 0.0);
        assert_eq!([at(32, 40), at(0, 23), at(0, 56), at(63, 63)], [0.0; 4]);
        let mask = rescale.mask(64, 8);
        let shown: Vec<usize> = (0..64).filter(|i| mask[*i] == 1.0).collect();
        assert_eq!(shown, [12, 13, 20, 21]); // rows 1 and 2, columns 4 and 5
    }

    #[test]
    fn an_enlarged_picture_is_cut_around_its_center() {
        let rescale = Rescale { scale: 80, center: [32, 48], prefix: 3 };
        let whole = picture().resize(80, 80, Filter::Bilinear).to_pixel_values();
        let cut = rescale.apply(&picture(), 64);
        assert_eq!(cut[..64], whole[16..80]);
        assert_eq!(cut[63 * 64..64 * 64], whole[63 * 80 + 16..63 * 80 + 80]);
    }
}
