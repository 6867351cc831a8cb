//! Models by name from the Hugging Face Hub, into the cache of its own tools.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use hf_hub::{
    CacheRepo,
    api::{
        Progress, RepoInfo,
        sync::{Api, ApiBuilder, ApiError, ApiRepo},
    },
};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Folder, HubFiles, hub_environment as environment, source::unreadable};
use crate::ModelError;

/// How long the Hub has for the list of a repository's files, which is what it is asked first. hf-hub
/// itself waits as long as the system does, which is minutes where a network swallows what is sent.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing may come of a file. hf-hub itself would wait for ever.
const STALL: Duration = Duration::from_secs(60);

impl Folder {
    /// Downloads what dvar reads of `repository` (`owner/name`), or finds it in the cache. `check` gets
    /// the small files before the weights, which can be gigabytes, are asked for.
    ///
    /// # Errors
    ///
    /// [`ModelError::Download`] where nothing can be downloaded ([`in_hub_cache`](Self::in_hub_cache) needs no
    /// network); [`ModelError::Unreadable`] if the Hub does not give the repository or a file;
    /// [`ModelError::MissingFile`] if the repository lacks weights that dvar can read; those of `check`.
    pub fn from_hub<E: From<ModelError>>(
        repository: &str,
        check: impl FnOnce(Self) -> Result<(), E>,
    ) -> Result<Self, E> {
        let hub = Repository::open(repository)?;
        check(hub.fetch(&hub.files.small_of_model()?)?)?;
        Ok(hub.fetch(&hub.files.of_model(|file| hub.read(file))?)?)
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
        environment::cache().model(repository.to_string()).get("").map(Self)
    }
}

/// A repository and the names of its files.
struct Repository {
    name: String,
    api: Api,
    repo: Arc<ApiRepo>,
    cached: CacheRepo,
    files: HubFiles,
}

impl Repository {
    fn open(name: &str) -> Result<Self, ModelError> {
        if environment::is_offline() {
            return Err(ModelError::Download {
                file: name.into(),
                reason: "`HF_HUB_OFFLINE` is set".into(),
                remedy: "unset it and run the command again, or name a folder on this machine",
            });
        }
        let cache = environment::cache();
        let mut asks = ApiBuilder::from_cache(cache.clone()).with_token(environment::token());
        if let Some(endpoint) = environment::endpoint() {
            asks = asks.with_endpoint(endpoint);
        }
        let unlisted = |error| failed(name, "", error);
        let api = asks.build().map_err(unlisted)?;
        let repo = api.model(name.to_string());
        let listed = list(&repo, PATIENCE).map_err(unlisted)?.siblings;
        let files = HubFiles::new(name, listed.into_iter().map(|file| file.rfilename))?;
        let cached = cache.model(name.to_string());
        Ok(Self { name: name.to_string(), api, repo: Arc::new(repo), cached, files })
    }

    fn get(&self, file: &str) -> Result<PathBuf, ModelError> {
        loop {
            if let Some(path) = self.cached.get(file) {
                return Ok(path);
            }
            match download(&self.repo, file, STALL) {
                Ok((path, size)) => return self.whole(file, path, size),
                // another process downloads it; after that it is in the cache
                Err(ApiError::LockAcquisition(lock)) if is_released(&lock, file) => {}
                Err(error) if nothing_is_left(&error) && self.begins_anew(file) => {}
                Err(error) => return Err(failed(&self.name, file, error)),
            }
        }
    }

    /// A file that has come, unless it is cut off or longer than the Hub says: hf-hub takes what comes, and in
    /// the cache it would be found for ever.
    fn whole(&self, file: &str, path: PathBuf, size: u64) -> Result<PathBuf, ModelError> {
        let unreadable = |error| unreadable(path.display().to_string(), &error);
        let come = fs::metadata(&path).map_err(unreadable)?.len();
        if come == size {
            return Ok(path);
        }
        path.canonicalize().and_then(fs::remove_file).map_err(unreadable)?;
        // mostly it was a link to that
        let _ = fs::remove_file(&path);
        Err(ModelError::Download {
            file: format!("{}/{file}", self.name),
            reason: format!("{come} bytes have come in place of {size}"),
            remedy: "check the connection, and run the command again",
        })
    }

