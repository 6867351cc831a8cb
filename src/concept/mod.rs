//! What a run trains: the concept's vectors for each text encoder, and with DreamBooth-LoRA or Custom
//! Diffusion some of the UNet's attention weights beside them.

mod adapter;
mod custom_diffusion;
mod error;
mod files;
mod gradient;
mod lora;
mod method;
mod names;
mod stored;

use std::{borrow::Cow, collections::BTreeMap};

use burn::tensor::{Device, Tensor, TensorData};
use dvar_models::unet::UNet2DConditionModel;

use crate::{
    embedding::{EmbeddingError, EncoderVectors, LearnedEmbedding},
    tensor::{read, total},
};

pub use crate::tensor::HostTensor;
pub use adapter::AdapterConfig;
pub use custom_diffusion::CustomDiffusion;
pub use error::AdapterError;
pub use files::{LearnedAdapter, LearnedConcept};
pub use lora::{Lora, LoraFormat, LoraLayer, LoraNames, Part};
pub use method::Method;

/// One trained tensor.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// `vectors` or `vectors.KEY`, or where the tensor belongs in the UNet and what it is there.
    pub name: String,
    /// Tracked by autodiff.
    value: Tensor<2>,
}

/// The trained tensors, tracked by autodiff, and where the vectors began.
#[derive(Clone, Debug)]
pub struct Concept {
    /// Stands for the concept in prompts.
    pub placeholder_token: String,
    adapter: AdapterConfig,
    /// The vectors for each text encoder, `[num_vectors, width]`, then the adapter's tensors.
    parameters: Vec<Parameter>,
    /// The vectors' start for each text encoder, `[num_vectors, width]`, plain.
    initial: Vec<Tensor<2>>,
    /// The adapted layers' own weights, plain; empty for Textual Inversion.
    frozen: BTreeMap<String, Tensor<2>>,
    /// Whether the vectors keep the lengths that they began with.
    preserves_norm: bool,
    /// The text encoder whose vectors alone are trained; all are if none.
    only: Option<usize>,
}

/// What the networks need of a concept: tracked or plain, as it was asked for.
#[derive(Clone, Debug)]
pub struct ConceptWeights {
    /// `[num_vectors, width]` for each text encoder
    pub vectors: Vec<Tensor<2>>,
    /// Weights that take the place of the UNet's own; empty for Textual Inversion.
    projections: BTreeMap<String, Tensor<2>>,
}

impl ConceptWeights {
    /// A concept that leaves the UNet as it is.
    pub fn new(vectors: Vec<Tensor<2>>) -> Self {
        Self { vectors, projections: BTreeMap::new() }
    }

    /// A learned concept on a device, its adapter merged into the denoiser's weights.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Fit`] if the adapter is of another model.
    pub fn from_learned(
        embedding: &LearnedEmbedding,
        adapter: Option<&LearnedAdapter>,
        unet: &UNet2DConditionModel,
        device: &Device,
    ) -> Result<Self, AdapterError> {
        let vectors = vectors_of(std::slice::from_ref(embedding), device);
        let projections = adapter.map(|adapter| adapter.merged(unet, device)).transpose()?;
        Ok(Self { vectors, projections: projections.unwrap_or_default() })
    }

    /// The denoiser under these weights.
    pub fn unet<'a>(&self, base: &'a UNet2DConditionModel) -> Cow<'a, UNet2DConditionModel> {
        if self.projections.is_empty() {
            Cow::Borrowed(base)
        } else {
            Cow::Owned(base.with_weights(&self.projections))
        }
    }
}

impl Concept {
    /// Textual Inversion: vectors that start at `initial`, and nothing else.
    pub fn new(initial: &LearnedEmbedding, device: &Device) -> Self {
        let encoders = initial.encoders().iter();
        let start: Vec<_> = encoders.map(|encoder| vectors(encoder, initial, device)).collect();
        let named = initial.encoders().iter().zip(&start);
        let parameters = named.map(|(encoder, start)| Parameter {
            name: names::vectors(encoder.key.as_deref()),
            value: track(start.clone()),
        });
        Self {
            placeholder_token: initial.placeholder_token().to_string(),
            adapter: AdapterConfig::None,
            parameters: parameters.collect(),
            initial: start,
            frozen: BTreeMap::new(),
            preserves_norm: false,
            only: None,
        }
    }

