//! `dvar report`: a run as a page that needs no other file, and several side by side.

mod page;
mod told;

use std::path::PathBuf;

use super::{
    error::CliError,
    output::{check_new, write},
    run_folder::RunFolder,
};

use told::Told;

/// Flags of `dvar report`.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Folders of finished runs
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Page to write; it must not exist yet [default: report.html, for one run in its folder, where
    /// it is overwritten, for several in the working folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ReportArgs) -> Result<(), CliError> {
    let file = match (&args.output, &args.runs[..]) {
        (None, [run]) => RunFolder::open(run)?.report(),
        (output, _) => {
            let file = output.clone().unwrap_or_else(|| "report.html".into());
            check_new(&file)?;
            file
        }
    };
    let runs = args.runs.iter().map(|folder| Told::read(&RunFolder::open(folder)?));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    write(&file, page::page(&runs).as_bytes())?;
    println!("report     {}", file.display());
    Ok(())
}

/// Writes the page of a run that has ended.
pub(super) fn write_own(folder: &RunFolder) -> Result<(), CliError> {
    let told = Told::read(folder)?;
    write(&folder.report(), page::page(&[told]).as_bytes())
}
