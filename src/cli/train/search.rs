//! Keeps what a search of the vocabulary found beside the pictures, for the next run.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

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
) -> Result<RankedWords, CliError> {
    let cache = pictures.join(format!(".dvar-words-{:016x}.json", search.key().await?));
    let found = match read(&cache) {
        Some(found) => found,
        None => {
            let templates = search.templates().iter().map(ToString::to_string).collect();
            let found = Found { templates, scores: ranked(search).await? };
            let json = serde_json::to_vec(&found)?;
            if let Err(error) = write_atomic(&cache, &json) {
                println!("words      not kept for the next run: `{}`: {error}", cache.display());
            }
            found
        }
    };
    let (word, score) = search.choose(&found.scores)?;
    println!("words      `{word}` of {}, CLIP {score:.3}", found.scores.len());
    Ok(found.scores)
}

/// A cache that cannot be read is made anew.
fn read(cache: &Path) -> Option<Found> {
    serde_json::from_slice(&std::fs::read(cache).ok()?).ok()
}

async fn ranked(search: &WordSearch<'_>) -> Result<RankedWords, CliError> {
    let bar = ProgressBar::new(search.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("words {bar:24} {pos}/{len} {eta} left") {
        bar.set_style(style);
    }
    let ranked = search.ranked(|scored| bar.inc(scored as u64)).await?;
    bar.finish_and_clear();
    Ok(ranked)
}
