//! The few tensors that are called otherwise in checkpoints than in our structs. Each such name
//! appears here once.

use burn::store::KeyRemapper;

/// Checkpoint name (a regular expression), our name.
///
/// The first four are the attention of autoencoders saved before diffusers 0.18, which is how
/// Stable Diffusion 1.5's and LDM's were published.
const RENAMES: [(&str, &str); 8] = [
    (r"\.attentions\.0\.query\.", ".attentions.0.to_q."),
    (r"\.attentions\.0\.key\.", ".attentions.0.to_k."),
    (r"\.attentions\.0\.value\.", ".attentions.0.to_v."),
    (r"\.attentions\.0\.proj_attn\.", ".attentions.0.to_out."),
    (r"\.to_out\.0\.", ".to_out."),
    (r"\.ff\.net\.0\.proj\.", ".ff.proj."),
    (r"\.ff\.net\.2\.", ".ff.out."),
    (r"\.pre_layrnorm\.", ".pre_layernorm."), // sic, in transformers
];

/// Our name, checkpoint name: for messages.
const ORIGINALS: [(&str, &str); 6] = [
    (".to_out.", ".to_out.0."),
    (".ff.proj.", ".ff.net.0.proj."),
    (".ff.out.", ".ff.net.2."),
    (".pre_layernorm.", ".pre_layrnorm."),
    (".gamma", ".weight"),
    (".beta", ".bias"),
];

/// Tensors that files may hold beyond the weights, and that no forward pass here reads.
const BUFFERS: [&str; 2] = ["position_ids", "logit_scale"];
/// Whole parts of that kind, by their names' beginning: the head of LDM's text encoder, and what
/// DINO's class token and AlexNet's features would go on to.
const UNUSED_PARTS: [&str; 3] = ["to_logits.", "pooler.", "classifier."];

/// Checkpoint names to ours.
pub(super) fn remapper() -> Result<KeyRemapper, String> {
    KeyRemapper::from_patterns(RENAMES.to_vec()).map_err(|error| error.to_string())
}

/// What a tensor of ours is called in a checkpoint.
pub(super) fn original(name: &str) -> String {
    ORIGINALS.iter().fold(name.to_string(), |name, (ours, theirs)| name.replace(ours, theirs))
}

/// Whether a tensor may be there without being used.
pub(super) fn is_buffer(name: &str) -> bool {
    BUFFERS.iter().any(|buffer| name == *buffer || name.ends_with(&format!(".{buffer}")))
        || UNUSED_PARTS.iter().any(|part| name.starts_with(part))
}
