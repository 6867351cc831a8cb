//! diffusers' `scheduler_config.json`, and the schedulers made from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    BetaSchedule, NoiseSchedule, PredictionType, Scheduler, SchedulerError, SchedulerKind,
    ddim::DdimScheduler, ddpm::DdpmScheduler, dpm_solver::DpmSolverScheduler,
    euler::EulerScheduler, lms::LmsScheduler, pndm::PndmScheduler, sigmas::SigmaRun,
    timesteps::TimestepSpacing,
};

/// More would be a slip of the pen, and is kept from filling the memory.
const MAX_TRAIN_TIMESTEPS: usize = 1_000_000;

/// Keys that change the samples and are implemented for one value only, with that value and the
/// schedulers that read the key.
const FIXED_KEYS: [(&str, &str, &[SchedulerKind]); 14] = {
    use SchedulerKind::{Ddim, Ddpm, DpmSolverPlusPlus as Dpm, Euler, Lms};
    [
        ("thresholding", "false", &[Ddim, Ddpm, Dpm]),
        ("variance_type", "fixed_small", &[Ddpm]),
        ("use_karras_sigmas", "false", &[Euler, Lms, Dpm]),
        ("use_exponential_sigmas", "false", &[Euler, Lms, Dpm]),
        ("use_beta_sigmas", "false", &[Euler, Lms, Dpm]),
        ("use_lu_lambdas", "false", &[Dpm]),
        ("use_flow_sigmas", "false", &[Dpm]),
        ("final_sigmas_type", "zero", &[Euler, Dpm]),
        ("interpolation_type", "linear", &[Euler]),
        ("timestep_type", "discrete", &[Euler]),
        ("algorithm_type", "dpmsolver++", &[Dpm]),
        ("solver_order", "2", &[Dpm]),
        ("solver_type", "midpoint", &[Dpm]),
        ("lambda_min_clipped", "null", &[Dpm]),
    ]
};

/// A model's scheduler configuration, checked.
///
/// A missing key, or one that is null, takes the default of the scheduler that is built; unknown
/// keys are ignored. So another kind than the file's class is built as diffusers'
/// `OtherScheduler.from_config` does it.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    kind: SchedulerKind,
    keys: Keys,
    noise_schedule: NoiseSchedule,
}

#[derive(Clone, Debug, Deserialize)]
struct Keys {
    #[serde(rename = "_class_name")]
    class_name: String,
    num_train_timesteps: Option<usize>,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    beta_schedule: Option<BetaSchedule>,
    trained_betas: Option<Vec<f64>>,
    prediction_type: Option<PredictionType>,
    timestep_spacing: Option<TimestepSpacing>,
    steps_offset: Option<usize>,
    set_alpha_to_one: Option<bool>,
    skip_prk_steps: Option<bool>,
    clip_sample: Option<bool>,
    clip_sample_range: Option<f64>,
    rescale_betas_zero_snr: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl SchedulerConfig {
    /// Reads the text of a `scheduler_config.json`.
    ///
    /// # Errors
    /// When it is no JSON, its class or beta schedule is unknown, or its numbers make no noise
    /// schedule.
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        // Python writes an infinity that JSON does not have, for `lambda_min_clipped`.
        let keys: Keys = serde_json::from_str(&text.replace(": -Infinity", ": null"))
            .map_err(|error| SchedulerError::Json(error.to_string()))?;
        let kind = SchedulerKind::from_class_name(&keys.class_name)?;
        let noise_schedule = keys.noise_schedule()?;
        let range = keys.clip_sample_range.unwrap_or(1.0);
        if range <= 0.0 {
            return Err(value("clip_sample_range", range, "above 0"));
        }
        Ok(Self { kind, keys, noise_schedule })
    }

    /// The same with betas of another shape between the same ends.
    ///
    /// # Errors
    /// When these betas make no noise schedule.
    pub fn with_beta_schedule(&self, beta_schedule: BetaSchedule) -> Result<Self, SchedulerError> {
        let beta_schedule = Some(beta_schedule);
        let keys = Keys { beta_schedule, trained_betas: None, ..self.keys.clone() };
        Ok(Self { kind: self.kind, noise_schedule: keys.noise_schedule()?, keys })
    }

