//! The type that each weight is loaded in.

use burn::{
    store::{FloatCastAdapter, ModuleAdapter, ModuleContext},
    tensor::DType,
};
use burn_pack::Tensor as PackTensor;

use crate::precision::is_low;

/// Weights of low types but where their few bytes count: norms, and what is looked up.
#[derive(Clone)]
pub(super) struct Precision(pub DType);

impl Precision {
    /// The type of the weights of a layer, which burn-store calls `kind`.
    pub(super) fn of(&self, kind: Option<&str>) -> DType {
        const FULL: [&str; 3] = ["Struct:Embedding", "Struct:GroupNorm", "Struct:LayerNorm"];
        let full = is_low(self.0) && kind.is_some_and(|kind| FULL.contains(&kind));
        if full { DType::F32 } else { self.0 }
    }
}

impl ModuleAdapter for Precision {
    fn adapt(&self, tensor: PackTensor, context: ModuleContext<'_>) -> PackTensor {
        FloatCastAdapter::to(self.of(context.module_type())).adapt(tensor, context)
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}
