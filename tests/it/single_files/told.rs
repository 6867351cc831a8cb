//! What a single file is, and what it lacks or says: told by its content.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
};

use dvar::schedulers::PredictionType;
use dvar_models::{
    single_file::{Kind, SingleFile},
    tokenizer::{PromptTokenizer, openai_clip},
    weights::{
        Folder, Memory,
        torch::{TorchError, TorchFile},
    },
};
use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{description, of_bytes, open, single};
use crate::golden;

#[test]
fn a_file_of_stable_diffusion_2_that_does_not_say_what_it_predicts_is_told_by_a_bias() {
    let kind = |deviation: f32, told: Option<&str>| {
        let bias = [-deviation, deviation].map(|value| f16::from_f32(value).to_le_bytes()).concat();
        let tensors = [
            ("cond_stage_model.model.ln_final.bias", vec![1], &[0; 2][..]),
            ("first_stage_model.quant_conv.weight", vec![1, 1, 1, 1], &[0; 2][..]),
            (
                "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias",
                vec![2],
                &bias[..],
            ),
        ];
        let tensors = tensors
            .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F16, shape, bytes).unwrap()));
        let told = told.map(|told| ("modelspec.prediction_type".into(), told.into()));
        of_bytes(safetensors::serialize(tensors, Some(told.into_iter().collect())).unwrap()).kind()
    };
    assert_eq!(kind(0.05, None), Kind::StableDiffusion2Base);
    assert_eq!(kind(0.12, None), Kind::StableDiffusion2);
    assert_eq!(kind(0.05, Some("v")), Kind::StableDiffusion2);
    assert_eq!(kind(0.12, Some("epsilon")), Kind::StableDiffusion2Base);
}

#[test]
fn a_file_of_stable_diffusion_1_with_both_marks_has_no_signal_at_its_end_and_is_drawn_from_there() {
    let bytes = fs::read(golden::more().join("files/single/sd1.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mark = |name: &str| {
        (name.to_string(), TensorView::new(Dtype::F32, vec![0], &[]).expect("an empty tensor"))
    };
    let tensors = file.tensors().into_iter().chain(["v_pred", "ztsnr"].map(mark));
    let single = of_bytes(safetensors::serialize(tensors, None).unwrap());
    assert_eq!(single.kind(), Kind::StableDiffusion1ZeroSnr);
    let model = open(single);
    let scheduler = model.scheduler();
    let schedule = scheduler.noise_schedule();
    assert_eq!(schedule.prediction_type(), PredictionType::VPrediction);
    assert_eq!(schedule.alpha_prod(999), 0.0);
    let drawn = scheduler.build(scheduler.kind(), 8, 0.0).unwrap();
    assert_eq!(drawn.timesteps()[..2], [999.0, 874.0]);
}

#[test]
fn a_file_is_known_by_its_content_whatever_it_is_called() {
    let kind = |content: &str, name: &str| {
        let bytes = fs::read(golden::more().join("files/single").join(content)).unwrap();
        let memory = Memory(BTreeMap::from([(name.to_string(), Cow::Owned(bytes))]));
        SingleFile::open(&memory, name).unwrap().kind()
    };
    for (content, name) in [
        ("sd1.ckpt", "181248"),
        ("sd1.ckpt", "model.safetensors"),
        ("sd1.ckpt", "MODEL.CKPT"),
        ("sd1.safetensors", "model.ckpt"),
    ] {
        assert_eq!(kind(content, name), Kind::StableDiffusion1, "{content} as {name}");
    }
}

#[test]
fn a_class_as_a_key_is_skipped_in_a_checkpoint_and_refused_elsewhere() {
    let name = "lightning-class-key.ckpt";
    let about = &description()["files"][name];
    let file = || File::open(golden::more().join("files/single").join(name)).unwrap();
    let foreign = TorchFile::open(&mut file()).unwrap_err();
    let TorchError::ForeignGlobal(global) = &foreign else { panic!("{foreign}") };
    assert_eq!(about["foreign_global"], global.as_str());

    let tensors = TorchFile::open_checkpoint(&mut file()).unwrap().state_dict().unwrap();
    let sums = about["sums"].as_object().unwrap();
    assert_eq!(tensors.keys().collect::<Vec<_>>(), sums.keys().collect::<Vec<_>>());
    for (name, want) in sums {
        let bytes = tensors[name].read(&mut file()).unwrap();
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let sum: f64 = values.map(f64::from).sum();
        assert!((sum - want.as_f64().unwrap()).abs() < 1e-5, "{name}: {sum}");
    }
}

#[test]
fn a_file_without_a_tokenizer_gets_clips() {
    let model = single("sd1.safetensors").unwrap();
    let tokenizers = open(model).tokenizers().unwrap();
    let vocab = openai_clip::vocab_json();
    let clip = PromptTokenizer::clip(vocab.as_bytes(), openai_clip::MERGES.as_bytes(), None, None);
    let (clip, text) = (clip.unwrap(), "A photo of the naïve café, 2024!");
    assert_eq!(tokenizers.encode(text).0, [clip.encode(text, 77)]);
}

#[test]
fn an_embedding_of_any_tool_given_as_a_model_is_named() {
    let folder = golden::more().join("files/embeddings");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".png")).collect();
    names.sort();
    assert!(names.iter().any(|name| name.ends_with(".pt")), "{names:?}");
    for name in names {
        let problem = SingleFile::open(&Folder(folder.clone()), &name).unwrap_err().to_string();
        // a bundle is a LoRA with embeddings in it
        let kind = if name.contains("bundle") { "a LoRA" } else { "a learned embedding" };
        assert!(problem.contains(&format!("it is {kind}")), "{name}: {problem}");
    }
}
