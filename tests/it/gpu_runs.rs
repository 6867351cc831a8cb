//! Whole runs on a GPU: that each method gets through all its kernels.

use dvar::{
    concept::Method,
    config::MixedPrecision,
    session::PreparedRun,
    tensor::{computes_in, on_device},
};

use crate::{
    determinism::{options, prepared, states},
    support::gpu,
};

/// One step and one picture of each method, in each type that the GPU computes in. The numbers are
/// not looked at: `tests/cuda/with` compiles the kernels and executes none.
#[test]
#[ignore = "wants a GPU, or a stand-in for one: `DVAR_DEVICE` names it"]
fn the_gpu_gets_through_every_method() {
    let (name, device) = gpu();
    let methods = [Method::TextualInversion, Method::DreamboothLora, Method::CustomDiffusion];
    let precisions = [MixedPrecision::No, MixedPrecision::Fp16, MixedPrecision::Bf16];
    for precision in precisions {
        if !computes_in(&device, precision.dtype()) {
            println!("{name} does not compute in {}", precision.dtype().name());
            continue;
        }
        for method in methods {
            let mut options = options(precision, (method, "adamw"), 1, 1);
            options.training.gradient_checkpointing = Some(method == Method::DreamboothLora);
            options.samples.num_samples = Some(1);
            options.samples.num_inference_steps = Some(2);
            let run = PreparedRun { device: device.clone(), ..prepared(options) };
            let kept = on_device(&device, || states(&run, None, 1)).unwrap();
            assert_eq!(kept.len(), 1, "{method:?}");
            println!("{name} got through {method:?} in {}", precision.dtype().name());
        }
    }
}
