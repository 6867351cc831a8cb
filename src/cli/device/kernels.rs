//! Compiled kernels on disk, so that only a first start compiles them.

use std::path::PathBuf;

use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};

use super::versions::{self, Version};

/// What burn is told: kernels are kept, and no records of its own work.
const CONFIG: &str = r#"
[compilation]
cache = true
[environment]
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
    if let Some(compiler) = versions::of_compiler() {
        CubeClRuntimeConfig::try_set(config(folder, compiler));
    }
}

/// A file for each version of the compiler: a driver refuses what a newer one made, and would go on to
/// refuse it after an older one is installed.
fn config(folder: PathBuf, (major, minor): Version) -> CubeClRuntimeConfig {
    let mut config: CubeClRuntimeConfig = toml::from_str(CONFIG).expect("it is what burn reads");
    config.environment.path = CacheConfig::Directory(folder);
    config.environment.name = format!("kernels-{major}.{minor}");
    config
}

/// Whether any kernel is kept.
pub(super) fn are_kept() -> bool {
    !cubecl_environment::persistence::namespaces().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_compiler_s_kernels_are_kept_in_a_file_of_its_own() {
        for (version, name) in [((12, 4), "kernels-12.4"), ((13, 0), "kernels-13.0")] {
            let config = config("cache".into(), version);
            assert!(config.compilation.cache);
            assert_eq!(config.environment.name, name);
        }
    }
}
