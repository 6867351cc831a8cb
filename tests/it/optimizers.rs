//! AdamW against torch 2.8.0.

use burn::tensor::{Device, Tensor, TensorData};
use dvar::optim::{AdamW, AdamWConfig};

use crate::{
    golden::{self, Tensors, assert_close, number, numbers},
    support::{tensor, values},
};

#[test]
fn adamw_follows_torch_step_by_step() {
    let (golden, meta) = (Tensors::open("optimizers"), golden::json("optimizers"));
    let device = Device::flex();
    let (start, grads) = (golden.get("p0"), golden.get("grads"));
    let width = start.values.len();
    let cases = meta["cases"].as_object().unwrap();
    for (name, case) in cases.iter().filter(|(_, case)| case["kind"] == "adamw") {
        let betas = numbers(&case["betas"]);
        let config = AdamWConfig {
            beta1: betas[0],
            beta2: betas[1],
            epsilon: number(&case["eps"]),
            weight_decay: number(&case["weight_decay"]),
        };
        let mut parameter = tensor::<2>(start, &device);
        let mut optimizer = AdamW::new(config, &parameter);
        let mut path = values(parameter.clone());
        for gradient in grads.f32().chunks(width) {
            let gradient = TensorData::new(gradient.to_vec(), start.shape.clone());
            let gradient = Tensor::from_data(gradient, &device);
            parameter = optimizer.update(parameter, gradient, number(&case["lr"]));
            path.extend(values(parameter.clone()));
        }
        assert_close(name, &path, &golden.get(&format!("{name}.params")).values, 0.0, 2e-6);
    }
}