    /// Removes what an earlier attempt left of a file; whether there was anything.
    fn begins_anew(&self, file: &str) -> bool {
        let Ok(found) = self.api.metadata(&self.repo.url(file)) else { return false };
        let left = self.cached.blob_path(found.etag()).with_extension("part");
        fs::metadata(&left).is_ok_and(|left| left.len() > 0) && fs::remove_file(left).is_ok()
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, ModelError> {
        let path = self.get(file)?;
        fs::read(&path).map_err(|error| unreadable(path.display().to_string(), &error))
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

/// Downloads a file, and gives up when nothing has come of it for so long; also gives how long the Hub says
/// that it is. The thread that waits is then left behind, until the program ends.
fn download(
    repo: &Arc<ApiRepo>,
    file: &str,
    patience: Duration,
) -> Result<(PathBuf, u64), ApiError> {
    let (came, coming) = mpsc::channel();
    let shown = Shown { bar: bar(file), size: 0, came };
    let (repo, file) = (Arc::clone(repo), file.to_string());
    let download = thread::spawn(move || repo.download_with_progress(&file, shown));
    let mut size = 0;
    loop {
        match coming.recv_timeout(patience) {
            Ok(told) => size = told,
            Err(RecvTimeoutError::Timeout) => {
                let reason = format!("nothing has come for {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason).into());
            }
            // all has come, or nothing more will
            Err(RecvTimeoutError::Disconnected) => {
                // hf-hub panics at answers that the Hub itself never gives
                let answer = || io::Error::other("its answer is none of the Hub's").into();
                return download.join().unwrap_or_else(|_| Err(answer())).map(|path| (path, size));
            }
        }
    }
}

/// A download's line in the terminal, and who is told that it goes on.
struct Shown {
    bar: ProgressBar,
    size: u64,
    came: Sender<u64>,
}

impl Progress for Shown {
    fn init(&mut self, size: usize, _: &str) {
        self.size = size as u64;
        self.bar.set_length(self.size);
    }

    fn update(&mut self, size: usize) {
        self.bar.inc(size as u64);
        // whoever has given up does not listen
        let _ = self.came.send(self.size);
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn bar(file: &str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(file.to_string());
    match ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {eta} left {wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Waits until no other process holds the lock of a file's download; not where locks do not work.
fn is_released(lock: &Path, file: &str) -> bool {
    let waiting = format!("another process downloads {file}");
    let line = ProgressBar::new_spinner().with_message(waiting);
    line.tick();
    let released = File::open(lock).is_ok_and(|lock| lock.lock().is_ok());
    line.finish_and_clear();
    released
}

/// Whether the Hub was asked for the rest of a file of which as much lies here as it has, or more: hf-hub was
/// ended before it gave the file its name, and would ask so each time.
fn nothing_is_left(error: &ApiError) -> bool {
    match error {
        ApiError::InvalidResume => true,
        ApiError::RequestError(error) => matches!(**error, ureq::Error::StatusCode(416)),
        _ => false,
    }
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
        let remedy = "check the connection and the space on the disk, and run the command again: what has \
                      come is kept";
        return ModelError::Download { file, reason: error.to_string(), remedy };
    }
    let reason = format!(
        "the Hugging Face Hub does not give it ({error}); check the name and, where the model is private or \
         has terms to be accepted, accept them on its page and give your token by `HF_TOKEN`"
    );
    ModelError::Unreadable { file, reason }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use hf_hub::Cache;

    use super::*;

    /// A repository of a server that takes connections and says nothing, for as long as the listener is kept.
    fn silent() -> (TcpListener, ApiRepo) {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let cache = Cache::new(std::env::temp_dir().join("dvar-no-hub"));
        let api = ApiBuilder::from_cache(cache).with_endpoint(endpoint).build().unwrap();
        (silent, api.model("someone/model".into()))
    }

    #[test]
    fn a_hub_that_never_answers_is_not_waited_for_without_end() {
        let (_silent, repo) = silent();
        let error = list(&repo, Duration::from_millis(200)).unwrap_err();
        let error = failed("someone/model", "", error);
        assert!(matches!(error, ModelError::Download { .. }), "{error}");
        assert!(error.to_string().contains("timeout"), "{error}");
    }

    #[test]
    fn a_file_of_which_nothing_comes_is_not_waited_for_without_end() {
        let (_silent, repo) = silent();
        let error = download(&Arc::new(repo), "a", Duration::from_millis(200)).unwrap_err();
        let error = failed("someone/model", "a", error);
        assert!(matches!(error, ModelError::Download { .. }), "{error}");
        assert!(error.to_string().contains("nothing has come for 200ms"), "{error}");
    }
}
