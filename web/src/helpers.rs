//! A run's work in shares, some of them computed by other workers of the page, each with a
//! [`Replica`](crate::replica::Replica) of the run.

use js_sys::{Array, Object, Promise};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::{error::PageError, learned::object};

#[wasm_bindgen]
extern "C" {
    /// The page's object.
    #[derive(Clone, Debug)]
    #[wasm_bindgen(typescript_type = "Helpers")]
    pub type Helpers;

    #[wasm_bindgen(method, catch)]
    fn begin(this: &Helpers, shares: usize) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn share(this: &Helpers, work: &Object, count: usize) -> Result<Array, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn done(this: &Helpers, work: &Object) -> Result<(), JsValue>;
}

/// How a run's work is shared out. Where there are no helpers all shares are computed here, one after
/// the other, so that it is the same run.
#[derive(Clone, Debug)]
pub struct Sharing(Option<Helpers>);

impl Sharing {
    /// Tells the page's helpers, if it has any, that a run of so many shares begins.
    pub fn new(helpers: JsValue, shares: usize) -> Result<Self, PageError> {
        if !helpers.is_object() {
            return Ok(Self(None));
        }
        let helpers: Helpers = helpers.unchecked_into();
        helpers.begin(shares).map_err(PageError::thrown)?;
        Ok(Self(Some(helpers)))
    }

    /// What comes of each share of some work, in their order: read from what another worker gave, or
    /// computed by `own`, which is told how many are left to this worker.
    pub async fn shares<T>(
        &self,
        work: &Object,
        count: usize,
        own: impl AsyncFn(usize, usize) -> Result<T, PageError>,
        read: impl Fn(&JsValue) -> Result<T, PageError>,
    ) -> Result<Vec<T>, PageError> {
        let others = match &self.0 {
            Some(helpers) => helpers.share(work, count).map_err(PageError::thrown)?.to_vec(),
            None => vec![JsValue::NULL; count],
        };
        let left = others.iter().filter(|other| other.is_null()).count();
        let mut shares = Vec::with_capacity(count);
        // the others compute meanwhile
        for (share, other) in others.iter().enumerate() {
            shares.push(if other.is_null() { Some(own(share, left).await?) } else { None });
        }
        for (share, other) in others.iter().enumerate() {
            if shares[share].is_none() {
                let answer = JsFuture::from(Promise::resolve(other)).await;
                let answer = answer.map_err(PageError::thrown)?;
                // whoever had it is gone
                let lost = answer.is_null();
                shares[share] = Some(if lost { own(share, left).await? } else { read(&answer)? });
            }
        }
        if let Some(helpers) = &self.0 {
            helpers.done(work).map_err(PageError::thrown)?;
        }
        Ok(shares.into_iter().flatten().collect())
    }
}

/// Some work as the page passes it on.
pub fn work(kind: &str, parameters: JsValue, more: (&str, JsValue)) -> Result<Object, PageError> {
    object([("kind", kind.into()), ("parameters", parameters), more]).map_err(PageError::thrown)
}
