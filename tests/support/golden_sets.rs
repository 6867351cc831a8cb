//! Where the golden tensors and models lie.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The folder with `golden/`, `models/` and `images/`, which `DVAR_GOLDEN` names.
pub fn golden() -> PathBuf {
    named("DVAR_GOLDEN", "golden")
}

/// The further set, of other models and files, which `DVAR_GOLDEN_MORE` names.
pub fn golden_more() -> PathBuf {
    named("DVAR_GOLDEN_MORE", "golden-more")
}

fn named(variable: &str, shipped: &str) -> PathBuf {
    let shipped = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(shipped);
    env::var_os(variable).map_or_else(shipped, PathBuf::from)
}
