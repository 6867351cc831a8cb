//! What the tensors of a file are, told by their names.

use super::super::{EmbeddingError, FileProblem};

/// Names of a format, not of a token: kohya's, and OneTrainer's as it spells it.
const NAMELESS: [&str; 2] = ["emb_params", "emp_params"];

/// The name of the only tensor in a file that says no token.
pub(super) const KOHYA: &str = NAMELESS[0];
/// The same of OneTrainer.
pub(super) const ONETRAINER: &str = NAMELESS[1];

/// OneTrainer's names of what takes the place of a text encoder's output.
const OUTPUTS: [&str; 3] = ["emp_params_out", "clip_l_out", "clip_g_out"];

/// SDXL's text encoders, in the model's order.
pub(super) const SDXL: [&str; 2] = ["clip_l", "clip_g"];

/// The same in `embeddings.pti`, as Replicate's trainer of SDXL wrote them.
const NUMBERED_ENCODERS: [&str; 2] = ["text_encoders_0", "text_encoders_1"];

/// An embedding that lies in a LoRA: `bundle_emb.TOKEN.ENCODER`, or `bundle_emb.TOKEN` and
/// [`AUTOMATIC1111`] behind it.
pub(crate) const BUNDLE: &str = "bundle_emb.";
pub(super) const AUTOMATIC1111: &str = ".string_to_param.*";

/// What a file of a model's weights is called, all of them.
pub(super) const CHECKPOINT: &str = "a checkpoint of a whole model";

/// What a file is called that changes a model's weights.
pub(super) const LORA: &str = "a LoRA";

/// The same, of Custom Diffusion's.
const CUSTOM_DIFFUSION: &str = "Custom Diffusion's weights";

/// Beginnings of names, and what a file with them is.
const OTHERS: [(&str, &str); 16] = [
    ("model.diffusion_model.", CHECKPOINT),
    ("cond_stage_model.", CHECKPOINT),
    ("conditioner.", CHECKPOINT),
    ("state_dict", CHECKPOINT),
    ("lora_", LORA),
    ("unet.", LORA),
    ("text_encoder.", LORA),
    ("transformer.", LORA),
    ("control_model.", "a ControlNet"),
    ("controlnet_", "a ControlNet"),
    ("down_blocks.", "a denoiser"),
    ("time_embedding.", "a denoiser"),
    ("text_model.", "a text encoder"),
    ("decoder.", "an autoencoder"),
    ("encoder.", "an autoencoder"),
    ("first_stage_model.", "an autoencoder"),
];

/// Which tensors of a file are an embedding.
#[derive(Debug, PartialEq)]
pub(super) struct Meaning {
    /// None where the file's name is the token.
    pub token: Option<String>,
    /// For each text encoder, its name where the file tells one, and that of its tensor.
    pub tensors: Vec<(Option<String>, String)>,
}

/// The meaning of a file with tensors of these names, or why it is no embedding.
pub(super) fn meaning(mut names: Vec<&str>) -> Result<Meaning, FileProblem> {
    let place = |key: Option<&str>| SDXL.iter().position(|known| Some(*known) == key);
    let place = |key| place(key).unwrap_or(SDXL.len());
    names.sort_by_key(|name| (place(Some(*name)), *name));
    if let Some(output) = names.iter().find(|name| is_output(name)) {
        return Err(FileProblem::OutputVectors((*output).into()));
    }
    let mut bundled: Vec<_> = names.iter().filter_map(|name| in_bundle(name)).collect();
    if let Some((token, ..)) = bundled.first().copied() {
        let mut tokens: Vec<&str> = bundled.iter().map(|(token, ..)| *token).collect();
        tokens.dedup();
        if tokens.len() > 1 {
            return Err(several(&tokens));
        }
        bundled.sort_by_key(|(_, key, _)| place(*key));
        let tensors =
            bundled.into_iter().map(|(_, key, name)| (key.map(str::to_owned), name.into()));
        return Ok(Meaning { token: Some(token.into()), tensors: tensors.collect() });
    }
    if names.first().is_some_and(|name| SDXL.contains(name)) {
        let tensors = names.into_iter().map(|name| (Some(name.into()), name.into())).collect();
        return Ok(Meaning { token: None, tensors });
    }
    if names == NUMBERED_ENCODERS {
        let tensors = SDXL.into_iter().zip(names);
        let tensors = tensors.map(|(key, name)| (Some(key.into()), name.into())).collect();
        return Ok(Meaning { token: None, tensors });
    }
    // cloneofsimo's files have the embeddings among a LoRA's layers
    let (layers, names): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| is_numbered(name));
    match names[..] {
        [] if !layers.is_empty() => Err(FileProblem::OtherKind { kind: LORA, count: layers.len() }),
        [] => Err(FileProblem::NoTensor),
        [name] => {
            let token = (!NAMELESS.contains(&name)).then(|| name.into());
            Ok(Meaning { token, tensors: vec![(None, name.into())] })
        }
        _ if !layers.is_empty() => Err(several(&names)),
        _ => Err(match other_kind(&names) {
            Some(kind) => FileProblem::OtherKind { kind, count: names.len() },
            None => several(&names),
        }),
    }
}

/// Whether a tensor takes the place of a text encoder's output, alone or in a bundle.
fn is_output(name: &str) -> bool {
    let key = in_bundle(name).and_then(|(_, key, _)| key);
    OUTPUTS.contains(&key.unwrap_or(name))
}

/// Token, text encoder and whole name of a tensor of a bundle.
fn in_bundle(name: &str) -> Option<(&str, Option<&str>, &str)> {
    let rest = name.strip_prefix(BUNDLE)?;
    if let Some(token) = rest.strip_suffix(AUTOMATIC1111) {
        return Some((token, None, name));
    }
    // the token may have dots of its own
    let (token, key) = rest.rsplit_once('.')?;
    Some((token, (!NAMELESS.contains(&key)).then_some(key), name))
}

