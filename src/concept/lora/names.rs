//! What the tensors of a LoRA are, told by their names.

/// Which network a layer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The denoiser.
    Denoiser,
    /// The text encoder of this number, from 0.
    TextEncoder(usize),
}

impl Part {
    /// What diffusers calls the network; no model here has a third text encoder.
    pub(super) fn network(self) -> &'static str {
        match self {
            Self::Denoiser => "unet",
            Self::TextEncoder(0) => "text_encoder",
            Self::TextEncoder(_) => "text_encoder_2",
        }
    }
}

/// Who names tensors so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoraNames {
    /// PEFT, and diffusers since 0.20: `lora_A`, `lora_B`.
    Peft,
    /// diffusers before: `lora.down`, `lora.up`.
    OldDiffusers,
    /// sd-scripts, and with it most tools: `lora_unet_..`, `lora_te_..`.
    Kohya,
    /// LyCORIS by itself, as in SimpleTuner: `lycoris_..`.
    Lycoris,
    /// ComfyUI, and OneTrainer for it: the original code's with their dots,
    /// `diffusion_model.input_blocks..`.
    Original,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Down,
    Up,
    /// Between both, over the kernel (LoCon's Tucker form).
    Mid,
    Alpha,
    /// Of the whole weight, of a norm's too.
    Difference,
    BiasDifference,
}

/// What one tensor is.
#[derive(Debug, PartialEq)]
pub(super) struct Key<'a> {
    pub names: LoraNames,
    pub part: Part,
    /// The layer under diffusers' or, in the denoiser, the original code's name, with dots.
    pub layer: String,
    /// What the file calls the layer.
    pub given: &'a str,
    pub piece: Piece,
}

const ENDINGS: [(&str, Piece); 18] = [
    (".lora_down.weight", Piece::Down),
    (".lora_up.weight", Piece::Up),
    (".lora_mid.weight", Piece::Mid),
    (".alpha", Piece::Alpha),
    (".lora_A.weight", Piece::Down),
    (".lora_B.weight", Piece::Up),
    // PEFT's with the name of the adapter
    (".lora_A.default.weight", Piece::Down),
    (".lora_B.default.weight", Piece::Up),
    (".lora.down.weight", Piece::Down),
    (".lora.up.weight", Piece::Up),
    (".lora_linear_layer.down.weight", Piece::Down),
    (".lora_linear_layer.up.weight", Piece::Up),
    ("_lora.down.weight", Piece::Down),
    ("_lora.up.weight", Piece::Up),
    // ComfyUI's of what it extracts, with `bias_diff` on unless it is turned off, and LyCORIS' of norms
    (".diff", Piece::Difference),
    (".diff_b", Piece::BiasDifference),
    (".w_norm", Piece::Difference),
    (".b_norm", Piece::BiasDifference),
];

const TEXT: Part = Part::TextEncoder(0);

/// sd-scripts' beginnings, behind which underscores stand for dots.
pub(super) const FLAT: [(&str, Part); 4] = [
    ("lora_unet_", Part::Denoiser),
    ("lora_te_", TEXT),
    ("lora_te1_", TEXT),
    ("lora_te2_", Part::TextEncoder(1)),
];

/// The same of LyCORIS by itself, for the one network that it was given.
const LYCORIS: &str = "lycoris_";

/// diffusers' beginnings.
const DOTTED: [(&str, Part); 3] =
    [("unet.", Part::Denoiser), ("text_encoder.", TEXT), ("text_encoder_2.", Part::TextEncoder(1))];

/// ComfyUI's beginnings, behind which the denoiser's layers have the original code's names.
const COMFYUI: [(&str, Part); 4] = [
    ("diffusion_model.", Part::Denoiser),
    ("text_encoders.clip_l.transformer.", TEXT),
    ("text_encoders.clip_h.transformer.", TEXT),
    ("text_encoders.clip_g.transformer.", Part::TextEncoder(1)),
];

