//! What stands for a model's files, so that whatever goes by a run, or a grid, notices when others lie in their
//! place.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use dvar_models::weights::{Folder, ModelSource, NETWORKS, weight_files};

use crate::{
    cli::{CliError, model, run_folder::RunFolder},
    config::TrainOptions,
    fingerprint::Fingerprint,
    session::{CheckedOptions, ModelMark},
};

/// How much is read of a file, and at how many places: all of one of 256 KiB, and of one of gigabytes as
/// little. Weights that were trained on, merged or rounded differ nearly everywhere.
const SAMPLE: u64 = 4096;
const SAMPLES: u64 = 64;

/// The marks that were made: the runs of a grid share a few models.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<[Option<PathBuf>; 2], String>);

impl Marks {
    /// That of the options' model, which was opened before, and of their CLIP.
    pub(super) fn of(&mut self, options: &TrainOptions) -> Result<String, CliError> {
        let paths = [options.data.model.clone(), options.samples.clip.clone()];
        if let Some(known) = self.0.get(&paths) {
            return Ok(known.clone());
        }
        let [path, clip] = &paths;
        let clip = clip.as_deref().map(|clip| model::scorer_files(clip, "--clip")).transpose()?;
        let made = mark(path.as_deref(), clip.as_ref())?;
        self.0.insert(paths, made.clone());
        Ok(made)
    }
}

/// A number for the configurations and the weights of a model, which was opened before, and of a CLIP: their
/// sizes, and what they hold at some places. A copy has the same, wherever it lies and whenever it was made.
pub(super) fn mark(path: Option<&Path>, clip: Option<&Folder>) -> Result<String, CliError> {
    let mut hash = Fingerprint::of(b"");
    match path.and_then(model::place) {
        Some(file) if file.is_file() => {
            hash = with_file(hash, &file)?;
            // which may say what the model predicts
            let beside = file.with_extension("yaml");
            if beside.is_file() {
                hash = with_file(hash, &beside)?;
            }
        }
        Some(folder) => {
            let scheduler = folder.join("scheduler/scheduler_config.json");
            hash = with_file(hash, &scheduler)?;
            let folder = Folder(folder);
            // with the scorer that it may bring
            for network in NETWORKS.iter().copied().chain(["clip"]) {
                if folder.has(&format!("{network}/config.json")) {
                    hash = with_network(hash, &folder, network)?;
                }
            }
        }
        None => hash = with_embedded(hash)?,
    }
    // one that lacks a part is refused by whoever opens it, who knows what else such a folder holds
    let whole = |clip: &&Folder| clip.has("config.json") && weight_files(*clip, ".").is_ok();
    if let Some(clip) = clip.filter(whole) {
        hash = with_network(hash, clip, ".")?;
    }
    Ok(format!("{:016x}", hash.0))
}

/// Warns where what a run has learned is applied to other files of its model than it began with. Only a run that
/// goes on is refused there: those who put them there may want just that.
pub(super) fn warn_of_other_files(
    run: &RunFolder,
    checked: &CheckedOptions,
) -> Result<(), CliError> {
    let Some(state) = run.read_state()? else { return Ok(()) };
    let CheckedOptions { options, config, .. } = checked;
    let clip = config.clip.as_deref().and_then(model::place).map(Folder);
    if config.clip.is_some() && clip.is_none() {
        // one number stands for it and the model together
        return Ok(());
    }
    if !ModelMark(mark(options.data.model.as_deref(), clip.as_ref())?).is_of(&state)? {
        eprintln!("warning: {}, or the result may be another one", other_files(run, checked));
    }
    Ok(())
}

/// What is said of a run whose model, or CLIP, has other files than it began with.
pub(super) fn other_files(run: &RunFolder, checked: &CheckedOptions) -> String {
    let CheckedOptions { options, config, model } = checked;
    let (clip, remedy) = match &config.clip {
        Some(clip) => (format!(", or of its CLIP, `{}`,", clip.display()), "put those back"),
        None if model::is_embedded(options.data.model.as_deref()) => {
            (String::new(), "take the version of dvar that began it")
        }
        None => (String::new(), "put those back"),
    };
    format!(
        "the run `{}` was begun with other files of its model, `{}`{clip} than are there now; {remedy}",
        run.path().display(),
        model.name()
    )
}

fn with_network(
    hash: Fingerprint,
    folder: &Folder,
    network: &str,
) -> Result<Fingerprint, CliError> {
    let weights = weight_files(folder, network)?;
    let mut files = std::iter::once(format!("{network}/config.json")).chain(weights);
    files.try_fold(hash, |hash, file| with_file(hash, &folder.0.join(file)))
}

