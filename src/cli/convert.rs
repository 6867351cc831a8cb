//! `dvar convert`

use std::path::{Path, PathBuf};

use super::{
    CliError,
    learned::{is_about_adapter, is_about_numbers, read_adapter, read_named, split},
    names::plain_name,
    output::{check_new, create_folder, write},
};
use crate::{
    concept::{LearnedAdapter, LearnedConcept, Lora, LoraFormat},
    embedding::{EmbeddingFormat, LearnedEmbedding, Written},
};

/// Flags of `dvar convert`.
#[derive(Debug, clap::Args)]
pub(super) struct ConvertArgs {
    /// Embedding file or LoRA of any known form; `FILE=TOKEN` gives an embedding another token
    #[arg(value_name = "FILE")]
    file: String,
    /// The tool that is to read it
    #[arg(long, value_name = "TOOL")]
    to: EmbeddingFormat,
    /// File to write, or folder for it; it must not exist yet [default: named after the token, or
    /// after a LoRA's file, in the working folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ConvertArgs) -> Result<(), CliError> {
    let embedding = match read_named(&args.file) {
        Err(error) if is_about_adapter(&error) => return lora(args),
        read => read?,
    };
    let files = args.to.write(&embedding);
    let stem = stem(args, &embedding, &files)?;
    let paths: Vec<PathBuf> = files.iter().map(|file| with_ending(&stem, &file.ending)).collect();
    // a file that is no LoRA too is an embedding alone
    let lora = match read_adapter(Path::new(split(&args.file).0)) {
        Ok(LearnedAdapter::Lora(lora)) => Some(lora),
        Err(error) if is_about_numbers(&error) => {
            eprintln!("note: the LoRA in it is left out: {error}");
            None
        }
        _ => None,
    };
    let lora_path = with_ending(&stem, "-lora.safetensors");
    for path in paths.iter().chain(lora.as_ref().map(|_| &lora_path)) {
        check_new(path)?;
    }
    // before the embedding is written: of both files, none is left alone
    let lora = match lora {
        Some(lora) => Some((lora_bytes(&lora, args.to, &lora_path)?, lora)),
        None => None,
    };
    let word = word(args.to, &stem, &embedding);
    let ends = |c: char| c.is_whitespace() || "<[".contains(c);
    if args.to == EmbeddingFormat::Comfyui && word.contains(ends) {
        return Err(CliError::Input(format!(
            "ComfyUI reads `embedding:{word}` up to its first space, `<` or `[`; name the file without \
             these by `--output`"
        )));
    }
    for (path, file) in paths.iter().zip(&files) {
        write(path, &file.bytes)?;
        println!("embedding  {}", path.display());
    }
    println!("token      {}", in_prompts(args.to, &word));
    match lora {
        Some((bytes, lora)) => write_lora(&lora, &bytes, args.to, &lora_path),
        None => Ok(()),
    }
}

/// Writes a LoRA by the names that a tool reads.
fn lora(args: &ConvertArgs) -> Result<(), CliError> {
    let (file, token) = split(&args.file);
    if let Some(token) = token {
        return Err(CliError::Input(format!(
            "`{file}` holds no embedding, and only an embedding has a token; leave `={token}` out"
        )));
    }
    let given = Path::new(file);
    let LearnedAdapter::Lora(lora) = read_adapter(given)? else {
        return Err(CliError::Input(format!(
            "`{file}` holds Custom Diffusion's weights, which diffusers and dvar read as they are; there \
             is nothing to convert"
        )));
    };
    let name = || {
        let stem = given.file_stem().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{stem}-{}.safetensors", args.to.name()))
    };
    let path = match &args.output {
        None => name(),
        Some(folder) if folder.is_dir() => folder.join(name()),
        Some(file) if file.extension().is_some_and(|ending| ending == "safetensors") => {
            file.clone()
        }
        Some(file) => return Err(wrong_ending(file, args.to, "LoRA", ".safetensors")),
    };
    check_new(&path)?;
    write_lora(&lora, &lora_bytes(&lora, args.to, &path)?, args.to, &path)
}

/// The file of a LoRA for a tool, to be written to this path.
fn lora_bytes(lora: &Lora, to: EmbeddingFormat, path: &Path) -> Result<Vec<u8>, CliError> {
    // all tools but diffusers read sd-scripts' names
    let bytes = match to {
        EmbeddingFormat::Diffusers => lora.to_peft(),
        _ => lora.to_kohya(None),
    };
    bytes.map_err(|problem| {
        CliError::Input(format!("`{}` cannot be written: {problem}", path.display()))
    })
}

/// Writes it, and says what its tool leaves out.
fn write_lora(lora: &Lora, bytes: &[u8], to: EmbeddingFormat, path: &Path) -> Result<(), CliError> {
    write(path, bytes)?;
    println!("lora       {}", path.display());
    if lora.has_differences() {
        eprintln!(
            "note: its whole differences of weights, norms and biases are written as ComfyUI has them, \
             and other tools may leave them out"
        );
    }
    if lora.changes_tables() {
        let tool = to.name();
        eprintln!(
            "note: its layers of embedding tables are written too, and {tool} leaves them out"
        );
    }
    Ok(())
}

/// What a tool calls the embedding in the files of this path.
fn word(to: EmbeddingFormat, stem: &Path, embedding: &LearnedEmbedding) -> String {
    if to.is_named_by_file() {
        stem.file_name().unwrap_or_default().to_string_lossy().into_owned()
    } else {
        embedding.placeholder_token().to_owned()
    }
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
    let stem = given.strip_suffix(ending).filter(|stem| !stem.is_empty()).map(PathBuf::from);
    stem.ok_or_else(|| wrong_ending(output, args.to, "embedding", ending))
}

fn wrong_ending(output: &Path, to: EmbeddingFormat, what: &str, ending: &str) -> CliError {
    CliError::Input(format!(
        "`--output` is `{}`, and {} reads this {what} from a file that ends in `{ending}`; call it so",
        output.display(),
        to.name()
    ))
}

fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(ending);
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
        create_folder(&folder)?;
        let stem = folder.join(plain_name(embedding.placeholder_token()));
        let word = in_prompts(*format, &word(*format, &stem, embedding));
        for file in format.write(embedding) {
            let path = with_ending(&stem, &file.ending);
            write(&path, &file.bytes)?;
            let to = place(*format);
            println!("embedding  {}, for {to}; in prompts {word}", path.display());
        }
    }
    Ok(())
}

/// The program, or its folder for embeddings where that is well known.
fn place(format: EmbeddingFormat) -> &'static str {
    match format {
        EmbeddingFormat::A1111 => "A1111's folder `embeddings`",
        EmbeddingFormat::Comfyui => "ComfyUI's folder `models/embeddings`",
        _ => format.name(),
    }
}

/// Writes a run's LoRA, for a denoiser with so many residual blocks in each level, in the forms that it was
/// asked for, each in a folder of its name.
pub(super) fn write_lora_formats(
    folder: &Path,
    formats: &[LoraFormat],
    concept: &LearnedConcept,
    layers_per_block: usize,
) -> Result<(), CliError> {
    let Some(LearnedAdapter::Lora(lora)) = &concept.adapter else { return Ok(()) };
    for format in formats {
        let folder = folder.join(format.name());
        create_folder(&folder)?;
        let name = plain_name(concept.embedding.placeholder_token());
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = format.write(lora, &concept.embedding, layers_per_block);
        write(&path, &bytes.map_err(CliError::Failed)?)?;
        println!("lora       {}, for {}", path.display(), format.name());
    }
    Ok(())
}
