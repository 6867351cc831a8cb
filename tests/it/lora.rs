//! LoRA files of other tools: what the model predicts with them, against diffusers, and that all
//! names mean the same.

mod changes;
mod file;

use std::{collections::BTreeMap, fs, path::Path};

use burn::tensor::{Device, Tensor, TensorData};
use dvar::{
    concept::{LearnedAdapter, Lora, LoraFormat, LoraNames, Part},
    embedding::{self, LearnedEmbedding},
    pipelines::{ModelFolder, PromptIds, TimeIds},
};
use safetensors::Dtype;

use self::file::File;
use crate::{
    golden::{self, Tensors, assert_close},
    support::values,
};

fn lora(bytes: &[u8]) -> Lora {
    match LearnedAdapter::from_bytes(bytes, "the file").unwrap() {
        LearnedAdapter::Lora(lora) => lora,
        other => panic!("{other:?}"),
    }
}

fn refused(tensors: &File) -> String {
    LearnedAdapter::from_bytes(&tensors.bytes(), "the file").unwrap_err().to_string()
}

/// What a model of the set predicts with these weights.
fn predicted(kind: &str, golden: &Tensors, adapter: Option<&LearnedAdapter>) -> Vec<f64> {
    let device = Device::flex();
    let model = ModelFolder::open(&golden::more().join(format!("models/tiny-{kind}"))).unwrap();
    let tokenizers = model.tokenizers().unwrap();
    let mut encoder = model.load_prompt_encoder(tokenizers, &device).unwrap();
    let mut unet = model.load_unet(&device).unwrap();
    if let Some(adapter) = adapter {
        (unet, encoder) = adapter.apply(unet, encoder, &device).unwrap();
    }
    let tensor = |name: &str| golden.get(&format!("{kind}.{name}"));
    let widths = model.embedding_widths().0;
    let ids = match widths.len() {
        1 => vec![tensor("input_ids")],
        _ => vec![tensor("input_ids_1"), tensor("input_ids_2")],
    };
    let rows = 0..ids[0].shape[0];
    let prompts = rows.clone().map(|row| {
        let of = ids.iter().map(|ids| {
            let length = ids.shape[1];
            ids.values[row * length..][..length].iter().map(|id| *id as u32).collect()
        });
        PromptIds(of.collect())
    });
    let sizes = rows.map(|row| match widths.len() {
        1 => TimeIds::whole(8, 8),
        _ => TimeIds(tensor("time_ids").f32()[row * 6..][..6].try_into().unwrap()),
    });
    let vectors: Vec<_> =
        widths.iter().map(|(_, width)| Tensor::zeros([1, *width], &device)).collect();
    let prompts = encoder.prepare(&prompts.collect::<Vec<_>>());
    let told = encoder.encode(&prompts, &vectors, &sizes.collect::<Vec<_>>());
    let sample = tensor("sample");
    let shape: [usize; 4] = sample.shape.clone().try_into().unwrap();
    let sample = Tensor::<4>::from_data(TensorData::new(sample.f32(), shape), &device);
    values(unet.forward(sample, &tensor("timesteps").values, told))
}

