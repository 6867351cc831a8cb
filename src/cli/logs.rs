//! The log of a run that another program shows, if one is wanted.

use super::{CliError, input, names::folder_name, run_folder::RunFolder};
use crate::{
    callbacks::{
        Saves,
        loggers::{EventLogger, LoggerError, RunName},
    },
    config::{Logger, TrainConfig},
    trainer::Callback,
};

/// The run's log, or nothing.
pub(super) struct Logs(Option<EventLogger>);

impl Logs {
    /// Opens the log of a run that goes on at `step`, with the options in the run's folder.
    pub(super) fn open(
        config: &TrainConfig,
        folder: &RunFolder,
        step: usize,
        saves: Saves,
    ) -> Result<Self, CliError> {
        let options = toml::from_str(&input::text(&folder.config())?)?;
        let logs = folder.logs();
        let own_name = folder_name(folder.path());
        let name = RunName {
            project: &config.project_name,
            name: config.exp_name.as_deref().unwrap_or(&own_name),
            entity: config.wandb.as_deref(),
        };
        let logger = match config.logger {
            Logger::None => return Ok(Self(None)),
            Logger::Tensorboard => EventLogger::tensorboard(&logs, &options, step, saves),
            Logger::Wandb => EventLogger::wandb(&logs, &name, &options, step, saves),
        };
        let logger = logger.map_err(|error| match error {
            LoggerError::File { path, source } => CliError::write(&path, source),
            // the folder is not as the run left it
            error => CliError::Input(error.to_string()),
        });
        Ok(Self(Some(logger?)))
    }

    /// What takes part in the run.
    pub(super) fn callback<M, S>(&self) -> Option<Box<dyn Callback<M, S>>> {
        self.0.clone().map(|logger| Box::new(logger) as Box<dyn Callback<M, S>>)
    }

    /// Logs a picture; see [`EventLogger::picture`].
    pub(super) fn picture(&self, name: &str, step: usize, png: &[u8]) -> Result<(), CliError> {
        let Some(logger) = &self.0 else { return Ok(()) };
        Ok(logger.picture(name, step, png)?)
    }

    /// Ends the log with figures of the whole run; those that are not known are left out.
    pub(super) fn finish(
        &self,
        steps: usize,
        summary: &[(&str, Option<f64>)],
    ) -> Result<(), CliError> {
        let Some(logger) = &self.0 else { return Ok(()) };
        let known = summary.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        Ok(logger.finish(steps, &known.collect::<Vec<_>>())?)
    }
}
