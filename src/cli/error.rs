//! What the user is told when a command fails, and the exit code.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use dvar_models::{ModelError, single_file::IS_LORA, tokenizer::TokenizerError};

use crate::{
    embedding::EmbeddingError,
    pipelines::PipelineError,
    session::{is_given, option_of, sentence, sources},
    tensor::DeviceError,
    trainer::TrainError,
};

/// A failed command. Any error becomes [`CliError::Part`] by `?`, with its sources.
#[derive(Debug)]
#[non_exhaustive]
pub enum CliError {
    /// What was asked for cannot be done as asked; a whole sentence.
    Input(String),
    /// Something failed on the way; a whole sentence.
    Failed(String),
    /// The error of a part of the program.
    Part(Box<dyn Error + Send + Sync>),
    /// A file could not be read.
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be written.
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A run ended by an error, and what it had learned was saved.
    Kept {
        /// What ended the run.
        error: Box<CliError>,
        /// The last good vectors.
        file: PathBuf,
    },
    /// Ended by the user, with everything saved.
    Interrupted,
}

impl CliError {
    /// An error that ends with the same code as the one or the others that it tells of.
    pub(super) fn with_code(code: u8, said: String) -> Self {
        if code == 2 { Self::Input(said) } else { Self::Failed(said) }
    }

    /// 2: what the user gave cannot be used. 1: something else failed, such as the device, the disk
    /// or a process. 130: the user ended the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Write { source, .. } if is_of_path(source) => 2,
            Self::Failed(_) | Self::Write { .. } => 1,
            Self::Read { source, .. } if is_machine(source) => 1,
            Self::Read { .. } => 2,
            Self::Part(error) => exit_code(error.as_ref()),
            Self::Kept { error, .. } => error.exit_code(),
            Self::Interrupted => 130,
        }
    }

    /// Whether a device failed.
    pub(super) fn is_of_device(&self) -> bool {
        match self {
            Self::Part(error) => sources(error.as_ref()).any(|error| error.is::<DeviceError>()),
            Self::Kept { error, .. } => error.is_of_device(),
            _ => false,
        }
    }

    /// What the user can do, where the message does not say it: the library knows no flags.
    pub fn hint(&self) -> Option<String> {
        let error = match self {
            Self::Part(error) => error.as_ref(),
            Self::Kept { error, .. } => return error.hint(),
            _ => return None,
        };
        let of_several = |error: &(dyn Error + 'static)| {
            let tokenizer = match error.downcast_ref() {
                Some(PipelineError::Tokenizer(error)) => Some(error),
                _ => error.downcast_ref(),
            };
            matches!(tokenizer, Some(TokenizerError::Initializer { pieces, .. }) if pieces.len() > 1)
        };
        if sources(error).any(of_several) {
            return Some("`--initializer-text` starts from all tokens of a text".into());
        }
        let of_adapter = |error: &(dyn Error + 'static)| {
            let learned = error.downcast_ref().is_some_and(EmbeddingError::is_about_adapter);
            let is_lora = |error: &ModelError| matches!(error, ModelError::Invalid { reason, .. } if reason == IS_LORA);
            let model = match error.downcast_ref() {
                Some(PipelineError::Model(error)) => Some(error),
                _ => error.downcast_ref(),
            };
            learned || model.is_some_and(is_lora)
        };
        if sources(error).any(of_adapter) {
            return Some("`dvar generate --lora FILE` draws with it, or says why not".into());
        }
        let full = |error: &(dyn Error + 'static)| {
            error.downcast_ref().is_some_and(DeviceError::is_out_of_memory)
        };
        if sources(error).any(full) {
            return Some(
                "less memory is needed with `--mixed-precision fp16` or `bf16`, and in training with \
                 `--gradient-checkpointing` or a smaller `--train-batch-size`, `--eval-batch-size` or \
                 `--resolution`; other programs may hold memory of the device, too"
                    .into(),
            );
        }
        let option = option_of(error)?;
        let flag = format!("--{}", option.replace('_', "-"));
        if self.to_string().contains(&flag) {
            return None;
        }
        let diverged = sources(error)
            .any(|error| matches!(error.downcast_ref(), Some(TrainError::NonFinite { .. })));
        Some(match option {
            "clip" => {
                format!("give a CLIP folder with `{flag}`, such as openai/clip-vit-base-patch32")
            }
            "train_data_dir" => format!("`dvar train FOLDER` gives it, as does `{flag}`"),
            _ if diverged => {
                format!("lower `{flag}`, or where fp16 computes take `--mixed-precision bf16`")
            }
            _ => format!("`{flag}` sets it"),
        })
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_path_buf(), source }
    }
}

