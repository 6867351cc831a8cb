//! The options of a run, each of which may be left open.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny},
};

use super::{
    ConfigError, Stopping,
    groups::{
        DataOptions, EvaluationOptions, LogOptions, MethodOptions, OptimizerOptions,
        PictureOptions, SampleOptions, StartOptions, StoppingOptions, TrainingOptions,
    },
    names::{InOrder, Name, known},
};
use crate::concept::Method;

/// What is taken where no flag, file or preset says otherwise.
const DEFAULTS: &str = include_str!("defaults.toml");

/// The plateau's own threshold: DVAR's is of a ratio of variances, and under it a loss would count as
/// still that brings a third of its fall in each window.
const PLATEAU_THRESHOLD: f64 = 0.05;

/// The rates of the official README of November 2023, before its `scale_lr`, for methods that train weights
/// of the denoiser too: at the vectors' rate these would no longer be a published model's after a few steps.
const LORA_RATE: f64 = 5e-4;
const CUSTOM_DIFFUSION_RATE: f64 = 1e-5;

/// Options of `dvar train`, each of which may be left open.
///
/// The same names serve as flags (`--train-batch-size`), as keys of a configuration file
/// (`train_batch_size`) and of the preset that a model folder may hold (`dvar.toml`). Flags win
/// over the file, the file over the preset, the preset over the defaults. The groups are for code
/// and help alone: files and JSON hold all options side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(try_from = "BTreeMap<String, Option<toml::Value>>")]
pub struct TrainOptions {
    /// The model, the pictures and the folder that is written.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub data: DataOptions,
    /// What is read of the pictures, and beside them.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Pictures and captions"))]
    pub pictures: PictureOptions,
    /// Where the vectors start.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Start"))]
    pub start: StartOptions,
    /// What is trained.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Method"))]
    pub method: MethodOptions,
    /// Steps, batches, optimiser, precision and checkpoints.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Training"))]
    pub training: TrainingOptions,
    /// The learning rate and the optimisers' settings.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Training"))]
    pub optimizer: OptimizerOptions,
    /// What ends the run.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Stopping"))]
    pub stopping: StoppingOptions,
    /// The deterministic evaluation.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Deterministic evaluation"))]
    pub evaluation: EvaluationOptions,
    /// The pictures that the run draws, and what scores them.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Samples"))]
    pub samples: SampleOptions,
    /// Logs for other programs.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten, next_help_heading = "Logs"))]
    pub logs: LogOptions,
}

impl TrainOptions {
    /// Options that say where files of the user's lie or are written to.
    pub const PLACES: [&'static str; 6] =
        ["model", "train_data_dir", "output_dir", "class_data_dir", "initializer_file", "clip"];

    /// Reads a configuration file's text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unparsable`] with line and key; unknown keys are refused.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        let names = toml::from_str::<BTreeMap<Name, IgnoredAny>>(text);
        // each group from the text: an error then shows its line
        let options = names.and_then(|_| Self::from_groups(|| toml::Deserializer::parse(text)));
        options.map_err(|parser| ConfigError::Unparsable { file: file.into(), parser })
    }

    /// Reads what a model advises for a run of which these options are `chosen`: its own options, over them
    /// those in the table of the method's name, and over both those in the table of the criterion that
    /// ends the run.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unparsable`] as of [`from_toml`](Self::from_toml); also for a table of another name, and
    /// for an option that names a place of the user's.
    pub fn from_advice(text: &str, chosen: &Self, file: &str) -> Result<Self, ConfigError> {
        let unparsable = |parser| ConfigError::Unparsable { file: file.into(), parser };
        let all: toml::Table = toml::from_str(text).map_err(unparsable)?;
        let holds = |name: &&str| {
            let mut tables = all.values().filter_map(toml::Value::as_table);
            all.contains_key(*name) || tables.any(|table| table.contains_key(*name))
        };
        // but for the CLIP that scores, which a model may name
        let mut places = Self::PLACES.into_iter().filter(|place| *place != "clip");
        if let Some(place) = places.find(holds) {
            let reason =
                format!("`{place}` is for the user to choose, and no model's; leave it out");
            return Err(unparsable(de::Error::custom(reason)));
        }
        let (tables, plain): (toml::Table, toml::Table) =
            all.into_iter().partition(|(_, value)| value.is_table());
        if tables.is_empty() {
            return Self::from_toml(text, file);
        }
        // the errors of single options name no file
        let read = |options: toml::Table| {
            Self::from_table(options).map_err(|error| unparsable(de::Error::custom(error)))
        };
        let mut advised = read(plain)?;
        let mut of_criteria = Vec::new();
        for (name, table) in tables {
            let differs = read(table.try_into().map_err(unparsable)?)?;
            let name = toml::Value::String(name);
            if let Ok(criterion) = name.clone().try_into::<Stopping>() {
                of_criteria.push((criterion, differs));
                continue;
            }
            let method: Method = name.try_into().map_err(unparsable)?;
            if chosen.method.method.unwrap_or_default() == method {
                advised = differs.over(&advised)?;
            }
        }
        let stopping = chosen.stopping.stopping.or(advised.stopping.stopping);
        for (criterion, mut differs) in of_criteria {
            if stopping == Some(criterion) {
                // what is advised for another criterion is not meant for this one
                differs.stopping.stopping = stopping;
                advised = differs.over(&advised)?;
            }
        }
        Ok(advised)
    }

