//! diffusers' `scheduler_config.json`, and the schedulers made from it.

use super::{
    beta_schedule::BetaSchedule,
    error::SchedulerError,
    keys::Keys,
    kind::SchedulerKind,
    noise_schedule::NoiseSchedule,
    prediction::PredictionType,
    run::SamplingRun,
    samplers::STAND_INS,
    scheduler::Scheduler,
    spec::{SchedulerSpec, Variant},
};

/// A model's scheduler configuration, checked.
///
/// A missing key, or one that is null, takes the default of the scheduler that is built; unknown
/// keys are ignored. So another kind than the file's class is built as diffusers'
/// `OtherScheduler.from_config` does it.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// None where the class is that of no sampler in the list.
    kind: Option<SchedulerKind>,
    keys: Keys,
    noise_schedule: NoiseSchedule,
}

impl SchedulerConfig {
    /// Reads the text of a `scheduler_config.json`.
    ///
    /// # Errors
    /// When it is no JSON, its class is for models with another loss, or unknown with no betas named, its
    /// beta schedule is unknown, its numbers make no noise schedule, or a key that one of the samplers reads
    /// has the wrong type.
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        let keys = Keys::from_json(text)?;
        if let Some(models) = other_loss(&keys.class_name) {
            return Err(SchedulerError::OtherLoss { class_name: keys.class_name, models });
        }
        let kind = match SchedulerKind::from_class_name(&keys.class_name) {
            Ok(kind) => Some(kind),
            // training needs the noise schedule alone
            Err(_) if keys.names_betas() => None,
            Err(error) => return Err(error),
        };
        let noise_schedule = keys.noise_schedule()?;
        SchedulerKind::all().try_for_each(|kind| kind.spec().check_values(&keys))?;
        Ok(Self { kind, keys, noise_schedule })
    }

    /// The same with betas of another shape between the same ends.
    ///
    /// # Errors
    /// When these betas make no noise schedule.
    pub fn with_beta_schedule(&self, beta_schedule: BetaSchedule) -> Result<Self, SchedulerError> {
        let keys = self.keys.with_beta_schedule(beta_schedule);
        Ok(Self { kind: self.kind, noise_schedule: keys.noise_schedule()?, keys })
    }

    /// The same for a model that predicts something else.
    ///
    /// # Errors
    /// Those of [`from_json`](Self::from_json).
    pub fn with_prediction_type(
        &self,
        prediction_type: PredictionType,
    ) -> Result<Self, SchedulerError> {
        let keys = self.keys.with_prediction_type(prediction_type);
        Ok(Self { kind: self.kind, noise_schedule: keys.noise_schedule()?, keys })
    }

    /// The same as diffusers' `StableDiffusionPipeline` corrects what old files say, or do not say and so
    /// leave to defaults: `steps_offset` is 1, and `clip_sample` false, as latents reach far beyond 1.
    #[must_use]
    pub fn corrected(&self) -> Self {
        Self { keys: self.keys.corrected(), ..self.clone() }
    }

    /// What draws where nobody names a sampler: the one that the configuration names or, where it is
    /// [not here](Self::missing_sampler), another.
    pub fn kind(&self) -> SchedulerKind {
        let here = |spec: &SchedulerSpec| spec.missing_variant(&self.keys).is_none();
        let [first, second] = STAND_INS;
        let stand_in = SchedulerKind::new(if here(first) { first } else { second });
        self.kind.filter(|kind| here(kind.spec())).unwrap_or(stand_in)
    }

    /// The sampler that the configuration names, in words, where there is none of its class, or not in the
    /// variant that it asks for.
    pub fn missing_sampler(&self) -> Option<String> {
        let Some(kind) = self.kind else { return Some(format!("`{}`", self.keys.class_name)) };
        let Variant { key, value, .. } = kind.spec().missing_variant(&self.keys)?;
        Some(format!("`{kind}` with the `{key}` `{value}`"))
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
        let spec = kind.spec();
        spec.check_values(&self.keys)?; // of a sampler that is not in the list
        spec.check_variants(&self.keys)?;
        if !(0.0..=1.0).contains(&eta) {
            return Err(SchedulerError::Eta(eta));
        }
        let run = SamplingRun {
            name: spec.name,
            keys: &self.keys,
            noise_schedule: &self.noise_schedule,
            timestep_spacing: self.keys.timestep_spacing.unwrap_or(spec.timestep_spacing),
            steps: num_inference_steps,
            eta,
        };
        let train = self.noise_schedule.alphas_cumprod().len();
        if !(1..=train).contains(&num_inference_steps) {
            return Err(run.refuse_steps(format!("1 to {train} steps, the timesteps of training")));
        }
        (spec.build)(&run)
    }
}

