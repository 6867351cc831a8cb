//! The flags.

use std::path::PathBuf;

/// Flags of `dvar evaluate`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EvaluateArgs {
    /// Run folder, or folder of generated pictures: directly in it or one sub-folder a prompt
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// Folder with the concept's own pictures [default: those that the run was trained on]
    #[arg(long, value_name = "DIR")]
    pub references: Option<PathBuf>,
    /// Prompt of the pictures, without the learned word; one for each sub-folder, in the order of
    /// their names, or one for each equal part of the pictures
    #[arg(long, short, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// CLIP model: a folder in transformers' layout, or its name on the Hub [default: the run's, or the
    /// model's own]
    #[arg(long, value_name = "DIR")]
    pub clip: Option<PathBuf>,
    /// DINO model: a folder in transformers' layout, or its name on the Hub, such as
    /// facebook/dino-vits16
    #[arg(long, value_name = "DIR")]
    pub dino: Option<PathBuf>,
    /// Folder with alexnet-owt-7be5be79.pth and alex.pth, for the diversity
    #[arg(long, value_name = "DIR")]
    pub lpips: Option<PathBuf>,
    /// Draw this many new pictures of each of the run's prompts
    /// [default: score those that it saved]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub n_images_per_prompt: Option<u64>,
    /// Further embedding that a run's pictures are drawn with; one with the run's own token takes
    /// the place of its embedding; `FILE=TOKEN` gives it another token; may be repeated
    #[arg(long, value_name = "FILE")]
    pub embedding: Vec<String>,
    /// What a run's pictures should not show
    #[arg(long, value_name = "TEXT")]
    pub negative_prompt: Option<String>,
    /// Take the negative prompt as it stands, even if it contains `(word:1.2)`, `embedding:name` or
    /// `<lora:name:1>`, to which A1111 and ComfyUI give a meaning
    #[arg(long, requires = "negative_prompt")]
    pub literal_prompts: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
    /// Write the JSON to this file too; it must not exist yet
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}
