//! What an experiment runs: every variant of the options on every concept.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;

use super::{
    paper::Experiment,
    study::SemiDeterministic,
    variant::{StepsFrom, Variant},
};
use crate::{
    cli::{CliError, model_mark::Marks, train},
    config::{ConfigError, TrainOptions},
};

/// A checked grid.
#[derive(Debug)]
pub(super) struct Grid {
    /// What messages call it.
    pub source: String,
    /// Options of all runs.
    pub options: TrainOptions,
    pub concepts: Vec<Concept>,
    pub variants: Vec<Variant>,
}

/// A grid file; the options are those of a configuration file of `dvar train`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GridFile {
    #[serde(default)]
    options: TrainOptions,
    #[serde(default)]
    concepts: Vec<Concept>,
    #[serde(default)]
    variants: Vec<Variant>,
    semi_deterministic: Option<SemiDeterministic>,
}

/// One concept: a name, and options beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub(super) struct Concept {
    pub name: String,
    pub options: TrainOptions,
}

/// One run of the grid.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub concept: String,
    pub variant: String,
    /// The name of its folder.
    pub run: String,
    /// What the model calls itself.
    pub model: String,
    /// What stands for the files of the model and the scorer.
    pub model_mark: String,
    /// All options, as its `config.toml` has them; the number of steps is open with `steps_from`.
    pub options: TrainOptions,
    /// What stands for the concept's pictures.
    pub pictures: String,
    pub steps_from: Option<StepsFrom>,
}

impl TryFrom<toml::Table> for Concept {
    type Error = toml::de::Error;

    fn try_from(mut table: toml::Table) -> Result<Self, toml::de::Error> {
        #[derive(Deserialize)]
        struct Own {
            name: String,
        }
        let Own { name } = table.clone().try_into()?;
        table.remove("name");
        Ok(Self { name, options: table.try_into()? })
    }
}

impl Grid {
    /// Reads a grid file's text. Names, and what the grid says of itself, are checked; the options
    /// are by [`cells`](Self::cells).
    pub(super) fn parse(
        experiment: Experiment,
        text: &str,
        source: String,
    ) -> Result<Self, CliError> {
        let refuse = |reason: String| CliError::Input(format!("the grid `{source}` {reason}"));
        let file: GridFile = toml::from_str(text)
            .map_err(|parser| ConfigError::Unparsable { file: source.clone(), parser })?;
        let mut variants = file.variants;
        match (experiment, file.semi_deterministic) {
            (Experiment::SemiDeterministic, Some(study)) if variants.is_empty() => {
                let concepts = file.concepts.iter().map(|concept| &concept.options);
                study.check(&file.options, concepts).map_err(refuse)?;
                variants =
                    study.variants(file.options.evaluation.eval_batch_size).map_err(refuse)?;
            }
            (Experiment::SemiDeterministic, _) => {
                return Err(refuse(
                    "must have a table `[semi_deterministic]` and no `[[variants]]` for this experiment".into(),
                ));
            }
            (_, Some(_)) => {
                return Err(refuse(
                    "has a table `[semi_deterministic]`, which is for `dvar experiment semi-deterministic`".into(),
                ));
            }
            (_, None) => {}
        }
        check_names("concepts", file.concepts.iter().map(|c| &*c.name)).map_err(refuse)?;
        check_names("variants", variants.iter().map(|v| &*v.name)).map_err(refuse)?;
        check_steps(&variants).map_err(refuse)?;
        let all =
            file.concepts.iter().map(|c| &c.options).chain(variants.iter().map(|v| &v.options));
        if all.chain([&file.options]).any(|options| options.data.output_dir.is_some()) {
            return Err(refuse(
                "sets `output_dir`; every run has a folder of its own, give `--output-dir` for all"
                    .into(),
            ));
        }
        Ok(Self { source, options: file.options, concepts: file.concepts, variants })
    }

    /// The runs of these names and those that they take their steps from, or all where none is named;
    /// variant by variant, each checked as `dvar train` would check it before it begins.
    pub(super) fn cells(&self, named: &[String]) -> Result<Vec<Cell>, CliError> {
        let wanted = self.wanted(named)?;
        let pairs = self.pairs().filter(|(v, c)| wanted.contains(&run(c, v)));
        let mut marks = Marks::default();
        let cells = pairs.map(|(variant, concept)| {
            self.cell(concept, variant, &mut marks).map_err(|error| {
                let message = format!(
                    "the grid `{}`, variant `{}` of concept `{}`: {error}",
                    self.source, variant.name, concept.name
                );
                // a model that cannot be downloaded now is no fault of the grid's
                CliError::with_code(error.exit_code(), message)
            })
        });
        cells.collect()
    }

