//! The folder of a run and what lies in it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CliError, input,
    learned::{read_adapter, read_embedding},
    names::plain_name,
    output::{create_folder, write},
    own_folder::OwnFolder,
    shell::typed,
};
use crate::{
    concept::{LearnedAdapter, LearnedConcept},
    config::TrainOptions,
    embedding,
    session::option_of,
    trainer::TrainState,
};

const CONFIG: &str = "config.toml";

/// Paths inside one run's folder.
#[derive(Clone, Debug, Default)]
pub(super) struct RunFolder {
    path: PathBuf,
    /// Where this process writes to it.
    own: Option<Arc<OwnFolder>>,
    /// Whether this process made it.
    new: bool,
    /// What this process computes on, where it was told.
    device: Option<String>,
    /// Options that take the place of the run's own when it goes on.
    other_options: Option<String>,
}

impl RunFolder {
    /// Creates the folder of a new run, with its configuration. A folder that the user named must
    /// not exist yet, or be empty; a default one is numbered until it is free.
    pub(super) fn create(
        named: Option<&Path>,
        placeholder_token: &str,
        config: &str,
    ) -> Result<Self, CliError> {
        let default = || Path::new("runs").join(plain_name(placeholder_token));
        let own = OwnFolder::new(named, default)?;
        let (path, own) = (own.path.clone(), Some(own.into()));
        let run = Self { path, own, new: true, ..Self::default() };
        // the configuration before anything else: what has it can be resumed
        let begun = write(&run.config(), config.as_bytes()).and_then(|()| {
            fs::create_dir(run.path.join("state"))
                .map_err(|error| CliError::write(&run.path, error))
        });
        begun.inspect_err(|_| run.discard())?;
        Ok(run)
    }

    /// An existing run, to be gone on with.
    pub(super) fn resume(folder: &Path) -> Result<Self, CliError> {
        let run = Self::open(folder)?;
        // before anything is written: a `config.toml` may be another program's
        run.options()?;
        let own = OwnFolder::again(folder.to_path_buf())?;
        // a run that was killed early may lack it
        create_folder(&run.path.join("state"))?;
        Ok(Self { own: Some(own.into()), ..run })
    }

    /// Takes back what [`create`](Self::create) made, when the run could not begin.
    ///
    /// A folder that was there before is kept, and so is one in which class pictures were drawn, to be
    /// gone on with.
    pub(super) fn discard(&self) {
        if !self.new || self.class_pictures().exists() {
            return;
        }
        // nothing more can be done about a folder that will not go
        let _ = fs::remove_file(self.config());
        let _ = fs::remove_dir(self.path.join("state"));
        let _ = fs::remove_dir_all(self.logs());
        if let Some(own) = &self.own {
            own.discard();
        }
    }

