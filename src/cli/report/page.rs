//! The page: HTML with everything in it.

use std::{fmt::Write, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::told::Told;
use crate::{
    cli::{counted::counted, model::is_embedded, names::folder_name},
    concept::Method,
    config::TrainOptions,
};

const STYLE: &str = "\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; \
color-scheme: light dark }
img { max-width: 100%; image-rendering: auto; vertical-align: top }
.pictures img { height: 8rem; width: auto; margin: 0 .3rem .3rem 0 }
.pairs { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
pre { overflow: auto; padding: .8rem; border: 1px solid #8886 }
figure { margin: 0 }";

/// The page of one run, or of several with a table before them.
pub(super) fn page(runs: &[Told]) -> String {
    let title = match runs {
        [run] => format!("{} - dvar", run.token()),
        _ => format!("{} runs - dvar", runs.len()),
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>\n{STYLE}\n</style>\n",
        escaped(&title)
    );
    if runs.len() > 1 {
        page += &comparison(runs);
    }
    for (number, run) in runs.iter().enumerate() {
        // several may have learned the same concept
        let heading = match runs {
            [_] => run.token().to_string(),
            _ => format!("{}: {}", run.name, run.token()),
        };
        page += &section(number, &heading, run);
    }
    page
}

/// A row for each run.
fn comparison(runs: &[Told]) -> String {
    let mut table = String::from(
        "<h1>Runs</h1>\n<table>\n<tr><th>run<th>concept<th>steps<th>CLIP-I before<th>after<th>why it \
         ended\n",
    );
    for (number, run) in runs.iter().enumerate() {
        let result = &run.result;
        let score = |score: Option<f64>| score.map_or("-".into(), |score| format!("{score:.3}"));
        // writing to a string cannot fail
        let _ = writeln!(
            table,
            "<tr><td><a href=\"#run-{number}\">{}</a><td>{}<td>{}<td>{}<td>{}<td>{}",
            escaped(&run.name),
            escaped(run.token()),
            result.steps,
            score(result.clip_i_before),
            score(result.clip_i),
            escaped(&result.stop.to_string())
        );
    }
    table + "</table>\n"
}

fn section(number: usize, heading: &str, run: &Told) -> String {
    let (heading, told) = (escaped(heading), escaped(&in_words(run)));
    let mut page = format!("<h1 id=\"run-{number}\">{heading}</h1>\n<p>{told}</p>\n");
    if !run.pictures.is_empty() {
        let shown = run.pictures.iter().map(|picture| image(picture, "image/png", "the concept"));
        page += &format!("<p class=\"pictures\">{}</p>\n", shown.collect::<String>());
    }
    let [before, after] = &run.samples;
    if let (Some(before), Some(after)) = (before, after) {
        page += &format!(
            "<div class=\"pairs\"><figure><figcaption>before</figcaption>{}</figure>\
             <figure><figcaption>after</figcaption>{}</figure></div>\n",
            image(before, "image/png", "samples before the training"),
            image(after, "image/png", "the same after it")
        );
    }
    if let Some(curve) = &run.curve {
        let curve = image(curve, "image/svg+xml", "the losses and where the run stopped");
        page += &format!("<h2>How it was learned</h2>\n{curve}\n");
    }
    if let Some(fall) = &run.fall {
        page += &format!("<p>Deterministic loss: {}.</p>\n", escaped(fall));
    }
    page += &format!("<h2>To tell others</h2>\n<pre>{}</pre>\n", escaped(&post(run)));
    page += &format!("<h2>Every option</h2>\n<pre>{}</pre>\n", escaped(run.config.trim_end()));
    page
}

/// What was learned, and how it went; without the folders of the user's disks.
fn in_words(run: &Told) -> String {
    let result = &run.result;
    let scores = match (result.clip_i_before, result.clip_i) {
        (Some(before), Some(after)) => format!(" CLIP-I went from {before:.3} to {after:.3}."),
        _ => String::new(),
    };
    let start = result.initializer_token.as_deref().or(run.options.start.word());
    let start = start.map_or(String::new(), |word| format!(" from `{word}`"));
    let method = match run.options.method.method {
        Some(Method::DreamboothLora) => " by DreamBooth-LoRA",
        Some(Method::CustomDiffusion) => " by Custom Diffusion",
        Some(Method::TextualInversion) | None => "",
    };
    let kept = if result.kept_steps == result.steps {
        String::new()
    } else {
        let kept = counted(result.kept_steps, "step");
        format!(" Kept is the concept after {kept}, which scored best.")
    };
    let model = model(run.options.data.model.as_deref());
    let (token, stop) = (run.token(), &result.stop);
    format!("{model} learned {token}{start}{method}; {stop}.{kept}{scores}")
}

/// What a run's model is called: of a path only the name at its end.
fn model(model: Option<&Path>) -> String {
    match model {
        Some(path) if path.is_absolute() => folder_name(path),
        Some(name) if !is_embedded(model) => name.display().to_string(),
        _ => "The default model".into(),
    }
}

/// Plain text, for a forum or an issue: with all options but those that name the user's folders.
fn post(run: &Told) -> String {
    let is_place = |line: &str| {
        TrainOptions::PLACES.iter().any(|name| line.starts_with(&format!("{name} = ")))
    };
    let options = run.config.lines().filter(|line| !is_place(line)).collect::<Vec<_>>().join("\n");
    let version = env!("CARGO_PKG_VERSION");
    let pictures = match run.pictures.len() {
        0 => String::new(),
        count => format!("\n{}", counted(count, "picture")),
    };
    format!(
        "{}{pictures}\nMade with dvar {version}, by dvar train --config with:\n\n{options}",
        in_words(run)
    )
}

fn image(bytes: &[u8], kind: &str, what: &str) -> String {
    format!("<img alt=\"{what}\" src=\"data:{kind};base64,{}\">", BASE64_STANDARD.encode(bytes))
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut html, c| {
        match c {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            c => html.push(c),
        }
        html
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_by_its_name_and_the_users_folders_are_not_told() {
        let given = std::path::absolute("models/dreamshaper_8.safetensors").unwrap();
        assert_eq!(model(Some(&given)), "dreamshaper_8.safetensors");
        assert_eq!(model(Some(Path::new("owner/model"))), "owner/model");
        for default in [None, Some(Path::new("embedded"))] {
            assert_eq!(model(default), "The default model");
        }
    }

    #[test]
    fn a_token_is_text_and_no_tag() {
        assert_eq!(escaped("<cat> & \"dog\""), "&lt;cat&gt; &amp; &quot;dog&quot;");
    }
}
