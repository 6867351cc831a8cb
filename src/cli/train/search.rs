//! The vocabulary's best or worst word for the pictures, found once for each set of pictures.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::{
    cli::CliError,
    config::{Initializer, TrainConfig},
    data::dataset::Dataset,
    eval::{ClipScorer, WORDS_AT_ONCE, WordScores},
    files::write_atomic,
    fingerprint::Fingerprint,
    pipelines::ModelFolder,
    rng::{Purpose, Stream},
    session::Start,
};

/// Captions that each word is tried in, as in the official code.
const TEMPLATES: usize = 4;

/// What is kept beside the pictures.
#[derive(Serialize, Deserialize)]
struct Found {
    templates: Vec<String>,
    /// From the best to the worst: the word and its mean cosine with the pictures.
    scores: Vec<(String, f64)>,
}

/// The start and the word it stands for.
pub(super) async fn search(
    config: &TrainConfig,
    model: &ModelFolder,
    dataset: &Dataset,
    scorer: &ClipScorer,
) -> Result<(Start, String), CliError> {
    let tokenizer = model.tokenizer().map_err(CliError::input)?;
    let words = tokenizer.words();
    let all = config.learnable_property.templates();
    let order = Stream::new(config.seed, Purpose::Initialization, 1).permutation(all.len());
    let templates: Vec<&str> = order.into_iter().take(TEMPLATES).map(|i| all[i]).collect();
    let pictures = scorer.image_features(dataset.pictures());

    let probe = pictures.unit().into_data_async().await.map_err(CliError::device)?;
    let content = words.iter().map(|(_, word)| word.as_str()).chain(templates.iter().copied());
    let key = content.fold(Fingerprint::of(probe.as_bytes()), |key, text| key.and(text.as_bytes()));
    let cache = config.train_data_dir.join(format!(".dvar-words-{:016x}.json", key.0));
    let found = match read(&cache) {
        Some(found) => found,
        None => {
            let words: Vec<String> = words.iter().map(|(_, word)| word.clone()).collect();
            let found = score(&WordScores::new(scorer, &pictures, &templates), words).await?;
            let templates = templates.iter().map(ToString::to_string).collect();
            let found = Found { templates, scores: found };
            let json = serde_json::to_vec(&found).map_err(CliError::failed)?;
            if let Err(error) = write_atomic(&cache, &json) {
                println!("words      not kept for the next run: `{}`: {error}", cache.display());
            }
            found
        }
    };
    let chosen = match config.initializer {
        Initializer::Worst => found.scores.last(),
        _ => found.scores.first(),
    };
    let (word, score) = chosen.ok_or_else(|| {
        CliError::input("the model's vocabulary has no whole words; give `--initializer-token`")
    })?;
    println!("words      `{word}` of {}, CLIP {score:.3}", found.scores.len());
    let id = tokenizer.initializer_id(word).map_err(CliError::input)?;
    Ok((Start::Tokens(vec![id]), word.clone()))
}

/// A cache that cannot be read is made anew.
fn read(cache: &Path) -> Option<Found> {
    serde_json::from_slice(&std::fs::read(cache).ok()?).ok()
}

async fn score(
    scores: &WordScores<'_>,
    words: Vec<String>,
) -> Result<Vec<(String, f64)>, CliError> {
    let bar = ProgressBar::new(words.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("words {bar:24} {pos}/{len} {eta} left") {
        bar.set_style(style);
    }
    let mut scored = Vec::with_capacity(words.len());
    for words in words.chunks(WORDS_AT_ONCE) {
        let values = scores.score(words).await.map_err(CliError::failed)?;
        scored.extend(words.iter().cloned().zip(values));
        bar.inc(words.len() as u64);
    }
    bar.finish_and_clear();
    // stable: of equal words the first in the vocabulary is the better
    scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    Ok(scored)
}