    /// The kind of the class that the configuration names.
    pub fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// The noise of training.
    pub fn noise_schedule(&self) -> &NoiseSchedule {
        &self.noise_schedule
    }

    /// A scheduler that samples in `num_inference_steps` steps.
    ///
    /// `eta`, 0 to 1, is the share of fresh noise in a `ddim` step; the other kinds do not read it.
    ///
    /// # Errors
    /// When the number of steps does not fit, `eta` is outside its range, or the configuration
    /// asks for a variant of the method that is not implemented.
    pub fn build(
        &self,
        kind: SchedulerKind,
        num_inference_steps: usize,
        eta: f64,
    ) -> Result<Box<dyn Scheduler>, SchedulerError> {
        self.keys.check_fixed(kind)?;
        if !(0.0..=1.0).contains(&eta) {
            return Err(SchedulerError::Eta(eta));
        }
        let timesteps = self.timesteps(kind, num_inference_steps)?;
        let schedule = self.noise_schedule.clone();
        let stride = schedule.alphas_cumprod().len() / num_inference_steps;
        let to_one = self.keys.set_alpha_to_one.unwrap_or(kind == SchedulerKind::Ddim);
        let final_alpha_prod = if to_one { 1.0 } else { schedule.alpha_prod(0) };
        let clip_range = (self.keys.clip_sample.unwrap_or(true))
            .then(|| self.keys.clip_sample_range.unwrap_or(1.0));
        let starts_at_last_timestep = self.keys.spacing(kind) != TimestepSpacing::Leading;
        Ok(match kind {
            SchedulerKind::Pndm => Box::new(PndmScheduler::new(
                schedule,
                &timesteps,
                stride,
                final_alpha_prod,
                self.keys.skips_runge_kutta(),
            )),
            SchedulerKind::Ddim => Box::new(DdimScheduler {
                schedule,
                timesteps,
                stride,
                final_alpha_prod,
                clip_range,
                eta,
            }),
            SchedulerKind::Ddpm => Box::new(DdpmScheduler { schedule, timesteps, clip_range }),
            SchedulerKind::Euler => Box::new(EulerScheduler::new(SigmaRun::new(
                &schedule,
                timesteps,
                starts_at_last_timestep,
            ))),
            SchedulerKind::Lms => Box::new(LmsScheduler::new(SigmaRun::new(
                &schedule,
                timesteps,
                starts_at_last_timestep,
            ))),
            SchedulerKind::DpmSolverPlusPlus => {
                Box::new(DpmSolverScheduler::new(&schedule, timesteps))
            }
        })
    }

    /// The timesteps of a run, descending: fractional (f32) for `euler` and `lms`, else whole.
    fn timesteps(&self, kind: SchedulerKind, steps: usize) -> Result<Vec<f64>, SchedulerError> {
        let train = self.noise_schedule.alphas_cumprod().len();
        let error = |expected: String| SchedulerError::Steps { steps, kind, expected };
        if !(1..=train).contains(&steps) {
            return Err(error(format!("1 to {train} steps, the timesteps of training")));
        }
        let fewest = PndmScheduler::MIN_STEPS_WITH_RUNGE_KUTTA;
        if kind == SchedulerKind::Pndm && !self.keys.skips_runge_kutta() && steps < fewest {
            return Err(error(format!("at least {fewest} unless `skip_prk_steps` is `true`")));
        }
        let spacing = self.keys.spacing(kind);
        let offset = self.keys.steps_offset.unwrap_or(0);
        // DPM-Solver++ spreads one step more, and leaves out the one at the clean end.
        let leaves_out_last =
            kind == SchedulerKind::DpmSolverPlusPlus && spacing != TimestepSpacing::Trailing;
        let mut timesteps = spacing.timesteps(train, steps + usize::from(leaves_out_last), offset);
        timesteps.truncate(steps);
        for timestep in &mut timesteps {
            *timestep = match kind {
                SchedulerKind::Euler | SchedulerKind::Lms => f64::from(*timestep as f32),
                _ => timestep.round_ties_even(),
            };
        }
        let inside = timesteps.first().is_some_and(|first| *first <= (train - 1) as f64);
        if !inside || !timesteps.is_sorted_by(|before, after| before > after) {
            return Err(error(format!(
                "fewer steps for {train} timesteps of training and a `steps_offset` of {offset}"
            )));
        }
        Ok(timesteps)
    }
}

