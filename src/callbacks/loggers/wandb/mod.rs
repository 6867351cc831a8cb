//! An offline run of W&B, as its own client leaves one for `wandb sync`: a folder
//! `offline-run-TIME-ID` with the log `run-ID.wandb` and the pictures below `files/`.

mod log;
mod messages;
mod place;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use prost::Message;
use serde_json::{Map, Value, json};

use super::sink::{LoggerError, Png, RunName, Sink, at};
use crate::{
    files::{if_supported, write_atomic},
    trainer,
};
use messages::{
    Config, Exit, Files, Header, History, Item, Record, Run, SentFile, Step, Summary, Timestamp,
    VersionInfo,
};

/// One run that is being logged.
pub(super) struct Wandb {
    path: PathBuf,
    file: File,
    length: u64,
    records: i64,
    started: f64,
    /// The step that is being logged: W&B takes one row for each.
    row: Option<Row>,
    /// The last value of everything, as JSON.
    last: BTreeMap<String, String>,
}

struct Row {
    step: usize,
    items: BTreeMap<String, String>,
    files: Vec<SentFile>,
    time: f64,
}

/// What of an interrupted run's log still holds.
#[derive(Default)]
struct Kept {
    length: usize,
    records: i64,
    started: Option<f64>,
    steps: usize,
    last: BTreeMap<String, String>,
}

