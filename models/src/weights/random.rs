//! Networks whose weights are random numbers, for measuring what only depends on sizes.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{DType, Tensor, TensorData},
};

use super::precision::Precision;

/// A freshly built module with the same random weights each time, converted to `dtype`; biases and
/// norms stay as they were built.
pub(super) fn fill<M: Module>(module: M, dtype: DType) -> M {
    let (precision, kinds) = (Precision(dtype), Vec::new());
    module.map(&mut Filler { precision, kinds, state: 0x2302_4841 })
}

struct Filler {
    precision: Precision,
    /// Of the modules that the parameter is in, the outermost first.
    kinds: Vec<String>,
    /// Of Marsaglia's xorshift: burn's own numbers would take a CPU minutes for a whole model.
    state: u32,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, _: &str, kind: &str) {
        self.kinds.push(kind.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.kinds.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dtype = self.precision.of(self.kinds.last().map(String::as_str));
        if D == 1 {
            return param.map(|values| values.cast(dtype));
        }
        let (shape, device) = (param.lazy_shape(), param.lazy_device());
        // burn's linear layers have their inputs first, all else its outputs
        let inputs = if D == 2 { shape[0] } else { shape.num_elements() / shape[0] };
        let scale = (3.0 / inputs as f32).sqrt() / 2_f32.powi(31);
        let values = (0..shape.num_elements()).map(|_| {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            self.state as i32 as f32 * scale
        });
        let values = TensorData::new(values.collect(), shape);
        Param::initialized(param.id, Tensor::from_data(values, (&device, dtype)))
    }
}