#[test]
fn every_lora_of_the_set_changes_the_prediction_as_in_diffusers() {
    let (golden, about) = (Tensors::open("lora_more"), golden::json("lora_more"));
    let mut checked = 0;
    for (file, about) in about["files"].as_object().unwrap() {
        let bytes = fs::read(golden::more().join("files/lora").join(file)).unwrap();
        for (scale, about) in about["scales"].as_object().unwrap() {
            let name = about["tensor"].as_str().unwrap();
            let kind = name.split('.').next().unwrap();
            let adapter = LearnedAdapter::Lora(lora(&bytes).scaled(scale.parse().unwrap()));
            let ours = predicted(kind, &golden, Some(&adapter));
            assert_close(name, &ours, &golden.get(name).values, 5e-5, 0.0);
            let base = &golden.get(&format!("{kind}.noise_pred.base")).values;
            let effect = ours.iter().zip(base).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(effect > 0.01, "{name} changes the prediction by {effect}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

const ATTENTION: &str = "mid_block.attentions.0.transformer_blocks.0.attn2";
const TEXT: &str = "text_model.encoder.layers.0.self_attn";

/// A small one by PEFT's names: rank 2, in denoiser and text encoder.
fn small() -> File {
    let layers = [format!("unet.{ATTENTION}.to_out.0"), format!("text_encoder.{TEXT}.out_proj")];
    layers.iter().fold(File::default(), |file, layer| {
        let down = [0.5, 1.0, -0.25, 2.0, 0.125, -1.0];
        let up = [1.0, -0.5, 0.75, 0.25, 0.0, 2.0, 1.5, -1.0];
        file.with(&format!("{layer}.lora_A.weight"), &[2, 3], &down).with(
            &format!("{layer}.lora_B.weight"),
            &[4, 2],
            &up,
        )
    })
}

/// sd-scripts' name for one of PEFT's.
fn flat(name: &str) -> String {
    let (layer, end) = name.split_once(".lora_").unwrap();
    let layer = layer.replace("text_encoder.", "te.").replace('.', "_");
    let end = if end == "A.weight" { "lora_down.weight" } else { "lora_up.weight" };
    format!("lora_{layer}.{end}")
}

#[test]
fn the_same_lora_is_read_under_every_name_and_in_every_type() {
    let small = small();
    let want = lora(&small.bytes()).to_peft().unwrap();
    let old = |name: &str| name.replace(".lora_A.", ".down.").replace(".lora_B.", ".up.");
    let kohya = small.renamed(flat);
    let kohya_with_alpha =
        kohya.tensors.keys().filter_map(|name| name.strip_suffix(".lora_up.weight"));
    let kohya_with_alpha = kohya_with_alpha
        .fold(kohya.clone(), |file, layer| file.with(&format!("{layer}.alpha"), &[], &[2.0]));
    let mut whole_alpha = kohya_with_alpha.clone();
    for (name, (dtype, _, bytes)) in &mut whole_alpha.tensors {
        if name.ends_with(".alpha") {
            (*dtype, *bytes) = (Dtype::I64, 2_i64.to_le_bytes().to_vec());
        }
    }
    let comfyui = |name: &str| {
        let name = name.replace("unet.mid_block.attentions.0.", "diffusion_model.middle_block.1.");
        name.replace("text_encoder.", "text_encoders.clip_l.transformer.")
    };
    for (what, file, names) in [
        ("half", small.stored(Dtype::F16), LoraNames::Peft),
        ("ComfyUI", small.renamed(comfyui), LoraNames::Original),
        ("brain", small.stored(Dtype::BF16), LoraNames::Peft),
        ("kohya", kohya, LoraNames::Kohya),
        ("kohya with alpha", kohya_with_alpha.stored(Dtype::F16), LoraNames::Kohya),
        ("kohya with alpha as a whole number", whole_alpha, LoraNames::Kohya),
        (
            "transformers 5.6",
            small.renamed(|name| name.replace("text_encoder.text_model.", "text_encoder.")),
            LoraNames::Peft,
        ),
        (
            "adapters with names",
            small.renamed(|name| name.replace(".weight", ".default.weight")),
            LoraNames::Peft,
        ),
        (
            "old",
            small.renamed(|name| {
                let between =
                    if name.starts_with("unet") { ".lora." } else { ".lora_linear_layer." };
                old(name)
                    .replace(".down.", &format!("{between}down."))
                    .replace(".up.", &format!("{between}up."))
            }),
            LoraNames::OldDiffusers,
        ),
        (
            "processors",
            small.renamed(|name| {
                let name = old(name).replace(".attn2.to_out.0.", ".attn2.processor.to_out_lora.");
                name.replace(".out_proj.", ".to_out_lora.")
            }),
            LoraNames::OldDiffusers,
        ),
    ] {
        let read = lora(&file.bytes());
        assert_eq!(read.names(), names, "{what}");
        assert!(read.to_peft().unwrap() == want, "{what}");
        assert!(lora(&read.to_kohya(None).unwrap()).to_peft().unwrap() == want, "{what}");
        let about: Vec<_> = read.layers().map(|(part, l)| (part, l.rank(), l.alpha())).collect();
        let parts = [Part::Denoiser, Part::TextEncoder(0)];
        assert_eq!(about, parts.map(|part| (part, Some(2), Some(2.0))));
    }
}

#[test]
fn of_a_layer_under_both_kinds_of_names_diffusers_is_taken_and_the_other_layers_stay() {
    let pair = |file: File, layer: &str, value: f32| {
        file.with(&format!("lora_unet_{layer}.lora_down.weight"), &[1, 2], &[value; 2]).with(
            &format!("lora_unet_{layer}.lora_up.weight"),
            &[2, 1],
            &[value; 2],
        )
    };
    let alone = pair(File::default(), "down_blocks_1_attentions_0_proj_in", 1.0);
    let alone = pair(alone, "middle_block_1_proj_in", 2.0);
    let both = pair(alone.clone(), "input_blocks_4_1_proj_in", 3.0);
    let [alone, both] = [alone, both].map(|file| lora(&file.bytes()));
    assert_eq!(both.layers().count(), 2);
    assert!(both.to_peft().unwrap() == alone.to_peft().unwrap());
    assert!(both.to_kohya(None).unwrap() == alone.to_kohya(None).unwrap());
}

/// diffusers before August 2026 divides the rank of one layer by that of another.
#[test]
fn what_is_written_for_diffusers_has_one_rank_in_each_network() {
    let query = format!("unet.{ATTENTION}.to_q");
    let file = small()
        .with(&format!("{query}.lora_A.weight"), &[1, 3], &[1.0, 2.0, 3.0])
        .with(&format!("{query}.lora_B.weight"), &[4, 1], &[0.5, -1.0, 0.0, 2.0])
        .with(&format!("{query}.alpha"), &[], &[2.0]);
    let written = File::read(&lora(&file.bytes()).to_peft().unwrap());
    let down = written.get(&format!("{query}.lora_A.weight"));
    assert_eq!(down, (vec![2, 3], vec![1.0, 2.0, 3.0, 0.0, 0.0, 0.0]));
    let up = written.get(&format!("{query}.lora_B.weight"));
    assert_eq!(up, (vec![4, 2], vec![1.0, 0.0, -2.0, 0.0, 0.0, 0.0, 4.0, 0.0]));
    let (side, layer) = (1 << 17, "unet.mid_block.attentions.0.proj_in");
    let thick = file
        .with(&format!("{layer}.lora_A.weight"), &[side, 1], &vec![0.0; side])
        .with(&format!("{layer}.lora_B.weight"), &[1, side], &vec![0.0; side])
        .with(&format!("{layer}2.lora_A.weight"), &[1, side], &vec![0.0; side])
        .with(&format!("{layer}2.lora_B.weight"), &[1, 1], &[0.0]);
    assert!(lora(&thick.bytes()).to_peft().unwrap_err().contains("its ranks differ so much"));
}

/// sd-scripts' names have no dots.
#[test]
fn layers_that_would_have_one_name_in_the_written_file_are_refused() {
    let file = ["down.to_k", "down_to.k"].iter().fold(File::default(), |file, layer| {
        file.with(&format!("unet.{layer}.lora_A.weight"), &[1, 2], &[0.5; 2]).with(
            &format!("unet.{layer}.lora_B.weight"),
            &[2, 1],
            &[0.5; 2],
        )
    });
    let read = lora(&file.bytes());
    assert!(read.to_peft().is_ok());
    let refused = read.to_kohya(None).unwrap_err();
    assert!(
        refused.contains("two of its tensors would be called `lora_unet_down_to_k."),
        "{refused}"
    );
}

#[test]
fn a_file_for_sd_scripts_tells_its_base_model_as_a1111_asks_for_it() {
    let told = |layer: &str, inputs: usize| {
        let file = File::default()
            .with(&format!("{layer}.lora_down.weight"), &[1, inputs], &vec![0.5; inputs])
            .with(&format!("{layer}.lora_up.weight"), &[1, 1], &[0.5]);
        File::read(&lora(&file.bytes()).to_kohya(None).unwrap()).metadata
    };
    let first = ("ss_base_model_version", "sd_v1");
    let second = ("ss_v2", "True");
    let xl = ("ss_base_model_version", "sdxl_base_v1-0");
    for (layer, inputs, (key, value)) in [
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 768, first),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_q", 1024, first),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 1024, second),
        ("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 1024, second),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_k", 2048, xl),
        ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1280, xl),
    ] {
        let want = BTreeMap::from([(key.to_string(), value.to_string())]);
        assert_eq!(told(layer, inputs), want, "{layer} {inputs}");
    }
}

#[test]
fn alpha_is_taken_from_tensors_or_from_pefts_configuration() {
    let config = r#"{"unet.lora_alpha": 8, "unet.r": 2, "text_encoder.lora_alpha": 1,
        "text_encoder.alpha_pattern": {"self_attn.out_proj": 3, "proj": 4},
        "unet.use_rslora": false}"#;
    let alphas =
        |lora: &Lora| lora.layers().filter_map(|(_, layer)| layer.alpha()).collect::<Vec<_>>();
    let mut file = small();
    file.metadata.insert("lora_adapter_metadata".into(), config.into());
    assert_eq!(alphas(&lora(&file.bytes())), [8.0, 3.0]);
    // as diffusers writes the whole names of layers
    let whole = config.replace("self_attn.out_proj", &format!("^{TEXT}.out_proj"));
    file.metadata.insert("lora_adapter_metadata".into(), whole);
    assert_eq!(alphas(&lora(&file.bytes())), [8.0, 3.0]);
    let other = config.replace("self_attn.out_proj", "^self_attn.out_proj");
    file.metadata.insert("lora_adapter_metadata".into(), other);
    assert_eq!(alphas(&lora(&file.bytes())), [8.0, 1.0]);
    let expression = config.replace("self_attn.out_proj", ".*out_proj");
    file.metadata.insert("lora_adapter_metadata".into(), expression);
    assert!(refused(&file).contains("by the regular expression `.*out_proj`"));
    file.metadata.insert("lora_adapter_metadata".into(), config.into());
    let own = file.clone().with(&format!("unet.{ATTENTION}.to_out.0.alpha"), &[1], &[0.5]);
    assert_eq!(alphas(&lora(&own.bytes())), [0.5, 3.0]);

    let peft = |name: &str| name.replace("unet.", "base_model.model.");
    let peft = File::default().tensors.into_iter().chain(
        small().renamed(peft).tensors.into_iter().filter(|(name, _)| name.starts_with("base")),
    );
    let peft = File { tensors: peft.collect(), metadata: BTreeMap::new() }.bytes();
    let beside = r#"{"peft_type": "LORA", "lora_alpha": 4, "r": 2, "use_rslora": true}"#;
    let read = LearnedAdapter::with_peft_config(&peft, "the file", Some(beside)).unwrap();
    let LearnedAdapter::Lora(read) = read else { panic!("a LoRA") };
    let [alpha] = alphas(&read)[..] else { panic!("one layer") };
    assert!((alpha / 2.0 - 4.0 / 2_f64.sqrt()).abs() < 1e-12, "{alpha}");
    let broken = LearnedAdapter::with_peft_config(&peft, "the file", Some("{")).unwrap_err();
    assert!(broken.to_string().contains("configuration of PEFT does not parse"), "{broken}");
}

#[test]
fn what_does_not_fit_the_model_is_told_by_its_first_name_and_by_number() {
    let device = Device::flex();
    let model = ModelFolder::open(&golden::more().join("models/tiny-sd1")).unwrap();
    let apply = |file: &File| {
        let encoder = model.load_prompt_encoder(model.tokenizers().unwrap(), &device).unwrap();
        let unet = model.load_unet(&device).unwrap();
        let adapter = LearnedAdapter::from_bytes(&file.bytes(), "ink.safetensors").unwrap();
        adapter.apply(unet, encoder, &device).unwrap_err().to_string()
    };
    let said = apply(&small());
    assert!(said.contains("does not fit this model at") && said.contains("3 to 4"), "{said}");
    let pair = |file: File, layer: &str| {
        file.with(&format!("{layer}.lora_down.weight"), &[1, 1], &[0.0]).with(
            &format!("{layer}.lora_up.weight"),
            &[1, 1],
            &[0.0],
        )
    };
    let strange = pair(File::default(), "lora_unet_no_such_layer");
    let strange = pair(strange, "lora_te2_text_model_encoder_layers_0_mlp_fc1");
    let said = apply(&strange);
    assert!(
        said.starts_with("`ink.safetensors` does not fit this model: `lora_unet_no_such_layer` is not in it, one of 2 such layers among 2;"),
        "{said}"
    );
}

#[test]
fn what_is_no_lora_is_refused_by_its_name() {
    for (name, told) in [
        ("lora_unet_a.dora_scale", "it is DoRA,"),
        ("unet.a.lora_magnitude_vector", "it is DoRA,"),
        ("lora_unet_a.hada_w1_a", "it is LoHa,"),
        ("lora_unet_a.lokr_w1", "it is LoKr,"),
        ("unet:10:up", "it numbers the layers that it changes"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", "such as Flux"),
        ("base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight", "such as Flux"),
        ("some.weight", "`some.weight` is no tensor of a LoRA that is known here"),
    ] {
        let said = refused(&small().with(name, &[1, 1], &[0.0]));
        assert!(said.contains(told), "{said}");
    }
    let layer = format!("unet.{ATTENTION}.to_q");
    let half = File::default().with(&format!("{layer}.lora_A.weight"), &[1, 4], &[0.0; 4]);
    assert!(refused(&half).contains("is not whole"));
    let uneven = half.with(&format!("{layer}.lora_B.weight"), &[4, 2], &[0.0; 8]);
    assert!(refused(&uneven).contains("do not fit"));
    let twice = small().with(
        &flat(&format!("unet.{ATTENTION}.to_out.0.lora_A.weight")),
        &[2, 3],
        &[0.0; 6],
    );
    assert!(refused(&twice).contains("is there twice"));
    let infinite = small().with(&format!("unet.{ATTENTION}.to_out.0.alpha"), &[], &[f32::INFINITY]);
    assert!(refused(&infinite).contains("not finite"));
    let both = small().with(&format!("unet.{ATTENTION}.to_out.0.diff"), &[4, 3], &[0.0; 12]);
    assert!(refused(&both).contains("which of both counts nothing says"));
    let empty = small().with("lora_unet_a.diff", &[0, 1 << 40, 1 << 40], &[]);
    assert!(refused(&empty).contains("`lora_unet_a.diff` holds no value"));
    let thick = File::default()
        .with("lora_unet_a.lora_down.weight", &[2], &[0.0; 2])
        .with("lora_unet_a.lora_up.weight", &[1, 2], &[0.0; 2])
        .with("lora_unet_a.lora_mid.weight", &[2, 3, 1, 1], &[0.0; 6]);
    assert!(refused(&thick).contains("a middle of [2, 3, 1, 1], which does not fit"));
    let column = thick.with("lora_unet_a.lora_mid.weight", &[2, 2, 1, 1], &[0.0; 4]);
    assert!(LearnedAdapter::from_bytes(&column.bytes(), "the file").is_ok());
    let wide = column.with("lora_unet_a.lora_mid.weight", &[2, 2, 1, 4], &[0.0; 16]);
    assert!(refused(&wide).contains("a middle of [2, 2, 1, 4], which does not fit"));
    let pickled = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch/weights.bin");
    let said = LearnedAdapter::from_bytes(&fs::read(pickled).unwrap(), "a.bin").unwrap_err();
    // it is read, and not run
    assert!(said.to_string().contains("is no tensor of a LoRA"), "{said}");
}

/// sd-scripts' names of SDXL count all layers of the levels before.
#[test]
fn a_file_for_sd_scripts_counts_the_layers_of_its_own_denoiser() {
    let of_block = |block: &str| {
        let [down, up] = ["lora_A", "lora_B"]
            .map(|piece| format!("unet.{block}.transformer_blocks.1.attn2.to_k.{piece}.weight"));
        lora(&File::default().with(&down, &[1, 1], &[0.5]).with(&up, &[1, 1], &[0.5]).bytes())
    };
    let learned = LearnedEmbedding::new("<my-cat>", vec![0.5; 3], 1, 3).unwrap();
    for (layers, block, want) in [
        (1, "down_blocks.1.attentions.0", "input_blocks_3_1"),
        (2, "down_blocks.1.attentions.0", "input_blocks_4_1"),
        (1, "up_blocks.1.attentions.1", "output_blocks_3_1"),
        (2, "up_blocks.1.attentions.1", "output_blocks_4_1"),
        (3, "down_blocks.1.attentions.2", "input_blocks_7_1"),
    ] {
        let written = LoraFormat::Kohya.write(&of_block(block), &learned, layers).unwrap();
        let name = format!("lora_unet_{want}_transformer_blocks_1_attn2_to_k.alpha");
        assert!(File::read(&written).tensors.contains_key(&name), "{name}");
    }
    // that of a file alone is not known: it is taken for SDXL's
    for block in ["down_blocks.1.attentions.2", "up_blocks.1.attentions.3"] {
        let refused = of_block(block).to_kohya(None).unwrap_err();
        assert!(refused.contains("more than 2 residual blocks in a level"), "{refused}");
    }
    assert!(of_block("up_blocks.1.attentions.2").to_kohya(None).is_ok());
}

#[test]
fn a_bundle_holds_the_embedding_beside_the_lora() {
    let learned = LearnedEmbedding::new("<my.cat>", vec![0.5; 6], 2, 3).unwrap();
    let plain = lora(&small().bytes());
    let bundle = plain.to_kohya(Some(&learned)).unwrap();
    assert_eq!(embedding::read(&bundle, "other name").unwrap(), learned);
    let read = lora(&bundle);
    assert!(read.holds_embedding() && !plain.holds_embedding());
    assert_eq!(read.to_peft().unwrap(), plain.to_peft().unwrap());
}
