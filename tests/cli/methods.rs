//! What can be trained and what can end a run, beside the main job.

use std::fs;

use dvar::data::{decode::decode, image::Picture};
use serde_json::Value;

use crate::harness::{Cli, train_args};

/// Samples of two pictures at every second step.
const SCORED: [&str; 4] = ["--sample-frequency", "2", "--num-samples", "2"];

/// Steps made and the score, of each scored step.
fn scores(cli: &Cli, run: &str) -> Vec<(u64, f64)> {
    let steps = cli.metrics(run).into_iter();
    let scored = |step: Value| Some((step["step"].as_u64()? + 1, step["clip_i"].as_f64()?));
    steps.filter_map(scored).collect()
}

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&SCORED[..], more].concat()
}

#[test]
fn a_baseline_keeps_the_checkpoint_that_scored_best() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    // a rate so high that the last checkpoint is not the best one
    let said =
        cli.train(&with(&["-o", "run", "--stopping", "baseline", "--learning-rate", "0.05"])).ok();
    let scores = scores(&cli, "run");
    assert_eq!(scores.iter().map(|(steps, _)| *steps).collect::<Vec<_>>(), [2, 4, 6, 8]);
    let best =
        scores.iter().fold(scores[0], |best, next| if next.1 > best.1 { *next } else { best });
    assert_ne!(best.0, 8, "this test needs a best checkpoint on the way: {scores:?}");
    let result = cli.json("run/result.json");
    assert_eq!(result["kept_steps"], best.0);
    assert_eq!(result["steps"], 8);
    let kept = format!("the concept after {} steps, which scored best", best.0);
    let page = String::from_utf8(cli.read("run/report.html")).unwrap();
    assert!(said.contains(&kept) && page.contains(&format!("Kept is {kept}.")), "{said}");
    let kept = cli.read(&format!("run/checkpoints/{:05}/learned_embeds.safetensors", best.0));
    assert_eq!(cli.read("run/learned_embeds.safetensors"), kept);
    let after = result["clip_i"].as_f64().unwrap();
    assert!((after - best.1).abs() < 1e-6, "the samples are the kept concept's: {result}");
}

#[test]
fn clip_s_stops_when_the_score_no_longer_rises() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let never = ["-o", "run", "--stopping", "clip-s", "--min-delta", "1", "--patience", "1"];
    let said = cli.train(&with(&never)).ok();
    // the first score is the best, the second and third do not exceed it by 1
    assert_eq!(scores(&cli, "run").len(), 3);
    assert_eq!(cli.json("run/result.json")["stop"]["reason"], "no_improvement");
    assert!(said.contains("the score no longer rose after 6 steps"), "{said}");
    assert!(!String::from_utf8(cli.read("run/metrics.jsonl")).unwrap().contains("ratio"));
}

#[test]
fn the_best_word_of_the_vocabulary_is_found_once_for_the_same_pictures() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let train = |output: &'static str, how: &'static str| {
        cli.train(&[
            "-o",
            output,
            "--max-train-steps",
            "1",
            "--num-samples",
            "1",
            "--init-strategy",
            how,
        ])
        .ok();
        let result = cli.json(&format!("{output}/result.json"));
        result["initializer_token"].as_str().unwrap().to_string()
    };
    let (best, worst) = (train("one", "best"), train("two", "worst"));
    assert_ne!(best, worst);
    let caches = || {
        let names = fs::read_dir(cli.path("pictures")).unwrap().map(|e| e.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| name.starts_with(".dvar-words-")).collect::<Vec<_>>()
    };
    assert_eq!(caches().len(), 1, "kept beside the pictures");
    let found = cli.json(&format!("pictures/{}", caches()[0]));
    let scores: Vec<f64> = found["scores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry[1].as_f64().unwrap())
        .collect();
    assert!(scores.len() > 900 && scores.is_sorted_by(|a, b| a >= b));
    assert_eq!(found["scores"][0][0], best);
    assert_eq!(found["scores"][scores.len() - 1][0], worst);
    // another picture, another search
    fs::remove_file(cli.path("pictures/0.png")).unwrap();
    train("three", "best");
    assert_eq!(caches().len(), 2);
    train("four", "random");
}

