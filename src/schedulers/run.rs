//! What a sampler is made from: a model's configuration and the wishes of one run.

use super::{
    error::SchedulerError, keys::Keys, noise_schedule::NoiseSchedule, timesteps::TimestepSpacing,
};

/// What a sampler is made from: a model's configuration and the wishes of one run.
#[derive(Debug)]
pub struct SamplingRun<'a> {
    /// The sampler's, for messages.
    pub(super) name: &'static str,
    pub(super) keys: &'a Keys,
    pub(super) noise_schedule: &'a NoiseSchedule,
    pub(super) timestep_spacing: TimestepSpacing,
    /// From 1 to the number of training timesteps.
    pub(super) steps: usize,
    /// From 0 to 1.
    pub(super) eta: f64,
}

impl SamplingRun<'_> {
    /// The noise of training.
    pub fn noise_schedule(&self) -> &NoiseSchedule {
        self.noise_schedule
    }

    /// How the timesteps are spread.
    pub fn timestep_spacing(&self) -> TimestepSpacing {
        self.timestep_spacing
    }

    /// How many steps the run takes.
    pub fn num_inference_steps(&self) -> usize {
        self.steps
    }

    /// The share of fresh noise in each step, 0 to 1.
    pub fn eta(&self) -> f64 {
        self.eta
    }

    /// What the configuration says of a [`Key::Flag`](super::Key::Flag), if it does.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.keys.flag(key)
    }

    /// What the configuration says of a [`Key::Positive`](super::Key::Positive), if it does.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.keys.get(key)?.as_f64()
    }

    /// The whole timesteps of the run, descending.
    ///
    /// # Errors
    /// When so many steps do not fit into the timesteps of training.
    pub fn timesteps(&self) -> Result<Vec<f64>, SchedulerError> {
        self.first_timesteps_of(self.steps)
    }

    /// The timesteps of the run, descending, with their fractions, in f32 as diffusers has them.
    ///
    /// # Errors
    /// When so many steps do not fit into the timesteps of training.
    pub fn fractional_timesteps(&self) -> Result<Vec<f64>, SchedulerError> {
        let timesteps = self.spread(self.steps);
        self.inside(timesteps.into_iter().map(|timestep| f64::from(timestep as f32)).collect())
    }

    /// That this number of steps does not fit, and which would.
    pub fn refuse_steps(&self, expected: impl Into<String>) -> SchedulerError {
        let (steps, scheduler) = (self.steps, self.name);
        SchedulerError::Steps { steps, scheduler, expected: expected.into() }
    }

    /// The whole timesteps of the run where `count`, or more, are spread over those of training.
    pub(super) fn first_timesteps_of(&self, count: usize) -> Result<Vec<f64>, SchedulerError> {
        let timesteps = self.spread(count).into_iter().take(self.steps);
        self.inside(timesteps.map(f64::round_ties_even).collect())
    }

    /// Training timesteps per step.
    pub(super) fn stride(&self) -> usize {
        self.train() / self.steps
    }

    /// What the predicted clean sample is clamped to plus and minus of, if at all.
    pub(super) fn clip_range(&self) -> Option<f64> {
        let clips = self.flag("clip_sample").unwrap_or(true);
        clips.then(|| self.number("clip_sample_range").unwrap_or(1.0))
    }

    /// The cumulative product of alphas before timestep 0: 1 with `set_alpha_to_one`, else that
    /// of timestep 0.
    pub(super) fn final_alpha_prod(&self, default_to_one: bool) -> f64 {
        let to_one = self.flag("set_alpha_to_one").unwrap_or(default_to_one);
        if to_one { 1.0 } else { self.noise_schedule.alpha_prod(0) }
    }

    /// The timesteps of training.
    fn train(&self) -> usize {
        self.noise_schedule.alphas_cumprod().len()
    }

    fn offset(&self) -> usize {
        self.keys.steps_offset.unwrap_or(0)
    }

    fn spread(&self, count: usize) -> Vec<f64> {
        self.timestep_spacing.timesteps(self.train(), count, self.offset())
    }

    fn inside(&self, timesteps: Vec<f64>) -> Result<Vec<f64>, SchedulerError> {
        let (train, offset) = (self.train(), self.offset());
        let inside = timesteps.first().is_some_and(|first| *first <= (train - 1) as f64);
        if !inside || !timesteps.is_sorted_by(|before, after| before > after) {
            return Err(self.refuse_steps(format!(
                "fewer steps for {train} timesteps of training and a `steps_offset` of {offset}"
            )));
        }
        Ok(timesteps)
    }
}
