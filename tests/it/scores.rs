//! The scores of pictures, from their files on: goldens `clip_scores` and `dino_scores`, and the
//! distances of the `lpips` package in `tests/fixtures/lpips`.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use dvar::{
    data::{decode::decode, image::Picture, resize::Filter},
    eval::{ClipScorer, DinoScorer, LpipsScorer, Scorers, Scores, without_placeholder},
    pipelines::PipelineError,
};
use dvar_models::weights::Folder;
use pollster::block_on;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    golden::{self, Tensors, assert_close, numbers},
    support::{files, tensor, values},
};

fn device() -> Device {
    Device::flex()
}

fn pictures(folder: &str, names: &Value) -> Vec<Picture> {
    let names = names.as_array().expect("a list").iter().map(|name| name.as_str().unwrap());
    let path = |name: &str| golden::root().join("images").join(folder).join(name);
    names.map(|name| decode(&std::fs::read(path(name)).unwrap(), name).unwrap()).collect()
}

/// The references, one for each generated picture, and the generated pictures.
fn clip_pictures() -> (Vec<Picture>, Vec<Picture>) {
    let meta = golden::json("clip_scores");
    let all = pictures("concept", &meta["ref_files"]);
    let used = numbers(&meta["refs_used"]);
    let references = used.iter().map(|index| all[*index as usize].clone()).collect();
    (references, pictures("generated", &meta["gen_files"]))
}

fn clip() -> ClipScorer {
    ClipScorer::open(&files("tiny-clip"), ".", &device()).unwrap()
}

fn unit(rows: Tensor<2>) -> Vec<f64> {
    values(rows.clone() / rows.square().sum_dim(1).sqrt())
}

#[test]
fn clip_scores_agree_with_transformers_from_the_files_on() {
    let (tensors, meta) = (Tensors::open("clip_scores"), golden::json("clip_scores"));
    let (references, generated) = clip_pictures();
    let scorer = clip();
    let want = |name: &str| unit(tensor(tensors.get(name), &device()));

    let side = golden::number(&meta["open_image_resolution"]) as usize;
    let all = pictures("concept", &meta["ref_files"]);
    let opened: Vec<Picture> =
        all.iter().map(|picture| picture.resize(side, side, Filter::Bicubic).into_rgb()).collect();
    for (set, pictures) in
        [("ref", &references), ("gen", &generated), ("ref_all", &all), ("ref_open_image", &opened)]
    {
        let name = format!("{set}.image_features");
        let got = values(scorer.image_features(pictures).unit());
        assert_close(&name, &got, &want(&name), 2e-5, 0.0);
    }

    let prompts: Vec<String> =
        meta["prompts"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().into()).collect();
    let texts = scorer.text_features(&prompts);
    assert_close("text_features", &values(texts.unit()), &want("text_features"), 2e-5, 0.0);

    let seen = scorer.image_features(&generated);
    let known = scorer.image_features(&references);
    for (name, other, mean) in
        [("img_img_cos", &known, "mean_img_img"), ("txt_img_cos", &texts, "mean_txt_img")]
    {
        let cosines = block_on(other.paired_similarities(&seen)).unwrap();
        assert_close(name, &cosines, &tensors.get(name).values, 1e-5, 0.0);
        let got = cosines.iter().sum::<f64>() / cosines.len() as f64;
        assert_close(mean, &[got], &[golden::number(&meta[mean])], 1e-5, 0.0);
    }
}

