//! The type that each weight is loaded in.

use burn::{
    store::{FloatCastAdapter, ModuleAdapter, ModuleContext},
    tensor::{Bytes, DType, bf16, f16},
};
use burn_pack::Tensor as PackTensor;
use half::slice::HalfFloatSliceExt;

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
        match (tensor.dtype, self.of(context.module_type())) {
            (DType::F16, DType::F32) => widened(tensor, f16::from_le_bytes),
            (DType::BF16, DType::F32) => widened(tensor, bf16::from_le_bytes),
            (_, dtype) => FloatCastAdapter::to(dtype).adapt(tensor, context),
        }
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// The same values in f32, as burn-store's own cast gives them in several times the time.
fn widened<T: 'static>(tensor: PackTensor, value: fn([u8; 2]) -> T) -> PackTensor
where
    [T]: HalfFloatSliceExt,
{
    let (name, shape, id) = (tensor.name.clone(), tensor.shape.clone(), tensor.param_id);
    PackTensor::deferred(name, DType::F32, shape, id, 2 * tensor.byte_len(), move || {
        let bytes = tensor.to_bytes()?;
        let (pairs, _) = bytes.as_chunks();
        let values: Vec<T> = pairs.iter().map(|pair| value(*pair)).collect();
        let mut wide = vec![0.0_f32; values.len()];
        values.convert_to_f32_slice(&mut wide);
        Ok(Bytes::from_elems(wide))
    })
}
