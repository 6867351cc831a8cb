//! The scores as a table and as JSON.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    cli::counted::counted,
    eval::{Score, Scorers, Scores},
};

/// What was scored, and how many pairs each score is the mean over.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    references: usize,
    pub pictures: usize,
    pub prompts: usize,
    clip_i: usize,
    clip_t: usize,
    dino: usize,
    diversity: usize,
}

impl Counts {
    pub(super) fn of_references(references: usize) -> Self {
        Self { references, ..Self::default() }
    }
}

/// The keys of the JSON; a score that is missing is null, and `missing` says what would bring it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What CLIP-I and CLIP-T are by.
    clip: Option<String>,
    clip_i: Option<f64>,
    clip_t: Option<f64>,
    dino: Option<f64>,
    diversity: Option<f64>,
    counts: Counts,
    missing: BTreeMap<&'static str, &'static str>,
}

impl Report {
    pub(super) fn new(
        scores: &Scores,
        counts: Counts,
        scorers: &Scorers,
        clip: Option<String>,
    ) -> Self {
        let Scores { clip_i, clip_t, dino, diversity } = scores;
        let pairs = |score: &Option<Score>| score.map_or(0, |score| score.pairs());
        let mean = |score: &Option<Score>| score.map(|score| score.mean());
        let mut missing = BTreeMap::new();
        let mut lacks = |name, score: &Option<Score>, remedy| {
            if score.is_none() {
                missing.insert(name, remedy);
            }
        };
        const CLIP: &str = "no scorer: give `--clip DIR`, for example openai/clip-vit-base-patch32";
        lacks("clip_i", clip_i, CLIP);
        lacks(
            "clip_t",
            clip_t,
            match scorers.clip {
                None => CLIP,
                Some(_) => "no prompts: give `--prompt TEXT`",
            },
        );
        lacks("dino", dino, "no scorer: give `--dino DIR`, for example facebook/dino-vits16");
        lacks(
            "diversity",
            diversity,
            match scorers.lpips {
                None => {
                    "no scorer: give `--lpips DIR` with alexnet-owt-7be5be79.pth (torchvision) and alex.pth (PyPI package lpips)"
                }
                Some(_) => "no two pictures of one prompt: draw more",
            },
        );
        Self {
            clip: clip.filter(|_| scorers.clip.is_some()),
            clip_i: mean(clip_i),
            clip_t: mean(clip_t),
            dino: mean(dino),
            diversity: mean(diversity),
            counts: Counts {
                clip_i: pairs(clip_i),
                clip_t: pairs(clip_t),
                dino: pairs(dino),
                diversity: pairs(diversity),
                ..counts
            },
            missing,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(
            f,
            "{} against {}\n\nscore        value   pairs",
            counted(counts.pictures, "picture"),
            counted(counts.references, "reference")
        )?;
        for (name, key, score, pairs, what) in [
            ("CLIP-I", "clip_i", self.clip_i, counts.clip_i, "a reference and a picture"),
            ("CLIP-T", "clip_t", self.clip_t, counts.clip_t, "a picture and its prompt"),
            ("DINO", "dino", self.dino, counts.dino, "a reference and a picture"),
            (
                "diversity",
                "diversity",
                self.diversity,
                counts.diversity,
                "two pictures of a prompt",
            ),
        ] {
            let value = score.map_or("-".into(), |score| format!("{score:.4}"));
            let what = self.missing.get(key).copied().unwrap_or(what);
            writeln!(f, "{name:9} {value:>8} {pairs:>7}  {what}")?;
        }
        match &self.clip {
            Some(clip) => writeln!(f, "\nCLIP-I and CLIP-T by {clip}"),
            None => Ok(()),
        }
    }
}
