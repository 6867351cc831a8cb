//! The callbacks in burn's `Learner`, against a loop of one's own and this crate's trainer.

mod concept;
mod ends;
mod epochs;
mod model;
mod resume;
mod stops;
