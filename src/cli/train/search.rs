//! Keeps what a search of the vocabulary found beside the pictures, for the next run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::{
    cli::CliError,
    files::write_atomic,
    session::{RankedWords, WordSearch},
};

/// What is kept beside the pictures.
#[derive(Serialize, Deserialize)]
struct Found {
    templates: Vec<String>,
    scores: RankedWords,
}

/// The ranked words of an earlier search, or of a new one.
pub(super) async fn search(
    search: &WordSearch<'_>,
    pictures: &Path,
    part: &Part,
) -> Result<RankedWords, CliError> {
    let cache = pictures.join(format!(".dvar-words-{:016x}.json", search.key().await?));
    let found = match read(&cache) {
        Some(found) => found,
        None => {
            let templates = search.templates().iter().map(ToString::to_string).collect();
            let told = async |done, total| part.told(done, total);
            let found = Found { templates, scores: search.ranked(told).await? };
            let json = serde_json::to_vec(&found)?;
            if let Err(error) = write_atomic(&cache, &json) {
                println!("words      not kept for the next run: `{}`: {error}", cache.display());
            }
            found
        }
    };
    part.end();
    let (word, score) = search.choose(&found.scores)?;
    println!("words      `{word}` of {}, CLIP {score:.3}", found.scores.len());
    Ok(found.scores)
}

/// A cache that cannot be read is made anew.
fn read(cache: &Path) -> Option<Found> {
    serde_json::from_slice(&std::fs::read(cache).ok()?).ok()
}