/// The exit code for an error of the library or of another crate, by all that it comes from.
fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    let machine = sources(error).any(is_machine);
    if !machine && sources(error).any(is_given) { 2 } else { 1 }
}

/// Whether the device, the disk, the memory or the network failed.
fn is_machine(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let full = [OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
    error.is::<DeviceError>()
        || matches!(error.downcast_ref(), Some(ModelError::Download { .. }))
        || error.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind()))
}

/// Whether nothing can be written by that path, on however good a disk.
fn is_of_path(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
    };
    let of_path =
        [AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied];
    of_path.contains(&error.kind())
}

/// Whether Windows may have refused it since another program has the file open, as Excel has a table.
fn is_in_use(error: &io::Error) -> bool {
    const SHARING_VIOLATION: i32 = 32;
    cfg!(windows)
        && (error.kind() == io::ErrorKind::PermissionDenied
            || error.raw_os_error() == Some(SHARING_VIOLATION))
}

impl<E: Error + Send + Sync + 'static> From<E> for CliError {
    fn from(error: E) -> Self {
        Self::Part(Box::new(error))
    }
}

impl fmt::Display for CliError {
    /// One sentence, with what it comes from where the sentence does not say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) | Self::Failed(message) => f.write_str(message),
            Self::Part(error) => f.write_str(&sentence(error.as_ref())),
            Self::Read { path, source } => {
                let no_text = source.kind() == io::ErrorKind::InvalidData;
                let remedy = if no_text { "; save it again as text in UTF-8" } else { "" };
                write!(f, "cannot read `{}`: {source}{remedy}", path.display())
            }
            Self::Write { path, source } => {
                let remedy = match source {
                    error if is_in_use(error) => "close the program that may have it open, or ",
                    error if is_of_path(error) => "",
                    _ => "free some space or ",
                };
                let path = path.display();
                write!(f, "cannot write `{path}`: {source}; {remedy}choose another folder")
            }
            Self::Kept { error, file } => {
                write!(f, "{error}; the last good vectors are in `{}`", file.display())
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        concept::AdapterError, config::ConfigError, data::DataError,
        early_stopping::CriterionError, session::SessionError, trainer::Quantity,
    };

    fn code(error: impl Into<CliError>) -> u8 {
        error.into().exit_code()
    }

    #[test]
    fn a_device_that_fails_is_no_bad_input_wherever_it_fails() {
        let lost = || DeviceError::new("the device was lost");
        assert_eq!(code(lost()), 1);
        assert_eq!(code(PipelineError::from(lost())), 1);
        assert_eq!(code(EmbeddingError::from(lost())), 1);
        assert_eq!(code(AdapterError::from(lost())), 1);
        assert_eq!(code(TrainError::from(lost())), 1);
        assert_eq!(code(SessionError::from(PipelineError::from(lost()))), 1);
        assert_eq!(code(SessionError::from(EmbeddingError::from(lost()))), 1);
        assert_eq!(code(SessionError::from(AdapterError::from(lost()))), 1);
        assert_eq!(code(TrainError::callback("page", PipelineError::from(lost()))), 1);
    }

    #[test]
    fn what_a_device_without_memory_needs_is_told_and_its_failure_is_known() {
        let kept = |error: TrainError| {
            let (error, file) = (Box::new(CliError::from(error)), PathBuf::from("a"));
            CliError::Kept { error, file }
        };
        let full = || DeviceError::new("wgpu error: Out of Memory");
        let replica = kept(TrainError::replica("device `cuda:1`", full()));
        for error in [CliError::from(full()), replica] {
            assert!(error.hint().unwrap().contains("`--gradient-checkpointing`"), "{error}");
            assert!(error.is_of_device(), "{error}");
        }
        let lost = CliError::from(DeviceError::new("the device was lost"));
        assert!(lost.is_of_device() && lost.hint().is_none());
        let diverged =
            TrainError::NonFinite { what: Quantity::TrainingLoss, value: f64::NAN, step: 3 };
        assert!(!kept(diverged).is_of_device());
    }

