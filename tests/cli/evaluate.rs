//! `dvar evaluate`: scores of folders of pictures and of runs.

use std::fs;

use serde_json::Value;

use crate::harness::{Cli, Ran, golden, root};

/// `dvar evaluate` on the CPU.
fn evaluate(cli: &Cli, args: &[&str]) -> Ran {
    let base = ["evaluate", "--device", "cpu"];
    cli.run(&base.into_iter().chain(args.iter().copied()).collect::<Vec<_>>())
}

fn json(ran: Ran) -> Value {
    serde_json::from_str(&ran.ok()).expect("nothing but JSON")
}

/// The value and the pairs in the table's row that begins with `name`.
fn row(table: &str, name: &str) -> (Option<f64>, u64) {
    let line = table.lines().find(|line| line.starts_with(name)).expect("a row for each score");
    let mut cells = line.split_whitespace().skip(1);
    let (value, pairs) = (cells.next().unwrap(), cells.next().unwrap());
    (value.parse().ok(), pairs.parse().unwrap())
}

const ROWS: [(&str, &str); 4] =
    [("CLIP-I", "clip_i"), ("CLIP-T", "clip_t"), ("DINO", "dino"), ("diversity", "diversity")];

#[test]
fn a_folder_is_scored_by_the_default_clip_and_the_table_says_what_the_json_says() {
    let cli = Cli::new();
    cli.concept("koala", "references");
    cli.concept("koala", "drawn");
    let args = ["drawn", "--references", "references", "--prompt", "a photo of a koala"];
    let table = evaluate(&cli, &args).ok();
    let more = [&args[..], &["--json", "-o", "scores.json"]].concat();
    let scores = json(evaluate(&cli, &more));
    for (name, key) in ROWS {
        let (value, pairs) = row(&table, name);
        assert_eq!(pairs, scores["counts"][key], "{name}");
        assert_eq!(value.is_some(), scores[key].is_f64(), "{name}");
        assert_eq!(value.is_none(), scores["missing"][key].is_string(), "{name}");
        if let Some(value) = value {
            assert!((value - scores[key].as_f64().unwrap()).abs() < 1e-4, "{name}");
        }
    }
    assert!(table.contains("--dino DIR") && table.contains("--lpips DIR"), "{table}");
    assert_eq!(scores["counts"]["clip_i"], 25);
    assert_eq!(scores["counts"]["clip_t"], 5);
    assert_eq!(cli.json("scores.json"), scores);
    for (file, told) in [("scores.json", "exists already"), ("a/b.json", "there is no folder `a`")]
    {
        let refused = evaluate(&cli, &[&args[..], &["-o", file]].concat());
        assert!(refused.stderr.contains(told) && refused.stdout.is_empty(), "{refused:?}");
        assert_eq!(refused.code, Some(2));
    }
    assert_eq!(cli.json("scores.json"), scores);

    cli.concept("blue-car", "others");
    let others = json(evaluate(&cli, &["others", "--references", "references", "--json"]));
    assert!(others["clip_i"].as_f64().unwrap() < scores["clip_i"].as_f64().unwrap());
    assert_eq!(others["missing"]["clip_t"], "no prompts: give `--prompt TEXT`");
}

#[test]
fn prompts_go_to_sub_folders_or_to_equal_parts_and_the_grid_is_left_out() {
    let cli = Cli::new();
    cli.concept("koala", "references");
    fs::create_dir_all(cli.path("flat")).unwrap();
    for (index, (concept, part)) in
        [("koala", "parts/a"), ("blue-car", "parts/b")].into_iter().enumerate()
    {
        let folder = cli.concept(concept, part);
        for picture in 0..4 {
            let to = cli.path(&format!("flat/{:04}.png", index * 4 + picture));
            fs::copy(folder.join(format!("{picture}.png")), to).unwrap();
        }
        fs::remove_file(folder.join("4.png")).unwrap();
    }
    fs::copy(cli.path("flat/0000.png"), cli.path("flat/grid.png")).unwrap();
    fs::create_dir_all(cli.path("parts/empty")).unwrap();
    let lpips = root().join("tests/fixtures/lpips");
    let score = |folder: &str, first: &str, second: &str| {
        let prompts = ["--prompt", first, "--prompt", second, "--json"];
        let lpips = ["--lpips", lpips.to_str().unwrap()];
        let base = [folder, "--references", "references"];
        json(evaluate(&cli, &[&base[..], &prompts, &lpips].concat()))
    };
    let parts = score("parts", "a koala", "a blue car");
    assert_eq!(parts, score("flat", "a koala", "a blue car"));
    assert_eq!(parts["counts"]["pictures"], 8);
    assert_eq!(parts["counts"]["diversity"], 12);
    assert!(parts["diversity"].as_f64().unwrap() > 0.0);
    let swapped = score("parts", "a blue car", "a koala");
    assert_eq!(parts["clip_i"], swapped["clip_i"]);
    assert!(parts["clip_t"].as_f64().unwrap() > swapped["clip_t"].as_f64().unwrap());
}

