//! What LoRA files change of a model's weights, number by number.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use dvar::{
    concept::{AdapterError, LearnedAdapter},
    pipelines::{ModelFolder, PromptIds, TimeIds},
};
use dvar_models::weights::change_weights;
use pollster::block_on;

use super::{ATTENTION, file::File, lora, small};
use crate::{
    embedding::{dict, le_bytes, pickle, tensor, torch_zip},
    golden::{self, Tensors},
    support::values,
};

/// The weights of the set's smallest model that a file changes, by their names.
fn merge(file: &File) -> Result<BTreeMap<String, Vec<f32>>, AdapterError> {
    let device = Device::flex();
    let model = ModelFolder::open(&golden::more().join("models/tiny-sd1")).unwrap();
    let adapter = LearnedAdapter::from_bytes(&file.bytes(), "the file").unwrap();
    block_on(adapter.merge(&model.load_unet(&device).unwrap(), &device))
}

/// The same, and the model's own.
fn merged(file: &File) -> BTreeMap<String, (Vec<f32>, Vec<f64>)> {
    let unet = golden::more().join("models/tiny-sd1/unet/diffusion_pytorch_model.safetensors");
    let own = Tensors::at(&unet);
    let merged = merge(file).unwrap();
    merged
        .into_iter()
        .map(|(name, values)| (name.clone(), (values, own.get(&name).values.clone())))
        .collect()
}

#[test]
fn a_convolution_takes_factors_over_its_kernel_with_or_without_a_middle() {
    const LAYER: &str = "down_blocks.0.downsamplers.0.conv";
    const FLAT: &str = "lora_unet_down_blocks_0_downsamplers_0_conv";
    let folder = golden::more().join("models/tiny-sd1");
    let own = Tensors::at(&folder.join("unet/diffusion_pytorch_model.safetensors"));
    let weight = format!("{LAYER}.weight");
    let [outputs, inputs, height, width] = own.get(&weight).shape[..] else { panic!("4-D") };
    let (rank, area) = (2, height * width);
    let numbers = |count: usize, first: i32| -> Vec<f32> {
        (0..count as i32).map(|i| ((i * 7 + first) % 11 - 5) as f32 / 8.0).collect()
    };
    let (up, mid) = (numbers(outputs * rank, 1), numbers(rank * rank * area, 2));
    let (thin, wide) = (numbers(rank * inputs, 3), numbers(rank * inputs * area, 4));
    let file = File::default()
        .with(&format!("{FLAT}.lora_up.weight"), &[outputs, rank, 1, 1], &up)
        .with(&format!("{FLAT}.alpha"), &[], &[0.5]);
    let down = format!("{FLAT}.lora_down.weight");
    let plain = file.clone().with(&down, &[rank, inputs, height, width], &wide);
    let tucker = file.with(&down, &[rank, inputs, 1, 1], &thin).with(
        &format!("{FLAT}.lora_mid.weight"),
        &[rank, rank, height, width],
        &mid,
    );
    let through = |a: usize, i: usize, place: usize| -> f32 {
        (0..rank).map(|b| mid[(a * rank + b) * area + place] * thin[b * inputs + i]).sum()
    };
    let straight = |a: usize, i: usize, place: usize| wide[(a * inputs + i) * area + place];
    type Down<'a> = &'a dyn Fn(usize, usize, usize) -> f32;
    let kinds: [(&File, Down<'_>); 2] = [(&plain, &straight), (&tucker, &through)];
    for (file, down) in kinds {
        let merged = merged(file);
        assert_eq!(merged.len(), 1);
        let (ours, own) = &merged[&weight];
        for (index, (ours, own)) in ours.iter().zip(own).enumerate() {
            let (o, i, place) = (index / (inputs * area), index / area % inputs, index % area);
            let delta: f32 = (0..rank).map(|a| up[o * rank + a] * down(a, i, place)).sum();
            let want = own + 0.5 / rank as f64 * f64::from(delta);
            assert!((f64::from(*ours) - want).abs() < 1e-5, "{index}: {ours} for {want}");
        }
        // what is written for others does the same
        let written = File::read(&lora(&file.bytes()).to_peft().unwrap());
        let again = self::merged(&written);
        let close = again[&weight].0.iter().zip(ours).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close, "the weights are the same after a conversion");
    }
}

#[test]
fn whole_differences_are_added_to_weights_norms_and_biases() {
    const CONV: &str = "diffusion_model.input_blocks.0.0";
    const GROUPS: &str = "lora_unet_down_blocks_0_attentions_0_norm";
    const LAYERS: &str = "lora_unet_mid_block_attentions_0_transformer_blocks_0_norm2";
    const OUT: &str = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_out.0";
    let unet = golden::more().join("models/tiny-sd1/unet/diffusion_pytorch_model.safetensors");
    let own = Tensors::at(&unet);
    let mut file = File::default();
    let mut differences = BTreeMap::new();
    for (given, name) in [
        (format!("{CONV}.diff"), "conv_in.weight"),
        (format!("{CONV}.diff_b"), "conv_in.bias"),
        (format!("{GROUPS}.w_norm"), "down_blocks.0.attentions.0.norm.weight"),
        (format!("{GROUPS}.b_norm"), "down_blocks.0.attentions.0.norm.bias"),
        (format!("{LAYERS}.w_norm"), "mid_block.attentions.0.transformer_blocks.0.norm2.weight"),
        // beside low-rank matrices for its weight
        (format!("{OUT}.diff_b"), &*format!("{ATTENTION}.to_out.0.bias")),
        (
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_ff_net_2.diff".into(),
            "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2.weight",
        ),
    ] {
        let shape = own.get(name).shape.clone();
        let values: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| (i * 7 % 11) as f32 / 8.0 - 0.5).collect();
        file = file.with(&given, &shape, &values);
        differences.insert(name.to_string(), values);
    }
    let [outputs, inputs] = own.get(&format!("{ATTENTION}.to_out.0.weight")).shape[..] else {
        panic!("a matrix")
    };
    let file = file
        .with(&format!("{OUT}.lora_down.weight"), &[1, inputs], &vec![0.5; inputs])
        .with(&format!("{OUT}.lora_up.weight"), &[outputs, 1], &vec![2.0; outputs]);
    differences.insert(format!("{ATTENTION}.to_out.0.weight"), vec![1.0; outputs * inputs]);
    let half = lora(&file.bytes()).scaled(0.5).to_kohya(None).unwrap();
    for (file, scale) in [(file.clone(), 1.0), (File::read(&half), 0.5)] {
        let merged = merged(&file);
        assert_eq!(merged.keys().collect::<Vec<_>>(), differences.keys().collect::<Vec<_>>());
        for (name, (ours, own)) in merged {
            for ((ours, own), difference) in ours.iter().zip(&own).zip(&differences[&name]) {
                let want = own + scale * f64::from(*difference);
                assert!((f64::from(*ours) - want).abs() < 1e-6, "{name}: {ours} for {want}");
            }
        }
    }
    let said = lora(&file.bytes()).to_peft().unwrap_err();
    assert!(said.contains("which diffusers has no name for"), "{said}");
    let query = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.diff_b";
    let said = merge(&file.with(query, &[4], &[0.0; 4])).unwrap_err().to_string();
    assert!(said.contains(&format!("`{query}` is not in it, one of 1 such layers")), "{said}");
    let biases = own.get("conv_in.bias").shape[0];
    let wide = vec![0.0; biases + 1];
    let wide = File::default().with(&format!("{CONV}.diff_b"), &[biases + 1], &wide);
    let said = merge(&wide).unwrap_err().to_string();
    let told = format!("it needs 1 to {}, the model has 1 to {biases}", biases + 1);
    assert!(said.contains(&told), "{said}");
}

