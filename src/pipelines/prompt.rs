//! Texts to hidden states, with the learned vectors in the placeholder's places.

use burn::tensor::{Int, Tensor, TensorData};
use dvar_models::product::matmul;

use super::{
    AddedConditioning, Conditioning, ModelFamily, PromptIds, PromptTokenizers, TimeIds,
    text_encoder::TextEncoder,
};

/// Encodes prompts; the placeholder's rows of the token tables are never looked up, but given.
#[derive(Debug)]
pub struct PromptEncoder {
    family: &'static ModelFamily,
    tokenizers: PromptTokenizers,
    text_encoders: Vec<Box<dyn TextEncoder>>,
    no_prompt_is_zero: bool,
}

/// Tokenised prompts, prepared so that encoding them again costs no look-up.
#[derive(Clone, Debug)]
pub struct Prompts(Vec<EncoderPrompts>);

/// Prompts as one text encoder reads them.
#[derive(Clone, Debug)]
struct EncoderPrompts {
    /// Rows of the frozen table, zero at the placeholder: `[batch_size, length, width]`
    frozen: Tensor<3>,
    /// Which learned vector stands where, one-hot: `[batch_size * length, num_vectors]`
    placement: Tensor<2>,
    /// The place of each prompt's first end-of-text token; 0 where there is none.
    ends: Vec<usize>,
}

impl PromptEncoder {
    /// The tokenizers know the placeholder, if there is a concept.
    pub(super) fn new(
        family: &'static ModelFamily,
        tokenizers: PromptTokenizers,
        text_encoders: Vec<Box<dyn TextEncoder>>,
        no_prompt_is_zero: bool,
    ) -> Self {
        Self { family, tokenizers, text_encoders, no_prompt_is_zero }
    }

    /// The same with each text encoder, by its number from 0, as `change` gives it.
    pub(crate) fn with_text_encoders(
        self,
        mut change: impl FnMut(usize, Box<dyn TextEncoder>) -> Box<dyn TextEncoder>,
    ) -> Self {
        let encoders = self.text_encoders.into_iter().enumerate();
        let text_encoders = encoders.map(|(number, encoder)| change(number, encoder)).collect();
        Self { text_encoders, ..self }
    }

    /// The tokenizers, which know the placeholder.
    pub fn tokenizers(&self) -> &PromptTokenizers {
        &self.tokenizers
    }

    /// The frozen token table of each text encoder, `[vocab_size, width]`.
    pub fn token_tables(&self) -> Vec<Tensor<2>> {
        self.text_encoders.iter().map(|encoder| encoder.token_table()).collect()
    }

