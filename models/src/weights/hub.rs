//! Models by name from the Hugging Face Hub, into its usual cache (`HF_HOME`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hf_hub::{
    Cache,
    api::{
        RepoInfo,
        sync::{ApiBuilder, ApiError, ApiRepo},
    },
};

use super::{Folder, HubFiles};
use crate::ModelError;

/// How long the Hub has for the list of a repository's files, which is what it is asked first. hf-hub
/// itself waits as long as the system does, which is minutes where a network swallows what is sent.
const PATIENCE: Duration = Duration::from_secs(15);

impl Folder {
    /// Downloads what dvar reads of `repository` (`owner/name`), or finds it in the cache.
    ///
    /// # Errors
    ///
    /// [`ModelError::Download`] where nothing can be downloaded ([`in_hub_cache`](Self::in_hub_cache) needs no
    /// network); [`ModelError::Unreadable`] if the Hub does not give the repository or a file;
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

    /// What the cache has of `repository` (`owner/name`), if anything: the commit that was downloaded last,
    /// perhaps not all of it.
    pub fn in_hub_cache(repository: &str) -> Option<Self> {
        // no name of a file: the folder that they lie in
        Cache::from_env().model(repository.to_string()).get("").map(Self)
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
        let unlisted = |error| failed(name, "", error);
        let api = ApiBuilder::from_env().with_progress(true).build().map_err(unlisted)?;
        let repo = api.model(name.to_string());
        let listed = list(&repo, PATIENCE).map_err(unlisted)?.siblings;
        let files = HubFiles::new(name, listed.into_iter().map(|file| file.rfilename))?;
        Ok(Self { name: name.to_string(), repo, files })
    }

    fn get(&self, file: &str) -> Result<PathBuf, ModelError> {
        self.repo.get(file).map_err(|error| failed(&self.name, file, error))
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

/// Asks what a repository holds, as [`ApiRepo::info`] does, for so long at most.
fn list(repo: &ApiRepo, patience: Duration) -> Result<RepoInfo, ApiError> {
    let request = repo.info_request().config().timeout_global(Some(patience)).build();
    let mut response = request.call().map_err(Box::new)?;
    Ok(response.body_mut().read_json().map_err(Box::new)?)
}

/// Tells what the Hub refuses from what may succeed another time.
fn failed(repository: &str, file: &str, error: ApiError) -> ModelError {
    let file = match file {
        "" => repository.to_string(),
        file => format!("{repository}/{file}"),
    };
    let refused = match &error {
        ApiError::RequestError(error) => matches!(**error, ureq::Error::StatusCode(400..=404)),
        _ => false,
    };
    if !refused {
        return ModelError::Download { file, reason: error.to_string() };
    }
    let reason =
        format!("the Hugging Face Hub does not give it ({error}); check the name and your access");
    ModelError::Unreadable { file, reason }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_hub_that_never_answers_is_not_waited_for_without_end() {
        // it takes connections and says nothing
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let cache = Cache::new(std::env::temp_dir().join("dvar-no-hub"));
        let api = ApiBuilder::from_cache(cache).with_endpoint(endpoint).build().unwrap();
        let repo = api.model("someone/model".into());
        let error = list(&repo, Duration::from_millis(200)).unwrap_err();
        let error = failed("someone/model", "", error);
        assert!(matches!(error, ModelError::Download { .. }), "{error}");
        assert!(error.to_string().contains("timeout"), "{error}");
    }
}
