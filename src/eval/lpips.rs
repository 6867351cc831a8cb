//! Diversity by LPIPS (Zhang et al. 2018), as DreamBooth measures it (Ruiz et al. 2022, section
//! 4.3): how different the pictures of one prompt are from each other.

use burn::tensor::{Device, Tensor, TensorData};
use dvar_models::{
    lpips::{Lpips, LpipsConfig, LpipsFeatures},
    weights::ModelSource,
};

use super::{Score, features::read};
use crate::{data::image::Picture, pipelines::PipelineError};

/// Pictures whose features are held at once: any number of pictures takes no more memory.
const BLOCK: usize = 16;

/// Measures how much pictures differ.
#[derive(Debug)]
pub struct LpipsScorer {
    model: Lpips,
    device: Device,
}

impl LpipsScorer {
    /// Loads the network of a folder; see [`dvar_models::lpips`] for the files it holds.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken.
    pub fn open(files: &dyn ModelSource, device: &Device) -> Result<Self, PipelineError> {
        Ok(Self { model: LpipsConfig::load(files, device)?, device: device.clone() })
    }

    /// The mean distance over all pairs of the pictures of one prompt, and the number of pairs;
    /// `None` for fewer than two pictures.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Pictures`] if they are not of one size or too small,
    /// [`PipelineError::Device`] if a result cannot be read.
    pub async fn diversity(&self, pictures: &[Picture]) -> Result<Option<Score>, PipelineError> {
        if pictures.len() < 2 {
            return Ok(None);
        }
        check(pictures)?;
        let mut distances = Score::default();
        for start in (0..pictures.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(pictures.len());
            let block = self.features(&pictures[start..end]);
            for i in start + 1..pictures.len() {
                let picture = if i < end {
                    block.narrow(i - start, 1)
                } else {
                    self.features(&pictures[i..=i])
                };
                let before = block.narrow(0, i.min(end) - start);
                let row = read(self.model.distances(&before, &picture)).await?;
                distances = distances.and(row.iter().sum(), row.len());
            }
        }
        Ok(Some(distances))
    }

    fn features(&self, pictures: &[Picture]) -> LpipsFeatures {
        let (height, width) = (pictures[0].height(), pictures[0].width());
        let values: Vec<f32> = pictures.iter().flat_map(Picture::to_pixel_values).collect();
        let shape = [pictures.len(), 3, height, width];
        self.model.features(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}

fn check(pictures: &[Picture]) -> Result<(), PipelineError> {
    let size = |picture: &Picture| (picture.width(), picture.height());
    let (width, height) = size(&pictures[0]);
    if let Some(other) = pictures.iter().map(size).find(|other| *other != (width, height)) {
        return Err(PipelineError::Pictures(format!(
            "LPIPS compares pictures of one size, and one has {width} x {height} pixels, another {} x {}; make them alike",
            other.0, other.1
        )));
    }
    let least = Lpips::SMALLEST_SIDE;
    if width.min(height) < least {
        return Err(PipelineError::Pictures(format!(
            "LPIPS needs {least} pixels a side, and they have {width} x {height}; draw larger ones"
        )));
    }
    Ok(())
}