#[test]
fn lora_is_learned_drawn_with_and_merged() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    cli.copy_model("model");
    let train = ["-o", "run", "--method", "dreambooth-lora", "--model", "model"];
    let few = ["--max-train-steps", "3", "--learning-rate", "0.02"];
    let said = cli.train(&[&train[..], &few].concat()).ok();
    let adapter = "run/pytorch_lora_weights.safetensors";
    assert!(cli.path(adapter).is_file());
    for file in ["run/learned_embeds.safetensors", adapter] {
        let told = format!("elsewhere  dvar convert {file} --to a1111 makes it A1111's");
        assert!(said.contains(&told), "{said}");
    }
    let draw = |model: &str, output: &str, more: &[&str]| {
        let base = ["generate", "--embedding", "run/learned_embeds.safetensors", "-n", "1"];
        let rest = ["--prompt", "a <umb>", "--steps", "3", "--model", model, "-o", output];
        cli.run(&[&base[..], &rest[..], more].concat()).ok();
        decode(&cli.read(&format!("{output}/0000.png")), output).unwrap().into_rgb()
    };
    let adapted = draw("model", "adapted", &["--adapter", adapter]);
    let plain = draw("model", "plain", &[]);
    assert!(difference(&adapted, &plain) > 2, "the adapter changes the picture");
    let other = "warning: the run `run` was begun with other files of its model, `";
    let ran = cli.run(&["merge", "run", "-o", "merged"]);
    assert!(!ran.stderr.contains(other), "{ran:?}");
    let said = ran.ok();
    assert!(said.contains("weights of") && said.contains("merged"), "{said}");
    fs::remove_dir_all(cli.path("model/unet")).unwrap();
    fs::rename(cli.path("merged/unet"), cli.path("model/unet")).unwrap();
    assert!(difference(&adapted, &draw("model", "again", &[])) <= 1);
    // which has it twice then
    let ran = cli.run(&["merge", "run", "-o", "twice"]);
    assert!(ran.stderr.contains(other), "{ran:?}");
    ran.ok();
}

/// The largest difference of two pictures' values.
fn difference(one: &Picture, other: &Picture) -> u8 {
    one.pixels().iter().zip(other.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn custom_diffusion_draws_the_class_or_takes_its_pictures() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let custom =
        ["--method", "custom-diffusion", "--class-prompt", "umbrella", "--max-train-steps"];
    let train = |more: &[&'static str]| cli.train(&[&custom[..], more].concat());
    let said = train(&["2", "-o", "drawn", "--num-class-images", "2"]).ok();
    assert!(said.contains("drawing 2 pictures of `umbrella`"), "{said}");
    assert!(cli.path("drawn/class_pictures/class-0001.png").is_file());
    assert!(cli.path("drawn/pytorch_custom_diffusion_weights.safetensors").is_file());

    cli.concept("koala", "class");
    let said = train(&["2", "-o", "given", "--class-data-dir", "class"]).ok();
    assert!(said.contains("of 200 wanted") && !said.contains("drawing"), "{said}");
    // drawn ones do not take the place of the user's that have moved
    fs::rename(cli.path("class"), cli.path("moved")).unwrap();
    let on = ["train", "--resume", "given", "--max-train-steps", "3", "--device", "cpu"];
    let refused = cli.run(&on);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("the class pictures of the run `given` are no longer in `"));
    assert!(!cli.path("class").exists() && !refused.stdout.contains("drawing"), "{refused:?}");

    // a folder that was only begun is gone on with, by the same pictures
    let first = || cli.read("drawn/class_pictures/class-0000.png");
    let before = first();
    fs::remove_file(cli.path("drawn/class_pictures/class-0000.png")).unwrap();
    let folder = ["2", "-o", "more", "--class-data-dir", "drawn/class_pictures"];
    let said = train(&[&folder[..], &["--num-class-images", "2"]].concat()).ok();
    // with the other one of its batch, so that no bit is rounded otherwise
    assert!(said.contains("drawing 2 pictures"), "{said}");
    assert!(before == first());
}

#[test]
fn a_broken_picture_of_the_class_is_told_before_the_vocabulary_is_searched() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let class = cli.concept("koala", "class");
    fs::write(class.join("5.png"), "this is a text").unwrap();
    let custom = ["--method", "custom-diffusion", "--class-prompt", "bear", "-o", "run"];
    let rest = ["--class-data-dir", "class", "--init-strategy", "best"];
    let ran = cli.train(&[&custom[..], &rest].concat());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`class/5.png` is not a PNG"), "{ran:?}");
    assert!(!ran.stdout.contains("words  ") && !cli.path("run").exists(), "{ran:?}");
}