/// Beginnings of the original code's names themselves.
const ORIGINAL: [&str; 6] =
    ["input_blocks.", "middle_block.", "output_blocks.", "time_embed.", "label_emb.", "out."];

/// Behind [`DOTTED`] or in its place, in files that PEFT wrote itself.
const PEFT: &str = "base_model.model.";

/// Beginnings where nothing names the network.
const BARE: [(&str, Part); 5] = [
    ("down_blocks.", Part::Denoiser),
    ("mid_block.", Part::Denoiser),
    ("up_blocks.", Part::Denoiser),
    ("text_model.", TEXT),
    (BARE_TOWER, TEXT),
];

/// The layers of a text encoder as transformers 5.6 names them: without `text_model.`.
const BARE_TOWER: &str = "encoder.layers.";

/// The words with underscores of their own in the names of layers, a word before its beginning.
const WORDS: [&str; 41] = [
    "down_blocks",
    "up_blocks",
    "mid_block",
    "transformer_blocks",
    "to_q",
    "to_k",
    "to_v",
    "to_out",
    "proj_in",
    "proj_out",
    "time_emb_proj",
    "conv_shortcut",
    "conv_in",
    "conv_out",
    "conv_norm_out",
    "time_embedding",
    "add_embedding",
    "linear_1",
    "linear_2",
    "input_blocks",
    "output_blocks",
    "middle_block",
    "in_layers",
    "out_layers",
    "emb_layers",
    "skip_connection",
    "time_embed",
    "label_emb",
    "text_model",
    "self_attn",
    "q_proj",
    "k_proj",
    "v_proj",
    "out_proj",
    "final_layer_norm",
    "layer_norm",
    "text_projection",
    "token_embedding",
    "position_embedding",
    // LDM's text encoder
    "encoder_attn",
    "embed_tokens",
];

impl<'a> Key<'a> {
    /// What a tensor is; none if it is nothing of a LoRA.
    pub fn read(name: &'a str) -> Option<Self> {
        let (given, piece) =
            ENDINGS.iter().find_map(|(end, piece)| Some((name.strip_suffix(end)?, *piece)))?;
        let begins = |table: &[(&str, Part)], given: &'a str| {
            table.iter().find_map(|(start, part)| Some((*part, given.strip_prefix(start)?)))
        };
        if let Some((part, flat)) = begins(&FLAT, given) {
            let layer = in_tower(dotted(flat), part);
            return Some(Self { names: LoraNames::Kohya, part, layer, given, piece });
        }
        if let Some(flat) = given.strip_prefix(LYCORIS) {
            let (names, part, layer) = (LoraNames::Lycoris, Part::Denoiser, dotted(flat));
            return Some(Self { names, part, layer, given, piece });
        }
        let original = begins(&COMFYUI, given).or_else(|| {
            let is_bare = ORIGINAL.iter().any(|start| given.starts_with(start));
            is_bare.then_some((Part::Denoiser, given))
        });
        if let Some((part, layer)) = original {
            let (names, layer) = (LoraNames::Original, layer.into());
            return Some(Self { names, part, layer, given, piece });
        }
        let named = begins(&DOTTED, given);
        let rest = named.map_or(given, |(_, rest)| rest);
        let rest = rest.strip_prefix(PEFT).unwrap_or(rest);
        let bare = || BARE.iter().find(|(start, _)| rest.starts_with(start)).map(|(_, part)| *part);
        let part = named.map(|(part, _)| part).or_else(bare)?;
        let names = match name.contains(".lora_A.") || name.contains(".lora_B.") {
            true => LoraNames::Peft,
            false => LoraNames::OldDiffusers,
        };
        let layer = in_tower(renamed(rest, part), part);
        Some(Self { names, part, layer, given, piece })
    }
}

