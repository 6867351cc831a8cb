//! Why a device cannot be had.

pub(super) enum Unusable {
    /// The machine has none.
    Absent(String),
    /// It has one, which does not work.
    Broken(String),
}
