//! The networks of Stable Diffusion 1.x, 2.x and XL and of CompVis' LDM text-to-image on
//! [burn](https://burn.dev), and how their weights are read. No training code: that is the `dvar`
//! crate's.
//!
//! | module | what |
//! |---|---|
//! | [`clip`] | Stable Diffusion's text encoder, and both towers for scoring |
//! | [`dino`], [`lpips`] | likeness and difference of pictures, for scoring |
//! | [`ldm_bert`] | LDM's text encoder |
//! | [`unet`] | the denoiser |
//! | [`vae`] | the autoencoder between pictures and latents |
//! | [`single_file`] | whole models in one file, in the original names |
//! | [`tokenizer`] | CLIP's byte-pair encoding and BERT's WordPiece, with learned tokens |
//! | [`weights`] | files to networks |
//! | [`product`] | whether products of matrices may be rounded to TF32 |
//! | `pretrained` | the small default model, with the feature `embedded` |
//!
//! burn 0.22 has no backend type parameter: one build of these networks runs on every
//! [`Device`](burn::tensor::Device) that the program was compiled with. `Device::default()` panics in a program with
//! no backend: turn one on here, by its feature, and not in burn alone.
//!
//! Text encoders and denoiser compute in the type that their weights were loaded in: f32, or bf16 or
//! f16 with norms and softmax in f32. They take and give f32 in any case.
//!
//! A network is built from its `config.json` and then loaded; both are checked:
//!
//! ```no_run
//! use burn::tensor::{DType, Device};
//! use dvar_models::vae::AutoencoderKlConfig;
//! use dvar_models::weights::{self, Folder, ModelSource};
//!
//! let (model, device) = (Folder("stable-diffusion-v1-5".into()), Device::default());
//! let file = "vae/config.json";
//! let config = AutoencoderKlConfig::parse(&model.read(file)?, file)?;
//! let vae = weights::load(config.init(&device), &model, "vae", DType::F32)?;
//! # let latents = burn::tensor::Tensor::<4>::zeros([1, 4, 64, 64], &device);
//! // `[1, 4, 64, 64]` to `[1, 3, 512, 512]`, about [-1, 1]
//! let picture = vae.decode(latents.div_scalar(vae.scaling_factor));
//! # Ok::<(), dvar_models::ModelError>(())
//! ```
//!
//! # Panics
//!
//! As burn's own layers, networks panic on tensors of other shapes than are told, and on texts that are longer than
//! their `max_position_embeddings`. The sizes in a configuration that is made by hand, not by its `parse`, are
//! checked by nothing: `init` may panic on them.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what |
//! |---|---|
//! | `flex` | burn's CPU backend, and kernels of our own on it |
//! | `wgpu`, `cuda`, `ndarray` | other backends of burn's, with the few operations of our own on them |
//! | `autodiff` | the gradients of these operations |
//! | `hub` | models by their name on the Hugging Face Hub: `weights::Folder::from_hub` |
//! | `embedded` | the small default model inside the binary; only a copy of the repository has it |
//!
//! The build of burn's CUDA backend downloads LLVM; the `Cargo.toml` of dvar's repository says how it is avoided.
//!
//! # Versions
//!
//! Types of burn are part of this crate's interface, and burn is pinned to 0.22.1: another burn needs another minor
//! version of this crate. A configuration of a network may get more fields: write `..Default::default()` where it
//! has defaults.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod activation;
mod attention;
pub mod clip;
mod config_checks;
pub mod dino;
mod error;
#[cfg(all(feature = "extension", feature = "autodiff"))]
mod gradient_checkpointing;
mod kernels;
mod layers;
pub mod ldm_bert;
pub mod lpips;
#[cfg(feature = "extension")]
#[cfg_attr(not(feature = "autodiff"), allow(dead_code))]
mod operation;
mod precision;
#[cfg(feature = "embedded")]
pub mod pretrained;
pub mod product;
mod resnet;
pub mod single_file;
#[cfg(all(test, feature = "extension", feature = "autodiff"))]
mod testing;
pub mod tokenizer;
pub mod unet;
pub mod vae;
pub mod weights;

pub use activation::Activation;
#[doc(hidden)] // shared with the package `dvar`
pub use config_checks::{parse as parse_json, read as read_json};
pub use error::ModelError;
#[cfg(feature = "flex")]
pub use kernels::{KernelKind, Spent, count_kernels, on_cores, spent_in_kernels, threads};
