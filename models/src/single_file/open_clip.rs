//! OpenCLIP's text tower in the original names, and transformers' for them.

use super::names::{Block, translated};

/// What of the tower is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenClipNames {
    /// The index of the layer behind those that Stable Diffusion 2 uses, which a file converted from
    /// diffusers' layout lacks; none for SDXL, which uses all.
    unused: Option<usize>,
}

/// What stands transposed in these files.
pub(super) const PROJECTION: &str = "text_projection";

impl OpenClipNames {
    /// Stable Diffusion 2, which uses so many layers.
    pub fn of_layers(used: usize) -> Self {
        Self { unused: Some(used) }
    }

    /// SDXL.
    pub fn whole() -> Self {
        Self { unused: None }
    }

    /// The names for one without the tower's prefix: none if it is not used, several if its
    /// rows are several tensors there.
    pub fn translate(self, name: &str) -> Vec<String> {
        const PLAIN: [(&str, &str); 3] = [
            ("token_embedding.weight", "embeddings.token_embedding.weight"),
            ("positional_embedding", "embeddings.position_embedding.weight"),
            ("ln_final.", "final_layer_norm."),
        ];
        const PARTS: [(&str, &str); 5] = [
            ("ln_1.", "layer_norm1."),
            ("ln_2.", "layer_norm2."),
            ("mlp.c_fc.", "mlp.fc1."),
            ("mlp.c_proj.", "mlp.fc2."),
            ("attn.out_proj.", "self_attn.out_proj."),
        ];
        // what pictures and texts are compared by, and a mask
        if ["logit_scale", "attn_mask"].contains(&name) {
            return Vec::new();
        }
        if name == PROJECTION {
            let used = self.unused.is_none();
            return used.then(|| format!("{PROJECTION}.weight")).into_iter().collect();
        }
        if let Some(plain) = translated(&PLAIN, name) {
            return vec![format!("text_model.{plain}")];
        }
        let Some(Block { index, rest }) = Block::read(name, "transformer.resblocks.") else {
            return vec![name.into()]; // to be told of
        };
        if Some(index) == self.unused {
            return Vec::new();
        }
        let layer = format!("text_model.encoder.layers.{index}");
        if let Some(kind) = rest.strip_prefix("attn.in_proj_") {
            return ["q", "k", "v"]
                .map(|part| format!("{layer}.self_attn.{part}_proj.{kind}"))
                .into();
        }
        vec![translated(&PARTS, rest).map_or_else(|| name.into(), |part| format!("{layer}.{part}"))]
    }
}
