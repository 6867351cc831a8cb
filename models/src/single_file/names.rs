//! What the names of UNet and autoencoder have in common.

/// The entry of a list: `{prefix}{index}.{rest}`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub index: usize,
    pub rest: &'a str,
}

impl<'a> Block<'a> {
    pub fn read(name: &'a str, prefix: &str) -> Option<Self> {
        let (index, rest) = name.strip_prefix(prefix)?.split_once('.')?;
        // of so few bits that no arithmetic with it overflows, whatever a file calls its tensors
        let index: u16 = index.parse().ok()?;
        Some(Self { index: index.into(), rest })
    }
}

/// Original names of a residual block's parts in the UNet, and diffusers'.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0.", "norm1."),
    ("in_layers.2.", "conv1."),
    ("emb_layers.1.", "time_emb_proj."),
    ("out_layers.0.", "norm2."),
    ("out_layers.3.", "conv2."),
    ("skip_connection.", "conv_shortcut."),
];

/// A tensor of one of the UNet's residual blocks.
pub(super) fn resnet(name: &str) -> Option<String> {
    RESNET
        .iter()
        .find_map(|(original, ours)| Some(format!("{ours}{}", name.strip_prefix(original)?)))
}

/// The original name of such a tensor.
pub(super) fn original_resnet(name: &str) -> Option<String> {
    RESNET
        .iter()
        .find_map(|(original, ours)| Some(format!("{original}{}", name.strip_prefix(ours)?)))
}
