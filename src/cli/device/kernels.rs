//! Compiled kernels on disk, so that only a first start compiles them.

use std::path::PathBuf;

use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};

/// What burn is told: kernels are kept, in a file of this name, and no records of its own work.
const CONFIG: &str = r#"
[compilation]
cache = true
[environment]
name = "kernels"
records = { level = "off" }
"#;

/// Keeps the kernels that are compiled from here on in `folder`, and takes them from there. A folder that
/// cannot be written costs no more than compiling anew.
pub(super) fn keep_in(folder: PathBuf) {
    // a build's own mark is part of what a kernel is found by: without it, another version of this
    // program could be given the kernels of this one
    if buildid::build_id().is_none() {
        return;
    }
    let mut config: CubeClRuntimeConfig = toml::from_str(CONFIG).expect("it is what burn reads");
    config.environment.path = CacheConfig::Directory(folder);
    CubeClRuntimeConfig::try_set(config);
}

/// Whether any kernel is kept.
pub(super) fn are_kept() -> bool {
    !cubecl_environment::persistence::namespaces().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burn_understands_what_it_is_told() {
        let config: CubeClRuntimeConfig = toml::from_str(CONFIG).unwrap();
        assert!(config.compilation.cache);
        assert_eq!(config.environment.name, "kernels");
    }
}
