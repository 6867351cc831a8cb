//! The study of semi-deterministic evaluations.

use std::fs;

use super::{fields, grid, text};
use crate::harness::Cli;

#[test]
fn semi_deterministic_evaluations_are_compared_along_one_training() {
    let cli = Cli::new();
    let study = "[semi_deterministic]\ncodes = ['11111', '11110']\ninputs = [1, 4]\n";
    grid(&cli, "", study);
    let small = text(&cli, "grid.toml").replace("threshold = 0.0\n", "");
    let small = small.replace("stopping = \"dvar\"\n", "");
    fs::write(cli.path("grid.toml"), small).unwrap();
    let args = ["experiment", "semi-deterministic", "--grid", "grid.toml", "-o", "out"];
    cli.run(&[&args[..], &["--device", "cpu"]].concat()).ok();

    let csv = text(&cli, "out/semi-deterministic.csv");
    assert_eq!(csv.lines().count(), 9);
    let mut redrawn = Vec::new();
    for line in 1..9 {
        let fields = fields(&csv, line);
        let r_squared: f64 = fields[4].parse().unwrap();
        match &*fields[1] {
            "11111" => assert!((r_squared - 1.0).abs() < 1e-12, "{fields:?}"),
            _ => redrawn.push((fields, r_squared)),
        }
    }
    for (fields, r_squared) in redrawn {
        // by hand: the squared correlation of the two runs' losses
        let losses = |code: &str| -> Vec<f64> {
            let run = format!("out/runs/{}--{code}-{}-inputs", fields[0], fields[3]);
            cli.metrics(&run).iter().map(|step| step["eval_loss"].as_f64().unwrap()).collect()
        };
        let (x, y) = (losses("11111"), losses("11110"));
        assert_eq!((x.len(), y.len()), (8, 8));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / 8.0;
        let product = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(p, q)| (p - mean(a)) * (q - mean(b))).sum::<f64>()
        };
        let want = product(&x, &y).powi(2) / (product(&x, &x) * product(&y, &y));
        assert!((r_squared - want).abs() < 1e-9 && want < 0.999, "{fields:?} {want}");
    }
    let markdown = text(&cli, "out/semi-deterministic.md");
    for words in ["| R², 1 input | R², 4 inputs |", "| timesteps", "| nothing", "1.000"] {
        assert!(markdown.contains(words), "{words}: {markdown}");
    }
    let svg = text(&cli, "out/semi-deterministic.svg");
    assert_eq!(svg.matches("<polyline").count(), 4, "the first concept's runs");

    // another training must not pass for the same
    let metrics = cli.path("out/runs/koala--11110-4-inputs/metrics.jsonl");
    let other = fs::read_to_string(&metrics).unwrap().replacen("\"loss\":", "\"loss\":1", 1);
    fs::write(&metrics, other).unwrap();
    let ran = cli.run(&[&args[..], &["--device", "cpu"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("koala--11110-4-inputs` differ"), "{ran:?}");
}