#[test]
fn a_run_is_scored_by_what_it_learned_as_the_training_did() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let said = cli.train(&["-o", "run"]).ok();
    let line = said.lines().find(|line| line.starts_with("CLIP-I")).expect("its own score");
    let (_, after) = line.split_once("before, ").unwrap();
    let after: f64 = after.strip_suffix(" after").unwrap().parse().unwrap();

    let (dino, lpips) = (golden().join("models/tiny-dino"), root().join("tests/fixtures/lpips"));
    let scorers = ["--dino", dino.to_str().unwrap(), "--lpips", lpips.to_str().unwrap()];
    let scores = json(evaluate(&cli, &[&["run", "--json"], &scorers[..]].concat()));
    assert!((scores["clip_i"].as_f64().unwrap() - after).abs() < 1e-3, "{scores} and {after}");
    for (key, pairs) in [("clip_i", 40), ("clip_t", 8), ("dino", 40), ("diversity", 28)] {
        assert_eq!(scores["counts"][key], pairs, "{key}");
        assert!(scores[key].is_f64(), "{key}");
    }
    assert_eq!(scores["missing"], serde_json::json!({}));

    let two = json(evaluate(&cli, &["run", "--json", "--n-images-per-prompt", "2"]));
    assert_eq!(two["counts"]["pictures"], 2);

    // drawn anew, they are the pictures that the run saved
    fs::rename(cli.path("run/samples"), cli.path("saved")).unwrap();
    assert_eq!(json(evaluate(&cli, &[&["run", "--json"], &scorers[..]].concat())), scores);

    // pictures that the run has saved are scored as they are
    cli.concept("blue-umbrella", "run/samples");
    let named = |file| serde_json::json!({ "file": file, "prompt": "a photo of a <umb>" });
    let prompts = serde_json::json!([named("0.png"), named("1.png")]);
    fs::write(cli.path("run/samples/prompts.json"), prompts.to_string()).unwrap();
    let saved = json(evaluate(&cli, &["run", "--json"]));
    assert_eq!((&saved["counts"]["pictures"], &saved["counts"]["clip_t"]), (&2.into(), &2.into()));
    assert!(saved["clip_i"].as_f64().unwrap() > scores["clip_i"].as_f64().unwrap());

    // and none that lies elsewhere
    for elsewhere in ["../../pictures/0.png", "/dev/zero", ".."] {
        let prompts = serde_json::json!([named("0.png"), named(elsewhere)]);
        fs::write(cli.path("run/samples/prompts.json"), prompts.to_string()).unwrap();
        let refused = evaluate(&cli, &["run"]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let told = format!("`{elsewhere}` is no file of its folder; remove its folder");
        assert!(refused.stderr.contains(&told), "{refused:?}");
    }
    let prompts = serde_json::json!([named("0.png"), named("1.png")]);
    fs::write(cli.path("run/samples/prompts.json"), prompts.to_string()).unwrap();

    fs::rename(cli.path("pictures"), cli.path("moved")).unwrap();
    let moved = evaluate(&cli, &["run"]);
    assert_eq!(moved.code, Some(2), "{moved:?}");
    assert!(moved.stderr.contains("say where they are with `--references`"), "{moved:?}");
    evaluate(&cli, &["run", "--references", "moved"]).ok();
}

#[test]
fn a_run_whose_model_has_other_weights_by_now_is_scored_with_a_warning() {
    let cli = Cli::with_pictures_of("koala");
    let model = cli.copy_model("model");
    cli.copy_folder(&golden().join("models/tiny-clip"), "clip");
    let few = ["--model", "model", "--max-train-steps", "1", "--num-samples", "1"];
    cli.train(&[&few[..], &["-o", "run"]].concat()).ok();
    cli.train(&[&few[..], &["-o", "scored", "--clip", "clip"]].concat()).ok();
    let warns = |args: &[&str]| {
        let ran = evaluate(&cli, args);
        let told = format!("warning: the run `{}` was begun with other files of its", args[0]);
        let warns = ran.stderr.contains(&told);
        ran.ok();
        warns
    };
    assert!(!warns(&["run"]) && !warns(&["scored"]));
    let weights = model.join("unet/diffusion_pytorch_model.safetensors");
    let mut others = fs::read(&weights).unwrap();
    *others.last_mut().unwrap() ^= 1;
    fs::write(&weights, others).unwrap();
    assert!(warns(&["run"]) && warns(&["scored"]));
    let clip = ["run", "--clip", "clip"];
    assert!(!warns(&clip), "the saved pictures and a CLIP beside the model");
    assert!(warns(&[&clip[..], &["--n-images-per-prompt", "1"]].concat()));
    // with its CLIP somewhere else, nothing tells which of both has changed
    fs::rename(cli.path("clip"), cli.path("moved")).unwrap();
    assert!(!warns(&["scored", "--clip", "moved", "--n-images-per-prompt", "1"]));
}