#[test]
fn a_text_encoders_norms_and_biases_are_changed() {
    let device = Device::flex();
    let folder = golden::more().join("models/tiny-sd1");
    let own = Tensors::at(&folder.join("text_encoder/model.safetensors"));
    // the last norm gives nothing but its bias, and that becomes 2
    let less = |name: &str, rest: f32| -> Vec<f32> {
        let values = own.get(&format!("text_model.final_layer_norm.{name}")).f32();
        values.into_iter().map(|value| rest - value).collect()
    };
    let (weight, bias) = (less("weight", 0.0), less("bias", 2.0));
    let norm = "lora_te_text_model_final_layer_norm";
    let file = File::default().with(&format!("{norm}.w_norm"), &[weight.len()], &weight).with(
        &format!("{norm}.b_norm"),
        &[bias.len()],
        &bias,
    );
    let model = ModelFolder::open(&folder).unwrap();
    let encoder = model.load_prompt_encoder(model.tokenizers().unwrap(), &device).unwrap();
    let unet = model.load_unet(&device).unwrap();
    let adapter = LearnedAdapter::Lora(lora(&file.bytes()));
    let (_, encoder) = adapter.apply(unet, encoder, &device).unwrap();
    let prompts = encoder.prepare(&[PromptIds(vec![vec![1; 5]])]);
    let vectors = Tensor::zeros([1, weight.len()], &device);
    let states = encoder.encode(&prompts, &[vectors], &[TimeIds::whole(8, 8)]).hidden_states;
    assert!(values(states).into_iter().all(|value| (value - 2.0).abs() < 1e-6));
}