    /// Every variant on every concept, variant by variant.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Variant, &Concept)> {
        self.variants.iter().flat_map(move |v| self.concepts.iter().map(move |c| (v, c)))
    }

    /// The named runs and those that they take their steps from, which nobody else may make; or all.
    fn wanted(&self, named: &[String]) -> Result<BTreeSet<String>, CliError> {
        let runs: Vec<_> = self.pairs().map(|(v, c)| (run(c, v), v)).collect();
        let names = || runs.iter().map(|(run, _)| run);
        if named.is_empty() {
            return Ok(names().cloned().collect());
        }
        if let Some(unknown) = named.iter().find(|name| !names().any(|run| run == *name)) {
            let known: Vec<_> = names().map(|run| format!("`{run}`")).collect();
            return Err(CliError::Input(format!(
                "the grid has no run `{unknown}`; give one of {}",
                known.join(", ")
            )));
        }
        let mut wanted: BTreeSet<String> = named.iter().cloned().collect();
        // a variant takes its steps from one before it
        for (run, variant) in runs.iter().rev() {
            let from = variant.steps_from.as_ref().filter(|_| wanted.contains(run));
            let Some(from) = from else { continue };
            let sources = runs.iter().filter(|(_, variant)| variant.name == from.variant);
            wanted.extend(sources.map(|(run, _)| run.clone()));
        }
        Ok(wanted)
    }

    fn cell(
        &self,
        concept: &Concept,
        variant: &Variant,
        marks: &mut Marks,
    ) -> Result<Cell, CliError> {
        let options = variant.options.over(&concept.options.over(&self.options)?)?;
        let (checked, _, pictures) = train::check(&options)?;
        let options = train::saved(&checked)?;
        Ok(Cell {
            concept: concept.name.clone(),
            variant: variant.name.clone(),
            run: run(concept, variant),
            model: checked.model.name().to_string(),
            model_mark: marks.of(&options)?,
            options,
            pictures: train::mark(&pictures),
            steps_from: variant.steps_from.clone(),
        })
    }
}

/// The name of a run's folder.
fn run(concept: &Concept, variant: &Variant) -> String {
    format!("{}--{}", slug(&concept.name), slug(&variant.name))
}

/// A name as a part of a file's: letters and digits, with single dashes between words.
fn slug(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    let words = name.to_lowercase().chars().map(kept).collect::<String>();
    words.split_whitespace().collect::<Vec<_>>().join("-")
}

fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut slugs = HashSet::new();
    for name in names {
        let slug = slug(name);
        if slug.is_empty() || slug.len() > 100 {
            return Err(format!(
                "has `{name}` among its {what}; a name becomes a file's, so it must have a letter or a digit and at most 100 bytes"
            ));
        }
        if !slugs.insert(slug) {
            return Err(format!(
                "has `{name}` twice among its {what}, but for case and punctuation; files are called by it, so rename one"
            ));
        }
    }
    if slugs.is_empty() { Err(format!("has no `[[{what}]]`; add at least one")) } else { Ok(()) }
}

