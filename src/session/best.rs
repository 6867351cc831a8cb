//! The concept with the best score, which is kept where scores decide.

use crate::concept::LearnedConcept;

/// The concept with the best score so far.
#[derive(Clone, Debug)]
pub struct Best {
    /// Steps made up to it, with those whose update fp16 skipped.
    pub steps: usize,
    /// CLIP-I of its samples.
    pub score: f64,
    /// The concept.
    pub concept: LearnedConcept,
}