impl Keys {
    fn spacing(&self, kind: SchedulerKind) -> TimestepSpacing {
        self.timestep_spacing.unwrap_or(match kind {
            SchedulerKind::Pndm | SchedulerKind::Ddim | SchedulerKind::Ddpm => {
                TimestepSpacing::Leading
            }
            _ => TimestepSpacing::Linspace,
        })
    }

    fn skips_runge_kutta(&self) -> bool {
        self.skip_prk_steps.unwrap_or(false)
    }

    fn noise_schedule(&self) -> Result<NoiseSchedule, SchedulerError> {
        if self.rescale_betas_zero_snr == Some(true) {
            return Err(value("rescale_betas_zero_snr", true, "`false`, the only one implemented"));
        }
        let train = self.num_train_timesteps.unwrap_or(1000);
        if !(1..=MAX_TRAIN_TIMESTEPS).contains(&train) {
            let expected = format!("from 1 to {MAX_TRAIN_TIMESTEPS}");
            return Err(value("num_train_timesteps", train, &expected));
        }
        let (start, end) = (self.beta_start.unwrap_or(0.0001), self.beta_end.unwrap_or(0.02));
        for (key, beta) in [("beta_start", start), ("beta_end", end)] {
            check_beta(key, beta)?;
        }
        let betas = match &self.trained_betas {
            Some(betas) if betas.len() != train => {
                let found = format!("a list of {}", betas.len());
                let expected = format!("a list of `num_train_timesteps`, {train}, values");
                return Err(value("trained_betas", found, &expected));
            }
            Some(betas) => {
                betas.iter().try_for_each(|beta| check_beta("trained_betas", *beta))?;
                betas.iter().map(|beta| *beta as f32).collect()
            }
            None => self.beta_schedule.unwrap_or(BetaSchedule::Linear).betas(start, end, train),
        };
        let schedule = NoiseSchedule::new(&betas, self.prediction_type.unwrap_or_default());
        // The steps divide by the signal and by the noise.
        if !(schedule.alphas_cumprod()[0] < 1.0
            && schedule.alphas_cumprod()[train - 1] >= f32::MIN_POSITIVE)
        {
            let found = format!("{start} with `beta_end` {end}");
            let expected = "such that some noise is in the first latents and some signal is left \
                            in the last";
            return Err(value("beta_start", found, expected));
        }
        Ok(schedule)
    }

    fn check_fixed(&self, kind: SchedulerKind) -> Result<(), SchedulerError> {
        for (key, supported, kinds) in FIXED_KEYS {
            let found = match self.others.get(key) {
                Some(found) if !found.is_null() && kinds.contains(&kind) => found,
                _ => continue,
            };
            let value = found.as_str().map_or_else(|| found.to_string(), Into::into);
            if value != supported {
                return Err(SchedulerError::Unsupported { key, value, kind, supported });
            }
        }
        Ok(())
    }
}

fn check_beta(key: &'static str, beta: f64) -> Result<(), SchedulerError> {
    if beta > 0.0 && beta < 1.0 { Ok(()) } else { Err(value(key, beta, "between 0 and 1")) }
}