#[test]
fn a_negative_prompt_that_a_run_without_guidance_does_not_hear_is_told() {
    let cli = Cli::with_pictures_of("koala");
    let few = ["--max-train-steps", "1", "--num-samples", "1", "-o"];
    for (scale, run, told) in [("1", "plain", true), ("2", "guided", false)] {
        cli.train(&[&few[..], &[run, "--guidance-scale", scale]].concat()).ok();
        let ran = evaluate(&cli, &[run, "--negative-prompt", "a dog"]);
        let said =
            "`--negative-prompt` does nothing here: the run's `guidance_scale`, 1, is without";
        assert_eq!(ran.stderr.contains(said), told, "{ran:?}");
        ran.ok();
    }
}

/// The saved pictures are scored first, and then those that the same weights draw anew.
#[test]
#[ignore = "wants an NVIDIA GPU of compute capability 8.0 or more: `DVAR_DEVICE` names it"]
fn a_run_with_tf32_is_drawn_anew_with_it() {
    let cli = Cli::with_pictures_of("koala");
    let device = std::env::var("DVAR_DEVICE").expect("`DVAR_DEVICE`");
    let few = ["train", "pictures", "-o", "run", "--max-train-steps", "1", "--num-samples", "4"];
    cli.run(&[&few[..], &["--tf32", "--device", device.as_str()]].concat()).ok();
    let scores = || json(cli.run(&["evaluate", "run", "--json", "--device", device.as_str()]));
    let saved = scores();
    fs::rename(cli.path("run/samples"), cli.path("saved")).unwrap();
    assert_eq!(scores(), saved);
}

/// ndarray computes in f32 alone.
#[cfg(feature = "ndarray")]
#[test]
fn a_run_is_not_drawn_on_a_device_that_lacks_its_precision() {
    let cli = Cli::with_pictures_of("koala");
    let few = ["--max-train-steps", "1", "--num-samples", "1", "-o", "run"];
    cli.train(&[&few[..], &["--mixed-precision", "bf16"]].concat()).ok();
    let draw = ["evaluate", "run", "--n-images-per-prompt", "1", "--device", "ndarray"];
    let ran = cli.run(&draw);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let said = "error: the run draws in bf16, in which device `ndarray` does not compute; give another one \
                with `--device`\n";
    assert_eq!(ran.stderr, said);
}

#[test]
fn a_clip_of_its_own_scores_in_place_of_the_default() {
    let cli = Cli::new();
    cli.concept("koala", "references");
    cli.concept("koala", "drawn");
    let args = ["drawn", "--references", "references", "--prompt", "a koala", "--json"];
    cli.copy_folder(&golden().join("models/tiny-clip"), "clip");
    let own = json(evaluate(&cli, &[&args[..], &["--clip", "clip"]].concat()));
    let default = json(evaluate(&cli, &args));
    assert_eq!(own["counts"], default["counts"]);
    assert_ne!(own["clip_t"], default["clip_t"]);
    assert_eq!(own["clip"], "clip");
    assert_eq!(default["clip"], "the CLIP of dvar-tiny-emoji (embedded)");
    let table = evaluate(&cli, &args[..5]).ok();
    assert!(table.ends_with("\nCLIP-I and CLIP-T by the CLIP of dvar-tiny-emoji (embedded)\n"));
}

/// The most memory that a command held until it ended well, in MiB.
#[cfg(target_os = "linux")]
fn most_memory(mut command: std::process::Command) -> usize {
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        if let Some(peak) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            most = peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10;
        }
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{ended}");
            return most;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_pictures_of_a_prompt_are_not_all_held_in_memory() {
    let cli = Cli::new();
    cli.concept("koala", "references");
    fs::create_dir(cli.path("drawn")).unwrap();
    // 26 MiB each
    let large = image::DynamicImage::new_rgb8(3000, 3000);
    large.save_with_format(cli.path("drawn/0.bmp"), image::ImageFormat::Bmp).unwrap();
    for picture in 1..24 {
        let copy = cli.path(&format!("drawn/{picture}.bmp"));
        fs::hard_link(cli.path("drawn/0.bmp"), copy).unwrap();
    }
    let args = ["evaluate", "drawn", "--references", "references", "--device", "cpu"];
    let most = most_memory(cli.command(&args));
    assert!((50..400).contains(&most), "{most} MiB");
}
