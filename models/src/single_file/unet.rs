//! The denoiser's names in the original code, and diffusers' for them.

use super::names::{Block, original, translated};

/// Original names of what lies outside of the blocks, or is the only one of its kind, and diffusers'.
const PLAIN: [(&str, &str); 8] = [
    ("input_blocks.0.0.", "conv_in."),
    ("time_embed.0.", "time_embedding.linear_1."),
    ("time_embed.2.", "time_embedding.linear_2."),
    ("label_emb.0.0.", "add_embedding.linear_1."),
    ("label_emb.0.2.", "add_embedding.linear_2."),
    ("out.0.", "conv_norm_out."),
    ("out.2.", "conv_out."),
    ("middle_block.1.", "mid_block.attentions.0."),
];

/// Original names of a residual block's parts, and diffusers'.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0.", "norm1."),
    ("in_layers.2.", "conv1."),
    ("emb_layers.1.", "time_emb_proj."),
    ("out_layers.0.", "norm2."),
    ("out_layers.3.", "conv2."),
    ("skip_connection.", "conv_shortcut."),
];

/// How the blocks are counted, which the names of a file tell.
#[derive(Clone, Copy, Debug)]
pub struct UNetNames {
    /// Entries of `input_blocks` in each level: its layers, and what halves the size behind them.
    level: usize,
}

impl UNetNames {
    /// `names` are without `model.diffusion_model.`.
    pub(super) fn read<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let halving = names.filter_map(|name| {
            let entry = name.strip_prefix("input_blocks.")?.strip_suffix(".0.op.weight")?;
            entry.parse::<usize>().ok()
        });
        Self { level: halving.min().filter(|level| *level > 0).unwrap_or(usize::MAX) }
    }

    /// For a denoiser with so many residual blocks in a level.
    pub fn of_layers(layers_per_block: usize) -> Self {
        Self { level: layers_per_block + 1 }
    }

    /// diffusers' name of a layer under its original one; none if it is none.
    pub fn layer(self, original: &str) -> Option<String> {
        let name = self.translate(&format!("{original}."))?;
        Some(name.trim_end_matches('.').into())
    }

    /// The original name of a layer under diffusers' one; none if it is none. What enlarges is taken
    /// to stand behind an attention, as in every level of SDXL that has it.
    pub fn original_layer(self, name: &str) -> Option<String> {
        let original = self.original(&format!("{name}."))?;
        Some(original.trim_end_matches('.').into())
    }

    fn original(self, name: &str) -> Option<String> {
        if let Some(plain) = original(&PLAIN, name) {
            return Some(plain);
        }
        if let Some(Block { index, rest }) = Block::read(name, "mid_block.resnets.") {
            return Some(format!("middle_block.{}.{}", 2 * index, original(&RESNET, rest)?));
        }
        let entry = |blocks: &str, first: usize, rest: &str| {
            if let Some(Block { index, rest }) = Block::read(rest, "resnets.") {
                return Some(format!("{blocks}.{}.0.{}", first + index, original(&RESNET, rest)?));
            }
            let Block { index, rest } = Block::read(rest, "attentions.")?;
            Some(format!("{blocks}.{}.1.{rest}", first + index))
        };
        if let Some(Block { index, rest }) = Block::read(name, "down_blocks.") {
            if let Some(rest) = rest.strip_prefix("downsamplers.0.conv.") {
                return Some(format!("input_blocks.{}.0.op.{rest}", (index + 1) * self.level));
            }
            return entry("input_blocks", index * self.level + 1, rest);
        }
        let Block { index, rest } = Block::read(name, "up_blocks.")?;
        if let Some(rest) = rest.strip_prefix("upsamplers.0.conv.") {
            return Some(format!("output_blocks.{}.2.conv.{rest}", (index + 1) * self.level - 1));
        }
        entry("output_blocks", index * self.level, rest)
    }

    /// A name without `model.diffusion_model.`; none if there is no such tensor in diffusers.
    pub(super) fn translate(self, name: &str) -> Option<String> {
        if let Some(plain) = translated(&PLAIN, name) {
            return Some(plain);
        }
        if let Some(block) = Block::read(name, "middle_block.") {
            let resnet = translated(&RESNET, block.rest)?;
            return Some(format!("mid_block.resnets.{}.{resnet}", block.index / 2));
        }
        if let Some(Block { index, rest }) = Block::read(name, "input_blocks.") {
            let entry = index.checked_sub(1)?;
            let (level, layer) = (entry / self.level, entry % self.level);
            let (part, rest) = rest.split_once('.')?;
            let prefix = format!("down_blocks.{level}");
            return match (part, rest.strip_prefix("op.")) {
                ("0", Some(rest)) => Some(format!("{prefix}.downsamplers.0.conv.{rest}")),
                ("0", None) => {
                    Some(format!("{prefix}.resnets.{layer}.{}", translated(&RESNET, rest)?))
                }
                ("1", None) => Some(format!("{prefix}.attentions.{layer}.{rest}")),
                _ => None,
            };
        }
        let Block { index, rest } = Block::read(name, "output_blocks.")?;
        let (level, layer) = (index / self.level, index % self.level);
        let (part, rest) = rest.split_once('.')?;
        let prefix = format!("up_blocks.{level}");
        // behind the attention, or in its place
        match (part, rest.strip_prefix("conv.")) {
            ("1" | "2", Some(rest)) => Some(format!("{prefix}.upsamplers.0.conv.{rest}")),
            ("0", None) => Some(format!("{prefix}.resnets.{layer}.{}", translated(&RESNET, rest)?)),
            ("1", None) => Some(format!("{prefix}.attentions.{layer}.{rest}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_one_name_there_and_here() {
        let names = UNetNames::of_layers(2);
        for (original, ours) in [
            (
                "input_blocks.4.1.transformer_blocks.1.attn2.to_out.0",
                "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_out.0",
            ),
            ("input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"),
            ("input_blocks.7.0.skip_connection", "down_blocks.2.resnets.0.conv_shortcut"),
            ("middle_block.1.proj_in", "mid_block.attentions.0.proj_in"),
            ("middle_block.2.in_layers.2", "mid_block.resnets.1.conv1"),
            ("output_blocks.2.2.conv", "up_blocks.0.upsamplers.0.conv"),
            ("output_blocks.8.0.emb_layers.1", "up_blocks.2.resnets.2.time_emb_proj"),
            ("output_blocks.3.1.proj_out", "up_blocks.1.attentions.0.proj_out"),
            ("time_embed.0", "time_embedding.linear_1"),
            ("out.2", "conv_out"),
        ] {
            assert_eq!(names.layer(original).as_deref(), Some(ours));
            assert_eq!(names.original_layer(ours).as_deref(), Some(original));
            assert_eq!(names.layer(ours), None);
            assert_eq!(names.original_layer(original), None);
        }
    }
}
