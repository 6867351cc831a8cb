//! Parity with the reference, run by run and file by file, and behaviour across modules.

// Tests run natively, where blocking reads are fine.
#![allow(clippy::disallowed_methods)]

mod backends;
#[cfg(feature = "train")]
mod burn_train;
mod corpus;
mod data;
mod determinism;
mod documents;
mod early_stopping;
mod embedding;
mod embedding_files;
mod full_size;
mod golden;
mod gpu_runs;
mod ldm;
mod lora;
mod lr_schedules;
mod made_xl;
mod methods;
mod networks;
mod objective;
mod optimizers;
mod own_criterion;
mod precision;
mod replay;
mod replicas;
mod run;
mod sampling;
mod schedulers;
mod scores;
mod sdxl;
mod seams;
mod session;
mod single_files;
mod support;
mod tokenizer;
mod torch;
mod weights;
mod words;
