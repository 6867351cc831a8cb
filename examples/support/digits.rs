//! Handwritten digits, 8x8 pixels each; see `examples/data/README.md`.

use burn::tensor::{Device, Int, Tensor, TensorData};

pub const PIXELS: usize = 64;

#[derive(Clone, Debug)]
pub struct Digit {
    /// From -1 to 1, row by row.
    pub pixels: Vec<f32>,
    pub label: i32,
}

/// 600 digits, in the data set's order.
pub fn digits() -> Vec<Digit> {
    let rows = include_bytes!("../data/digits.bin").chunks_exact(PIXELS + 1);
    let digit = |row: &[u8]| Digit {
        pixels: row[..PIXELS].iter().map(|value| f32::from(*value) / 8.0 - 1.0).collect(),
        label: row[PIXELS].into(),
    };
    rows.map(digit).collect()
}

/// `[batch_size, 64]`
pub fn pixels(digits: &[Digit], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = digits.iter().flat_map(|digit| digit.pixels.clone()).collect();
    Tensor::from_data(TensorData::new(values, [digits.len(), PIXELS]), device)
}

/// `[batch_size]`
#[allow(dead_code)] // not every example classifies
pub fn labels(digits: &[Digit], device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i32> = digits.iter().map(|digit| digit.label).collect();
    Tensor::from_data(TensorData::new(labels, [digits.len()]), device)
}
