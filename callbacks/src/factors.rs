//! Which random factors of an evaluation batch stay fixed, for any model (arXiv 2302.04841v1,
//! section 4.4, where there are five of them).

use std::collections::BTreeMap;

use crate::{TrainError, fingerprint::Fingerprint, rng::Stream};

/// Random factors of an evaluation batch by name, such as `noise` or `timesteps`: each is drawn
/// once for the run, or anew at every evaluation.
#[derive(Clone, Debug)]
pub struct Factors {
    seed: u64,
    redrawn: Vec<&'static str>,
}

impl Factors {
    /// Everything fixed: DVAR. The same seed draws the same batch.
    pub fn fixed(seed: u64) -> Self {
        Self { seed, redrawn: Vec::new() }
    }

    /// Draws `factor` anew at every evaluation; everything else stays as it is.
    #[must_use]
    pub fn redraw(mut self, factor: &'static str) -> Self {
        self.redrawn.push(factor);
        self
    }

    /// Whether one batch serves all evaluations.
    pub(crate) fn all_fixed(&self) -> bool {
        self.redrawn.is_empty()
    }

    /// The streams of evaluation number `evaluation`. They depend on nothing that was drawn before,
    /// so that a resumed run goes on with the same batches.
    pub fn streams(&self, evaluation: usize) -> FactorStreams<'_> {
        FactorStreams { factors: self, evaluation, asked: BTreeMap::new() }
    }
}

/// Random numbers for one evaluation's batch: a stream for each factor.
#[derive(Debug)]
pub struct FactorStreams<'a> {
    factors: &'a Factors,
    evaluation: usize,
    asked: BTreeMap<String, Stream>,
}

impl FactorStreams<'_> {
    /// The random numbers of `factor`; asked for again, it goes on where it was.
    pub fn stream(&mut self, factor: &str) -> &mut Stream {
        let Self { factors, evaluation, asked } = self;
        asked.entry(factor.to_string()).or_insert_with(|| {
            let seed = Fingerprint::of(&factors.seed.to_le_bytes()).and(factor.as_bytes()).0;
            let round = if factors.redrawn.contains(&factor) { *evaluation as u64 + 1 } else { 0 };
            Stream::new(seed, "evaluation", round)
        })
    }

    /// A factor that is to be redrawn and is never drawn is a slip of the pen.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let unknown = |factor: &&&str| !self.asked.contains_key(**factor);
        let Some(factor) = self.factors.redrawn.iter().find(unknown) else { return Ok(()) };
        let known: Vec<&str> = self.asked.keys().map(String::as_str).collect();
        let known = known.join("`, `");
        Err(TrainError::callback(
            "deterministic-eval",
            format!("no factor `{factor}` is drawn to redraw; the batch draws `{known}`"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(factors: &Factors, evaluation: usize) -> [Vec<f32>; 2] {
        let mut streams = factors.streams(evaluation);
        ["noise", "timesteps"].map(|factor| streams.stream(factor).normal(3))
    }

    #[test]
    fn only_the_redrawn_factors_change_and_an_evaluation_can_be_drawn_again() {
        let fixed = Factors::fixed(7);
        assert_eq!(drawn(&fixed, 0), drawn(&fixed, 5));
        let redrawn = fixed.clone().redraw("noise");
        let (first, second) = (drawn(&redrawn, 0), drawn(&redrawn, 1));
        assert_ne!(first[0], second[0]);
        assert_eq!(first[1], second[1]);
        assert_eq!(first[1], drawn(&fixed, 0)[1]);
        assert_eq!(drawn(&redrawn, 1), second);
    }

    #[test]
    fn factors_and_seeds_draw_different_numbers() {
        let [noise, timesteps] = drawn(&Factors::fixed(7), 0);
        assert_ne!(noise, timesteps);
        assert_ne!(noise, drawn(&Factors::fixed(8), 0)[0]);
    }

    #[test]
    fn a_factor_goes_on_where_it_was() {
        let factors = Factors::fixed(7);
        let mut streams = factors.streams(0);
        assert_ne!(streams.stream("noise").normal(3), streams.stream("noise").normal(3));
    }

    #[test]
    fn redrawing_what_is_never_drawn_is_an_error_that_names_what_is() {
        let factors = Factors::fixed(7).redraw("noize");
        let mut streams = factors.streams(0);
        streams.stream("noise");
        let error = streams.check().unwrap_err().to_string();
        assert!(error.contains("`noize`") && error.contains("`noise`"), "{error}");
    }
}
