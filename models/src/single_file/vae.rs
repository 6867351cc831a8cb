//! The autoencoder's names in the original code, and diffusers' for them.

use super::names::{Block, translated};

/// How many levels there are: the original decoder counts them from the picture's side.
#[derive(Clone, Copy, Debug)]
pub(super) struct VaeNames {
    levels: usize,
}

impl VaeNames {
    /// `names` are without `first_stage_model.`.
    pub fn read<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let levels = names.filter_map(|name| Some(Block::read(name, "decoder.up.")?.index + 1));
        Self { levels: levels.max().unwrap_or(0) }
    }

    /// A name without `first_stage_model.`; none if there is no such tensor in diffusers.
    pub fn translate(self, name: &str) -> Option<String> {
        if ["quant_conv.", "post_quant_conv."].iter().any(|prefix| name.starts_with(prefix)) {
            return Some(name.into());
        }
        let (half, rest) = name.split_once('.')?;
        let rest = match half {
            "encoder" | "decoder" => self.inside(half, rest)?,
            _ => return None,
        };
        Some(format!("{half}.{rest}"))
    }

    fn inside(self, half: &str, name: &str) -> Option<String> {
        const PLAIN: [(&str, &str); 11] = [
            ("conv_in.", "conv_in."),
            ("conv_out.", "conv_out."),
            ("norm_out.", "conv_norm_out."),
            ("mid.block_1.", "mid_block.resnets.0."),
            ("mid.block_2.", "mid_block.resnets.1."),
            ("mid.attn_1.norm.", "mid_block.attentions.0.group_norm."),
            ("mid.attn_1.q.", "mid_block.attentions.0.to_q."),
            ("mid.attn_1.k.", "mid_block.attentions.0.to_k."),
            ("mid.attn_1.v.", "mid_block.attentions.0.to_v."),
            ("mid.attn_1.proj_out.", "mid_block.attentions.0.to_out.0."),
            // diffusers' own names behind it, as its converter left them from 0.17 to 0.24
            ("mid.attn_1.", "mid_block.attentions.0."),
        ];
        let shortcut = |name: &str| name.replace("nin_shortcut.", "conv_shortcut.");
        if let Some(plain) = translated(&PLAIN, name) {
            return Some(shortcut(&plain));
        }
        let (prefix, resampling) = match half {
            "encoder" => ("down", "downsample"),
            _ => ("up", "upsample"),
        };
        let level = Block::read(name, &format!("{prefix}."))?;
        let index = match half {
            "encoder" => level.index,
            _ => self.levels.checked_sub(level.index + 1)?,
        };
        let rest = match Block::read(level.rest, "block.") {
            Some(block) => format!("resnets.{}.{}", block.index, shortcut(block.rest)),
            None => {
                let rest = level.rest.strip_prefix(resampling)?;
                format!("{resampling}rs.0{rest}")
            }
        };
        Some(format!("{prefix}_blocks.{index}.{rest}"))
    }
}
