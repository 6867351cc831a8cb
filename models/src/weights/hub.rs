//! Models by name from the Hugging Face Hub, into its usual cache (`HF_HOME`).

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};

use super::{Folder, HubFiles};
use crate::ModelError;

impl Folder {
    /// Downloads what dvar reads of `repository` (`owner/name`), or finds it in the cache.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unreadable`] if the Hub or one of the files cannot be had;
    /// [`ModelError::MissingFile`] if the repository lacks weights that dvar can read.
    pub fn from_hub(repository: &str) -> Result<Self, ModelError> {
        let hub = Repository::open(repository)?;
        hub.fetch(&hub.files.of_model(|file| hub.read(file))?)
    }

    /// Downloads a single network with what prepares its input, such as `facebook/dino-vits16`,
    /// or finds it in the cache.
    ///
    /// # Errors
    ///
    /// Those of [`from_hub`](Self::from_hub).
    pub fn scorer_from_hub(repository: &str) -> Result<Self, ModelError> {
        let hub = Repository::open(repository)?;
        hub.fetch(&hub.files.of_scorer(|file| hub.read(file))?)
    }
}

/// A repository and the names of its files.
struct Repository {
    name: String,
    repo: ApiRepo,
    files: HubFiles,
}

impl Repository {
    fn open(name: &str) -> Result<Self, ModelError> {
        let failed = |error| unreadable(name, "", error);
        let api = ApiBuilder::from_env().with_progress(true).build().map_err(failed)?;
        let repo = api.model(name.to_string());
        let listed = repo.info().map_err(failed)?.siblings;
        let files = HubFiles::new(name, listed.into_iter().map(|file| file.rfilename))?;
        Ok(Self { name: name.to_string(), repo, files })
    }

    fn get(&self, file: &str) -> Result<PathBuf, ModelError> {
        self.repo.get(file).map_err(|error| unreadable(&self.name, file, error))
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, ModelError> {
        let path = self.get(file)?;
        std::fs::read(&path).map_err(|error| ModelError::Unreadable {
            file: path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// The folder that the files lie in after their download. Each commit has one of its own, and what is
    /// found in the cache may be of an earlier one than what is downloaded: the second time, all files
    /// are of the latter.
    fn fetch(&self, files: &[String]) -> Result<Folder, ModelError> {
        let mut root = None;
        for file in files.iter().chain(files) {
            root = self.get(file)?.ancestors().nth(file.split('/').count()).map(Path::to_path_buf);
        }
        root.map(Folder).ok_or_else(|| ModelError::MissingFile {
            file: self.name.clone(),
            remedy: "the repository is empty".into(),
        })
    }
}

fn unreadable(repository: &str, file: &str, error: ApiError) -> ModelError {
    let file = match file {
        "" => repository.to_string(),
        file => format!("{repository}/{file}"),
    };
    let reason = format!(
        "the Hugging Face Hub does not give it ({error}); check the name and the connection"
    );
    ModelError::Unreadable { file, reason }
}