impl Wandb {
    pub(super) fn open(
        folder: &Path,
        name: &RunName<'_>,
        config: &Map<String, Value>,
        step: usize,
        now: f64,
    ) -> Result<Self, LoggerError> {
        let folder = folder.join("wandb");
        let begun = place::find(&folder).map_err(at(&folder))?;
        let bytes = match &begun {
            Some(path) => match fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                read => read.map_err(at(path))?,
            },
            None => Vec::new(),
        };
        let kept = Kept::new(&bytes, step);
        if kept.steps < step {
            let path = begun.unwrap_or(folder);
            return Err(LoggerError::Resume { path, found: kept.steps, steps: step });
        }
        let path = match begun {
            Some(path) => path,
            None => place::create(&folder, now).map_err(at(&folder))?,
        };
        write_atomic(&path, &bytes[..kept.length]).map_err(at(&path))?;
        // W&B passes over a run that is marked as sent; this one changes. Most have no mark
        let _ = fs::remove_file(path.with_extension("wandb.synced"));
        let file = File::options().append(true).open(&path).map_err(at(&path))?;
        let mut wandb = Self {
            file,
            length: kept.length as u64,
            records: kept.records,
            started: kept.started.unwrap_or(now),
            row: None,
            last: kept.last,
            path,
        };
        if kept.started.is_none() {
            wandb.begin(name, config)?;
        }
        Ok(wandb)
    }

    fn begin(
        &mut self,
        name: &RunName<'_>,
        config: &Map<String, Value>,
    ) -> Result<(), LoggerError> {
        self.file.write_all(&log::FILE_HEADER).map_err(at(&self.path))?;
        self.length = log::FILE_HEADER.len() as u64;
        let producer = concat!("dvar ", env!("CARGO_PKG_VERSION")).into();
        let header = Header { version_info: Some(VersionInfo { producer }) };
        self.write(Record { header: Some(header), ..Record::default() })?;
        let update = config.iter().map(|(name, value)| item(name, value.to_string())).collect();
        let run = Run {
            run_id: place::run_id(&self.path).into(),
            entity: name.entity.unwrap_or_default().into(),
            project: name.project.into(),
            config: Some(Config { update }),
            display_name: name.name.into(),
            start_time: Some(Timestamp {
                seconds: self.started as i64,
                nanos: (self.started.fract() * 1e9) as i32,
            }),
        };
        self.write(Record { run: Some(run), ..Record::default() })
    }

    fn write(&mut self, record: Record) -> Result<(), LoggerError> {
        self.records += 1;
        let record = Record { num: self.records, ..record };
        let bytes = log::chunks(&record.encode_to_vec(), self.length);
        self.file.write_all(&bytes).map_err(at(&self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The row of `step`; one of another step is over and written.
    fn row(&mut self, step: usize, time: f64) -> Result<&mut Row, LoggerError> {
        if self.row.as_ref().is_some_and(|row| row.step != step) {
            self.write_row()?;
        }
        let new = || Row { step, items: BTreeMap::new(), files: Vec::new(), time };
        Ok(self.row.get_or_insert_with(new))
    }

    fn write_row(&mut self) -> Result<(), LoggerError> {
        let Some(mut row) = self.row.take() else { return Ok(()) };
        row.items.insert("_step".into(), row.step.to_string());
        row.items.insert("_timestamp".into(), json(row.time));
        row.items.insert("_runtime".into(), json(row.time - self.started));
        let item = row.items.iter().map(|(name, value)| item(name, value.clone())).collect();
        let history = History { item, step: Some(Step { num: row.step as i64 }) };
        self.last.extend(row.items);
        self.write(Record { history: Some(history), ..Record::default() })?;
        if row.files.is_empty() {
            return Ok(());
        }
        // after the row, so that a resumed run cuts both off
        self.write(Record { files: Some(Files { files: row.files }), ..Record::default() })
    }
}

impl Sink for Wandb {
    fn figures(&mut self, record: &trainer::Record, now: f64) -> Result<(), LoggerError> {
        let row = self.row(record.step, now)?;
        row.items.extend(record.figures().map(|(name, value)| (name.to_string(), json(value))));
        Ok(())
    }

    fn picture(&mut self, name: &str, step: usize, png: Png, now: f64) -> Result<(), LoggerError> {
        let path = place::picture(name, step, png.bytes);
        let file = self.path.with_file_name("files").join(&path);
        let folder = file.parent().unwrap_or(&file);
        fs::create_dir_all(folder).map_err(at(folder))?;
        write_atomic(&file, png.bytes).map_err(at(&file))?;
        let value = json!({
            "_type": "image-file",
            "format": "png",
            "path": path,
            "size": png.bytes.len(),
            "width": png.width,
            "height": png.height,
        });
        let row = self.row(step, now)?;
        row.items.insert(name.into(), value.to_string());
        row.files.push(SentFile { path });
        Ok(())
    }

    fn finish(
        &mut self,
        _step: usize,
        summary: &[(&str, f64)],
        now: f64,
    ) -> Result<(), LoggerError> {
        self.write_row()?;
        let runtime = (now - self.started) as i32;
        self.last.extend(summary.iter().map(|(name, value)| (name.to_string(), json(*value))));
        self.last.insert("_wandb".into(), json!({ "runtime": runtime }).to_string());
        let update = self.last.iter().map(|(name, value)| item(name, value.clone())).collect();
        self.write(Record { summary: Some(Summary { update }), ..Record::default() })?;
        self.write(Record { exit: Some(Exit { exit_code: 0, runtime }), ..Record::default() })
    }

    fn sync(&mut self) -> Result<(), LoggerError> {
        self.write_row()?;
        if_supported(self.file.sync_data()).map_err(at(&self.path))
    }
}

impl Kept {
    /// Everything up to the first row of `step` or a later one, or the end of the run.
    fn new(bytes: &[u8], step: usize) -> Self {
        let mut kept = Self::default();
        for (end, record) in log::records(bytes) {
            let Ok(record) = Record::decode(&record[..]) else { break };
            if record.summary.is_some() || record.exit.is_some() {
                break;
            }
            if let Some(time) = record.run.and_then(|run| run.start_time) {
                kept.started = Some(time.seconds as f64 + f64::from(time.nanos) * 1e-9);
            }
            if let Some(history) = record.history {
                let row = history.step.map_or(0, |row| row.num) as usize;
                if row >= step {
                    break;
                }
                kept.steps = row + 1;
                let name = |item: &mut Item| item.nested_key.pop();
                let items = history.item.into_iter();
                kept.last.extend(items.filter_map(|mut i| Some((name(&mut i)?, i.value_json))));
            }
            (kept.length, kept.records) = (end, record.num);
        }
        if kept.started.is_some() { kept } else { Self::default() }
    }
}

fn item(name: &str, value_json: String) -> Item {
    Item { nested_key: vec![name.into()], value_json }
}

/// A figure as W&B's client writes it: what JSON has no number for is a word.
fn json(value: f64) -> String {
    match value {
        value if value.is_nan() => "\"NaN\"".into(),
        f64::INFINITY => "\"Infinity\"".into(),
        f64::NEG_INFINITY => "\"-Infinity\"".into(),
        value => json!(value).to_string(),
    }
}

#[cfg(test)]
mod tests;