fn several(names: &[&str]) -> FileProblem {
    FileProblem::SeveralTokens {
        count: names.len(),
        first: names[0].into(),
        second: names[1].into(),
    }
}

fn other_kind(names: &[&str]) -> Option<&'static str> {
    let lora = [
        ".lora_down.",
        ".lora_up.",
        ".lora_A.",
        ".lora_B.",
        "_lora.down",
        "_lora.up",
        ".hada_w1_a",
        ".lokr_w1",
        ".diff_b",
    ];
    if names.iter().any(|name| lora.iter().any(|part| name.contains(part))) {
        return Some(LORA);
    }
    if names.iter().any(|name| name.ends_with("_custom_diffusion.weight")) {
        return Some(CUSTOM_DIFFUSION);
    }
    let is_any = |start: &str| names.iter().any(|name| name.starts_with(start));
    OTHERS.iter().find(|(start, _)| is_any(start)).map(|(_, kind)| *kind)
}

/// Whether a tensor's name is one of cloneofsimo's LoRAs, which number a model's layers: `unet:3:up`.
pub(crate) fn is_numbered(name: &str) -> bool {
    match name.rsplitn(3, ':').collect::<Vec<_>>()[..] {
        ["up" | "down", layer, _] => layer.parse::<u32>().is_ok(),
        _ => false,
    }
}

impl EmbeddingError {
    /// Whether it is about a file that changes a model's weights and holds no embedding.
    pub fn is_about_adapter(&self) -> bool {
        let Self::File { problem: FileProblem::OtherKind { kind, .. }, .. } = self else {
            return false;
        };
        [LORA, CUSTOM_DIFFUSION].contains(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(names: &[(Option<&str>, &str)]) -> Vec<(Option<String>, String)> {
        names.iter().map(|(key, name)| (key.map(str::to_owned), (*name).to_owned())).collect()
    }

    #[test]
    fn a_bundle_lies_among_the_tensors_of_a_lora_and_its_token_may_have_dots() {
        let names = vec![
            "lora_unet_a.lora_up.weight",
            "bundle_emb.<v1.5>.clip_g",
            "bundle_emb.<v1.5>.clip_l",
        ];
        let want = tensors(&[
            (Some("clip_l"), "bundle_emb.<v1.5>.clip_l"),
            (Some("clip_g"), "bundle_emb.<v1.5>.clip_g"),
        ]);
        let got = meaning(names).unwrap();
        assert_eq!(got, Meaning { token: Some("<v1.5>".into()), tensors: want });
        for key in ["string_to_param.*", "emb_params"] {
            let name = format!("bundle_emb.my.cat.{key}");
            let got = meaning(vec![&name]).unwrap();
            assert_eq!(
                got,
                Meaning { token: Some("my.cat".into()), tensors: tensors(&[(None, &name)]) }
            );
        }
        let two = meaning(vec!["bundle_emb.a.clip_l", "bundle_emb.b.clip_l"]);
        assert!(matches!(two, Err(FileProblem::SeveralTokens { count: 2, .. })));
    }

    #[test]
    fn text_encoders_that_are_numbered_are_those_of_sdxl() {
        let got = meaning(vec!["text_encoders_1", "text_encoders_0"]).unwrap();
        let want =
            tensors(&[(Some("clip_l"), "text_encoders_0"), (Some("clip_g"), "text_encoders_1")]);
        assert_eq!(got, Meaning { token: None, tensors: want });
    }

    #[test]
    fn the_embedding_among_numbered_layers_is_found() {
        let layers = ["text_encoder:0:down", "text_encoder:0:up", "unet:0:down", "unet:0:up"];
        let one = meaning([&layers[..], &["<s1>"]].concat()).unwrap();
        let want = tensors(&[(None, "<s1>")]);
        assert_eq!(one, Meaning { token: Some("<s1>".into()), tensors: want });
        let two = meaning([&layers[..], &["<s1>", "<s2>"]].concat());
        assert!(matches!(two, Err(FileProblem::SeveralTokens { count: 2, .. })));
    }

    #[test]
    fn what_takes_the_place_of_an_output_is_no_embedding() {
        for names in [
            vec!["emp_params_out"],
            vec!["clip_l_out", "clip_g_out"],
            vec!["bundle_emb.<cat>.clip_l_out", "lora_unet_a.lora_up.weight"],
        ] {
            let problem = meaning(names.clone()).unwrap_err();
            let FileProblem::OutputVectors(name) = &problem else { panic!("{problem}") };
            assert!(names.contains(&name.as_str()));
        }
    }

    #[test]
    fn a_file_of_another_kind_is_called_by_its_name() {
        for (name, kind) in [
            ("lora_te_text_model_encoder.alpha", "a LoRA"),
            ("unet.mid_block.to_q.lora_A.weight", "a LoRA"),
            ("diffusion_model.out.2.diff_b", "a LoRA"),
            ("model.diffusion_model.out.0.bias", "a checkpoint of a whole model"),
            ("down_blocks.0.resnets.0.conv1.bias", "a denoiser"),
            ("text_model.final_layer_norm.bias", "a text encoder"),
        ] {
            let problem = meaning(vec![name, "other"]).unwrap_err();
            assert!(
                matches!(problem, FileProblem::OtherKind { kind: found, count: 2 } if found == kind)
            );
        }
        let numbered = meaning(vec!["unet:10:down", "unet:10:up"]).unwrap_err();
        assert!(matches!(numbered, FileProblem::OtherKind { kind: LORA, count: 2 }));
    }
}
