//! What a concept's vectors are called among its parameters.

const VECTORS: &str = "vectors";

/// `vectors`, or `vectors.KEY` where there are several text encoders.
pub(super) fn vectors(encoder: Option<&str>) -> String {
    match encoder {
        None => VECTORS.into(),
        Some(key) => format!("{VECTORS}.{key}"),
    }
}

/// The text encoder whose vectors are called so; the outer `None` for what are no vectors.
pub(super) fn encoder_of(name: &str) -> Option<Option<&str>> {
    match name.strip_prefix(VECTORS)? {
        "" => Some(None),
        rest => rest.strip_prefix('.').map(Some),
    }
}
