//! How wide the vectors of a concept are.

use std::fmt;

/// The widths of the vectors for each text encoder, by the names that files give these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingWidths(pub Vec<(Option<String>, usize)>);

impl EmbeddingWidths {
    /// Of all text encoders together.
    pub fn total(&self) -> usize {
        self.0.iter().map(|(_, width)| width).sum()
    }

    /// Whether vectors of these widths are such as a model takes: an only text encoder may be called
    /// by any name, as in files of tools that always name it.
    pub fn fit(&self, model: &Self) -> bool {
        match (&self.0[..], &model.0[..]) {
            ([(_, width)], [(_, expected)]) => width == expected,
            (widths, expected) => widths == expected,
        }
    }
}

/// `768`, or `clip_l 768 and clip_g 1280`.
impl fmt::Display for EmbeddingWidths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.0.iter().map(|(key, width)| match key {
            None => width.to_string(),
            Some(key) => format!("{key} {width}"),
        });
        formatter.write_str(&widths.collect::<Vec<_>>().join(" and "))
    }
}
