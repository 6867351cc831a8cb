//! `dvar convert`

use std::path::{Path, PathBuf};

use super::{CliError, learned::read_named, output::write, run_folder::plain_name};
use crate::embedding::{EmbeddingFormat, LearnedEmbedding, Written};

/// Flags of `dvar convert`.
#[derive(Debug, clap::Args)]
pub(super) struct ConvertArgs {
    /// Embedding file of any known form; `FILE=TOKEN` gives it another token
    #[arg(value_name = "FILE")]
    file: String,
    /// The tool that is to read it
    #[arg(long, value_name = "TOOL")]
    to: EmbeddingFormat,
    /// File to write, or folder for it; it must not exist yet [default: named after the token, in the
    /// working folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ConvertArgs) -> Result<(), CliError> {
    let embedding = read_named(&args.file)?;
    let files = args.to.write(&embedding);
    let stem = stem(args, &embedding, &files)?;
    let paths: Vec<PathBuf> = files.iter().map(|file| with_ending(&stem, file)).collect();
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return Err(CliError::Input(format!(
            "`{}` exists already; choose another file with `--output`",
            path.display()
        )));
    }
    for (path, file) in paths.iter().zip(&files) {
        write(path, &file.bytes)?;
        println!("embedding  {}", path.display());
    }
    let word = if args.to.is_named_by_file() {
        stem.file_name().unwrap_or_default().to_string_lossy().into_owned()
    } else {
        embedding.placeholder_token().to_owned()
    };
    println!("token      {}", in_prompts(args.to, &word));
    Ok(())
}

/// How the word is written in a prompt.
fn in_prompts(format: EmbeddingFormat, word: &str) -> String {
    match format {
        EmbeddingFormat::Comfyui => format!("`embedding:{word}`, by the file's name"),
        format if format.is_named_by_file() => format!("`{word}`, by the file's name"),
        _ => format!("`{word}`"),
    }
}

/// The path of the files without what each ends in.
fn stem(
    args: &ConvertArgs,
    embedding: &LearnedEmbedding,
    files: &[Written],
) -> Result<PathBuf, CliError> {
    let name = plain_name(embedding.placeholder_token());
    let Some(output) = &args.output else { return Ok(name.into()) };
    if output.is_dir() {
        return Ok(output.join(name));
    }
    let ending = files.first().map_or("", |file| &file.ending);
    let given = output.to_string_lossy();
    given.strip_suffix(ending).filter(|stem| !stem.is_empty()).map(PathBuf::from).ok_or_else(|| {
        CliError::Input(format!(
            "`--output` is `{given}`, and {} reads this embedding from a file that ends in `{ending}`; \
             call it so",
            args.to.name()
        ))
    })
}

fn with_ending(stem: &Path, file: &Written) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(&file.ending);
    path.into()
}

/// Writes an embedding's files in the forms that a run was asked for, each in a folder of its name.
pub(super) fn write_formats(
    folder: &Path,
    formats: &[EmbeddingFormat],
    embedding: &LearnedEmbedding,
) -> Result<(), CliError> {
    for format in formats {
        let folder = folder.join(format.name());
        std::fs::create_dir_all(&folder).map_err(|error| CliError::write(&folder, error))?;
        let stem = folder.join(plain_name(embedding.placeholder_token()));
        for file in format.write(embedding) {
            let path = with_ending(&stem, &file);
            write(&path, &file.bytes)?;
            println!("embedding  {}, for {}", path.display(), format.name());
        }
    }
    Ok(())
}
