//! Tables of results, as CSV for programs and Markdown for readers.

use super::statistics::Spread;

/// One entry of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Words.
    Text(String),
    /// A number, and the decimals that Markdown shows; CSV has all of them.
    Number(f64, usize),
    /// `median ± interquartile range`, and the decimals that Markdown shows; CSV has the two
    /// numbers in two columns.
    Spread(Spread, usize),
    /// Nothing was measured.
    Missing,
}

/// A run that a row stands for in part, and that gave it nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The run's name.
    pub run: String,
    /// Why it failed.
    pub reason: String,
}

/// One row of a [`Table`], which says how many runs it stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// One for each column; what is missing at the end is taken as [`Cell::Missing`].
    pub cells: Vec<Cell>,
    /// Runs that were meant to be made, those that failed among them.
    pub runs: usize,
    /// The runs that failed: the cells stand for the others.
    pub failures: Vec<Failure>,
}

/// Rows under named columns. Both forms count and name the runs that failed, in columns or lines
/// that are added for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows from top to bottom.
    pub rows: Vec<Row>,
}

impl Table {
    /// The table as a CSV file of RFC 4180, with a line of names. A column with a spread becomes
    /// two, of which the second is named with `_iqr`.
    pub fn to_csv(&self) -> String {
        let is_spread = |column: usize| {
            self.rows.iter().any(|row| matches!(row.cell(column), Cell::Spread(..)))
        };
        let spreads: Vec<bool> = (0..self.columns.len()).map(is_spread).collect();
        let mut names = Vec::new();
        for (name, &spread) in self.columns.iter().zip(&spreads) {
            names.push(name.clone());
            names.extend(spread.then(|| format!("{name}_iqr")));
        }
        names.extend(["runs", "failed", "failed_runs"].map(String::from));
        let mut lines = csv_line(&names);
        for row in &self.rows {
            let mut fields = Vec::new();
            for (column, &spread) in spreads.iter().enumerate() {
                let (value, range) = match row.cell(column) {
                    Cell::Text(text) => (text.clone(), None),
                    Cell::Number(value, _) => (value.to_string(), None),
                    Cell::Spread(s, _) => (s.median.to_string(), Some(s.interquartile_range())),
                    Cell::Missing => (String::new(), None),
                };
                fields.push(value);
                fields.extend(spread.then(|| range.map_or_else(String::new, |r| r.to_string())));
            }
            let failed: Vec<&str> = row.failures.iter().map(|f| f.run.as_str()).collect();
            fields.extend([row.runs.to_string(), failed.len().to_string(), failed.join("; ")]);
            lines += &csv_line(&fields);
        }
        lines
    }

    /// The table as Markdown, its columns aligned, and below it the runs that failed with their
    /// reasons.
    pub fn to_markdown(&self) -> String {
        let names = self.columns.iter().map(|name| markdown_text(name));
        let mut lines = vec![names.chain(["runs".into()]).collect::<Vec<_>>()];
        for row in &self.rows {
            let runs = match row.failures.len() {
                0 => row.runs.to_string(),
                failed => format!("{} ({failed} failed)", row.runs),
            };
            let cells = (0..self.columns.len()).map(|column| markdown_cell(row.cell(column)));
            lines.push(cells.chain([runs]).collect());
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<usize> =
            (0..=self.columns.len()).map(|c| width(c).unwrap_or(0).max(3)).collect();
        let is_text =
            |column: usize| self.rows.iter().any(|row| matches!(row.cell(column), Cell::Text(_)));
        let line = |cells: &Vec<String>| {
            let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let rules = widths.iter().enumerate().map(|(column, width)| {
            if is_text(column) { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" }
        });
        let rule = format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
        let body: String = lines[1..].iter().map(line).collect();
        line(&lines[0]) + &rule + &body + &self.failures()
    }

    fn failures(&self) -> String {
        let failures: Vec<&Failure> = self.rows.iter().flat_map(|row| &row.failures).collect();
        let runs: usize = self.rows.iter().map(|row| row.runs).sum();
        let named = failures.iter().map(|failure| {
            format!("- {}: {}\n", markdown_text(&failure.run), markdown_text(&failure.reason))
        });
        match failures.len() {
            0 => String::new(),
            failed => format!(
                "\n{failed} of {runs} runs failed; the numbers are those of the others.\n\n{}",
                named.collect::<String>()
            ),
        }
    }
}

impl Row {
    fn cell(&self, column: usize) -> &Cell {
        self.cells.get(column).unwrap_or(&Cell::Missing)
    }
}

/// One line of a CSV file.
pub(super) fn csv_line(fields: &[String]) -> String {
    let quoted = fields.iter().map(|field| {
        if field.contains([',', '"', '\r', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

fn markdown_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => markdown_text(text),
        Cell::Number(value, decimals) => format!("{value:.decimals$}"),
        Cell::Spread(spread, decimals) => {
            format!("{:.decimals$} ± {:.decimals$}", spread.median, spread.interquartile_range())
        }
        Cell::Missing => "–".into(),
    }
}

/// Text that ends neither its cell nor its line, and that no reader takes for HTML.
fn markdown_text(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let spread = Spread::of(&[0.5, 0.7, 0.8, 0.75]).unwrap();
        let failure = Failure { run: "dvar/<cat>, 2".into(), reason: "the loss\nis NaN".into() };
        Table {
            columns: ["method", "CLIP-I", "steps"].map(String::from).to_vec(),
            rows: vec![
                Row {
                    cells: vec![
                        Cell::Text("DVAR \"282\"".into()),
                        Cell::Spread(spread, 3),
                        Cell::Number(384.0, 0),
                    ],
                    runs: 5,
                    failures: vec![failure],
                },
                Row {
                    cells: vec![Cell::Text("few".into()), Cell::Missing, Cell::Number(0.25, 1)],
                    runs: 4,
                    failures: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn csv_has_every_number_in_full_and_quotes_what_must_be() {
        // sorted .5 .7 .75 .8: median .725, quartiles .65 and .7625
        let iqr = Spread::of(&[0.5, 0.7, 0.8, 0.75]).unwrap().interquartile_range();
        assert!((iqr - 0.1125).abs() < 1e-15);
        let want = format!(
            "method,CLIP-I,CLIP-I_iqr,steps,runs,failed,failed_runs\r\n\
             \"DVAR \"\"282\"\"\",0.725,{iqr},384,5,1,\"dvar/<cat>, 2\"\r\n\
             few,,,0.25,4,0,\r\n"
        );
        assert_eq!(table().to_csv(), want);
    }

    #[test]
    fn markdown_is_aligned_and_names_the_runs_that_failed() {
        let want = "\
| method     |        CLIP-I | steps |         runs |
| ---------- | ------------: | ----: | -----------: |
| DVAR \"282\" | 0.725 ± 0.113 |   384 | 5 (1 failed) |
| few        |             – |   0.2 |            4 |

1 of 9 runs failed; the numbers are those of the others.

- dvar/&lt;cat>, 2: the loss is NaN
";
        assert_eq!(table().to_markdown(), want);
        let mut none = table();
        none.rows.remove(0);
        assert!(none.to_markdown().ends_with("|    4 |\n"));
        none.rows.clear();
        assert_eq!(none.to_csv(), "method,CLIP-I,steps,runs,failed,failed_runs\r\n");
        assert_eq!(none.to_markdown().lines().count(), 2);
    }
}
