//! Why a device cannot be had.

pub(super) enum Unusable {
    /// The machine has none, which a build for the CPU alone never says.
    #[cfg_attr(not(any(feature = "wgpu", feature = "cuda")), expect(dead_code))]
    Absent(String),
    /// It has one, which does not work.
    Broken(String),
}