    /// An existing run.
    pub(super) fn open(folder: &Path) -> Result<Self, CliError> {
        let path = folder.to_path_buf();
        if is_run(folder) {
            return Ok(Self { path, ..Self::default() });
        }
        Err(CliError::Input(format!(
            "`{}` is no run folder: it has no `config.toml`; give the folder that `dvar train` wrote",
            folder.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The same for a run on what `--device` names: it goes on there, and so to the same bytes.
    pub(super) fn on_device(self, name: &str) -> Self {
        Self { device: (name != "auto").then(|| name.into()), ..self }
    }

    /// The command that goes on with the run, as it is typed.
    pub(super) fn go_on(&self) -> String {
        let device = self.device.as_ref().map(|name| format!(" --device {name}"));
        format!("dvar train --resume {}{}", typed(&self.path), device.unwrap_or_default())
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The same for a run that goes on with other options.
    pub(super) fn with_options(self, config: String) -> Self {
        Self { other_options: Some(config), ..self }
    }

    /// Puts other options in the place of the run's own, where it goes on with others: not before it is
    /// known to go on.
    pub(super) fn set_options(&self) -> Result<(), CliError> {
        let Some(options) = &self.other_options else { return Ok(()) };
        write(&self.config(), options.as_bytes())
    }

    pub(super) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state/state.safetensors")
    }

    pub(super) fn embedding(&self) -> PathBuf {
        self.path.join(embedding::FILE_NAME)
    }

    /// The embedding as other tools read it, a folder for each.
    pub(super) fn embeddings(&self) -> PathBuf {
        self.path.join("embeddings")
    }

    /// The LoRA as other tools read it, a folder for each.
    pub(super) fn loras(&self) -> PathBuf {
        self.path.join("loras")
    }

    /// The vectors as they started.
    pub(super) fn initial_embedding(&self) -> PathBuf {
        self.path.join("initial_embeds.safetensors")
    }

    /// The file of what the run changed in the model, where its method does.
    pub(super) fn adapter(&self) -> Option<PathBuf> {
        adapter_file(&self.path)
    }

    /// What the run changed in the model, where its method does.
    pub(super) fn read_adapter(&self) -> Result<Option<LearnedAdapter>, CliError> {
        adapter_in(&self.path)
    }

    /// The concept that was scored after so many updates.
    pub(super) fn read_checkpoint(&self, steps: usize) -> Result<LearnedConcept, CliError> {
        let folder = self.checkpoint(steps);
        let embedding = read_embedding(&folder.join(embedding::FILE_NAME))?;
        Ok(LearnedConcept { embedding, adapter: adapter_in(&folder)? })
    }

    /// The options that the run was started with.
    pub(super) fn options(&self) -> Result<TrainOptions, CliError> {
        let path = self.config();
        Ok(TrainOptions::from_toml(&input::text(&path)?, &path.display().to_string())?)
    }

    /// An error of the run's options, which no flag of a command on a run sets: it names their file, and
    /// brings no hint to a flag. Where a run is to end, a flag does say.
    pub(super) fn of_options(&self, error: CliError) -> CliError {
        let CliError::Part(part) = &error else { return error };
        match option_of(part.as_ref()) {
            None | Some("max_train_steps") => error,
            Some(_) => CliError::Input(format!("`{}`: {error}", self.config().display())),
        }
    }

    /// Where the run can be gone on with; none where it was killed before its first checkpoint.
    pub(super) fn read_state(&self) -> Result<Option<TrainState>, CliError> {
        let file = self.state();
        let state = input::if_there(input::bytes(&file))?;
        state
            .map(|state| TrainState::from_bytes(&state))
            .transpose()
            .map_err(|error| CliError::Input(format!("`{}`: {error}", file.display())))
    }

    /// A concept that was scored on the way, and its samples.
    pub(super) fn checkpoint(&self, steps: usize) -> PathBuf {
        self.path.join(format!("checkpoints/{steps:05}"))
    }

    /// The samples of the kept concept, one file each.
    pub(super) fn sample_folder(&self) -> PathBuf {
        self.path.join("samples")
    }

    pub(super) fn class_pictures(&self) -> PathBuf {
        self.path.join("class_pictures")
    }

    pub(super) fn result(&self) -> PathBuf {
        self.path.join("result.json")
    }

    /// What each input of the deterministic evaluation is.
    pub(super) fn evaluation_inputs(&self) -> PathBuf {
        self.path.join("evaluation_inputs.json")
    }

    pub(super) fn timing(&self) -> PathBuf {
        self.path.join("timing.json")
    }

    pub(super) fn curve(&self) -> PathBuf {
        self.path.join("curve.svg")
    }

    pub(super) fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    pub(super) fn samples(&self, when: &str) -> PathBuf {
        self.path.join(format!("samples_{when}.png"))
    }
}

/// Whether a folder is a run's: it has its configuration, which is written before anything else.
pub(super) fn is_run(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// The adapter beside an embedding, where there is one.
fn adapter_in(folder: &Path) -> Result<Option<LearnedAdapter>, CliError> {
    adapter_file(folder).map(|file| read_adapter(&file)).transpose()
}

fn adapter_file(folder: &Path) -> Option<PathBuf> {
    let files = LearnedAdapter::FILE_NAMES.map(|name| folder.join(name));
    files.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_goes_on_holds_for_any_folder_and_device() {
        let go_on = |path: &str, device: &str| {
            let run = RunFolder { path: path.into(), ..RunFolder::default() };
            run.on_device(device).go_on()
        };
        assert_eq!(go_on("runs/my-cat", "auto"), "dvar train --resume runs/my-cat");
        assert_eq!(go_on("My Cat #1", "auto"), "dvar train --resume \"My Cat #1\"");
        assert_eq!(go_on("-cat", "cpu,cpu"), "dvar train --resume ./-cat --device cpu,cpu");
    }
}