    /// The family of the model.
    pub fn family(&self) -> &'static ModelFamily {
        self.family
    }

    /// Looks up what is frozen.
    ///
    /// `input_ids` are texts of one length, on the placeholder's ids or the vocabulary's.
    pub fn prepare(&self, input_ids: &[PromptIds]) -> Prompts {
        let tokenizers = self.tokenizers.each().iter().zip(self.tokenizers.placeholder_ids());
        let encoders = self.text_encoders.iter().zip(tokenizers).enumerate();
        let prepared = encoders.map(|(encoder, (text_encoder, (tokenizer, placeholder_ids)))| {
            let ids: Vec<&[u32]> = input_ids.iter().map(|ids| &*ids.0[encoder]).collect();
            // the placeholder's ids are larger: the largest id of a text is not its end
            let end = |ids: &&[u32]| ids.iter().position(|id| *id == tokenizer.eos_id());
            let ends = ids.iter().map(|ids| end(ids).unwrap_or(0)).collect();
            EncoderPrompts::new(&**text_encoder, &ids, placeholder_ids, ends)
        });
        Prompts(prepared.collect())
    }

    /// What the denoiser is told of the prompts under the given vectors, and of their pictures' sizes
    /// where it is told these. Tracked vectors give a tracked result; plain ones a plain result.
    ///
    /// # Shapes
    ///
    /// - vectors: `[num_vectors, width]` for each text encoder
    /// - time_ids: one for each prompt; not read where the family's denoiser takes none
    pub fn encode(
        &self,
        prompts: &Prompts,
        vectors: &[Tensor<2>],
        time_ids: &[TimeIds],
    ) -> Conditioning {
        let (mut states, mut pooled) = (Vec::new(), Vec::new());
        for ((encoder, embeddings), prompts) in self.substituted(prompts, vectors).zip(&prompts.0) {
            let (hidden, end) = encoder.forward(embeddings, &prompts.ends);
            states.push(hidden);
            pooled.extend(end);
        }
        Conditioning {
            hidden_states: side_by_side(states),
            added: (!pooled.is_empty()).then(|| AddedConditioning {
                text_embeds: side_by_side(pooled),
                time_ids: time_ids.to_vec(),
            }),
        }
    }

    /// Whether no negative prompt is told by zeros, and not by an empty text.
    pub fn no_prompt_is_zero(&self) -> bool {
        self.no_prompt_is_zero
    }

    /// [`encode`](Self::encode) of texts in `parts` parts, each of which is read by itself; shorter
    /// texts are filled up with empty parts.
    pub(super) fn encode_parts(
        &self,
        texts: &[Vec<PromptIds>],
        parts: usize,
        vectors: &[Tensor<2>],
        time_ids: &[TimeIds],
    ) -> Conditioning {
        let empty = self.tokenizers.encode("");
        let part = |number| {
            let ids = texts.iter().map(|text| text.get(number).unwrap_or(&empty).clone());
            self.encode(&self.prepare(&ids.collect::<Vec<_>>()), vectors, time_ids)
        };
        Conditioning::joined((0..parts).map(part).collect())
    }

    /// What goes into the first layer and what comes out of each, `[batch_size, length, width]`, for
    /// each text encoder. The last is before the final normalisation with CLIP and after it with
    /// LDM, as transformers and diffusers give them.
    pub fn hidden_states(&self, prompts: &Prompts, vectors: &[Tensor<2>]) -> Vec<Vec<Tensor<3>>> {
        let states = self.substituted(prompts, vectors);
        states.map(|(encoder, embeddings)| encoder.hidden_states(embeddings)).collect()
    }

    /// The text encoders and the token embeddings with the vectors in the placeholder's places.
    fn substituted<'a>(
        &'a self,
        prompts: &'a Prompts,
        vectors: &'a [Tensor<2>],
    ) -> impl Iterator<Item = (&'a dyn TextEncoder, Tensor<3>)> {
        let encoders = self.text_encoders.iter().map(|encoder| &**encoder);
        let embeddings = prompts.0.iter().zip(vectors).map(|(prompts, vectors)| {
            let learned = matmul(prompts.placement.clone(), vectors.clone());
            prompts.frozen.clone() + learned.reshape(prompts.frozen.shape())
        });
        encoders.zip(embeddings)
    }
}

impl EncoderPrompts {
    fn new(
        text_encoder: &dyn TextEncoder,
        input_ids: &[&[u32]],
        placeholder_ids: &[u32],
        ends: Vec<usize>,
    ) -> Self {
        let device = text_encoder.token_table().device();
        let (batch_size, length) = (input_ids.len(), input_ids.first().map_or(0, |ids| ids.len()));
        let vectors = placeholder_ids.len().max(1);
        let mut ids = Vec::with_capacity(batch_size * length);
        let mut keep = Vec::with_capacity(batch_size * length);
        let mut placement = vec![0.0_f32; batch_size * length * vectors];
        for (position, id) in input_ids.iter().copied().flatten().enumerate() {
            match placeholder_ids.iter().position(|placeholder| placeholder == id) {
                Some(vector) => {
                    placement[position * vectors + vector] = 1.0;
                    ids.push(0);
                    keep.push(0.0_f32);
                }
                None => {
                    ids.push(*id as i32);
                    keep.push(1.0);
                }
            }
        }
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch_size, length]), &device);
        let keep = Tensor::<3>::from_data(TensorData::new(keep, [batch_size, length, 1]), &device);
        let shape = [batch_size * length, vectors];
        Self {
            frozen: text_encoder.token_embeddings(ids) * keep,
            placement: Tensor::from_data(TensorData::new(placement, shape), &device),
            ends,
        }
    }
}

/// What several text encoders give, on the last axis.
fn side_by_side<const D: usize>(mut each: Vec<Tensor<D>>) -> Tensor<D> {
    match each.len() {
        1 => each.remove(0),
        _ => Tensor::cat(each, D - 1),
    }
}
