//! The denoiser's names in the original code, and diffusers' for them.

use super::names::{Block, resnet};

/// How the blocks are counted, which the names of a file tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct UNetNames {
    /// Entries of `input_blocks` in each level: its layers, and what halves the size behind them.
    level: usize,
}

impl UNetNames {
    /// `names` are without `model.diffusion_model.`.
    pub fn read<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let halving = names.filter_map(|name| {
            let entry = name.strip_prefix("input_blocks.")?.strip_suffix(".0.op.weight")?;
            entry.parse::<usize>().ok()
        });
        Self { level: halving.min().filter(|level| *level > 0).unwrap_or(usize::MAX) }
    }

    /// A name without `model.diffusion_model.`; none if there is no such tensor in diffusers.
    pub fn translate(self, name: &str) -> Option<String> {
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
        for (original, ours) in PLAIN {
            if let Some(rest) = name.strip_prefix(original) {
                return Some(format!("{ours}{rest}"));
            }
        }
        if let Some(block) = Block::read(name, "middle_block.") {
            let resnet = resnet(block.rest)?;
            return Some(format!("mid_block.resnets.{}.{resnet}", block.index / 2));
        }
        if let Some(Block { index, rest }) = Block::read(name, "input_blocks.") {
            let entry = index.checked_sub(1)?;
            let (level, layer) = (entry / self.level, entry % self.level);
            let (part, rest) = rest.split_once('.')?;
            let prefix = format!("down_blocks.{level}");
            return match (part, rest.strip_prefix("op.")) {
                ("0", Some(rest)) => Some(format!("{prefix}.downsamplers.0.conv.{rest}")),
                ("0", None) => Some(format!("{prefix}.resnets.{layer}.{}", resnet(rest)?)),
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
            ("0", None) => Some(format!("{prefix}.resnets.{layer}.{}", resnet(rest)?)),
            ("1", None) => Some(format!("{prefix}.attentions.{layer}.{rest}")),
            _ => None,
        }
    }
}
