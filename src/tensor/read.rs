//! A tensor's values on the host.

use burn::tensor::Tensor;

use super::DeviceError;

/// The values of a plain tensor, row by row, read without blocking.
///
/// # Errors
///
/// [`DeviceError`] if the device fails.
pub(crate) async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DeviceError> {
    let data = tensor.into_data_async().await.map_err(DeviceError::new)?;
    Ok(data.iter::<f32>().collect())
}
