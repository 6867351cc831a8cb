//! Whether a GPU computes at all: some drivers give a device and fail, or give wrong numbers, at its
//! first kernels.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::tensor::{DeviceError, computes_in, on_device};

/// Kernels are compiled and tuned first, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is known where the driver does not even give a client.
pub(super) const PANICS: &str = "its driver panics";

/// The side of the product's matrices.
const SIDE: usize = 64;

/// Runs a small product and a cast on a device, and compares their values. Neither a panic nor a
/// device that never answers ends or holds the program.
pub(super) fn check(device: &Device) -> Result<(), String> {
    let device = device.clone();
    within(PATIENCE, move || {
        let checked = on_device(&device, || first_kernels(&device));
        checked.map_err(|panic| panic.cause().to_string())?
    })
}

/// What `ask` answers on a thread of its own, if it does in time.
fn within(
    patience: Duration,
    ask: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // nobody waits for an answer that comes late
        let _ = sender.send(ask());
    });
    match receiver.recv_timeout(patience) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => Err("it does not answer".into()),
        Err(RecvTimeoutError::Disconnected) => Err(PANICS.into()),
    }
}

/// Whole numbers that every type holds exactly, so that the values must be equal.
fn first_kernels(device: &Device) -> Result<(), String> {
    let matrix: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 7) as f32 - 3.0).collect();
    let element = |row: usize, column: usize| -> f32 {
        (0..SIDE).map(|k| matrix[row * SIDE + k] * matrix[k * SIDE + column]).sum()
    };
    let wanted: Vec<f32> = (0..SIDE * SIDE).map(|i| element(i / SIDE, i % SIDE)).collect();

    let data = TensorData::new(matrix.clone(), [SIDE, SIDE]);
    let factor = Tensor::<2>::from_data(data, device);
    let product = factor.clone().matmul(factor);
    let half = computes_in(device, DType::F16);
    let cast = if half { product.clone().cast(DType::F16) } else { product.clone().int().float() };
    for (what, tensor) in [("a product of matrices", product), ("a cast", cast)] {
        let values = pollster::block_on(tensor.into_data_async());
        let values = values.map_err(|error| DeviceError::new(error).cause().to_string())?;
        if values.iter::<f32>().ne(wanted.iter().copied()) {
            return Err(format!("{what} gives wrong numbers"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "flex")]
    #[test]
    fn a_device_that_computes_passes() {
        first_kernels(&Device::flex()).unwrap();
    }

    #[test]
    fn a_driver_that_panics_or_never_answers_is_an_error() {
        let patience = Duration::from_secs(60);
        assert_eq!(within(patience, || Ok(())), Ok(()));
        let panicked = within(patience, || panic!("no such queue"));
        assert_eq!(panicked.unwrap_err(), PANICS);
        let silent = within(Duration::from_millis(20), || {
            thread::sleep(Duration::from_secs(600));
            Ok(())
        });
        assert_eq!(silent.unwrap_err(), "it does not answer");
    }
}
