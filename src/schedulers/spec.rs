//! What a sampler says about itself.

use super::{
    error::SchedulerError, keys::Keys, run::SamplingRun, scheduler::Scheduler,
    timesteps::TimestepSpacing,
};

/// A sampler: its names, the part of a configuration that it reads, and how it is made.
#[derive(Debug)]
pub struct SchedulerSpec {
    /// The name that users type, in flags and in files, such as `ddim`.
    pub name: &'static str,
    /// Its class in diffusers, as a `scheduler_config.json` names it, such as `DDIMScheduler`.
    pub class_name: &'static str,
    /// How its timesteps are spread where the configuration does not say.
    pub timestep_spacing: TimestepSpacing,
    /// The keys of the configuration that it reads beside those that all samplers read.
    pub keys: &'static [Key],
    /// Makes the sampler of one run.
    ///
    /// # Errors
    /// When the run's number of steps does not fit.
    pub build: fn(&SamplingRun) -> Result<Box<dyn Scheduler>, SchedulerError>,
}

/// A key of a `scheduler_config.json` that some samplers read. Missing, or null, it stands for the
/// sampler's default.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// `true` or `false`; read by [`SamplingRun::flag`].
    Flag(&'static str),
    /// A number above 0; read by [`SamplingRun::number`].
    Positive(&'static str),
    /// A variant of the method, and its one value that is implemented: the sampler is not built
    /// with another.
    Only(&'static str, &'static str),
    /// The same, and values that stand there in files of other samplers and are read as that one.
    OnlyLike(&'static str, &'static str, &'static [&'static str]),
}

impl SchedulerSpec {
    /// Whether every flag is a flag and every number above 0.
    pub(super) fn check_values(&self, keys: &Keys) -> Result<(), SchedulerError> {
        for key in self.keys {
            let (name, is_right, expected): (_, fn(&serde_json::Value) -> bool, _) = match *key {
                Key::Flag(name) => (name, serde_json::Value::is_boolean, "`true` or `false`"),
                Key::Positive(name) => {
                    (name, |value| value.as_f64().is_some_and(|number| number > 0.0), "above 0")
                }
                Key::Only(..) | Key::OnlyLike(..) => continue,
            };
            if let Some(value) = keys.get(name).filter(|value| !is_right(value)) {
                return Err(SchedulerError::value(name, bare(value), expected));
            }
        }
        Ok(())
    }

    /// Whether the configuration asks for nothing that is not implemented.
    pub(super) fn check_variants(&self, keys: &Keys) -> Result<(), SchedulerError> {
        let scheduler = self.name;
        self.missing_variant(keys).map_or(Ok(()), |Variant { key, value, supported }| {
            Err(SchedulerError::Unsupported { key, value, scheduler, supported })
        })
    }

    /// The first variant that the configuration asks for and that is not implemented.
    pub(super) fn missing_variant(&self, keys: &Keys) -> Option<Variant> {
        self.keys.iter().find_map(|key| {
            let (key, supported, of_others) = match *key {
                Key::Only(key, supported) => (key, supported, &[][..]),
                Key::OnlyLike(key, supported, of_others) => (key, supported, of_others),
                Key::Flag(_) | Key::Positive(_) => return None,
            };
            let value = bare(keys.get(key)?);
            let is_other = value != supported && !of_others.contains(&&*value);
            is_other.then_some(Variant { key, value, supported })
        })
    }
}

/// A variant of a method that is not implemented.
pub(super) struct Variant {
    /// The key that asks for it.
    pub key: &'static str,
    /// What the key holds.
    pub value: String,
    /// The one value that is implemented.
    pub supported: &'static str,
}

/// A value as it is written, a text without its quotes.
fn bare(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}