/// What the models of a class are, whatever betas a file names, and what to do, where their loss is another.
fn other_loss(class_name: &str) -> Option<&'static str> {
    if ["LCMScheduler", "TCDScheduler"].contains(&class_name) {
        return Some(
            "were made to draw in a few steps, which cannot be trained by their base model's loss; give the \
             base model",
        );
    }
    let other_noise = ["EDM", "FlowMatch"].iter().any(|begin| class_name.starts_with(begin));
    other_noise.then_some(
        "were trained with another noise (EDM or flow matching), which dvar does not know; give the model that \
         they were made from",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schedulers::tests::{kind, read};

    fn refusal(class_name: &str, keys: Value) -> String {
        read(class_name, keys).unwrap_err().to_string()
    }

    #[test]
    fn missing_keys_take_the_defaults_of_the_class_that_is_built() {
        let config = read("DDIMScheduler", json!({ "set_alpha_to_one": null })).unwrap();
        let first = |kind| config.build(kind, 10, 0.0).unwrap().timesteps()[0];
        assert_eq!(first(kind("ddim")), 900.0);
        assert_eq!(first(kind("euler")), 999.0);
        let calls = |kind| config.build(kind, 10, 0.0).unwrap().timesteps().len();
        assert_eq!(calls(kind("pndm")), 19, "Runge-Kutta is PNDM's default");
    }

    #[test]
    fn a_model_whose_own_sampler_is_not_here_is_drawn_by_another() {
        let drawn = |class_name: &str, keys: Value| {
            let config = read(class_name, keys).unwrap();
            assert!(config.build(config.kind(), 10, 0.0).is_ok(), "{class_name}");
            (config.kind().name(), config.missing_sampler())
        };
        let missing = |words: &str| Some(words.to_string());
        let heun = missing("`HeunDiscreteScheduler`");
        assert_eq!(drawn("HeunDiscreteScheduler", json!({})), ("euler", heun.clone()));
        let karras = json!({ "use_karras_sigmas": true, "prediction_type": "v_prediction" });
        assert_eq!(drawn("HeunDiscreteScheduler", karras), ("euler", heun.clone()));
        let betas = json!({ "use_beta_sigmas": true });
        assert_eq!(drawn("HeunDiscreteScheduler", betas), ("euler-a", heun));
        let sde = json!({ "algorithm_type": "sde-dpmsolver++" });
        let told = missing("`dpm++` with the `algorithm_type` `sde-dpmsolver++`");
        assert_eq!(drawn("DPMSolverMultistepScheduler", sde), ("euler", told));
        assert_eq!(drawn("DDIMScheduler", json!({})), ("ddim", None));
        // also with betas, which diffusers keeps of the sampler that one was made from
        for (class_name, told) in [
            ("LCMScheduler", "a few steps"),
            ("TCDScheduler", "a few steps"),
            ("EDMEulerScheduler", "another noise"),
            ("FlowMatchEulerDiscreteScheduler", "another noise"),
        ] {
            let refused = refusal(class_name, json!({}));
            assert!(refused.contains(class_name) && refused.contains(told), "{refused}");
        }
        let no_betas = r#"{"_class_name": "HeunDiscreteScheduler"}"#;
        assert!(SchedulerConfig::from_json(no_betas).is_err());
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
        for (key, value) in [("beta_schedule", "sigmoid"), ("prediction_type", "sample")] {
            let refused = refusal("PNDMScheduler", json!({ key: value }));
            assert!(refused.contains(&format!("`{key}`: unknown variant `{value}`")), "{refused}");
        }
        assert!(
            refusal("PNDMScheduler", json!({ "trained_betas": [0.1] })).contains("a list of 1")
        );
        assert!(refusal("PNDMScheduler", json!({ "beta_start": 0.9 })).contains("some signal"));
        let flow = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}"#;
        let refused = SchedulerConfig::from_json(flow).unwrap_err().to_string();
        assert!(refused.contains("`FlowMatch"), "{refused}");
        assert!(
            SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler", "beta_end": NaN}"#)
                .is_err()
        );
    }

    #[test]
    fn a_key_of_any_sampler_is_refused_where_its_value_is_of_the_wrong_kind() {
        assert_eq!(
            refusal("PNDMScheduler", json!({ "clip_sample": "yes" })),
            "`clip_sample` in the scheduler configuration is `yes`, but must be `true` or `false`"
        );
        assert_eq!(
            refusal("DDIMScheduler", json!({ "clip_sample_range": 0.0 })),
            "`clip_sample_range` in the scheduler configuration is `0.0`, but must be above 0"
        );
        assert!(refusal("DDIMScheduler", json!({ "skip_prk_steps": 1 })).contains("`true` or"));
    }

    #[test]
    fn a_variant_that_is_not_implemented_is_refused_only_by_the_kind_that_has_it() {
        let config = read("EulerDiscreteScheduler", json!({ "use_beta_sigmas": true })).unwrap();
        assert_eq!(
            config.build(kind("euler"), 10, 0.0).unwrap_err().to_string(),
            "`use_beta_sigmas` in the scheduler configuration is `true`, but `euler` supports \
             only `false`; choose another scheduler"
        );
        assert!(config.build(kind("ddim"), 10, 0.0).is_ok());
    }

    #[test]
    fn what_each_solver_calls_its_own_way_is_no_other_variant_of_the_others() {
        for (class_name, keys) in [
            (
                "DEISMultistepScheduler",
                json!({ "algorithm_type": "deis", "solver_type": "logrho", "solver_order": 2 }),
            ),
            ("UniPCMultistepScheduler", json!({ "solver_type": "bh2", "predict_x0": true })),
            (
                "DPMSolverMultistepScheduler",
                json!({ "algorithm_type": "dpmsolver++", "solver_type": "midpoint" }),
            ),
        ] {
            let config = read(class_name, keys).unwrap();
            for name in ["dpm++", "deis", "unipc"] {
                assert!(config.build(kind(name), 10, 0.0).is_ok(), "{class_name} {name}");
            }
        }
        let bh1 = read("UniPCMultistepScheduler", json!({ "solver_type": "bh1" })).unwrap();
        assert!(bh1.build(kind("dpm++"), 10, 0.0).is_ok());
    }

    #[test]
    fn a_solvers_own_variants_that_are_not_implemented_are_refused() {
        for (name, key, value, supported) in [
            ("dpm++", "solver_type", json!("heun"), "midpoint"),
            ("deis", "solver_order", json!(3), "2"),
            ("deis", "algorithm_type", json!("sde-dpmsolver++"), "deis"),
            ("unipc", "solver_order", json!(3), "2"),
            ("unipc", "solver_type", json!("bh1"), "bh2"),
            ("unipc", "predict_x0", json!(false), "true"),
            ("unipc", "lower_order_final", json!(false), "true"),
            ("unipc", "disable_corrector", json!([0]), "[]"),
            ("unipc", "final_sigmas_type", json!("sigma_min"), "zero"),
        ] {
            let config = read(kind(name).spec().class_name, json!({ key: value })).unwrap();
            let refused = config.build(kind(name), 10, 0.0).unwrap_err().to_string();
            let wanted = format!("but `{name}` supports only `{supported}`");
            assert!(refused.contains(key) && refused.contains(&wanted), "{refused}");
        }
        let usual = json!({ "disable_corrector": [], "solver_p": null });
        let usual = read("UniPCMultistepScheduler", usual).unwrap();
        assert!(usual.build(kind("unipc"), 10, 0.0).is_ok());
    }

    #[test]
    fn another_beta_schedule_replaces_the_one_of_the_file() {
        let linear = read("DDIMScheduler", json!({ "beta_schedule": "linear" })).unwrap();
        let betas = vec![0.001; 1000];
        let trained = read("DDIMScheduler", json!({ "trained_betas": betas })).unwrap();
        let scaled = read("DDIMScheduler", json!({})).unwrap();
        for other in [linear, trained] {
            assert_ne!(other.noise_schedule(), scaled.noise_schedule());
            let other = other.with_beta_schedule(BetaSchedule::ScaledLinear).unwrap();
            assert_eq!(other.noise_schedule(), scaled.noise_schedule());
        }
    }

    #[test]
    fn steps_and_eta_out_of_range_are_refused() {
        let config = read("PNDMScheduler", json!({ "steps_offset": 1 })).unwrap();
        let refusal = |kind, steps, eta| config.build(kind, steps, eta).unwrap_err().to_string();
        assert_eq!(
            refusal(kind("ddim"), 0, 0.0),
            "`num_inference_steps` is 0, but `ddim` needs 1 to 1000 steps, the timesteps of \
             training"
        );
        assert!(refusal(kind("ddim"), 1001, 0.0).contains("1 to 1000"));
        assert!(refusal(kind("ddim"), 1000, 0.0).contains("`steps_offset` of 1"));
        assert!(refusal(kind("pndm"), 3, 0.0).contains("`skip_prk_steps`"));
        assert!(refusal(kind("dpm++"), 1000, 0.0).contains("fewer steps"));
        assert_eq!(refusal(kind("ddim"), 10, f64::NAN), SchedulerError::Eta(f64::NAN).to_string());
    }

    #[test]
    fn pythons_minus_infinity_is_read() {
        let text =
            r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert!(config.build(kind("dpm++"), 20, 0.0).is_ok());
    }
}