#[test]
fn the_colour_behind_transparent_parts_lies_behind_those_of_the_class_too() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    fs::create_dir(cli.path("class")).unwrap();
    let sheer = image::RgbaImage::from_pixel(64, 64, image::Rgba([200, 30, 30, 0]));
    sheer.save(cli.path("class/0.png")).unwrap();
    let losses = |run: &'static str, background: &'static str| {
        let custom = ["--method", "custom-diffusion", "--class-prompt", "bear", "-o", run];
        let class = ["--class-data-dir", "class", "--background", background];
        let few = ["--max-train-steps", "1", "--num-samples", "1"];
        cli.train(&[&custom[..], &class, &few].concat()).ok();
        cli.metrics(run)[0]["loss"].as_f64().unwrap()
    };
    // the concept's own pictures have no such parts
    assert_ne!(losses("light", "white"), losses("dark", "black"));
}

#[test]
fn pictures_that_were_drawn_of_one_class_are_not_taken_for_another() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let train = |run: &'static str, class: &'static str, folder: &'static str| {
        let custom = ["--method", "custom-diffusion", "--class-prompt", class, "-o", run];
        let few = ["--class-data-dir", folder, "--num-class-images", "2", "--max-train-steps", "1"];
        cli.train(&[&custom[..], &few, &["--num-samples", "1"]].concat())
    };
    train("one", "umbrella", "class").ok();
    let refused = train("two", "bear", "class");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let told = "the class pictures in `class` were drawn of `umbrella`, and the class is `bear`";
    assert!(refused.stderr.contains(told), "{refused:?}");
    assert!(!cli.path("two").exists(), "nothing was begun");
    // interrupted before its first picture
    for file in ["class/class-0000.png", "class/class-0001.png"] {
        fs::remove_file(cli.path(file)).unwrap();
    }
    assert!(train("again", "umbrella", "class").ok().contains("drawing 2 pictures of `umbrella`"));
    // the user's own are taken as they are, also where such a file lies beside them
    cli.concept("koala", "own");
    fs::write(cli.path("own/class_prompt.txt"), "umbrella").unwrap();
    assert!(!train("own-run", "bear", "own").ok().contains("drawing"));
}

#[test]
fn vectors_start_from_a_text_or_a_file() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let without_word: Vec<&str> = train_args(&["--max-train-steps", "1", "--num-samples", "1"])
        .into_iter()
        .filter(|arg| !["--initializer-token", "umbrella"].contains(arg))
        .collect();
    let train = |more: &[&'static str]| cli.run(&[&without_word[..], more].concat());
    let start = ["--save-init-embeds", "-o"];
    let said = train(&[&start[..], &["text", "--initializer-text", "a blue umbrella"]].concat());
    assert!(said.ok().contains("from the tokens of `a blue umbrella`, 3 vectors"));
    let initial = cli.read("text/initial_embeds.safetensors");
    let file = ["file", "--initializer-file", "text/initial_embeds.safetensors"];
    train(&[&start[..], &file[..]].concat()).ok();
    assert_eq!(cli.read("file/initial_embeds.safetensors"), initial);
    // a word of a file's or a preset's that the strategy does not ask for
    let more = ["beside", "--init-strategy", "text", "--initializer-text", "a blue umbrella"];
    let word = ["--initializer-token", "koala"];
    train(&[&start[..], &more, &word].concat()).ok();
    assert_eq!(cli.read("beside/initial_embeds.safetensors"), initial);
    let page = String::from_utf8(cli.read("beside/report.html")).unwrap();
    assert!(page.contains("learned &lt;umb&gt;; stopped after its only step"), "{page}");
}

#[test]
fn any_factor_of_the_evaluation_can_be_redrawn_and_the_thirds_looked_at() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let train = |output: &'static str, code: &'static str| {
        let evaluation =
            ["--exp-code", code, "--eval-gradient-accumulation-steps", "2", "--triple"];
        cli.train(&[&["-o", output, "--max-train-steps", "3"][..], &evaluation[..]].concat()).ok();
        cli.metrics(output)
    };
    let (fixed, redrawn) = (train("fixed", "11111"), train("redrawn", "11101"));
    let column = |steps: &[Value], key: &str| -> Vec<f64> {
        steps.iter().map(|step| step[key].as_f64().unwrap()).collect()
    };
    // the evaluation has no say in the training
    assert_eq!(column(&fixed, "loss"), column(&redrawn, "loss"));
    assert_ne!(column(&fixed, "eval_loss"), column(&redrawn, "eval_loss"));
    for third in ["begin", "middle", "end"] {
        assert_eq!(column(&fixed, &format!("eval_loss_{third}")).len(), 3);
    }
}

#[test]
fn the_precision_is_said_in_one_line() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let run = ["-o", "run", "--mixed-precision", "bf16", "--max-train-steps", "1"];
    let said = cli.train(&run).ok();
    let line = said.lines().find(|line| line.starts_with("precision")).unwrap();
    assert!(line.contains("bf16") && line.contains("f32"), "{line}");
}