/// sd-scripts' name with dots in their places.
fn dotted(flat: &str) -> String {
    const KEPT: &str = "\0";
    let marked = WORDS
        .iter()
        .fold(flat.to_string(), |name, word| name.replace(word, &word.replace('_', KEPT)));
    marked.replace('_', ".").replace(KEPT, "_")
}

/// What diffusers called otherwise before it had PEFT: a layer by the processor of its attention, and a
/// text encoder's layers as the denoiser's.
fn renamed(layer: &str, part: Part) -> String {
    let layer = layer.replace(".processor.", ".");
    let Some((attention, last)) = layer.rsplit_once('.') else { return layer };
    let last = match (part, last) {
        (Part::Denoiser, "to_out") => "to_out.0",
        (Part::TextEncoder(_), "to_q") => "q_proj",
        (Part::TextEncoder(_), "to_k") => "k_proj",
        (Part::TextEncoder(_), "to_v") => "v_proj",
        (Part::TextEncoder(_), "to_out") => "out_proj",
        (_, last) => last,
    };
    format!("{attention}.{last}")
}

/// A text encoder's layer as all others name it.
fn in_tower(layer: String, part: Part) -> String {
    match part {
        Part::TextEncoder(_) if layer.starts_with(BARE_TOWER) => format!("text_model.{layer}"),
        _ => layer,
    }
}

/// Beginnings of the layers of denoisers that are no UNets: of Flux, Stable Diffusion 3 and others.
const TRANSFORMERS: [&str; 4] =
    ["transformer.", "lora_transformer_", "transformer_blocks.", "single_transformer_blocks."];

/// Whether a tensor is of such a denoiser.
pub(super) fn is_of_transformer(name: &str) -> bool {
    let name = name.strip_prefix(PEFT).unwrap_or(name);
    TRANSFORMERS.iter().any(|start| name.starts_with(start))
}

/// Methods that change weights in another way, by what their names hold.
const OTHERS: [(&str, &str); 7] = [
    (".dora_scale", "DoRA"),
    (".lora_magnitude_vector", "DoRA"),
    (".hada_", "LoHa"),
    (".lokr_", "LoKr"),
    (".oft_", "OFT"),
    ("_boft_", "BOFT"),
    (".on_input", "IA3"),
];

