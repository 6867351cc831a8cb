//! What is scored.

use std::path::PathBuf;

use super::{drawing::Drawing, pictures::Group};
use crate::{data::image::Picture, pipelines::ModelFolder};

/// What is scored, and against what.
pub(super) struct Subject {
    pub generated: Generated,
    pub references: Vec<Picture>,
    /// The CLIP model that the run was scored by, where it names one.
    pub clip: Option<PathBuf>,
    /// Brings a CLIP model of its own, where none is named.
    pub model: Option<ModelFolder>,
}

pub(super) enum Generated {
    Saved(Vec<Group>),
    /// Drawing is slow, and begins when everything else has been checked.
    ToDraw(Box<Drawing>),
}
