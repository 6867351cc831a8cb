//! Steps that several devices share.

use crate::harness::Cli;

#[test]
fn two_devices_repeat_resume_and_stay_close_to_one() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let train = |run: &str, devices: &str, steps: &str| {
        let batch =
            ["--train-batch-size", "3", "--eval-batch-size", "2", "--max-train-steps", steps];
        cli.train(&[&batch[..], &["--device", devices, "-o", run]].concat()).ok()
    };
    let said = train("two", "cpu,cpu", "6");
    assert!(said.contains(", on cpu and cpu, 1 or 2 inputs each\n"), "{said}");
    train("again", "cpu,cpu", "6");
    train("short", "cpu,cpu", "3");
    let resume = ["train", "--resume", "short", "--device", "cpu,cpu", "--max-train-steps", "6"];
    cli.run(&resume).ok();
    for run in ["again", "short"] {
        for name in ["learned_embeds.safetensors", "metrics.jsonl", "samples_after.png"] {
            let (want, got) =
                (cli.read(&format!("two/{name}")), cli.read(&format!("{run}/{name}")));
            assert!(want == got, "{run}/{name}");
        }
    }

    train("one", "cpu", "6");
    assert!(
        cli.read("one/metrics.jsonl") != cli.read("two/metrics.jsonl"),
        "nothing was shared out"
    );
    for (one, two) in cli.metrics("one").iter().zip(cli.metrics("two")) {
        for figure in ["loss", "grad_norm", "eval_loss"] {
            let (one, two) = (one[figure].as_f64().unwrap(), two[figure].as_f64().unwrap());
            let error = (two - one).abs() / one;
            println!("{figure} {one} {two} {error:e}");
            assert!(error < 1e-4, "{figure}: {one} and {two}");
        }
    }
}

#[test]
fn devices_that_cannot_share_a_step_are_refused_before_the_run_begins() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let refused = |devices: &str, why: &str| {
        let ran = cli.train(&["--train-batch-size", "2", "--device", devices, "-o", "run"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(why), "{ran:?}");
        assert!(!cli.path("run").exists());
    };
    refused("cpu,tpu", "unknown device `tpu`");
    refused("cpu,", "unknown device ``");
    refused("cpu,auto", "`--device cpu,auto` lists `auto`");
    refused("cpu,ndarray", "`--device cpu,ndarray` mixes kinds of devices");
    refused("cpu,cpu,cpu", "names 3 devices, and a step has 2 inputs to share out");
    #[cfg(feature = "wgpu")]
    refused("wgpu,wgpu", "names GPU `wgpu` twice");
    #[cfg(feature = "cuda")]
    refused("cuda,cuda:0", "names GPU `cuda:0` twice");
}

#[test]
fn only_train_takes_several_devices() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    for command in [
        &["generate", "--prompt", "cat"][..],
        &["evaluate", "pictures", "--references", "pictures"],
        &["experiment", "table1"],
        &["experiment", "table1", "--submit", "slurm"],
        &["bench"],
    ] {
        let ran = cli.run(&[command, &["--device", "cpu,cpu"]].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("only `dvar train` shares its steps out"), "{ran:?}");
    }
}