/// The name of such a method that a tensor belongs to.
pub(super) fn other_method(name: &str) -> Option<&'static str> {
    OTHERS.iter().find(|(part, _)| name.contains(part)).map(|(_, method)| *method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_layer_is_known_under_every_name_of_it() {
        const LAYER: &str = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0";
        let block = "down_blocks.0.attentions.1.transformer_blocks.0.attn1";
        for (name, names) in [
            (format!("unet.{LAYER}.lora_A.weight"), LoraNames::Peft),
            (format!("base_model.model.{LAYER}.lora_A.default.weight"), LoraNames::Peft),
            (format!("unet.base_model.model.{LAYER}.lora_A.weight"), LoraNames::Peft),
            (format!("unet.{LAYER}.lora.down.weight"), LoraNames::OldDiffusers),
            (format!("unet.{block}.processor.to_out_lora.down.weight"), LoraNames::OldDiffusers),
            (format!("{block}.processor.to_out_lora.down.weight"), LoraNames::OldDiffusers),
            (format!("lora_unet_{}.lora_down.weight", LAYER.replace('.', "_")), LoraNames::Kohya),
            (format!("lycoris_{}.lora_down.weight", LAYER.replace('.', "_")), LoraNames::Lycoris),
        ] {
            let key = Key::read(&name).unwrap();
            let found = (key.names, key.part, key.layer.as_str(), key.piece);
            assert_eq!(found, (names, Part::Denoiser, LAYER, Piece::Down), "{name}");
        }
        const TEXT_LAYER: &str = "text_model.encoder.layers.10.self_attn.out_proj";
        for name in [
            format!("text_encoder_2.{TEXT_LAYER}.lora_linear_layer.up.weight"),
            format!("lora_te2_{}.lora_up.weight", TEXT_LAYER.replace('.', "_")),
            "text_encoder_2.text_model.encoder.layers.10.self_attn.to_out_lora.up.weight".into(),
        ] {
            let key = Key::read(&name).unwrap();
            let found = (key.part, key.layer.as_str(), key.piece);
            assert_eq!(found, (Part::TextEncoder(1), TEXT_LAYER, Piece::Up), "{name}");
        }
    }

    #[test]
    fn the_original_names_are_known_behind_comfyuis_beginnings_and_alone() {
        const LAYER: &str = "input_blocks.2.1.transformer_blocks.0.attn1.to_out.0";
        for name in [
            format!("diffusion_model.{LAYER}.lora_down.weight"),
            format!("diffusion_model.{LAYER}.lora_A.weight"),
            format!("{LAYER}.lora_A.weight"),
        ] {
            let key = Key::read(&name).unwrap();
            let found = (key.names, key.part, key.layer.as_str(), key.piece);
            assert_eq!(found, (LoraNames::Original, Part::Denoiser, LAYER, Piece::Down), "{name}");
        }
        let layer = "text_model.encoder.layers.0.mlp.fc1";
        for (encoder, number) in [("clip_l", 0), ("clip_h", 0), ("clip_g", 1)] {
            let name = format!("text_encoders.{encoder}.transformer.{layer}.lora_up.weight");
            let key = Key::read(&name).unwrap();
            assert_eq!((key.part, key.layer.as_str()), (Part::TextEncoder(number), layer));
        }
    }

    #[test]
    fn a_text_encoders_layer_may_come_without_its_tower() {
        for name in [
            "text_encoder.encoder.layers.3.self_attn.q_proj.lora_A.weight",
            "base_model.model.encoder.layers.3.self_attn.q_proj.lora_A.weight",
            "lora_te1_encoder_layers_3_self_attn_q_proj.lora_down.weight",
        ] {
            let key = Key::read(name).unwrap();
            let layer = "text_model.encoder.layers.3.self_attn.q_proj";
            assert_eq!((key.part, key.layer.as_str()), (TEXT, layer), "{name}");
        }
    }

    #[test]
    fn underscores_become_dots_where_dots_were() {
        for layer in [
            "up_blocks.3.resnets.2.conv_shortcut",
            "mid_block.resnets.0.time_emb_proj",
            "down_blocks.0.downsamplers.0.conv",
            "mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj",
            "mid_block.attentions.0.proj_in",
            "mid_block.attentions.0.transformer_blocks.0.norm1",
            "conv_norm_out",
            "text_model.encoder.layers.3.layer_norm2",
            "text_model.final_layer_norm",
            "time_embedding.linear_1",
            "input_blocks.4.1.transformer_blocks.1.attn2.to_out.0",
            "output_blocks.2.2.conv",
            "middle_block.0.in_layers.2",
            "input_blocks.3.0.op",
            "label_emb.0.2",
            "time_embed.0",
            "text_model.encoder.layers.3.mlp.fc1",
            "text_model.embeddings.token_embedding",
            "text_model.embeddings.position_embedding",
            "text_projection",
        ] {
            assert_eq!(dotted(&layer.replace('.', "_")), layer);
        }
    }

    #[test]
    fn other_methods_are_told_by_their_names() {
        for (name, method) in [
            ("lora_unet_a.hada_w1_a", Some("LoHa")),
            ("lora_unet_a.lokr_w1", Some("LoKr")),
            ("unet.a.lora_magnitude_vector", Some("DoRA")),
            ("lora_unet_a.dora_scale", Some("DoRA")),
            ("lora_unet_a.diff_b", None),
            ("model.diffusion_model.a.lora_up.weight", None),
            ("lora_unet_a.lora_up.weight", None),
        ] {
            assert_eq!(other_method(name), method);
        }
    }
}