    /// Trains weights of `unet` too, from their start: LoRA's draws come from `seed`.
    #[must_use]
    pub fn with_adapter(
        mut self,
        adapter: AdapterConfig,
        unet: &UNet2DConditionModel,
        seed: u64,
    ) -> Self {
        let projections = unet.projections();
        self.frozen = projections.into_iter().filter(|(name, _)| adapter.trains(name)).collect();
        self.parameters.extend(
            (adapter.initial(&self.frozen, seed))
                .map(|(name, value)| Parameter { name, value: track(value) }),
        );
        self.adapter = adapter;
        self
    }

    /// Lets the vectors turn but not grow: an [`update`](Self::update) gives each the length that it
    /// began with. OneTrainer has the same under the same name; there all get the median length of
    /// the vocabulary.
    #[must_use]
    pub fn with_preserved_norm(mut self) -> Self {
        self.preserves_norm = true;
        self
    }

    /// Trains the vectors for one text encoder alone, counted from 0; those for the others stay where
    /// they start.
    #[must_use]
    pub fn with_one_text_encoder(mut self, trained: usize) -> Self {
        self.only = Some(trained);
        self.set(self.values());
        self
    }

    /// Whether this parameter is one of the vectors that stay where they start.
    fn stays(&self, parameter: usize) -> bool {
        parameter < self.initial.len() && self.only.is_some_and(|trained| trained != parameter)
    }

    /// The parameters, in an order that does not change.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters without a graph.
    pub fn values(&self) -> Vec<Tensor<2>> {
        self.parameters.iter().map(Parameter::value).collect()
    }

    /// Replaces the parameters by plain tensors, in the order of
    /// [`parameters`](Self::parameters).
    ///
    /// # Panics
    ///
    /// If there are more tensors than parameters.
    pub fn set(&mut self, values: Vec<Tensor<2>>) {
        for (index, value) in values.into_iter().enumerate() {
            let value = if self.stays(index) { value.autodiff() } else { track(value) };
            self.parameters[index].value = value;
        }
    }

    /// What an optimiser made of the parameters takes their place; see
    /// [`with_preserved_norm`](Self::with_preserved_norm) and
    /// [`with_one_text_encoder`](Self::with_one_text_encoder).
    pub fn update(&mut self, mut values: Vec<Tensor<2>>) {
        for (index, (vectors, initial)) in values.iter_mut().zip(&self.initial).enumerate() {
            if self.stays(index) {
                // weight decay moves what has no gradient
                *vectors = initial.clone();
            }
        }
        if self.preserves_norm {
            let length = |vectors: &Tensor<2>| vectors.clone().square().sum_dim(1).sqrt();
            for (vectors, initial) in values.iter_mut().zip(&self.initial) {
                // a vector of zeros has no direction to keep
                let share = length(initial) / length(vectors).clamp_min(1e-30);
                *vectors = vectors.clone() * share;
            }
        }
        self.set(values);
    }

    /// The vectors without a graph, `[num_vectors, width]` for each text encoder.
    pub fn vectors(&self) -> Vec<Tensor<2>> {
        self.parameters[..self.initial.len()].iter().map(Parameter::value).collect()
    }

    /// What the networks need for training: every part carries its graph.
    pub fn tracked(&self) -> ConceptWeights {
        self.weights(|parameter| parameter.value.clone())
    }

    /// What the networks need for evaluation and sampling: no part carries a graph.
    pub fn plain(&self) -> ConceptWeights {
        self.weights(Parameter::value)
    }

    fn weights(&self, value: impl Fn(&Parameter) -> Tensor<2>) -> ConceptWeights {
        let (vectors, trained) = self.parameters.split_at(self.initial.len());
        let vectors = vectors.iter().map(&value).collect();
        let trained: BTreeMap<&str, Tensor<2>> =
            trained.iter().map(|p| (p.name.as_str(), value(p))).collect();
        ConceptWeights { vectors, projections: self.adapter.projections(&self.frozen, &trained) }
    }

