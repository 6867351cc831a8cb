//! A grid's run folders: which of them count, and what the tables make of them.

use std::fs;

use super::*;
use crate::{
    cli::experiment::{
        Experiment,
        grid::Concept,
        place::Interrupts,
        queue::{Outcome, Queue},
    },
    config::Stopping,
};

const GRID: &str = "
concepts = [{ name = 'a' }, { name = 'b' }, { name = 'c' }]

[[variants]]
name = 'CLIP-s'
stopping = 'clip-s'

[[variants]]
name = 'few'
steps_from = { variant = 'CLIP-s', statistic = 'mean' }
";

fn grid() -> Grid {
    Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap()
}

fn cells() -> Vec<Cell> {
    let cell = |(variant, concept): (&Variant, &Concept)| {
        let mut options = variant.options.clone();
        options.data.seed = Some(7);
        options.optimizer.learning_rate = Some(0.25);
        Cell {
            model: "a model".into(),
            model_mark: "this".into(),
            options,
            pictures: "these".into(),
            steps_from: variant.steps_from.clone(),
            ..Cell::named(&format!("{}--{}", concept.name, variant.name), None)
        }
    };
    grid().pairs().map(cell).collect()
}

/// Writes a finished run.
fn run(runs: &Path, cell: &Cell, options: &TrainOptions, steps: usize, score: Option<f64>) {
    let folder = runs.join(&cell.run);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), options.to_toml().unwrap()).unwrap();
    let result = serde_json::json!({
        "steps": steps,
        "kept_steps": steps,
        "stop": { "reason": "max_steps", "steps": steps },
        "clip_i_before": 0.125,
        "clip_i": score,
        "initializer_token": null,
    });
    fs::write(folder.join("result.json"), result.to_string()).unwrap();
    let seconds = 6.0 * steps as f64;
    fs::write(folder.join("timing.json"), format!("{{\"train_seconds\":{seconds}}}")).unwrap();
    fs::write(folder.join("report.html"), "<html>").unwrap();
}

fn queue<'a>(cells: &'a [Cell], runs: &Path) -> Result<Queue<'a>, CliError> {
    Queue::new(cells, "my.toml", runs, Interrupts::default())
}

fn read<'a>(cells: &'a [Cell], runs: &Path) -> Result<Vec<Finished<'a>>, CliError> {
    queue(cells, runs)?.finished()
}

#[test]
fn a_table_sums_up_the_run_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (grid, cells) = (grid(), cells());
    let runs = folder.path().join("runs");
    for (cell, (steps, score)) in cells.iter().zip([(10, 0.5), (40, 0.9), (20, 0.6)]) {
        run(&runs, cell, &cell.options, steps, Some(score));
    }
    // the mean of 10, 40 and 20
    let mut few = cells[3].options.clone();
    few.training.max_train_steps = Some(23);
    for cell in &cells[3..5] {
        run(&runs, cell, &few, 23, None);
    }
    fs::write(runs.join("c--few.failed"), "the device, it burnt\n").unwrap();
    // a failure of an earlier call is tried again, one that came since counts
    assert_eq!(read(&cells, &runs).unwrap().len(), 5);
    let mut queue = queue(&cells, &runs).unwrap();
    fs::remove_file(runs.join("c--few.failed")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(runs.join("c--few.failed"), "the device, it burnt\n").unwrap();
    queue.work("none").unwrap();
    let finished = queue.finished().unwrap();
    assert!(matches!(finished[5].outcome, Outcome::Failed(_)));

    write_results(folder.path(), "t", &grid, &finished).unwrap();
    write_runs(folder.path(), &finished).unwrap();
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    // quartiles of .5 .6 .9: .55 and .75; of 10 20 40: 15 and 30; minutes are a tenth
    let lines: Vec<String> = text("t.csv").lines().map(String::from).collect();
    assert_eq!(lines[1], "CLIP-s,0.6,0.19999999999999996,20,15,2,1.5,3,0,");
    assert_eq!(lines[2], "few,,,23,0,2.3,0,3,1,\"c, few\"");
    let markdown = text("t.md");
    for words in [
        "Model: a model. Concepts: a, b, c.",
        "samples to its pictures, by the model's own CLIP. Iterations",
        "| CLIP-s  | 0.600 ± 0.200 |    20 ± 15 | 2.0 ± 1.5 |            3 |",
        "- c, few: the device, it burnt",
        "- **few**: as many steps as the mean of CLIP-s",
        "```toml\nlearning_rate = 0.25\nseed = 7\n```",
    ] {
        assert!(markdown.contains(words), "{words}: {markdown}");
    }
    let line = "runs/a--CLIP-s,a,CLIP-s,,10,10,0.125,0.5,1,,stopped after all 10 steps,";
    assert_eq!(text("runs.csv").lines().nth(1), Some(line));
    assert!(text("runs.csv").ends_with("c,few,23,,,,,,,,\"the device, it burnt\"\r\n"));
}

#[test]
fn a_run_s_line_names_the_word_that_it_started_from_and_none_that_was_not_asked_for() {
    let cells = cells();
    let start = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions::from_toml(text, "grid.toml").unwrap();
        let outcome = Outcome::Failed("it burnt".into());
        let run = Finished { cell: &cells[0], folder: "gone".into(), options, outcome };
        write_runs(folder.path(), &[run]).unwrap();
        let text = fs::read_to_string(folder.path().join("runs.csv")).unwrap();
        text.lines().nth(1).unwrap().split(',').nth(9).unwrap().to_string()
    };
    assert_eq!(start("initializer_token = 'car'"), "car");
    assert_eq!(start("initializer_token = 'car'\ninit_strategy = 'token'"), "car");
    let text = "initializer_token = 'car'\ninit_strategy = 'text'\ninitializer_text = 'red car'";
    assert_eq!(start(text), "");
}

