//! Kinds by tensors, metadata and configurations.

use super::*;

#[test]
fn only_the_refiner_is_called_so() {
    let first = format!("{UNET}input_blocks.0.0.weight");
    let other = |name: &str, shape: &[usize], inputs| {
        let (name, denoiser) = (name.to_string(), vec![1, inputs, 3, 3]);
        let shapes = Shapes::from([(name, shape.to_vec()), (first.clone(), denoiser)]);
        Kind::of(&shapes, &BTreeMap::new()).unwrap_err()
    };
    let norm = "conditioner.embedders.0.model.ln_final.weight";
    assert!(other(norm, &[1280], 4).contains("SDXL's refiner"));
    assert!(other(norm, &[1024], 4).contains("as SD-Turbo is passed on"));
    let video = "model.diffusion_model.input_blocks.1.0.time_stack.in_layers.2.weight";
    assert!(other(video, &[320, 320, 3, 1, 1], 8).contains("Stable Video Diffusion"));
}

/// A file with a weight of each of these parts.
fn with(parts: &[&str]) -> Shapes {
    parts.iter().map(|part| (format!("{part}weight"), vec![4096, 4])).collect()
}

#[test]
fn what_is_not_all_of_its_family_is_called_what_it_is() {
    let kind = |more: &[&str], parts: &[&str]| {
        let mut shapes = with(parts);
        shapes.extend(with(more));
        Kind::of(&shapes, &BTreeMap::new())
    };
    let unclip = kind(&["noise_augmentor.data_mean."], &[UNET, VAE, OPEN_CLIP]);
    assert!(unclip.unwrap_err().contains("2's unCLIP"));
    let xl = [UNET, VAE, XL_CLIP, XL_OPEN_CLIP];
    let blocks = ["input_blocks.1.0.", "middle_block.0.", "middle_block.1."];
    let blocks = blocks.map(|block| format!("{UNET}{block}"));
    let blocks = blocks.each_ref().map(String::as_str);
    assert_eq!(kind(&blocks, &xl), Ok(Kind::StableDiffusionXl));
    assert!(kind(&blocks[..2], &xl).unwrap_err().contains("cut out of SDXL (SSD-1B"));
}

#[test]
fn what_is_no_checkpoint_of_stable_diffusion_is_called_what_it_is() {
    let no_checkpoint = |parts: &[&str]| Kind::of(&with(parts), &BTreeMap::new()).unwrap_err();
    for (parts, what) in [
        (&["down_blocks.0.motion_modules.0.temporal_transformer.norm."][..], "AnimateDiff"),
        (&["clf.1.", "down_blocks.0.0.channelwise.0."], "Stable Cascade"),
        (&[UNET, VAE, "cond_stage_model.transformer.token_emb."], "LDM text-to-image"),
        (&["encoder.conv_in.", "decoder.conv_in.", "decoder.up.0."], "an autoencoder alone"),
        (&["encoder.conv_in.", "decoder.conv_in.", "decoder.up_blocks.0."], "an autoencoder alone"),
        (&[VAE], "an autoencoder alone"),
    ] {
        assert!(no_checkpoint(parts).contains(what), "{parts:?}");
    }
}

#[test]
fn a_model_for_few_steps_is_told_by_its_architecture_and_not_by_its_title() {
    let shapes = with(&[UNET, VAE, CLIP]);
    let kind = |key: &str, told: &str| {
        Kind::of(&shapes, &BTreeMap::from([(key.to_string(), told.to_string())]))
    };
    assert_eq!(kind("modelspec.architecture", "stable-diffusion-v1-turbo"), Err(FAST));
    assert_eq!(kind("modelspec.title", "My Lightning Bolts"), Ok(Kind::StableDiffusion1));
}

#[test]
fn a_bias_of_small_deviation_is_that_of_a_model_of_the_noise() {
    for (deviation, is_noise) in [(0.0, true), (0.0625, true), (0.125, false)] {
        // around any mean
        assert_eq!(predicts_noise(&[0.5 - deviation, 0.5 + deviation]), is_noise);
    }
}

#[test]
fn what_a_model_predicts_is_read_of_the_file_where_it_is_told() {
    let kind_by = |key: &str, parts: &[&str], prediction: Option<&str>| {
        let told = prediction.map(|told| (key.into(), told.into()));
        Kind::of(&with(parts), &told.into_iter().collect())
    };
    let kind = |parts: &[&str], told| kind_by("modelspec.prediction_type", parts, told);
    let by_comfyui = |parts: &[&str], told| kind_by("modelspec.predict_key", parts, told);
    let marked = |parts: &[&str]| {
        let mut shapes = with(parts);
        shapes.insert(VELOCITY.into(), vec![0]);
        Kind::of(&shapes, &BTreeMap::new())
    };
    let without_end = |parts: &[&str], told: Option<&str>| {
        let mut shapes = with(parts);
        shapes.insert(ZERO_SNR.into(), vec![0]);
        let told = told.map(|told| (PREDICTION.into(), told.into()));
        let by_metadata = Kind::of(&shapes, &told.into_iter().collect());
        shapes.insert(VELOCITY.into(), vec![0]);
        [by_metadata, Kind::of(&shapes, &BTreeMap::new())]
    };
    let first = [UNET, VAE, CLIP];
    assert_eq!(kind(&first, None), Ok(Kind::StableDiffusion1));
    assert_eq!(kind(&first, Some("epsilon")), Ok(Kind::StableDiffusion1));
    assert_eq!(kind(&first, Some("v")), Ok(Kind::StableDiffusion1Velocity));
    assert_eq!(by_comfyui(&first, Some("v")), Ok(Kind::StableDiffusion1Velocity));
    assert_eq!(marked(&first), Ok(Kind::StableDiffusion1Velocity));
    let second = [UNET, VAE, OPEN_CLIP];
    assert_eq!(kind(&second, None), Ok(Kind::StableDiffusion2));
    assert_eq!(kind(&second, Some("epsilon")), Ok(Kind::StableDiffusion2Base));
    assert_eq!(by_comfyui(&second, Some("epsilon")), Ok(Kind::StableDiffusion2Base));
    let xl = [UNET, VAE, XL_CLIP, XL_OPEN_CLIP];
    assert_eq!(kind(&xl, None), Ok(Kind::StableDiffusionXl));
    assert_eq!(kind(&xl, Some("v")), Ok(Kind::StableDiffusionXlVelocity));
    assert_eq!(marked(&xl), Ok(Kind::StableDiffusionXlVelocity));
    assert_eq!(without_end(&first, Some("v")), [Ok(Kind::StableDiffusion1ZeroSnr); 2]);
    assert_eq!(without_end(&xl, Some("v")), [Ok(Kind::StableDiffusionXlZeroSnr); 2]);
    let [of_noise, _] = without_end(&first, Some("epsilon"));
    let [untold, _] = without_end(&first, None);
    for refused in [of_noise, untold].into_iter().chain(without_end(&second, Some("v"))) {
        assert!(refused.unwrap_err().contains("zero terminal SNR"));
    }
}