#[test]
fn a_table_of_embeddings_is_changed_and_a_projection_that_the_model_lacks_is_passed_over() {
    const NAME: &str = "text_encoders.clip_l.transformer.text_model.embeddings";
    let device = Device::flex();
    let folder = golden::more().join("models/tiny-sd1");
    let own = Tensors::at(&folder.join("text_encoder/model.safetensors"));
    let table = |name: &str| own.get(&format!("text_model.embeddings.{name}.weight"));
    let numbers = |count: usize, first: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + first) % 11) as f32 / 8.0 - 0.5).collect()
    };
    let mut file = File::default();
    for name in ["token_embedding", "position_embedding"] {
        let [rows, width] = table(name).shape[..] else { panic!("a matrix") };
        file = file
            .with(&format!("{NAME}.{name}.lora_down.weight"), &[2, width], &numbers(2 * width, 1))
            .with(&format!("{NAME}.{name}.lora_up.weight"), &[rows, 2], &numbers(rows * 2, 2));
    }
    for piece in ["down", "up"] {
        let name = format!("text_encoders.clip_l.transformer.text_projection.lora_{piece}.weight");
        file = file.with(&name, &[1, 1], &[1.0]);
    }
    let read = lora(&file.bytes());
    assert!(read.changes_tables() && !lora(&small().bytes()).changes_tables());
    assert!(lora(&read.to_kohya(None).unwrap()).to_peft().unwrap() == read.to_peft().unwrap());
    let model = ModelFolder::open(&folder).unwrap();
    let encoder = model.load_prompt_encoder(model.tokenizers().unwrap(), &device).unwrap();
    let unet = model.load_unet(&device).unwrap();
    let (_, encoder) = LearnedAdapter::Lora(read).apply(unet, encoder, &device).unwrap();
    let token = table("token_embedding");
    let [rows, width] = token.shape[..] else { panic!("a matrix") };
    let (down, up) = (numbers(2 * width, 1), numbers(rows * 2, 2));
    let ours = values(encoder.token_tables().remove(0));
    assert_eq!(ours.len(), rows * width);
    for (index, ours) in ours.into_iter().enumerate() {
        let (row, column) = (index / width, index % width);
        let delta: f32 = (0..2).map(|a| up[row * 2 + a] * down[a * width + column]).sum();
        let want = token.values[index] + f64::from(delta);
        assert!((ours - want).abs() < 1e-5, "{index}: {ours} for {want}");
    }
}

/// As diffusers' `save_attn_procs` writes what `--freeze_model crossattn` trained.
#[test]
fn custom_diffusions_weights_are_read_with_queries_outputs_and_the_attentions_it_left() {
    let device = Device::flex();
    let folder = golden::more().join("models/tiny-sd1");
    let own = Tensors::at(&folder.join("unet/diffusion_pytorch_model.safetensors"));
    let (mut entries, mut storages, mut want) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (key, end, ours) in [
        ("0", "to_k_custom_diffusion.weight", "to_k.weight"),
        ("1", "to_v_custom_diffusion.weight", "to_v.weight"),
        ("2", "to_q_custom_diffusion.weight", "to_q.weight"),
        ("3", "to_out_custom_diffusion.0.weight", "to_out.0.weight"),
        ("4", "to_out_custom_diffusion.0.bias", "to_out.0.bias"),
    ] {
        let ours = format!("{ATTENTION}.{ours}");
        let shape = &own.get(&ours).shape;
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| i as f32 / 8.0 - 3.0).collect();
        let stride = if shape.len() == 1 { vec![1] } else { vec![shape[1], 1] };
        let opcodes = tensor("FloatStorage", key, 0, shape, &stride);
        entries.push((format!("{ATTENTION}.processor.{end}"), opcodes));
        storages.push((key, le_bytes(&values)));
        want.insert(ours, values);
    }
    let left = ATTENTION.replace("attn2", "attn1");
    entries.push((format!("{left}.processor"), b"}".to_vec()));
    let entries: Vec<_> = entries.iter().map(|(name, value)| (&**name, value.clone())).collect();
    let file = torch_zip(&pickle(&dict(&entries)), &storages);
    let adapter = LearnedAdapter::from_bytes(&file, "weights.bin").unwrap();
    let again = LearnedAdapter::from_bytes(&adapter.to_bytes().unwrap(), "again").unwrap();
    assert_eq!(again, adapter);

    let model = ModelFolder::open(&folder).unwrap();
    let unet = model.load_unet(&device).unwrap();
    assert_eq!(block_on(adapter.merge(&unet, &device)).unwrap(), want);
    let encoder = model.load_prompt_encoder(model.tokenizers().unwrap(), &device).unwrap();
    let (unet, _) = adapter.apply(unet, encoder, &device).unwrap();
    let mut changed = BTreeMap::new();
    change_weights(unet, &mut |name, weight| {
        let ending = if name.ends_with(".bias") { "" } else { ".weight" };
        changed.insert(format!("{name}{ending}"), values(weight.transpose()));
        None
    });
    for (name, want) in want {
        let want: Vec<f64> = want.into_iter().map(f64::from).collect();
        assert_eq!(changed[&name], want, "{name}");
    }
}
