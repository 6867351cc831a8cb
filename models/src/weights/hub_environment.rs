//! The environment variables of the Hub's own tools, of which hf-hub knows `HF_HOME` and `HF_ENDPOINT` alone.

use std::{env, fs, path::Path};

use hf_hub::Cache;

/// The cache that those tools share.
pub(super) fn cache() -> Cache {
    match variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")) {
        Some(folder) => Cache::new(folder.into()),
        None => cache_at_home(),
    }
}

/// The cache in the folder that the token lies in, wherever the cache itself is.
fn cache_at_home() -> Cache {
    match (variable("HF_HOME"), variable("XDG_CACHE_HOME")) {
        (Some(home), _) => Cache::new(Path::new(&home).join("hub")),
        (None, Some(caches)) => Cache::new(Path::new(&caches).join("huggingface/hub")),
        (None, None) => Cache::default(),
    }
}

/// What tells the Hub who asks: the variable, or what `hf auth login` has left.
pub(super) fn token() -> Option<String> {
    variable("HF_TOKEN").or_else(|| match variable("HF_TOKEN_PATH") {
        Some(file) => fs::read_to_string(file).ok().and_then(filled),
        None => cache_at_home().token(),
    })
}

/// Another server than the Hub's.
pub(super) fn endpoint() -> Option<String> {
    variable("HF_ENDPOINT").map(|address| address.trim_end_matches('/').to_string())
}

/// Whether nothing may be asked.
pub(super) fn is_offline() -> bool {
    let yes = ["1", "ON", "YES", "TRUE"];
    variable("HF_HUB_OFFLINE").is_some_and(|value| yes.contains(&&*value.to_uppercase()))
}

/// The variable's value, if it has one.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().and_then(filled)
}

/// The text without the white space around it, if there is any.
fn filled(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_string())
}
