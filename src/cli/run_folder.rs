//! The folder of a run and what lies in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::CliError;
use crate::files::write_atomic;

/// Paths inside one run's folder.
#[derive(Clone, Debug)]
pub(super) struct RunFolder(PathBuf);

impl RunFolder {
    /// Creates the folder of a new run. A folder that the user named must not exist yet, or be
    /// empty; a default one is numbered until it is free.
    pub(super) fn create(named: Option<&Path>, placeholder_token: &str) -> Result<Self, CliError> {
        let folder = match named {
            Some(folder) => {
                check_free(folder)?;
                folder.to_path_buf()
            }
            None => default_folder(placeholder_token),
        };
        let run = Self(folder);
        fs::create_dir_all(run.0.join("state")).map_err(|e| {
            CliError::Input(format!(
                "cannot create the output folder `{}`: {e}; choose another one with `--output-dir`",
                run.0.display()
            ))
        })?;
        Ok(run)
    }

    /// Takes back what [`create`](Self::create) made, when the run could not begin.
    pub(super) fn discard(&self) {
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

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state/state.safetensors")
    }

    pub(super) fn embedding(&self) -> PathBuf {
        self.0.join("learned_embeds.safetensors")
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

fn check_free(folder: &Path) -> Result<(), CliError> {
    let taken = |what: &str| {
        CliError::Input(format!(
            "the output folder `{}` {what}; choose another one with `--output-dir`, or go on with that run by `--resume`",
            folder.display()
        ))
    };
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(taken("exists and is not empty")),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(taken("is a file")),
        Err(error) => Err(taken(&format!("cannot be read ({error})"))),
    }
}

fn default_folder(placeholder_token: &str) -> PathBuf {
    let name: String = placeholder_token
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { ' ' })
        .collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join("-");
    let name = if name.is_empty() { "concept".into() } else { name };
    let first = PathBuf::from("runs").join(&name);
    let numbered = (2..).map(|n| PathBuf::from("runs").join(format!("{name}-{n}")));
    std::iter::once(first.clone()).chain(numbered).find(|folder| !folder.exists()).unwrap_or(first)
}
