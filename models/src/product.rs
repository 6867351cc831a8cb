//! Products of matrices. Every one of this program goes through here, because burn rounds the factors of
//! an f32 product to TF32 (ten binary digits in place of 23) on NVIDIA GPUs of compute capability 8.0
//! and more: an evaluation is then off by 8e-5, where a run moves it by less than 1e-2.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::{nn::Linear, tensor::Tensor};

use crate::kernels;

static TF32: AtomicBool = AtomicBool::new(false);

/// Whether f32 products of this program may be rounded to TF32 where a GPU has it: faster, and less
/// exact (PyTorch's `torch.backends.cuda.matmul.allow_tf32`). They may not unless this is called.
pub fn allow_tf32(allowed: bool) {
    TF32.store(allowed, Ordering::Relaxed);
}

/// `left.matmul(right)`, in f32 with all digits of f32 on every device.
///
/// # Shapes
///
/// - left: `[..., rows, inner]`
/// - right: `[..., inner, columns]`
/// - output: `[..., rows, columns]`
///
/// # Panics
///
/// If the shapes do not fit.
pub fn matmul<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "cuda")]
    if exact::is_wanted(&left) {
        return exact::matmul(left, right);
    }
    left.matmul(right)
}

/// `layer.forward(x)`, in f32 with all digits of f32 on every device.
///
/// # Shapes
///
/// - x: `[..., inputs]`
/// - output: `[..., outputs]`
pub(crate) fn linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "cuda")]
    if exact::is_wanted(&x) {
        let (weight, mut shape) = (layer.weight.val(), x.dims());
        let [inputs, outputs] = weight.dims();
        let rows = shape[..D - 1].iter().product::<usize>();
        let output = exact::matmul(x.reshape([rows, inputs]), weight);
        let output = match &layer.bias {
            Some(bias) => output + bias.val().unsqueeze(),
            None => output,
        };
        shape[D - 1] = outputs;
        return output.reshape(shape);
    }
    kernels::linear(layer, x)
}

/// By cubek's kernel that uses no tensor cores. burn takes it too, where a GPU has none.
#[cfg(feature = "cuda")]
mod exact {
    use burn::{
        backend::{Cube, DispatchDevice, DispatchTensor, tensor::FloatTensor},
        tensor::{DType, Tensor},
    };
    use cubek::{
        cubecl::{prelude::Scalar, tf32},
        matmul::{definition::MatmulElems, launch::launch_ref, multi_level::Strategy},
        std::InputBinding,
    };

    use super::{Ordering, TF32};
    use crate::operation::{Operation, apply};

    /// Whether burn would round the factors.
    pub(super) fn is_wanted<const D: usize>(x: &Tensor<D>) -> bool {
        if x.dtype() != DType::F32 || TF32.load(Ordering::Relaxed) {
            return false;
        }
        match x.device().inner().as_dispatch() {
            DispatchDevice::Cube(device) => {
                device.client().properties().supports_type(tf32::elem_type_native())
            }
            _ => false,
        }
    }

    pub(super) fn matmul<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        let factors = [left.into_dispatch(), right.into_dispatch()];
        Tensor::from_dispatch(apply(&Product::<D>, factors))
    }

    #[derive(Clone, Debug)]
    struct Product<const D: usize>;

    impl<const D: usize> Operation<2> for Product<D> {
        type State = [DispatchTensor; 2];

        fn forward(&self, factors: [DispatchTensor; 2]) -> (DispatchTensor, Self::State) {
            let [left, right] = factors.clone().map(Tensor::<D>::from_dispatch);
            (launch(left, right).into_dispatch(), factors)
        }

        fn backward(
            self,
            factors: Self::State,
            gradient: DispatchTensor,
            wanted: [bool; 2],
        ) -> [Option<DispatchTensor>; 2] {
            let [left, right] = factors.map(Tensor::<D>::from_dispatch);
            let gradient = Tensor::<D>::from_dispatch(gradient);
            let to_left = wanted[0].then(|| {
                let to_left = launch(gradient.clone(), right.clone().transpose());
                summed(to_left, left.dims()).into_dispatch()
            });
            let to_right = wanted[1].then(|| {
                let to_right = launch(left.transpose(), gradient);
                summed(to_right, right.dims()).into_dispatch()
            });
            [to_left, to_right]
        }
    }

    /// The gradient of a factor that was repeated over some dimensions.
    fn summed<const D: usize>(gradient: Tensor<D>, shape: [usize; D]) -> Tensor<D> {
        (0..D).fold(gradient, |gradient, axis| match shape[axis] < gradient.dims()[axis] {
            true => gradient.sum_dim(axis),
            false => gradient,
        })
    }

    fn launch<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        let (rows, columns) = (left.dims(), right.dims());
        assert_eq!(rows[D - 1], columns[D - 2], "the inner sizes are the same");
        let mut shape: [usize; D] = std::array::from_fn(|axis| rows[axis].max(columns[axis]));
        (shape[D - 2], shape[D - 1]) = (rows[D - 2], columns[D - 1]);
        let repeated = |sizes: [usize; D]| {
            let mut target = shape;
            (target[D - 2], target[D - 1]) = (sizes[D - 2], sizes[D - 1]);
            target
        };
        let (left, right) = (left.expand(repeated(rows)), right.expand(repeated(columns)));
        let output = on_gpu(Tensor::<D>::empty(shape, &left.device()));
        let f32_type = f32::elem_type_native();
        let factor = |factor| InputBinding::new(on_gpu(factor).binding(), f32_type);
        launch_ref(
            &Strategy::SimpleUnit(Default::default()).into(),
            &output.client,
            factor(left),
            factor(right),
            output.clone().binding(),
            &mut MatmulElems::from_single_dtype(f32_type),
        )
        .expect("this kernel takes every size");
        Tensor::from_primitive::<Cube>(output)
    }

    fn on_gpu<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Cube> {
        tensor.try_into_primitive::<Cube>().expect("`is_wanted` says that it lies there")
    }
}
