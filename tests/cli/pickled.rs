//! A model whose weights are pickles, as older ones were published.

use std::{fs, path::Path};

use safetensors::{Dtype, SafeTensors};

use crate::harness::Cli;

/// Rewrites a model's weights as `torch.save` did before PyTorch 1.6.
pub fn pickle_weights(model: &Path) {
    for (network, stem) in [
        ("text_encoder", "model"),
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
    ] {
        let old = model.join(network).join(stem).with_extension("safetensors");
        let pickled = pickle(&fs::read(&old).unwrap());
        let new = if stem == "model" { "pytorch_model.bin" } else { "diffusion_pytorch_model.bin" };
        fs::write(model.join(network).join(new), pickled).unwrap();
        fs::remove_file(old).unwrap();
    }
}

fn pickle(weights: &[u8]) -> Vec<u8> {
    let text =
        |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let number = |number: usize| [b"J", &(number as u32).to_le_bytes()[..]].concat();
    let sizes = |sizes: &[usize]| {
        [b"(", &sizes.iter().flat_map(|size| number(*size)).collect::<Vec<_>>()[..], b"t"].concat()
    };
    let pickle = |object: &[u8]| [b"\x80\x02", object, b"."].concat();

    let (mut tensors, mut keys, mut storages) = (b"}(".to_vec(), b"](".to_vec(), Vec::new());
    let file = SafeTensors::deserialize(weights).unwrap();
    for (index, (name, view)) in file.tensors().into_iter().enumerate() {
        let class = match view.dtype() {
            Dtype::F32 => "FloatStorage",
            Dtype::F16 => "HalfStorage",
            other => panic!("{name}: {other:?}"),
        };
        let shape = view.shape();
        let count: usize = shape.iter().product();
        let stride = (0..shape.len()).map(|i| shape[i + 1..].iter().product());
        let (key, class) = (text(&index.to_string()), format!("ctorch\n{class}\n"));
        tensors.extend(text(&name));
        tensors.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        tensors.extend([&text("storage")[..], class.as_bytes(), &key, &text("cuda:0")].concat());
        tensors.extend([&number(count)[..], b"NtQ", &number(0), &sizes(shape)].concat());
        tensors.extend(sizes(&stride.collect::<Vec<_>>()));
        tensors.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        keys.extend(key);
        storages.extend((count as u64).to_le_bytes());
        storages.extend(view.data());
    }
    [
        &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..],
        &pickle(b"M\xe9\x03"),
        &pickle(b"}"),
        &pickle(&[&tensors[..], b"u"].concat()),
        &pickle(&[&keys[..], b"e"].concat()),
        &storages,
    ]
    .concat()
}

#[test]
fn a_model_of_pickles_learns_the_same_as_its_safetensors_twin() {
    let cli = Cli::with_pictures_of("koala");
    let learn = |model: &str, output: &str| {
        cli.train(&["--model", model, "-o", output, "--max-train-steps", "2"]).ok();
        cli.read(&format!("{output}/learned_embeds.safetensors"))
    };
    cli.copy_model("plain");
    pickle_weights(&cli.copy_model("pickled"));
    assert_eq!(learn("pickled", "second"), learn("plain", "first"));
}
