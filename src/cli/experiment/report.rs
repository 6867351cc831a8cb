//! What came of a grid: tables, a figure, and a line for each run.

use std::path::Path;

use super::{
    figure::{Measure, dot_and_range_svg},
    grid::{Cell, Grid},
    queue::Finished,
    statistics::Spread,
    table::{self, Failure, Row, Table, csv_line},
    variant::Variant,
};
use crate::{
    cli::{CliError, output, run_folder::folder_name},
    config::TrainOptions,
};

/// A quantity that variants are compared by.
struct Quantity {
    name: &'static str,
    decimals: usize,
    /// Whether its axis begins at zero.
    from_zero: bool,
    /// What a run gave of it.
    of_run: fn(&Finished<'_>) -> Option<f64>,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: "CLIP-I",
        decimals: 3,
        from_zero: false,
        of_run: |run| run.done()?.result.clip_i,
    },
    Quantity {
        name: "iterations",
        decimals: 0,
        from_zero: true,
        of_run: |run| Some(run.done()?.result.steps as f64),
    },
    Quantity {
        name: "minutes",
        decimals: 1,
        from_zero: true,
        of_run: |run| Some(run.done()?.seconds / 60.0),
    },
];

/// Writes the table of the variants, as CSV and Markdown, and its figure.
pub(super) fn write_results(
    folder: &Path,
    name: &str,
    grid: &Grid,
    runs: &[Finished<'_>],
) -> Result<(), CliError> {
    let table = table(grid, runs);
    write(&folder.join(format!("{name}.csv")), &table.to_csv())?;
    let variants: Vec<&str> = grid.variants.iter().map(|variant| &*variant.name).collect();
    let measures = QUANTITIES.map(|quantity| Measure {
        name: quantity.name,
        spreads: variants.iter().map(|variant| spread(runs, variant, &quantity)).collect(),
        decimals: quantity.decimals,
        from_zero: quantity.from_zero,
    });
    let svg = dot_and_range_svg(&format!("dvar experiment {name}"), &variants, &measures);
    write(&folder.join(format!("{name}.svg")), &svg)?;
    let text = format!(
        "{}\nMedian ± interquartile range over the concepts. CLIP-I: likeness of the kept concept's \
         samples to its pictures, by {}. Iterations: updates made. Minutes: training and the samples \
         scored on the way, on the machine that made these runs and beside whatever else it did.\n\n\
         {}\n![{name}]({name}.svg)\n\n{}",
        header(name, runs),
        scorers(runs),
        table.to_markdown(),
        options(runs, &grid.variants.iter().map(variant_line).collect::<Result<Vec<_>, _>>()?)?,
    );
    write(&folder.join(format!("{name}.md")), &text)
}

/// Writes a line of CSV for each run, with everything that is known of it.
pub(super) fn write_runs(folder: &Path, runs: &[Finished<'_>]) -> Result<(), CliError> {
    const NAMES: [&str; 12] = [
        "run",
        "concept",
        "variant",
        "max_train_steps",
        "steps",
        "kept_steps",
        "clip_i_before",
        "clip_i",
        "minutes",
        "initializer_token",
        "stop",
        "failure",
    ];
    let lines = runs.iter().map(|run| {
        let cell = run.cell;
        let result = run.done().map(|done| &done.result);
        let number = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        let count = |value: Option<usize>| value.map_or_else(String::new, |v| v.to_string());
        let token = result.and_then(|result| result.initializer_token.clone());
        csv_line(&[
            format!("runs/{}", cell.run),
            cell.concept.clone(),
            cell.variant.clone(),
            count(run.options.training.max_train_steps),
            count(result.map(|result| result.steps)),
            count(result.map(|result| result.kept_steps)),
            number(result.and_then(|result| result.clip_i_before)),
            number(result.and_then(|result| result.clip_i)),
            number(run.done().map(|done| done.seconds / 60.0)),
            token.or_else(|| run.options.start.initializer_token.clone()).unwrap_or_default(),
            result.map_or_else(String::new, |result| result.stop.to_string()),
            run.failure().unwrap_or_default().to_string(),
        ])
    });
    let text = csv_line(&NAMES.map(String::from)) + &lines.collect::<String>();
    write(&folder.join("runs.csv"), &text)
}

/// The title, the models and the concepts.
pub(super) fn header(name: &str, runs: &[Finished<'_>]) -> String {
    let models = distinct(runs.iter().map(|run| &*run.cell.model)).join(", ");
    let concepts = distinct(runs.iter().map(|run| &*run.cell.concept)).join(", ");
    format!("# {name}\n\nModel: {models}. Concepts: {concepts}.\n")
}

/// Which CLIP scored: the scores of two cannot be compared. Of a folder the name alone, which holds on other
/// machines too.
fn scorers(runs: &[Finished<'_>]) -> String {
    let names = runs.iter().map(|run| match &run.options.samples.clip {
        None => String::from("the model's own CLIP"),
        Some(folder) if folder.is_absolute() => folder_name(folder),
        Some(name) => name.display().to_string(),
    });
    distinct(names).join(", ")
}

/// How a run is called beside others.
pub(super) fn cell_name(cell: &Cell) -> String {
    format!("{}, {}", cell.concept, cell.variant)
}

/// The variants, and the options that all runs share where they are not the program's defaults.
pub(super) fn options(runs: &[Finished<'_>], variants: &[String]) -> Result<String, CliError> {
    let defaults = toml::Table::try_from(TrainOptions::defaults())?;
    let tables: Result<Vec<toml::Table>, _> =
        runs.iter().map(|run| toml::Table::try_from(&run.options)).collect();
    let tables = tables?;
    let mut shared = tables.first().cloned().unwrap_or_default();
    // of one concept, or named above, or a path of this machine
    const LEFT_OUT: [&str; 6] = [
        "model",
        "clip",
        "train_data_dir",
        "class_data_dir",
        "placeholder_token",
        "initializer_file",
    ];
    shared.retain(|key, value| {
        !LEFT_OUT.contains(&key)
            && defaults.get(key) != Some(value)
            && tables.iter().all(|table| table.get(key) == Some(value))
    });
    let shared = toml::to_string(&shared)?;
    let variants = if variants.is_empty() {
        String::new()
    } else {
        format!("## Variants\n\n{}\n", variants.concat())
    };
    Ok(format!(
        "{variants}## Options of all runs\n\nWhere they are not the defaults of `dvar train`.\n\n```toml\n{shared}```\n"
    ))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    output::write_alone(path, text.as_bytes())
}

/// Each value once, in the order in which they come.
pub(super) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

fn variant_line(variant: &Variant) -> Result<String, CliError> {
    let options = toml::to_string(&variant.options)?;
    let options = options.lines().map(|line| format!("`{line}`"));
    let steps = variant
        .steps_from
        .iter()
        .map(|from| format!("as many steps as the {} of {}", from.statistic.name(), from.variant));
    let all: Vec<String> = options.chain(steps).collect();
    Ok(format!("- **{}**: {}\n", variant.name, all.join(", ")))
}

fn of_variant<'a>(
    runs: &'a [Finished<'a>],
    variant: &'a str,
) -> impl Iterator<Item = &'a Finished<'a>> {
    runs.iter().filter(move |run| run.cell.variant == variant)
}

fn spread(runs: &[Finished<'_>], variant: &str, quantity: &Quantity) -> Option<Spread> {
    Spread::of(&of_variant(runs, variant).filter_map(quantity.of_run).collect::<Vec<f64>>())
}

fn table(grid: &Grid, runs: &[Finished<'_>]) -> Table {
    let rows = grid.variants.iter().map(|variant| {
        let name = &*variant.name;
        let spreads = QUANTITIES.map(|quantity| match spread(runs, name, &quantity) {
            Some(spread) => table::Cell::Spread(spread, quantity.decimals),
            None => table::Cell::Missing,
        });
        let failures = of_variant(runs, name).filter_map(|run| {
            Some(Failure { run: cell_name(run.cell), reason: run.failure()?.to_string() })
        });
        Row {
            cells: [table::Cell::Text(name.to_string())].into_iter().chain(spreads).collect(),
            runs: of_variant(runs, name).count(),
            failures: failures.collect(),
        }
    });
    let names = QUANTITIES.iter().map(|quantity| quantity.name.to_string());
    Table {
        columns: std::iter::once("variant".to_string()).chain(names).collect(),
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        cli::experiment::{
            Experiment,
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

    fn cells(grid: &Grid) -> Vec<Cell> {
        let pairs = grid.variants.iter().flat_map(|v| grid.concepts.iter().map(move |c| (v, c)));
        let cell = |(variant, concept): (&Variant, _)| {
            let concept: &crate::cli::experiment::grid::Concept = concept;
            let mut options = variant.options.clone();
            options.data.seed = Some(7);
            options.optimizer.learning_rate = Some(0.25);
            Cell {
                concept: concept.name.clone(),
                variant: variant.name.clone(),
                run: format!("{}--{}", concept.name, variant.name),
                model: "a model".into(),
                model_mark: "this".into(),
                options,
                pictures: "these".into(),
                steps_from: variant.steps_from.clone(),
            }
        };
        pairs.map(cell).collect()
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

    fn read<'a>(cells: &'a [Cell], runs: &Path) -> Result<Vec<Finished<'a>>, CliError> {
        Queue::new(cells, "my.toml", runs, Interrupts::default())?.finished()
    }

    #[test]
    fn a_table_sums_up_the_run_folders() {
        let folder = tempfile::tempdir().unwrap();
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
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
        let mut queue = Queue::new(&cells, "my.toml", &runs, Interrupts::default()).unwrap();
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
    fn the_table_names_the_clip_that_scored() {
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
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
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
        let done = || {
            let queue = Queue::new(&cells, "my.toml", folder.path(), Interrupts::default());
            queue.unwrap().count_done()
        };
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
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
        let failed = |queue: &mut Queue<'_>| {
            fs::write(folder.path().join("a--CLIP-s.failed"), "it burnt").unwrap();
            queue.work("none").unwrap();
        };
        let queue = || {
            let queue = Queue::new(&cells[..1], "my.toml", folder.path(), Interrupts::default());
            queue.unwrap()
        };
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
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
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
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
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
        let grid = Grid::parse(Experiment::Table1, GRID, "my.toml".into()).unwrap();
        let cells = cells(&grid);
        let refused = |options: TrainOptions| {
            run(folder.path(), &cells[0], &options, 10, None);
            read(&cells, folder.path()).map(|_| ()).unwrap_err().to_string()
        };
        let mut other = cells[0].options.clone();
        other.optimizer.learning_rate = Some(0.5);
        let error = refused(other);
        let words =
            "made with `learning_rate = 0.5`, the grid `my.toml` says `learning_rate = 0.25`";
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
}
