//! What the network is told beside the noisy latents and their time steps.

use burn::tensor::Tensor;

/// What is told of a batch of texts and of the pictures that they describe.
#[derive(Clone, Debug)]
pub struct Conditioning {
    /// Hidden states of all text encoders side by side, `[batch_size, length, cross_attention_dim]`.
    pub hidden_states: Tensor<3>,
    /// What SDXL is told beside them; none for other models.
    pub added: Option<AddedConditioning>,
}

/// What SDXL adds to the time embedding (Podell et al. 2023, section 2.2).
#[derive(Clone, Debug)]
pub struct AddedConditioning {
    /// Pooled, projected state of each text, `[batch_size, width]`.
    pub text_embeds: Tensor<2>,
    /// Sizes of each picture, `batch_size` of them.
    pub time_ids: Vec<TimeIds>,
}

/// The sizes that SDXL is told of a picture, in pixels: height and width of the original, rows cut
/// off above and columns cut off at the left once it was resized, height and width of what is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeIds(pub [f32; Self::COUNT]);

impl TimeIds {
    /// How many numbers they are.
    pub const COUNT: usize = 6;

    /// Of a picture that is neither resized nor cut.
    pub fn whole(height: usize, width: usize) -> Self {
        Self::new([height, width], [0, 0], [height, width])
    }

    /// Height and width of the original, top and left of what was cut out of it after it was
    /// resized, height and width of that.
    pub fn new(original: [usize; 2], top_left: [usize; 2], size: [usize; 2]) -> Self {
        let mut numbers = [original, top_left, size].into_iter().flatten();
        Self(std::array::from_fn(|_| numbers.next().unwrap_or_default() as f32))
    }
}

/// Hidden states alone.
impl From<Tensor<3>> for Conditioning {
    fn from(hidden_states: Tensor<3>) -> Self {
        Self { hidden_states, added: None }
    }
}

impl Conditioning {
    /// Batches one behind the other.
    ///
    /// # Panics
    ///
    /// If there are none, or they are not of one model.
    pub fn cat(batches: Vec<Self>) -> Self {
        let added: Option<Vec<_>> = batches.iter().map(|batch| batch.added.clone()).collect();
        let states = batches.into_iter().map(|batch| batch.hidden_states).collect();
        Self { hidden_states: Tensor::cat(states, 0), added: added.map(AddedConditioning::cat) }
    }

    /// Parts of the same texts, one behind the other; the pooled states are those of the first.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn joined(mut parts: Vec<Self>) -> Self {
        let added = parts[0].added.clone();
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let states = parts.into_iter().map(|part| part.hidden_states).collect();
        Self { hidden_states: Tensor::cat(states, 1), added }
    }

    /// Zeros in place of what is told of the texts; the pictures stay.
    #[must_use]
    pub fn without_text(&self) -> Self {
        Self {
            hidden_states: self.hidden_states.zeros_like(),
            added: self.added.as_ref().map(|added| AddedConditioning {
                text_embeds: added.text_embeds.zeros_like(),
                time_ids: added.time_ids.clone(),
            }),
        }
    }
}

impl AddedConditioning {
    fn cat(batches: Vec<Self>) -> Self {
        let time_ids = batches.iter().flat_map(|batch| batch.time_ids.clone()).collect();
        let embeds = batches.into_iter().map(|batch| batch.text_embeds).collect();
        Self { text_embeds: Tensor::cat(embeds, 0), time_ids }
    }
}
