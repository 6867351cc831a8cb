//! The command lines of the paper's official code (<https://github.com/yandex-research/DVAR>): each
//! flag, spelled as there, becomes its own name here, or a note that says why it has none.

mod flags;
mod line;

use std::ffi::OsString;

use super::CliError;
use flags::{Rewrite, Translation};
use line::{Line, Word};

/// The values of `-m`, and what Custom Diffusion takes for the first.
const SD: &str = "sd";
const LDM: &str = "ldm";
const SD_OF_CUSTOM_DIFFUSION: &str = "CompVis/stable-diffusion-v1-4";
/// The official code's CLIP, by OpenAI's name and by its name on the Hub.
const CLIP: (&str, &str) = ("ViT-B/32", "openai/clip-vit-base-patch32");

/// A command line in this program's own flags.
#[derive(Debug)]
pub(super) struct Translated {
    pub args: Vec<OsString>,
    /// What the user should know of it, a line each.
    pub notes: Vec<String>,
}

/// Translates `dvar train` with flags of the official code; any other command line stays as it is.
///
/// A flag that the official code never had keeps its name, with hyphens for underscores. It has no
/// `--resume`: a line with that stays as it is, too.
///
/// # Errors
///
/// [`CliError::Input`] for values that the official code refuses too.
pub(super) fn translate(args: Vec<OsString>) -> Result<Translated, CliError> {
    let words = match args.get(..2) {
        Some([_, command]) if command == "train" => line::read(&args[2..]),
        _ => Vec::new(),
    };
    let official = |word: &Word| matches!(word, Word::Official(flag, _) if flag.is_official());
    let is_official = words.iter().any(official);
    let line = Line(words);
    // the official code resumes nothing, and no preset may stand beside that flag
    if !is_official || line.has("--resume") {
        return Ok(Translated { args, notes: Vec::new() });
    }
    let mut out = Output { args: args[..2].to_vec(), ..Output::default() };
    if !line.has("--preset") {
        out.flag("preset", "official");
        out.notes.push(
            "these are flags of the official code: where one is left out, its default holds here too (`--preset official`)"
                .into(),
        );
    }
    for word in &line.0 {
        match word {
            Word::Own(word) => out.args.push(word.clone()),
            Word::Official(flag, value) => match (&flag.here, value) {
                (Translation::Same, value) => {
                    out.maybe(&flag.name.replace('_', "-"), value.as_ref())
                }
                (Translation::Renamed(name), value) => out.maybe(name, value.as_ref()),
                (Translation::Nothing(instead), _) => {
                    out.notes.push(format!("`--{}` {instead}", flag.name));
                }
                (Translation::Depends(rule), None) if flag.takes_value => {
                    out.maybe(rule.names()[0], None);
                }
                (Translation::Depends(_), Some(value)) if !flag.takes_value => {
                    return Err(CliError::Input(format!(
                        "`--{}` takes no value, but has `{}`; leave the value out",
                        flag.name,
                        value.display()
                    )));
                }
                (Translation::Depends(rule), value) => {
                    let value = value.clone().unwrap_or_default();
                    depends(flag.name, rule, &value, &line, &mut out)?;
                }
            },
        }
    }
    conclude(&line, &mut out);
    Ok(Translated { args: out.args, notes: out.notes })
}

#[derive(Default)]
struct Output {
    args: Vec<OsString>,
    notes: Vec<String>,
}

impl Output {
    /// `--name=value`: one word, whatever the value begins with.
    fn flag(&mut self, name: &str, value: impl Into<OsString>) {
        let mut word = OsString::from(format!("--{name}="));
        word.push(value.into());
        self.args.push(word);
    }

    /// The same, or without a value, of which clap says whether it must be there.
    fn maybe(&mut self, name: &str, value: Option<&OsString>) {
        match value {
            Some(value) => self.flag(name, value),
            None => self.args.push(format!("--{name}").into()),
        }
    }
}

