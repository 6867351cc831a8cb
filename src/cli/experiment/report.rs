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
    cli::{CliError, distinct::distinct, names::folder_name, output},
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
        let found = result.and_then(|result| result.initializer_token.as_deref());
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
            found.or(run.options.start.word()).unwrap_or_default().to_string(),
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

/// What a table says of a run that failed.
pub(super) fn failure(run: &Finished<'_>) -> Option<Failure> {
    Some(Failure { run: cell_name(run.cell), reason: run.failure()?.to_string() })
}

/// The variants, and the options that all runs share where they are not the program's defaults.
pub(super) fn options(runs: &[Finished<'_>], variants: &[String]) -> Result<String, CliError> {
    let defaults = toml::Table::try_from(TrainOptions::defaults())?;
    let tables: Result<Vec<toml::Table>, _> =
        runs.iter().map(|run| toml::Table::try_from(&run.options)).collect();
    let tables = tables?;
    let mut shared = tables.first().cloned().unwrap_or_default();
    // of one concept, or named above, or a path of this machine
    let left_out = |key: &str| key == "placeholder_token" || TrainOptions::PLACES.contains(&key);
    shared.retain(|key, value| {
        !left_out(key)
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
        let failures = of_variant(runs, name).filter_map(failure);
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
mod tests;
