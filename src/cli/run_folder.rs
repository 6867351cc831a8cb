//! The folder of a run and what lies in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use dvar_models::unet::UNet2DConditionModel;

use super::{
    CliError,
    generate::{read_adapter, read_embedding},
};
use crate::{
    concept::{LearnedAdapter, Weights},
    config::TrainOptions,
    files::write_atomic,
};

const EMBEDDING: &str = "learned_embeds.safetensors";
const LORA: &str = "pytorch_lora_weights.safetensors";
const CUSTOM_DIFFUSION: &str = "pytorch_custom_diffusion_weights.safetensors";

/// Paths inside one run's folder.
#[derive(Clone, Debug)]
pub(super) struct RunFolder(PathBuf);

impl RunFolder {
    /// Creates the folder of a new run, with its configuration. A folder that the user named must
    /// not exist yet, or be empty; a default one is numbered until it is free.
    pub(super) fn create(
        named: Option<&Path>,
        placeholder_token: &str,
        config: &str,
    ) -> Result<Self, CliError> {
        let run =
            Self(free_folder(named, || Path::new("runs").join(folder_name(placeholder_token)))?);
        // the configuration before anything else: what has it can be resumed
        let written = Self::write(&run.config(), config.as_bytes());
        let state = written.and_then(|()| {
            fs::create_dir(run.0.join("state")).map_err(|e| CliError::write(&run.0, e))
        });
        state.inspect_err(|_| run.discard())?;
        Ok(run)
    }

    /// Takes back what [`create`](Self::create) made, when the run could not begin.
    ///
    /// A folder in which class pictures were drawn is kept, to be gone on with.
    pub(super) fn discard(&self) {
        if self.class_pictures().exists() {
            return;
        }
        // nothing more can be done about a folder that will not go
        let _ = fs::remove_file(self.config());
        let _ = fs::remove_dir(self.0.join("state"));
        let _ = fs::remove_dir(&self.0);
    }

    /// An existing run.
    pub(super) fn open(folder: &Path) -> Result<Self, CliError> {
        let run = Self(folder.to_path_buf());
        if run.config().is_file() {
            return Ok(run);
        }
        Err(CliError::Input(format!(
            "`{}` is no run folder: it has no `config.toml`; give the folder that `dvar train` wrote",
            folder.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    pub(super) fn metrics(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state/state.safetensors")
    }

    pub(super) fn embedding(&self) -> PathBuf {
        self.0.join(EMBEDDING)
    }

    /// The vectors as they started.
    pub(super) fn initial_embedding(&self) -> PathBuf {
        self.0.join("initial_embeds.safetensors")
    }

    /// The names of the files a learned concept may consist of.
    pub(super) fn concept_files(&self) -> [&'static str; 3] {
        [EMBEDDING, LORA, CUSTOM_DIFFUSION]
    }

    /// The learned concept, ready for the networks.
    pub(super) fn read_concept(
        &self,
        unet: &UNet2DConditionModel,
        device: &Device,
    ) -> Result<Weights, CliError> {
        let embedding = read_embedding(&self.embedding())?;
        let adapter = self.read_adapter()?;
        Weights::from_learned(&embedding, adapter.as_ref(), unet, device).map_err(CliError::input)
    }

    /// What the run changed in the model, where its method does.
    pub(super) fn read_adapter(&self) -> Result<Option<LearnedAdapter>, CliError> {
        let files = [LORA, CUSTOM_DIFFUSION].map(|name| self.0.join(name));
        files.iter().find(|file| file.is_file()).map(|file| read_adapter(file)).transpose()
    }

    /// The options that the run was started with.
    pub(super) fn options(&self) -> Result<TrainOptions, CliError> {
        let path = self.config();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| CliError::Input(format!("cannot read `{}`: {e}", path.display())))?;
        TrainOptions::from_toml(&text, &path.display().to_string()).map_err(CliError::input)
    }

    /// A concept that was scored on the way, and its samples.
    pub(super) fn checkpoint(&self, steps: usize) -> PathBuf {
        self.0.join(format!("checkpoints/{steps:05}"))
    }

    /// The samples of the kept concept, one file each.
    pub(super) fn sample_folder(&self) -> PathBuf {
        self.0.join("samples")
    }

    pub(super) fn class_pictures(&self) -> PathBuf {
        self.0.join("class_pictures")
    }

    pub(super) fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// What each input of the deterministic evaluation is.
    pub(super) fn evaluation_inputs(&self) -> PathBuf {
        self.0.join("evaluation_inputs.json")
    }

    pub(super) fn timing(&self) -> PathBuf {
        self.0.join("timing.json")
    }

    pub(super) fn curve(&self) -> PathBuf {
        self.0.join("curve.svg")
    }

    pub(super) fn samples(&self, when: &str) -> PathBuf {
        self.0.join(format!("samples_{when}.png"))
    }

    /// Writes a file whole or not at all.
    pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        write_atomic(path, bytes).map_err(|error| CliError::write(path, error))
    }
}

/// Creates the folder that the user named, which must not exist yet or be empty, or else the
/// first of `default`, `default-2`, ... that is free.
pub(super) fn free_folder(
    named: Option<&Path>,
    default: impl FnOnce() -> PathBuf,
) -> Result<PathBuf, CliError> {
    let folder = match named {
        Some(folder) => folder.to_path_buf(),
        None => {
            let first = default();
            let name = first.display().to_string();
            let numbered = (2..).map(|n| PathBuf::from(format!("{name}-{n}")));
            let free = |folder: &PathBuf| is_free(folder).unwrap_or(false);
            std::iter::once(first.clone()).chain(numbered).find(free).unwrap_or(first)
        }
    };
    let refuse = |what: &str| {
        CliError::Input(format!(
            "the output folder `{}` {what}; choose another one with `--output-dir`",
            folder.display()
        ))
    };
    match is_free(&folder) {
        Ok(true) => {}
        Ok(false) => return Err(refuse("exists and is not empty")),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(refuse("is a file or lies below one"));
        }
        Err(error) => return Err(refuse(&format!("cannot be read ({error})"))),
    }
    fs::create_dir_all(&folder).map_err(|e| refuse(&format!("cannot be created ({e})")))?;
    Ok(folder)
}

/// Whether nothing lies there, but for the beginnings of files that a kill left.
fn is_free(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.try_fold(true, |free, entry| {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            Ok(free && name.starts_with('.') && name.contains(".tmp-"))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A file name for a token: `<my cat>` gives `my-cat`.
fn folder_name(placeholder_token: &str) -> String {
    let name: String = placeholder_token
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { ' ' })
        .collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join("-");
    if name.is_empty() { "concept".into() } else { name }
}
