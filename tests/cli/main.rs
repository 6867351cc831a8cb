//! The program as users meet it: messages, files, exit codes, kill and resume.

mod bad_input;
mod convert;
mod devices;
mod evaluate;
mod experiment;
mod failures;
mod harness;
#[cfg(feature = "hub")]
mod hub;
mod ldm;
mod lora;
mod methods;
mod official;
mod pickled;
mod pictures;
mod report;
mod resume;
mod run;
mod sdxl;
mod shell;
mod words;
