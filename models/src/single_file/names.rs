//! What the names of all parts have in common.

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

/// A name that begins as one of the originals, on the left, with what stands beside it in its place.
pub(super) fn translated(table: &[(&str, &str)], name: &str) -> Option<String> {
    table
        .iter()
        .find_map(|(original, ours)| Some(format!("{ours}{}", name.strip_prefix(original)?)))
}

/// The other way.
pub(super) fn original(table: &[(&str, &str)], name: &str) -> Option<String> {
    table
        .iter()
        .find_map(|(original, ours)| Some(format!("{original}{}", name.strip_prefix(ours)?)))
}