#[test]
fn the_table_names_the_clip_that_scored() {
    let cells = cells();
    let scored_by = |clips: [Option<&str>; 2]| {
        let runs = clips.map(|clip| {
            let mut options = cells[0].options.clone();
            options.samples.clip = clip.map(Into::into);
            let outcome = Outcome::Failed("it burnt".into());
            Finished { cell: &cells[0], folder: "gone".into(), options, outcome }
        });
        scorers(&runs)
    };
    let hub = Some("openai/clip-vit-base-patch32");
    assert_eq!(scored_by([hub, hub]), "openai/clip-vit-base-patch32");
    let here = std::path::absolute("clips/vit-b-32").unwrap();
    assert_eq!(scored_by([here.to_str(), None]), "vit-b-32, the model's own CLIP");
}

#[test]
fn a_run_that_ended_before_its_last_file_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let cells = cells();
    let done = || queue(&cells, folder.path()).unwrap().count_done();
    for cell in &cells[..2] {
        run(folder.path(), cell, &cell.options, 10, None);
    }
    assert_eq!(done(), 2);
    fs::remove_file(folder.path().join(&cells[1].run).join("report.html")).unwrap();
    assert_eq!(done(), 1);
}

#[test]
fn a_run_that_failed_here_and_was_made_by_another_process_since_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let cells = cells();
    let failed = |queue: &mut Queue<'_>| {
        fs::write(folder.path().join("a--CLIP-s.failed"), "it burnt").unwrap();
        queue.work("none").unwrap();
    };
    let queue = || queue(&cells[..1], folder.path()).unwrap();
    let mut first = queue();
    failed(&mut first);
    assert_eq!(first.finished().unwrap()[0].failure(), Some("it burnt"));
    let mut second = queue();
    std::thread::sleep(std::time::Duration::from_millis(20));
    failed(&mut second);
    // as who tries it again does
    fs::remove_file(folder.path().join("a--CLIP-s.failed")).unwrap();
    run(folder.path(), &cells[0], &cells[0].options, 10, None);
    assert!(second.finished().unwrap()[0].done().is_some());
}

#[test]
fn a_run_of_other_pictures_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let cells = cells();
    run(folder.path(), &cells[0], &cells[0].options, 10, None);
    let made_of = |pictures: &str| {
        let file = folder.path().join(&cells[0].run).join("result.json");
        let mut result: serde_json::Value =
            serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        result["pictures"] = pictures.into();
        fs::write(&file, result.to_string()).unwrap();
        read(&cells, folder.path()).map(|finished| finished.len())
    };
    assert_eq!(made_of("these").unwrap(), 1);
    let refused = made_of("others").unwrap_err().to_string();
    assert!(refused.contains("a--CLIP-s` was made of other pictures"), "{refused}");
}

#[test]
fn a_run_of_another_model_does_not_count_and_one_that_was_begun_with_it_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let cells = cells();
    run(folder.path(), &cells[0], &cells[0].options, 10, None);
    let options = cells[0].options.to_toml().unwrap();
    let begun_with = |line: &str| {
        let text = format!("{line}{options}");
        fs::write(folder.path().join("a--CLIP-s.toml"), text).unwrap();
        read(&cells, folder.path()).map(|finished| finished.len())
    };
    assert_eq!(begun_with("# model this\n").unwrap(), 1);
    assert_eq!(begun_with("").unwrap(), 1, "dvar 0.1.0 did not say");
    for file in ["report.html", "result.json"] {
        let refused = begun_with("# model that\n").unwrap_err().to_string();
        let words = "a--CLIP-s` was begun with other files of its model, a model";
        assert!(refused.contains(words), "{refused}");
        fs::remove_file(folder.path().join("a--CLIP-s").join(file)).unwrap();
    }
}

#[test]
fn runs_with_other_options_than_the_grids_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let cells = cells();
    let refused = |options: TrainOptions| {
        run(folder.path(), &cells[0], &options, 10, None);
        read(&cells, folder.path()).map(|_| ()).unwrap_err().to_string()
    };
    let mut other = cells[0].options.clone();
    other.optimizer.learning_rate = Some(0.5);
    let error = refused(other);
    let words = "made with `learning_rate = 0.5`, the grid `my.toml` says `learning_rate = 0.25`";
    assert!(error.contains(words) && error.contains("a--CLIP-s"), "{error}");
    let mut more = cells[0].options.clone();
    more.stopping.window = Some(9);
    assert!(refused(more).contains("`window = 9`, the grid `my.toml` says nothing"));
    let mut less = cells[0].options.clone();
    less.stopping.stopping = None;
    assert!(refused(less).contains("with nothing, the grid `my.toml` says `stopping ="));
    assert_eq!(cells[0].options.stopping.stopping, Some(Stopping::ClipS));
    // one that takes its steps from others is looked at once they are there
    for cell in &cells[..3] {
        run(folder.path(), cell, &cell.options, 10, None);
    }
    let mut few = cells[3].options.clone();
    few.training.max_train_steps = Some(11);
    run(folder.path(), &cells[3], &few, 11, None);
    let error = read(&cells, folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`max_train_steps = 10`"), "{error}");
}