#[test]
fn dino_scores_agree_with_transformers_from_the_files_on() {
    let (tensors, meta) = (Tensors::open("dino_scores"), golden::json("dino_scores"));
    let scorer = DinoScorer::open(&files("tiny-dino"), &device()).unwrap();
    let (references, generated) = clip_pictures();
    for (set, pictures) in [("ref", &references), ("gen", &generated)] {
        let pixels: Vec<f64> =
            pictures.iter().flat_map(|p| scorer.pixel_values(p)).map(f64::from).collect();
        let name = format!("{set}.pixel_values");
        assert_close(&name, &pixels, &tensors.get(&name).values, 1e-5, 0.0);
        let name = format!("{set}.cls");
        let want = unit(tensor(tensors.get(&name), &device()));
        assert_close(&name, &values(scorer.features(pictures).unit()), &want, 2e-5, 0.0);
    }
    let (known, seen) = (scorer.features(&references), scorer.features(&generated));
    let cosines = values(known.unit().matmul(seen.unit().transpose()));
    assert_close("pairwise_cos", &cosines, &tensors.get("pairwise_cos").values, 2e-5, 0.0);
    let mean = block_on(known.mean_similarity(&seen)).unwrap();
    assert_close("mean_pairwise", &[mean], &[golden::number(&meta["mean_pairwise"])], 2e-5, 0.0);
}

/// A scorer's folder as transformers 5 writes it: how its pictures are prepared stands within
/// `processor_config.json`.
fn as_today(name: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in std::fs::read_dir(&files(name).0).unwrap().map(|file| file.unwrap()) {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let old = folder.path().join("preprocessor_config.json");
    let processor = serde_json::json!({
        "image_processor": golden::json_at(&old), "processor_class": "CLIPProcessor",
    });
    std::fs::remove_file(old).unwrap();
    std::fs::write(folder.path().join("processor_config.json"), processor.to_string()).unwrap();
    folder
}

#[test]
fn scorers_as_todays_libraries_write_them_see_the_same() {
    let (_, pictures) = clip_pictures();
    let folder = as_today("tiny-clip");
    let today = ClipScorer::open(&Folder(folder.path().into()), ".", &device()).unwrap();
    let seen = |scorer: &ClipScorer| values(scorer.image_features(&pictures).unit());
    assert_eq!(seen(&today), seen(&clip()));

    let folder = as_today("tiny-dino");
    let today = DinoScorer::open(&Folder(folder.path().into()), &device()).unwrap();
    let known = DinoScorer::open(&files("tiny-dino"), &device()).unwrap();
    for picture in &pictures {
        assert_eq!(today.pixel_values(picture), known.pixel_values(picture));
    }
}

fn lpips(folder: &str) -> LpipsScorer {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lpips");
    LpipsScorer::open(&Folder(fixtures.join(folder)), &device()).unwrap()
}

/// The pictures of each run of the fixture, and the mean of the package's distances over all
/// pairs.
fn lpips_runs() -> Vec<(Vec<Picture>, f64)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lpips");
    let tensors = Tensors::at(&fixtures.join("distances.safetensors"));
    let runs = (0..).take_while(|run| tensors.has(&format!("r{run}.pictures")));
    let run = |run: usize| {
        let shown = tensors.get(&format!("r{run}.pictures"));
        let [count, height, width, channels] = shown.shape[..] else { panic!("four sizes") };
        let pixels: Vec<u8> = shown.values.iter().map(|value| *value as u8).collect();
        let pictures = pixels
            .chunks(height * width * channels)
            .map(|pixels| Picture::from_rgb(width, height, pixels.to_vec()).unwrap())
            .collect();
        let distances = &tensors.get(&format!("r{run}.distances")).values;
        let above = (0..count).flat_map(|i| (i + 1..count).map(move |j| distances[i * count + j]));
        (pictures, above.sum::<f64>() / (count * (count - 1) / 2) as f64)
    };
    runs.map(run).collect()
}

