//! A copy of a run in another worker, which computes for the one that trains.

use dvar::{
    concept::{Concept, ConceptWeights, HostTensor},
    objective::Share,
    session::{PreparedRun, Session},
};
use js_sys::Uint8Array;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    error::PageError,
    part::{floats, tensors, write},
    pictures::property,
    studio::Studio,
    train::prepare,
};

/// A run of the same options and pictures. It never trains, but computes shares of what the trainer's
/// worker shares out, from the vectors that come with them.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Replica {
    run: PreparedRun,
    session: Session,
    concept: Concept,
    /// The concept's parameters, for their names and shapes.
    parameters: Vec<HostTensor>,
}

#[wasm_bindgen]
impl Replica {
    /// A copy of the run of these options and pictures.
    ///
    /// # Errors
    ///
    /// Those of [`Studio::train`].
    pub async fn open(
        studio: &Studio,
        #[wasm_bindgen(unchecked_param_type = "Run")] run: JsValue,
    ) -> Result<Replica, PageError> {
        let run = prepare(studio, &run)?;
        let session = run.replica(None).await?;
        let concept = session.concept(&run.checked.config);
        let parameters = concept.read_parameters().await?;
        Ok(Self { run, session, concept, parameters })
    }

    /// One of `count` shares of some work: part of a step, or the pixels of a picture.
    ///
    /// # Errors
    ///
    /// Those of the training itself.
    #[wasm_bindgen(unchecked_return_type = "Computed")]
    pub async fn compute(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Work")] work: JsValue,
        share: usize,
        count: usize,
    ) -> Result<JsValue, PageError> {
        let parameters = tensors(&self.parameters, floats(&property(&work, "parameters")))?;
        if let Some(task) = property(&work, "task").as_string() {
            let (task, share) = (serde_json::from_str(&task)?, Share { index: share, count });
            return write(&self.session.part(&self.concept, &parameters, task, share).await?);
        }
        let device = &self.run.device;
        let vectors = parameters.iter().map(|vectors| vectors.to_device(device)).collect();
        let guidance = property(&work, "guidance").as_f64().unwrap_or_default();
        let (samples, weights) =
            (self.run.samples(&self.session, None), ConceptWeights::new(vectors));
        let drawn = samples.picture(share, &weights, guidance, None).await?;
        let pixels: Vec<u8> = drawn.iter().flat_map(|picture| picture.pixels().to_vec()).collect();
        Ok(Uint8Array::from(&*pixels).into())
    }
}