    #[test]
    fn a_bad_option_is_2_and_its_hint_names_the_flag() {
        let window = ConfigError::from(CriterionError::Window { window: 1 });
        assert_eq!(code(ConfigError::from(CriterionError::Window { window: 1 })), 2);
        assert_eq!(CliError::from(window).hint().unwrap(), "`--window` sets it");
        let error =
            SessionError::NoScorer { option: "stopping", what: "samples", model: "m".into() };
        assert!(CliError::from(error).hint().unwrap().contains("`--clip`"));
        let pieces = vec!["blue</w>".to_string(), "cat</w>".to_string()];
        let initializer = TokenizerError::Initializer { word: "blue cat".into(), pieces };
        let hint = CliError::from(SessionError::from(initializer)).hint();
        assert!(hint.unwrap().contains("`--initializer-text`"));
        assert_eq!(code(TrainError::state("of another run")), 2);
        assert_eq!(code(DataError::NothingGiven), 2);
    }

    #[test]
    fn a_run_that_diverges_a_full_disk_or_a_lost_network_is_1() {
        let diverged =
            TrainError::NonFinite { what: Quantity::TrainingLoss, value: f64::NAN, step: 3 };
        assert_eq!(code(diverged), 1);
        let (file, reason) = ("someone/model".into(), "connection refused".into());
        assert_eq!(code(ModelError::Download { file, reason, remedy: "wait" }), 1);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(CliError::write(Path::new("a"), full()).exit_code(), 1);
        assert_eq!(CliError::read(Path::new("a"), full()).exit_code(), 1);
        let path = "a".to_string();
        assert_eq!(code(DataError::Unreadable { path: path.clone(), source: full() }), 1);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let too_long = io::Error::from(io::ErrorKind::InvalidFilename);
        for of_path in [missing(), io::Error::from(io::ErrorKind::PermissionDenied), too_long] {
            let refused = CliError::write(Path::new("a/b"), of_path);
            assert_eq!(refused.exit_code(), 2);
            assert!(!refused.to_string().contains("space"), "{refused}");
        }
        assert_eq!(CliError::read(Path::new("a"), missing()).exit_code(), 2);
        assert_eq!(code(DataError::Unreadable { path, source: missing() }), 2);
        assert_eq!(code(TrainError::callback("checkpoint", full())), 1);
        assert_eq!(CliError::Interrupted.exit_code(), 130);
    }

    #[cfg(windows)]
    #[test]
    fn a_file_that_another_program_has_open_is_told_to_be_closed_there() {
        use std::os::windows::fs::OpenOptionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("table1.csv");
        let _held = std::fs::File::options()
            .create_new(true)
            .write(true)
            .share_mode(0)
            .open(&file)
            .unwrap();
        let refused = crate::files::write_atomic(&file, b"variant").unwrap_err();
        let refused = CliError::write(&file, refused).to_string();
        assert!(refused.contains("; close the program that may have it open, or "), "{refused}");
    }

    #[test]
    fn a_source_that_the_message_does_not_tell_is_told_after_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file is bad")]
        struct Outer(#[source] io::Error);
        let error = CliError::from(Outer(io::Error::other("no magic number")));
        assert_eq!(error.to_string(), "the file is bad: no magic number");
        let path = "a".to_string();
        let said = CliError::from(DataError::Unreadable { path, source: io::Error::other("gone") });
        assert_eq!(said.to_string().matches("gone").count(), 1);
    }

    #[test]
    fn a_text_in_another_encoding_is_told_how_to_be_saved() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my-cat.toml");
        // as PowerShell 5 writes it by `>`
        std::fs::write(&file, b"\xff\xfes\0e\0e\0d\0").unwrap();
        let unread = CliError::read(&file, std::fs::read_to_string(&file).unwrap_err());
        assert!(unread.to_string().ends_with("; save it again as text in UTF-8"), "{unread}");
        assert_eq!(unread.exit_code(), 2);
    }
}