#[test]
fn the_diversity_is_the_mean_of_lpips_over_all_pairs() {
    let scorer = lpips("");
    let runs = lpips_runs();
    assert!(runs.len() > 1);
    for (index, (pictures, want)) in runs.iter().enumerate() {
        let score = block_on(scorer.diversity(pictures)).unwrap().unwrap();
        assert_eq!(score.pairs(), pictures.len() * (pictures.len() - 1) / 2);
        assert_close(&format!("run {index}"), &[score.mean()], &[*want], 1e-5, 0.0);
        // so many that they are taken in blocks: each pair of copies of one picture adds nothing
        let copies = 9;
        let many: Vec<Picture> =
            pictures.iter().cycle().take(copies * pictures.len()).cloned().collect();
        let score = block_on(scorer.diversity(&many)).unwrap().unwrap();
        assert_eq!(score.pairs(), many.len() * (many.len() - 1) / 2);
        let distinct = pictures.len() * (pictures.len() - 1) / 2 * copies * copies;
        let want = want * distinct as f64 / score.pairs() as f64;
        assert_close(&format!("run {index}, copies"), &[score.mean()], &[want], 1e-5, 0.0);
    }
}

#[test]
fn lpips_is_the_same_by_its_published_pickles() {
    let (safetensors, pickles) = (lpips(""), lpips("pth"));
    for (pictures, _) in lpips_runs() {
        let diversity = |scorer: &LpipsScorer| block_on(scorer.diversity(&pictures)).unwrap();
        assert_eq!(diversity(&safetensors), diversity(&pickles));
    }
}

#[test]
fn one_picture_has_no_diversity_and_unlike_or_small_ones_are_refused() {
    let scorer = lpips("");
    let picture =
        |width, height| Picture::from_rgb(width, height, vec![9; width * height * 3]).unwrap();
    assert_eq!(block_on(scorer.diversity(&[])).unwrap(), None);
    assert_eq!(block_on(scorer.diversity(&[picture(64, 64)])).unwrap(), None);
    for (pictures, said) in [
        ([picture(64, 64), picture(64, 48)], "one size"),
        ([picture(64, 30), picture(64, 30)], "31 pixels"),
    ] {
        let error = block_on(scorer.diversity(&pictures)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn all_scores_of_two_prompts_are_those_of_their_scorers() {
    let (references, generated) = clip_pictures();
    let scorers = Scorers {
        clip: Some(clip()),
        dino: Some(DinoScorer::open(&files("tiny-dino"), &device()).unwrap()),
        lpips: Some(lpips("")),
    };
    let prepared = scorers.references(&references);
    let alike = |picture: &Picture| picture.clone().into_rgb().resize(64, 64, Filter::Bicubic);
    let generated: Vec<Picture> = generated.iter().map(alike).collect();
    let (one, other) = generated.split_at(generated.len() / 2);
    let prompt = without_placeholder("a photo of a <cat>", "<cat>");
    let mut scores = Scores::default();
    for (prompt, pictures) in [(Some(prompt.clone()), one), (None, other)] {
        let pictures = pictures.iter().cloned().map(Ok::<_, PipelineError>);
        let scored = scorers.score(&prepared, prompt.as_deref(), pictures);
        scores = scores.and(block_on(scored).unwrap());
    }
    let (clip, dino) = (scorers.clip.as_ref().unwrap(), scorers.dino.as_ref().unwrap());
    let text = clip.text_features(&["a photo of a ".to_string()]);
    let similarity =
        |one: &dvar::eval::Features, other| block_on(one.mean_similarity(other)).unwrap();
    let all = references.len() * generated.len();
    for (name, score, want, pairs) in [
        (
            "clip_i",
            scores.clip_i,
            similarity(&clip.image_features(&references), &clip.image_features(&generated)),
            all,
        ),
        ("clip_t", scores.clip_t, similarity(&text, &clip.image_features(one)), one.len()),
        (
            "dino",
            scores.dino,
            similarity(&dino.features(&references), &dino.features(&generated)),
            all,
        ),
    ] {
        let score = score.unwrap();
        assert_eq!(score.pairs(), pairs, "{name}");
        assert_close(name, &[score.mean()], &[want], 1e-6, 0.0);
    }
    let pairs = |count: usize| count * (count - 1) / 2;
    assert_eq!(scores.diversity.unwrap().pairs(), pairs(one.len()) + pairs(other.len()));
}