    /// Reads a JSON object of options; those that are `null` are left open.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first option that is unknown or of another type.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        serde_json::from_str::<BTreeMap<String, Option<toml::Value>>>(text)?.try_into()
    }

    /// The options as a configuration file; open ones are left out.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] or [`ConfigError::Unwritable`] for what TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(&InOrder(self.table()?))?)
    }

    /// These options where they are set, `under` elsewhere, but for what would speak against these: where these
    /// name what the vectors start from, other rates or how many pictures a grid has, `under` gives no other start,
    /// no other kind of rates and no number for each prompt; and no threshold, where only one of both is a plateau's.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] or [`ConfigError::Unwritable`] for what TOML cannot hold.
    pub fn over(&self, under: &Self) -> Result<Self, ConfigError> {
        self.merged(&Self {
            start: under.start.under(&self.start),
            optimizer: under.optimizer.under(&self.optimizer),
            stopping: under.stopping.under(&self.stopping),
            samples: under.samples.under(&self.samples),
            ..under.clone()
        })
    }

    /// Each of these options where it is set, that of `under` elsewhere.
    fn merged(&self, under: &Self) -> Result<Self, ConfigError> {
        let mut merged = under.table()?;
        merged.extend(self.table()?);
        Self::from_table(merged)
    }

    /// What is taken where nothing else says otherwise: all options that have a default.
    pub fn defaults() -> Self {
        Self::built_in(DEFAULTS)
    }

    /// These options over the defaults.
    ///
    /// # Errors
    ///
    /// As of [`over`](Self::over).
    pub fn with_defaults(&self) -> Result<Self, ConfigError> {
        let mut defaults = Self::defaults();
        if self.stopping.stopping == Some(Stopping::Plateau) {
            defaults.stopping.threshold = Some(PLATEAU_THRESHOLD);
        }
        match self.method.method {
            Some(Method::DreamboothLora) => defaults.optimizer.learning_rate = Some(LORA_RATE),
            Some(Method::CustomDiffusion) => {
                defaults.optimizer.learning_rate = Some(CUSTOM_DIFFUSION_RATE);
            }
            Some(Method::TextualInversion) | None => {}
        }
        self.merged(&defaults)
    }

    /// Those that a page in a browser has: neither files nor logs for other programs.
    pub fn on_page(self) -> Self {
        Self {
            data: self.data.on_page(),
            pictures: PictureOptions::default(),
            start: self.start.on_page(),
            method: self.method.on_page(),
            samples: self.samples.on_page(),
            logs: LogOptions::default(),
            ..self
        }
    }

    /// Options in a file of `src/config`.
    pub(super) fn built_in(text: &str) -> Self {
        Self::from_toml(text, "").expect("the program's own files are read by its tests")
    }

    /// The options that are set, by their names.
    fn table(&self) -> Result<toml::Table, ConfigError> {
        toml::Table::try_from(self)
            .map_err(|error| self.too_large().unwrap_or_else(|| error.into()))
    }

    /// An error of the first number that TOML cannot hold.
    fn too_large(&self) -> Option<ConfigError> {
        let all = serde_json::to_value(self).ok()?;
        let large = |value: &serde_json::Value| value.as_u64() > Some(i64::MAX as u64);
        let (name, value) = all.as_object()?.iter().find(|(_, value)| large(value))?;
        Some(ConfigError::OutOfRange {
            option: known(name).ok()?,
            value: value.to_string(),
            expected: "at most 9223372036854775807",
        })
    }

    fn from_table(table: toml::Table) -> Result<Self, ConfigError> {
        let given: BTreeMap<_, _> = table.into_iter().map(|(n, value)| (n, Some(value))).collect();
        given.try_into()
    }

    /// Every group takes its own options from a deserializer of all.
    fn from_groups<'de, D: Deserializer<'de>>(
        all: impl Fn() -> Result<D, D::Error>,
    ) -> Result<Self, D::Error> {
        Ok(Self {
            data: Deserialize::deserialize(all()?)?,
            pictures: Deserialize::deserialize(all()?)?,
            start: Deserialize::deserialize(all()?)?,
            method: Deserialize::deserialize(all()?)?,
            training: Deserialize::deserialize(all()?)?,
            optimizer: Deserialize::deserialize(all()?)?,
            stopping: Deserialize::deserialize(all()?)?,
            evaluation: Deserialize::deserialize(all()?)?,
            samples: Deserialize::deserialize(all()?)?,
            logs: Deserialize::deserialize(all()?)?,
        })
    }
}

/// Options by name; those without a value are left open.
impl TryFrom<BTreeMap<String, Option<toml::Value>>> for TrainOptions {
    type Error = ConfigError;

    fn try_from(given: BTreeMap<String, Option<toml::Value>>) -> Result<Self, ConfigError> {
        let mut all = toml::Table::new();
        for (name, value) in given {
            let option = known(&name)?;
            let Some(value) = value else { continue };
            // alone first: the error then names its option
            let one = toml::Table::from_iter([(name.clone(), value.clone())]);
            Self::from_groups(|| Ok(toml::Value::Table(one.clone())))
                .map_err(|parser| ConfigError::Unreadable { option, parser })?;
            all.insert(name, value);
        }
        Self::from_groups(|| Ok(toml::Value::Table(all.clone())))
            .map_err(|parser| ConfigError::Unparsable { file: "the options".into(), parser })
    }
}

#[cfg(test)]
mod tests;
