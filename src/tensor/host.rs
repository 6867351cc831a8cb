//! A trained tensor outside any device.

/// A trained tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// The parameter's name.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Row by row.
    pub values: Vec<f32>,
}