fn value(key: &'static str, value: impl ToString, expected: &str) -> SchedulerError {
    SchedulerError::Value { key, value: value.to_string(), expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(class_name: &str, keys: Value) -> Result<SchedulerConfig, SchedulerError> {
        let mut object = json!({
            "_class_name": class_name, "beta_start": 0.00085, "beta_end": 0.012,
            "beta_schedule": "scaled_linear", "clip_sample": false
        });
        for (key, value) in keys.as_object().unwrap() {
            object[key] = value.clone();
        }
        SchedulerConfig::from_json(&object.to_string())
    }

    fn refusal(class_name: &str, keys: Value) -> String {
        config(class_name, keys).unwrap_err().to_string()
    }

    #[test]
    fn missing_keys_take_the_defaults_of_the_class_that_is_built() {
        let config = config("DDIMScheduler", json!({ "set_alpha_to_one": null })).unwrap();
        let first = |kind| config.build(kind, 10, 0.0).unwrap().timesteps()[0];
        assert_eq!(first(SchedulerKind::Ddim), 900.0);
        assert_eq!(first(SchedulerKind::Euler), 999.0);
        let calls = |kind| config.build(kind, 10, 0.0).unwrap().timesteps().len();
        assert_eq!(calls(SchedulerKind::Pndm), 19, "Runge-Kutta is PNDM's default");
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        assert_eq!(
            refusal("PNDMScheduler", json!({ "num_train_timesteps": 0 })),
            "`num_train_timesteps` in the scheduler configuration is `0`, but must be from 1 to \
             1000000"
        );
        assert_eq!(
            refusal("PNDMScheduler", json!({ "beta_end": 1.5 })),
            "`beta_end` in the scheduler configuration is `1.5`, but must be between 0 and 1"
        );
        assert!(
            refusal("PNDMScheduler", json!({ "beta_schedule": "sigmoid" })).contains("sigmoid")
        );
        assert!(
            refusal("PNDMScheduler", json!({ "trained_betas": [0.1] })).contains("a list of 1")
        );
        assert!(refusal("PNDMScheduler", json!({ "beta_start": 0.9 })).contains("some signal"));
        assert!(refusal("FlowMatchEulerDiscreteScheduler", json!({})).contains("`FlowMatch"));
        assert!(
            SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler", "beta_end": NaN}"#)
                .is_err()
        );
    }

    #[test]
    fn a_variant_that_is_not_implemented_is_refused_only_by_the_kind_that_has_it() {
        let config =
            config("EulerDiscreteScheduler", json!({ "use_karras_sigmas": true })).unwrap();
        assert_eq!(
            config.build(SchedulerKind::Euler, 10, 0.0).unwrap_err().to_string(),
            "`use_karras_sigmas` in the scheduler configuration is `true`, but `euler` supports \
             only `false`; choose another scheduler"
        );
        assert!(config.build(SchedulerKind::Ddim, 10, 0.0).is_ok());
    }

    #[test]
    fn another_beta_schedule_replaces_the_one_of_the_file() {
        let linear = config("DDIMScheduler", json!({ "beta_schedule": "linear" })).unwrap();
        let betas = vec![0.001; 1000];
        let trained = config("DDIMScheduler", json!({ "trained_betas": betas })).unwrap();
        let scaled = config("DDIMScheduler", json!({})).unwrap();
        for other in [linear, trained] {
            assert_ne!(other.noise_schedule(), scaled.noise_schedule());
            let other = other.with_beta_schedule(BetaSchedule::ScaledLinear).unwrap();
            assert_eq!(other.noise_schedule(), scaled.noise_schedule());
        }
    }

    #[test]
    fn steps_and_eta_out_of_range_are_refused() {
        let config = config("PNDMScheduler", json!({ "steps_offset": 1 })).unwrap();
        let refusal = |kind, steps, eta| config.build(kind, steps, eta).unwrap_err().to_string();
        assert_eq!(
            refusal(SchedulerKind::Ddim, 0, 0.0),
            "`num_inference_steps` is 0, but `ddim` needs 1 to 1000 steps, the timesteps of \
             training"
        );
        assert!(refusal(SchedulerKind::Ddim, 1001, 0.0).contains("1 to 1000"));
        assert!(refusal(SchedulerKind::Ddim, 1000, 0.0).contains("`steps_offset` of 1"));
        assert!(refusal(SchedulerKind::Pndm, 3, 0.0).contains("`skip_prk_steps`"));
        assert!(refusal(SchedulerKind::DpmSolverPlusPlus, 1000, 0.0).contains("fewer steps"));
        assert_eq!(
            refusal(SchedulerKind::Ddim, 10, f64::NAN),
            SchedulerError::Eta(f64::NAN).to_string()
        );
    }

    #[test]
    fn pythons_minus_infinity_is_read() {
        let text =
            r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert!(config.build(SchedulerKind::DpmSolverPlusPlus, 20, 0.0).is_ok());
    }
}