fn with_file(hash: Fingerprint, path: &Path) -> Result<Fingerprint, CliError> {
    let hashed = File::open(path).and_then(|file| with_content(hash, file));
    hashed.map_err(|error| CliError::read(path, error))
}

/// With the model that is part of this program.
#[cfg(feature = "embedded")]
fn with_embedded(hash: Fingerprint) -> Result<Fingerprint, CliError> {
    let files = dvar_models::pretrained::dvar_tiny_emoji().map(|(files, _)| files.0);
    // the others advise how a run begins, and do not count once it has
    let mut parts = files.unwrap_or_default().into_iter().filter(|(file, _)| file.contains('/'));
    Ok(parts.try_fold(hash, |hash, (_, bytes)| with_content(hash, io::Cursor::new(bytes)))?)
}

#[cfg(not(feature = "embedded"))]
fn with_embedded(hash: Fingerprint) -> Result<Fingerprint, CliError> {
    Ok(hash)
}

fn with_content(hash: Fingerprint, mut content: impl Read + Seek) -> io::Result<Fingerprint> {
    let length = content.seek(SeekFrom::End(0))?;
    let last = length.saturating_sub(SAMPLE);
    let mut hash = hash.and(&length.to_le_bytes());
    for place in 0..SAMPLES {
        let mut sample = Vec::new();
        content.seek(SeekFrom::Start(last * place / (SAMPLES - 1)))?;
        content.by_ref().take(SAMPLE).read_to_end(&mut sample)?;
        hash = hash.and(&sample);
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with no more than is looked at.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("scheduler/scheduler_config.json", 40),
            ("unet/config.json", 100),
            ("unet/diffusion_pytorch_model.safetensors", 1_000_003),
            ("vae/config.json", 0),
            ("vae/diffusion_pytorch_model.bin", 262_143),
        ] {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, vec![7; bytes]).unwrap();
        }
        folder
    }

    fn of(path: &Path) -> String {
        mark(Some(path), None).unwrap()
    }

    #[test]
    fn other_weights_or_configurations_in_the_same_place_are_noticed() {
        let (one, other) = (folder(), folder());
        let known = of(one.path());
        assert_eq!(known, of(other.path()), "wherever they lie");
        for name in [
            "scheduler/scheduler_config.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.bin",
        ] {
            let file = other.path().join(name);
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, vec![8; bytes.len()]).unwrap();
            assert_ne!(known, of(other.path()), "{name}");
            fs::write(&file, &bytes).unwrap();
            assert_eq!(known, of(other.path()), "{name}");
            let mut last = bytes;
            *last.last_mut().unwrap() = 8;
            fs::write(&file, &last).unwrap();
            assert_ne!(known, of(other.path()), "the last byte of {name}");
            *last.last_mut().unwrap() = 7;
            fs::write(&file, &last).unwrap();
        }
    }

    #[test]
    fn what_is_not_read_of_a_folder_does_not_count() {
        let folder = folder();
        let known = of(folder.path());
        // safetensors come first
        for name in ["README.md", "unet/diffusion_pytorch_model.bin", "v1-5-pruned.ckpt"] {
            fs::write(folder.path().join(name), "more").unwrap();
        }
        assert_eq!(known, of(folder.path()));
    }

    #[test]
    fn a_single_file_and_a_scorer_are_looked_at_too() {
        let folder = folder();
        let unet = folder.path().join("unet");
        let scorer = Folder(unet.clone());
        assert_ne!(of(folder.path()), mark(Some(folder.path()), Some(&scorer)).unwrap());
        let file = unet.join("diffusion_pytorch_model.safetensors");
        let known = of(&file);
        fs::write(file.with_extension("yaml"), "parameterization: v").unwrap();
        assert_ne!(known, of(&file), "the configuration beside it");
        fs::remove_file(file.with_extension("yaml")).unwrap();
        fs::write(&file, vec![7; 1_000_004]).unwrap();
        assert_ne!(known, of(&file));
    }

    #[test]
    fn no_byte_of_a_small_file_is_left_out() {
        let of = |bytes: &[u8]| with_content(Fingerprint::of(b""), io::Cursor::new(bytes)).unwrap();
        for length in [1, 4096, 4097, 9000, 262_143] {
            let mut bytes = vec![7; length];
            let known = of(&bytes);
            for place in (0..length).step_by(977).chain([length - 1]) {
                bytes[place] = 8;
                assert_ne!(of(&bytes), known, "byte {place} of {length}");
                bytes[place] = 7;
            }
        }
        assert_eq!(of(b"").0, Fingerprint::of(&[0; 8]).0);
    }
}
