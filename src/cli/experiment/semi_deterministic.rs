//! Which factors of the evaluation may be redrawn (arXiv 2302.04841v1, section 4.4): how well the
//! losses with redrawn factors follow the deterministic ones along the same training.

use std::{collections::BTreeMap, path::Path};

use super::{
    figure::{LossPanel, loss_panels_svg},
    queue::Finished,
    report::{self, cell_name, header, write},
    statistics::{Spread, r_squared},
    table::{Cell, Row, Table, csv_line},
};
use crate::{
    cli::{
        CliError, counted::counted, distinct::distinct, run_folder::RunFolder, train::read_metrics,
    },
    eval::EvaluationSwitches,
};

/// One run and how well its losses follow the deterministic ones.
struct Fit<'a> {
    run: &'a Finished<'a>,
    code: EvaluationSwitches,
    inputs: usize,
    losses: Vec<(usize, f64)>,
    r_squared: Option<f64>,
}

/// Writes the study's tables and its figure.
pub(super) fn write_results(
    folder: &Path,
    name: &str,
    runs: &[Finished<'_>],
) -> Result<(), CliError> {
    let fits = fits(runs)?;
    write(&folder.join(format!("{name}.csv")), &csv(&fits))?;
    let inputs = columns(&fits);
    let (concept, panels) = panels(&fits);
    let title = format!("Evaluation losses with redrawn factors, {concept}");
    write(&folder.join(format!("{name}.svg")), &loss_panels_svg(&title, &panels, inputs.len()))?;
    let text = format!(
        "{}\n\
         R² of the line fitted by least squares, with intercept, from the deterministic losses to \
         those with the named factors redrawn at every evaluation: same concept, same inputs per \
         evaluation, all evaluations of one training, which is the same in all runs of a concept \
         because what is trained does not depend on what is evaluated. 1: the redrawn losses show \
         the trend as the deterministic ones do; 0: they show nothing of it. Median over the \
         concepts.\n\n{}{}\n![losses]({name}.svg)\n\n{}",
        header(name, runs),
        pivot(&fits, &inputs).to_markdown(),
        undefined(&fits),
        report::options(runs, &[])?,
    );
    write(&folder.join(format!("{name}.md")), &text)
}

fn fits<'a>(runs: &'a [Finished<'a>]) -> Result<Vec<Fit<'a>>, CliError> {
    let mut trainings: BTreeMap<&str, (&Finished, Vec<f64>)> = BTreeMap::new();
    let mut fits = Vec::new();
    for run in runs {
        let mut points = Vec::new();
        if run.done().is_some() {
            points = read_metrics(&RunFolder::open(&run.folder)?)?;
            let training: Vec<f64> = points.iter().filter_map(|point| point.loss).collect();
            let (other, first) =
                trainings.entry(&run.cell.concept).or_insert_with(|| (run, training.clone()));
            if *first != training {
                return Err(CliError::Failed(format!(
                    "the training losses of `{}` and `{}` differ, so that their evaluations cannot be compared; remove both and rerun them on one machine",
                    other.folder.display(),
                    run.folder.display()
                )));
            }
        }
        let losses = points.iter().filter_map(|point| Some((point.step, point.eval_loss?)));
        fits.push(Fit {
            run,
            code: run.options.evaluation.exp_code.unwrap_or_default(),
            inputs: run.options.evaluation.eval_batch_size.unwrap_or(1)
                * run.options.evaluation.eval_gradient_accumulation_steps.unwrap_or(1),
            losses: losses.collect(),
            r_squared: None,
        });
    }
    let values = |fit: &Fit| fit.losses.iter().map(|(_, loss)| *loss).collect::<Vec<f64>>();
    let fitted: Vec<Option<f64>> = fits
        .iter()
        .map(|fit| {
            let deterministic = fits.iter().find(|other| {
                other.code == EvaluationSwitches::default()
                    && other.inputs == fit.inputs
                    && other.run.cell.concept == fit.run.cell.concept
            });
            r_squared(&values(deterministic?), &values(fit))
        })
        .collect();
    for (fit, r_squared) in fits.iter_mut().zip(fitted) {
        fit.r_squared = r_squared;
    }
    Ok(fits)
}

/// The numbers of inputs, in the grid's order.
fn columns(fits: &[Fit]) -> Vec<usize> {
    distinct(fits.iter().map(|fit| fit.inputs))
}

fn row_of(fits: &[Fit], code: EvaluationSwitches) -> Option<usize> {
    distinct(fits.iter().map(|fit| fit.code)).iter().position(|other| *other == code)
}

fn redrawn(code: EvaluationSwitches) -> String {
    let factors = [
        (code.images, "images"),
        (code.latents, "latents"),
        (code.noise, "noise"),
        (code.captions, "captions"),
        (code.timesteps, "timesteps"),
    ];
    let redrawn: Vec<&str> = factors.iter().filter(|(f, _)| !f).map(|(_, name)| *name).collect();
    match redrawn.len() {
        0 => "nothing".into(),
        5 => "everything".into(),
        _ => redrawn.join(", "),
    }
}

/// Names the runs that have losses and no R², if there are any: the medians are without them.
fn undefined(fits: &[Fit]) -> String {
    let without = fits.iter().filter(|fit| fit.r_squared.is_none() && !fit.losses.is_empty());
    let named: String = without.map(|fit| format!("- {}\n", cell_name(fit.run.cell))).collect();
    if named.is_empty() {
        return named;
    }
    format!(
        "\nThese have no R² and are in no median: the run with nothing redrawn failed, or its losses or \
         theirs never change.\n\n{named}"
    )
}

/// The first concept that there is anything to see of, and all its panels, a row for each code: that
/// of a run that failed is empty, so that the others stay in their columns.
fn panels<'a>(fits: &'a [Fit]) -> (&'a str, Vec<LossPanel>) {
    let seen = fits.iter().find(|fit| !fit.losses.is_empty());
    let concept = seen.or(fits.first()).map_or("", |fit| &*fit.run.cell.concept);
    let mut own: Vec<&Fit> = fits.iter().filter(|fit| fit.run.cell.concept == concept).collect();
    own.sort_by_key(|fit| row_of(fits, fit.code));
    (concept, own.into_iter().map(panel).collect())
}

fn panel(fit: &Fit) -> LossPanel {
    LossPanel {
        title: format!("{} redrawn, {}", redrawn(fit.code), counted(fit.inputs, "input")),
        r_squared: fit.r_squared,
        losses: fit.losses.clone(),
    }
}

fn csv(fits: &[Fit]) -> String {
    let names = ["concept", "code", "redrawn", "inputs", "r_squared", "failure"];
    let lines = fits.iter().map(|fit| {
        csv_line(&[
            fit.run.cell.concept.clone(),
            fit.code.to_string(),
            redrawn(fit.code),
            fit.inputs.to_string(),
            fit.r_squared.map_or_else(String::new, |value| value.to_string()),
            fit.run.failure().unwrap_or_default().to_string(),
        ])
    });
    csv_line(&names.map(String::from)) + &lines.collect::<String>()
}

/// A row for what is redrawn, a column for each number of inputs.
fn pivot(fits: &[Fit], inputs: &[usize]) -> Table {
    let codes = distinct(fits.iter().map(|fit| fit.code));
    let rows = codes.iter().map(|code| {
        let of_code = || fits.iter().filter(|fit| fit.code == *code);
        let medians = inputs.iter().map(|inputs| {
            let known = of_code().filter(|fit| fit.inputs == *inputs).filter_map(|f| f.r_squared);
            let spread = Spread::of(&known.collect::<Vec<_>>());
            spread.map_or(Cell::Missing, |spread| Cell::Number(spread.median, 3))
        });
        let failures = of_code().filter_map(|fit| report::failure(fit.run));
        Row {
            cells: std::iter::once(Cell::Text(redrawn(*code))).chain(medians).collect(),
            runs: of_code().count(),
            failures: failures.collect(),
        }
    });
    let columns = inputs.iter().map(|inputs| format!("R², {}", counted(*inputs, "input")));
    Table {
        columns: std::iter::once("redrawn".into()).chain(columns).collect(),
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::experiment::{grid, queue::Outcome},
        config::TrainOptions,
    };

    #[test]
    fn the_figure_is_of_a_concept_that_has_losses_and_keeps_a_place_for_each_run() {
        let run = |concept: &str, inputs: usize, code: &str| {
            let cell = grid::Cell::named(&format!("{concept}--{code}, {inputs} inputs"), None);
            (cell, inputs, code.parse::<EvaluationSwitches>().unwrap())
        };
        let cells: Vec<_> = [("a", 4), ("b", 4), ("a", 32), ("b", 32)]
            .into_iter()
            .flat_map(|(concept, inputs)| ["11111", "11110"].map(|code| run(concept, inputs, code)))
            .collect();
        let runs: Vec<Finished<'_>> = cells
            .iter()
            .map(|(cell, ..)| Finished {
                cell,
                folder: "gone".into(),
                options: TrainOptions::default(),
                outcome: Outcome::Failed("it burnt".into()),
            })
            .collect();
        let fits = runs.iter().zip(&cells).map(|(run, (cell, inputs, code))| {
            // all runs of `a` failed, and one of `b`
            let failed = cell.concept == "a" || cell.variant == "11110, 4 inputs";
            let losses = if failed { Vec::new() } else { vec![(0, 0.5), (1, 0.25)] };
            Fit { run, code: *code, inputs: *inputs, losses, r_squared: None }
        });
        let mut fits: Vec<Fit> = fits.collect();
        let (concept, panels) = panels(&fits);
        assert_eq!(concept, "b");
        let seen = panels.iter().map(|panel| (&*panel.title, panel.losses.len()));
        let want = [
            ("nothing redrawn, 4 inputs", 2),
            ("nothing redrawn, 32 inputs", 2),
            ("timesteps redrawn, 4 inputs", 0),
            ("timesteps redrawn, 32 inputs", 2),
        ];
        assert_eq!(seen.collect::<Vec<_>>(), want);

        let named = "- b, 11111, 4 inputs\n- b, 11111, 32 inputs\n- b, 11110, 32 inputs\n";
        assert!(undefined(&fits).ends_with(&format!("\n\n{named}")));
        fits.iter_mut().for_each(|fit| fit.r_squared = Some(0.5));
        assert_eq!(undefined(&fits), "");
    }

    #[test]
    fn what_is_redrawn_is_named() {
        let words = |code: &str| redrawn(code.parse().unwrap());
        assert_eq!(words("11111"), "nothing");
        assert_eq!(words("01101"), "images, captions");
        assert_eq!(words("00000"), "everything");
    }
}