fn check_steps(variants: &[Variant]) -> Result<(), String> {
    for (index, Variant { name, steps_from, options }) in variants.iter().enumerate() {
        let Some(from) = steps_from else { continue };
        if !variants[..index].iter().any(|earlier| earlier.name == from.variant) {
            return Err(format!(
                "takes the steps of `{name}` from `{}`, which is no variant before it",
                from.variant
            ));
        }
        if options.training.max_train_steps.is_some() {
            return Err(format!(
                "gives `{name}` both `steps_from` and `max_train_steps`; leave one out"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
impl Cell {
    /// A run of this name, and the variant that it takes the most steps of.
    pub(super) fn named(run: &str, steps_from: Option<&str>) -> Self {
        let (concept, variant) = run.split_once("--").unwrap();
        let statistic = super::variant::Statistic::Max;
        let most = |variant: &str| StepsFrom { variant: variant.into(), statistic };
        Self {
            concept: concept.into(),
            variant: variant.into(),
            run: run.into(),
            model: String::new(),
            model_mark: String::new(),
            options: TrainOptions::default(),
            pictures: String::new(),
            steps_from: steps_from.map(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::experiment::variant::Statistic;

    const CONCEPT: &str = "[[concepts]]\nname = 'a cat'\ntrain_data_dir = 'pictures'\n";

    fn parse(text: &str) -> Result<Grid, String> {
        Grid::parse(Experiment::Table1, text, "my.toml".into()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_options_stand_side_by_side() {
        let grid = parse(&format!(
            "[options]\nseed = 5\n{CONCEPT}[[variants]]\nname = 'CLIP-s'\nstopping = 'clip-s'\n\
             [[variants]]\nname = 'Few iters (max)'\n\
             steps_from = {{ variant = 'CLIP-s', statistic = 'max' }}"
        ));
        let grid = grid.unwrap();
        assert_eq!(grid.options.data.seed, Some(5));
        assert_eq!(grid.concepts[0].name, "a cat");
        assert_eq!(grid.concepts[0].options.data.train_data_dir, Some("pictures".into()));
        let from = StepsFrom { variant: "CLIP-s".into(), statistic: Statistic::Max };
        assert_eq!(grid.variants[1].steps_from, Some(from));
        assert_eq!(slug(&grid.variants[1].name), "few-iters-max");
    }

    #[test]
    fn what_a_grid_must_not_say_is_refused_in_one_sentence() {
        let variant = "[[variants]]\nname = 'x'\n";
        let steps = "steps_from = { variant = 'x', statistic = 'mean' }\n";
        for (text, reason) in [
            (format!("{CONCEPT}{variant}colour = 1"), "no option `colour`"),
            (format!("colour = 1\n{CONCEPT}{variant}"), "unknown field `colour`"),
            (format!("{CONCEPT}{steps}{variant}"), "no option `steps_from`"),
            (format!("{CONCEPT}[[variants]]\nseed = 1"), "missing field `name`"),
            (format!("{CONCEPT}{variant}{}", steps.replace("mean", "min")), "variant `min`"),
            // as a path is copied on Windows
            (format!("{CONCEPT}{variant}clip = \"C:\\Users\""), "or between single quotes"),
            (CONCEPT.into(), "has no `[[variants]]`"),
            (variant.into(), "has no `[[concepts]]`"),
            (format!("{CONCEPT}{variant}{variant}"), "`x` twice among its variants"),
            (format!("{CONCEPT}{CONCEPT}{variant}"), "`a cat` twice among its concepts"),
            (format!("{CONCEPT}[[variants]]\nname = '../'"), "must have a letter"),
            (format!("{CONCEPT}{variant}{steps}"), "which is no variant before it"),
            (
                format!("{CONCEPT}{variant}[[variants]]\nname = 'y'\nmax_train_steps = 3\n{steps}"),
                "leave one out",
            ),
            (format!("{CONCEPT}{variant}output_dir = 'o'"), "sets `output_dir`"),
            (
                format!("{CONCEPT}{variant}[semi_deterministic]\ncodes = []\ninputs = []"),
                "is for `dvar experiment semi-deterministic`",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(reason) && error.contains("`my.toml`"), "{text}\n{error}");
        }
    }

    #[test]
    fn a_named_run_brings_those_that_it_takes_its_steps_from() {
        let few = |name: &str, from: &str| {
            format!(
                "[[variants]]\nname = '{name}'\n\
                 steps_from = {{ variant = '{from}', statistic = 'max' }}\n"
            )
        };
        let concepts = "concepts = [{ name = 'a' }, { name = 'b' }]\n";
        let (few, fewer) = (few("few", "x"), few("fewer", "few"));
        let grid = parse(&format!("{concepts}[[variants]]\nname = 'x'\n{few}{fewer}")).unwrap();
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Vec::from_iter(grid.wanted(&names).unwrap())
        };
        assert_eq!(of(&["b--x"]), ["b--x"]);
        assert_eq!(of(&["b--few"]), ["a--x", "b--few", "b--x"]);
        assert_eq!(of(&["a--fewer"]), ["a--few", "a--fewer", "a--x", "b--few", "b--x"]);
        assert_eq!(of(&[]).len(), 6);
        let unknown = grid.wanted(&["a--y".into()]).unwrap_err().to_string();
        assert!(unknown.contains("no run `a--y`; give one of `a--x`, `b--x`"), "{unknown}");
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn every_built_in_grid_is_runs_that_could_begin() {
        for experiment in <Experiment as clap::ValueEnum>::value_variants() {
            let name = experiment.name();
            assert_eq!(clap::ValueEnum::to_possible_value(experiment).unwrap().get_name(), name);
            let grid = Grid::parse(*experiment, experiment.grid(), name.into()).unwrap();
            let cells = grid.cells(&[]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(cells.len(), grid.concepts.len() * grid.variants.len());
        }
    }
}
