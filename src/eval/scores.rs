//! The scores of the paper's comparisons: likeness to the concept (CLIP-I, DINO), faithfulness to
//! the prompt (CLIP-T), and diversity (LPIPS).

use burn::tensor::Tensor;

use super::{ClipScorer, DinoScorer, Features, LpipsScorer, Score};
use crate::{data::image::Picture, pipelines::PipelineError};

/// The scorers at hand; a score whose scorer is not there stays open.
#[derive(Debug, Default)]
pub struct Scorers {
    /// For CLIP-I and CLIP-T.
    pub clip: Option<ClipScorer>,
    /// For DINO.
    pub dino: Option<DinoScorer>,
    /// For the diversity.
    pub lpips: Option<LpipsScorer>,
}

/// A concept's pictures as each scorer sees them, for as many scorings as are wanted.
#[derive(Clone, Debug)]
pub struct References {
    clip: Option<Features>,
    dino: Option<Features>,
}

/// All scores; one that could not be computed is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// CLIP-I: cosine similarity of each reference and each picture.
    pub clip_i: Option<Score>,
    /// CLIP-T: cosine similarity of each picture and its prompt.
    pub clip_t: Option<Score>,
    /// DINO: cosine similarity of each reference and each picture.
    pub dino: Option<Score>,
    /// LPIPS of each two pictures of one prompt.
    pub diversity: Option<Score>,
}

impl Scorers {
    /// Prepares the concept's pictures, of which there must be one.
    pub fn references(&self, pictures: &[Picture]) -> References {
        References {
            clip: self.clip.as_ref().map(|clip| clip.image_features(pictures)),
            dino: self.dino.as_ref().map(|dino| dino.features(pictures)),
        }
    }

    /// Scores the pictures of one prompt, which is given [without the learned word](super::without_placeholder)
    /// if it is known. Each picture, of which there must be one, is asked for when its turn comes; all of them
    /// are kept only for LPIPS, which compares each with every other.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Pictures`] if LPIPS cannot compare them, [`PipelineError::Device`] if a
    /// result cannot be read; and those of `pictures`.
    pub async fn score<E: From<PipelineError>>(
        &self,
        references: &References,
        prompt: Option<&str>,
        pictures: impl IntoIterator<Item = Result<Picture, E>>,
    ) -> Result<Scores, E> {
        let (mut by_clip, mut by_dino, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for picture in pictures {
            let picture = picture?;
            by_clip.extend(self.clip.as_ref().map(|clip| clip.seen(&picture)));
            by_dino.extend(self.dino.as_ref().map(|dino| dino.seen(&picture)));
            if self.lpips.is_some() {
                kept.push(picture);
            }
        }
        let mut scores = Scores::default();
        if let (Some(clip), Some(references)) = (&self.clip, &references.clip) {
            let features = Features::new(Tensor::cat(by_clip, 0));
            scores.clip_i = Some(Score::of(references, &features).await?);
            if let Some(prompt) = prompt {
                let text = clip.text_features(&[prompt.to_string()]);
                scores.clip_t = Some(Score::of(&text, &features).await?);
            }
        }
        if let (Some(_), Some(references)) = (&self.dino, &references.dino) {
            let features = Features::new(Tensor::cat(by_dino, 0));
            scores.dino = Some(Score::of(references, &features).await?);
        }
        if let Some(lpips) = &self.lpips {
            scores.diversity = lpips.diversity(&kept).await?;
        }
        Ok(scores)
    }
}

impl Scores {
    /// The scores over the pairs of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let both = |one: Option<Score>, other: Option<Score>| match (one, other) {
            (Some(one), Some(other)) => Some(one.and_all(other)),
            (one, other) => one.or(other),
        };
        Self {
            clip_i: both(self.clip_i, other.clip_i),
            clip_t: both(self.clip_t, other.clip_t),
            dino: both(self.dino, other.dino),
            diversity: both(self.diversity, other.diversity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_two_prompts_weigh_every_pair_alike() {
        let score = |sum, pairs| Some(Score::default().and(sum, pairs));
        let one = Scores { clip_i: score(1.0, 1), ..Scores::default() };
        let other = Scores { clip_i: score(1.0, 3), dino: score(0.5, 2), ..Scores::default() };
        let both = one.and(other);
        assert_eq!(both.clip_i.map(|score| (score.mean(), score.pairs())), Some((0.5, 4)));
        assert_eq!((both.dino, both.clip_t), (other.dino, None));
    }
}
