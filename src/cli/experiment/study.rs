//! The study of redrawn factors (arXiv 2302.04841v1, section 4.4) as a table of a grid file, from which
//! the variants are made.

use serde::Deserialize;

use super::variant::Variant;
use crate::{
    config::{Stopping, TrainOptions},
    eval::EvaluationSwitches,
};

/// The study's table in a grid file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SemiDeterministic {
    /// Which factors are redrawn; everything fixed must be among them.
    codes: Vec<EvaluationSwitches>,
    /// How many inputs are evaluated, in rounds of `eval_batch_size`.
    inputs: Vec<usize>,
}

impl SemiDeterministic {
    /// What the study sets itself must be open elsewhere.
    pub(super) fn check<'a>(
        &self,
        all: &'a TrainOptions,
        mut concepts: impl Iterator<Item = &'a TrainOptions>,
    ) -> Result<(), String> {
        let own = |o: &TrainOptions| {
            o.stopping.stopping.is_some()
                || o.stopping.threshold.is_some()
                || o.evaluation.exp_code.is_some()
                || o.evaluation.eval_gradient_accumulation_steps.is_some()
        };
        if own(all) || concepts.any(|o| own(o) || o.evaluation.eval_batch_size.is_some()) {
            return Err("sets `stopping`, `threshold`, `exp_code` or `eval_gradient_accumulation_steps`, or the `eval_batch_size` of one concept; `[semi_deterministic]` does".into());
        }
        if !self.codes.contains(&EvaluationSwitches::default()) {
            return Err("has no code `11111`, which the others are compared with; add it".into());
        }
        if self.inputs.is_empty() {
            Err("has no `inputs`; give their numbers, such as `[4, 32]`".into())
        } else {
            Ok(())
        }
    }

    /// Each code with each number of inputs, evaluated along the same training.
    pub(super) fn variants(&self, eval_batch_size: Option<usize>) -> Result<Vec<Variant>, String> {
        const BATCH: usize = 4;
        let batch = eval_batch_size.unwrap_or(BATCH);
        let pairs = self.inputs.iter().flat_map(|n| self.codes.iter().map(move |code| (*n, *code)));
        let variant = |(inputs, code): (usize, EvaluationSwitches)| {
            let batch = batch.clamp(1, inputs.max(1));
            if inputs == 0 || !inputs.is_multiple_of(batch) {
                return Err(format!(
                    "evaluates {inputs} inputs, which is no multiple of `eval_batch_size`, {batch}"
                ));
            }
            let mut options = TrainOptions::default();
            options.evaluation.exp_code = Some(code);
            options.evaluation.eval_batch_size = Some(batch);
            options.evaluation.eval_gradient_accumulation_steps = Some(inputs / batch);
            options.stopping.stopping = Some(Stopping::Dvar);
            options.stopping.threshold = Some(0.0);
            let name = format!("{code}, {inputs} inputs");
            Ok(Variant { name, steps_from: None, options })
        };
        pairs.map(variant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(codes: &[&str], inputs: &[usize]) -> SemiDeterministic {
        let codes = codes.iter().map(|code| code.parse().unwrap()).collect();
        SemiDeterministic { codes, inputs: inputs.to_vec() }
    }

    #[test]
    fn inputs_become_rounds_of_the_batch() {
        let variants = study(&["11111", "01111"], &[2, 32]).variants(Some(8)).unwrap();
        let names: Vec<&str> = variants.iter().map(|variant| &*variant.name).collect();
        let want = ["11111, 2 inputs", "01111, 2 inputs", "11111, 32 inputs", "01111, 32 inputs"];
        assert_eq!(names, want);
        let batches = variants.iter().map(|v| {
            (
                v.options.evaluation.eval_batch_size.unwrap(),
                v.options.evaluation.eval_gradient_accumulation_steps.unwrap(),
            )
        });
        assert_eq!(batches.collect::<Vec<_>>(), [(2, 1), (2, 1), (8, 4), (8, 4)]);
        assert!(study(&["11111"], &[10]).variants(None).unwrap_err().contains("no multiple"));
        assert!(study(&["11111"], &[0]).variants(None).is_err());
    }

    #[test]
    fn the_study_needs_its_reference_and_sets_its_own_options() {
        let open = TrainOptions::default();
        let check = |study: &SemiDeterministic, all: &TrainOptions, concept: &TrainOptions| {
            study.check(all, [concept].into_iter())
        };
        let good = study(&["11111", "10111"], &[4]);
        assert!(check(&good, &open, &open).is_ok());
        let mut batch = open.clone();
        batch.evaluation.eval_batch_size = Some(2);
        assert!(check(&good, &batch, &open).is_ok());
        assert!(check(&good, &open, &batch).is_err());
        let mut threshold = open.clone();
        threshold.stopping.threshold = Some(0.1);
        assert!(check(&good, &threshold, &open).is_err());
        assert!(check(&study(&["10111"], &[4]), &open, &open).unwrap_err().contains("`11111`"));
        assert!(check(&study(&["11111"], &[]), &open, &open).unwrap_err().contains("`inputs`"));
    }
}