/// A flag whose name or value here depends on its value and on other flags.
fn depends(
    flag: &str,
    rule: &Rewrite,
    value: &OsString,
    line: &Line,
    out: &mut Output,
) -> Result<(), CliError> {
    let text = &*value.to_string_lossy();
    match rule {
        // after all others: it wins over `-m`
        Rewrite::Model => {}
        Rewrite::Crop => out.flag("crop", "center"),
        Rewrite::InitStrategy if text == "manual" => out.flag("init-strategy", "token"),
        Rewrite::InitStrategy => out.flag("init-strategy", value),
        Rewrite::ClassPrompt => out.flag("class-prompt", text.replace('_', " ")),
        Rewrite::SamAdaptive => {
            let adaptive = sam_adaptive(text, &mut out.notes)?;
            out.flag("sam-adaptive", adaptive);
        }
        Rewrite::Stopping => out.flag("stopping", stopping(text)?),
        Rewrite::EarlyStop(dvar, clip_s) => match (line.variant().as_str(), clip_s) {
            ("dvar_early_stopping", _) => out.flag(dvar, value),
            ("clip_early_stopping", Some(clip_s)) => out.flag(clip_s, value),
            (variant, _) => {
                out.notes.push(format!("`--{flag}` does nothing under `--variant {variant}`"));
            }
        },
        Rewrite::SampleFrequency if draws_none(text) => out.flag("sample-frequency", "0"),
        Rewrite::SampleFrequency => out.flag("sample-frequency", value),
        Rewrite::ValidationPrompts => {
            let prompts = text.split(',').filter(|prompt| !prompt.is_empty());
            prompts.for_each(|prompt| out.flag("validation-prompt", prompt));
        }
        Rewrite::ImagesPerPrompt if text == "0" => out.notes.push(format!(
            "`--{flag} 0` draws as many as fill the grid; leave `--validation_prompts` out for none"
        )),
        Rewrite::ImagesPerPrompt => out.flag("n-images-per-val-prompt", value),
        Rewrite::Clip if text == CLIP.0 => out.flag("clip", CLIP.1),
        Rewrite::Clip => out.flag("clip", value),
    }
    Ok(())
}

/// What the line says as a whole; of flags that are given twice, the last one holds.
fn conclude(line: &Line, out: &mut Output) {
    if line.variant() == "vanilla"
        && line.value("sample_frequency").is_some_and(|every| draws_none(&every))
    {
        out.flag("stopping", "few-iters");
        out.notes.push(
            "`--variant vanilla` without samples has no scores to choose by: the last weights are kept"
                .into(),
        );
    }
    let given = line.value_os("pretrained_model_name_or_path");
    if let Some(path) = given.filter(|path| !path.is_empty()) {
        return out.flag("model", path);
    }
    // neither of the official models brings a scorer; a file or another preset may name one
    let elsewhere = line.has("--config") || line.has("--preset");
    let model = line.value("model").or((!elsewhere).then(|| SD.into()));
    let short = model.as_deref().is_some_and(|model| model == SD || model == LDM);
    let named = elsewhere || line.has("--clip") || line.value("clip_path").is_some();
    if short && !named && scores(line) {
        out.flag("clip", CLIP.1);
    }
    if model.is_some_and(|model| model == SD) && line.value("method").is_some_and(|m| m == "custom")
    {
        out.flag("model", SD_OF_CUSTOM_DIFFUSION);
    }
}

/// Whether something is decided by CLIP.
fn scores(line: &Line) -> bool {
    let searched = line.value("init_strategy").is_some_and(|how| how == "best" || how == "worst");
    let sampled = !line.value("sample_frequency").is_some_and(|every| draws_none(&every));
    searched
        || match line.variant().as_str() {
            "vanilla" => sampled,
            variant => variant == "clip_early_stopping",
        }
}

/// In the official code, any text but the empty one is true.
fn sam_adaptive(value: &str, notes: &mut Vec<String>) -> Result<&'static str, CliError> {
    match value.to_lowercase().as_str() {
        "true" | "1" | "yes" => Ok("true"),
        "" => Ok("false"),
        "false" | "0" | "no" => {
            notes.push(format!(
                "`--sam_adaptive {value}` is taken at its word; the official code reads every text as true"
            ));
            Ok("false")
        }
        _ => Err(CliError::Input(format!("`--sam_adaptive` is `{value}`; give `true` or `false`"))),
    }
}

fn stopping(variant: &str) -> Result<&'static str, CliError> {
    match variant {
        "vanilla" => Ok("baseline"),
        "clip_early_stopping" => Ok("clip-s"),
        "dvar_early_stopping" => Ok("dvar"),
        "short_iters" => Ok("few-iters"),
        _ => Err(CliError::Input(format!(
            "`--variant` is `{variant}`; give `vanilla`, `clip_early_stopping`, `dvar_early_stopping` or `short_iters`"
        ))),
    }
}

/// A frequency of 0 or less.
fn draws_none(every: &str) -> bool {
    every.parse::<i64>().is_ok_and(|every| every <= 0)
}

#[cfg(test)]
mod tests;