    /// Euclidean distance of all vectors from the initial ones, `[1]`.
    pub fn distance(&self) -> Tensor<1> {
        let moved = self.vectors().into_iter().zip(&self.initial);
        let squares = moved.map(|(now, start)| total((now - start.clone()).square()));
        let sum = squares.reduce(|sum, square| sum + square);
        sum.expect("an embedding has at least one text encoder").sqrt()
    }

    /// The concept as it would be saved.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError`] if the device fails or a vector is not finite.
    pub async fn read(&self) -> Result<LearnedConcept, EmbeddingError> {
        let tensors = self.read_parameters().await?;
        LearnedConcept::new(&self.placeholder_token, self.adapter, tensors)
    }

    /// The parameters on the host, in their order.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError::Device`] if the device fails.
    pub async fn read_parameters(&self) -> Result<Vec<HostTensor>, EmbeddingError> {
        let mut tensors = Vec::new();
        for parameter in &self.parameters {
            tensors.push(parameter.read().await?);
        }
        Ok(tensors)
    }

    /// The method and its settings.
    pub fn adapter(&self) -> AdapterConfig {
        self.adapter
    }
}

impl Parameter {
    /// The tensor without a graph.
    pub fn value(&self) -> Tensor<2> {
        self.value.clone().inner()
    }

    /// The tensor with its graph.
    pub fn tracked(&self) -> &Tensor<2> {
        &self.value
    }

    /// The tensor on the host.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError::Device`] if the device fails.
    pub async fn read(&self) -> Result<HostTensor, EmbeddingError> {
        HostTensor::read(&self.name, self.value()).await
    }
}

impl HostTensor {
    /// Reads a plain tensor without blocking.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError::Device`] if the device fails.
    pub async fn read(name: &str, tensor: Tensor<2>) -> Result<Self, EmbeddingError> {
        let shape = tensor.dims();
        Ok(Self { name: name.into(), shape, values: read(tensor).await? })
    }

    /// Puts the tensor on a device.
    pub fn to_device(&self, device: &Device) -> Tensor<2> {
        to_device(self.values.clone(), self.shape, device)
    }
}

/// The vectors of embeddings behind each other, `[num_vectors, width]` for each text encoder; of none,
/// none.
pub fn vectors_of(embeddings: &[LearnedEmbedding], device: &Device) -> Vec<Tensor<2>> {
    let encoders = embeddings.first().map_or(0, |first| first.encoders().len());
    let behind_each_other = |encoder: usize| {
        let each = embeddings.iter();
        let each = each.map(|learned| vectors(&learned.encoders()[encoder], learned, device));
        Tensor::cat(each.collect(), 0)
    };
    (0..encoders).map(behind_each_other).collect()
}

/// The vectors for one text encoder of `embedding`.
fn vectors(encoder: &EncoderVectors, embedding: &LearnedEmbedding, device: &Device) -> Tensor<2> {
    to_device(encoder.values.clone(), [embedding.num_vectors(), encoder.dim], device)
}

fn to_device(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn track(value: Tensor<2>) -> Tensor<2> {
    value.autodiff().require_grad()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_whose_norm_is_preserved_turn_and_do_not_grow() {
        let device = Device::flex();
        let initial = LearnedEmbedding::new("<a>", vec![3.0, 4.0, 0.0, 2.0], 2, 2).unwrap();
        let mut concept = Concept::new(&initial, &device).with_preserved_norm();
        let mut updated = |values: [[f32; 2]; 2]| {
            concept.update(vec![Tensor::from_floats(values, &device)]);
            pollster::block_on(concept.read_parameters()).unwrap().remove(0).values
        };
        assert_eq!(updated([[0.0, 1.0], [-4.0, 0.0]]), [0.0, 5.0, -2.0, 0.0]);
        assert_eq!(updated([[0.0; 2]; 2]), [0.0; 4], "zeros have no direction");
    }
}
