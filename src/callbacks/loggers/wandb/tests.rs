//! A run's log for W&B, as `wandb sync` reads it.

use super::*;
use crate::data::png::encode_png;

const NAME: RunName<'_> = RunName { project: "paper", name: "cat", entity: None };

fn open(folder: &Path, step: usize, now: f64) -> Result<Wandb, LoggerError> {
    let config = Map::from_iter([("seed".into(), Value::from(5))]);
    Wandb::open(folder, &NAME, &config, step, now)
}

fn log_steps(wandb: &mut Wandb, steps: std::ops::Range<usize>) {
    for step in steps {
        let mut record = trainer::Record::new(step);
        record.set("loss", 0.5 / (1.0 + step as f64));
        if step == 1 {
            record.set("ratio", f64::INFINITY);
        }
        wandb.figures(&record, 100.0 + step as f64).unwrap();
    }
}

fn records(path: &Path) -> Vec<Record> {
    let bytes = fs::read(path).unwrap();
    log::records(&bytes).map(|(_, record)| Record::decode(&record[..]).unwrap()).collect()
}

/// Rows as (step, (name, value)) without the times.
fn rows(path: &Path) -> Vec<(i64, Vec<(String, String)>)> {
    let histories = records(path).into_iter().filter_map(|record| record.history);
    let row = |history: History| {
        let items = history.item.into_iter().map(|i| (i.nested_key.concat(), i.value_json));
        (history.step.unwrap().num, items.filter(|(name, _)| !name.starts_with('_')).collect())
    };
    histories.map(row).collect()
}

#[test]
fn a_run_is_its_options_a_row_for_each_step_a_summary_and_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut wandb = open(folder.path(), 0, 100.0).unwrap();
    let png = encode_png(3, 2, &[9; 18]).unwrap();
    wandb.picture("samples", 0, Png::new(&png).unwrap(), 100.0).unwrap();
    log_steps(&mut wandb, 0..2);
    wandb.finish(2, &[("clip_i", 0.75)], 103.5).unwrap();

    let path = wandb.path.clone();
    let all = records(&path);
    assert_eq!(all.iter().map(|record| record.num).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    let run = all[1].run.clone().unwrap();
    assert_eq!(run.start_time, Some(Timestamp { seconds: 100, nanos: 0 }));
    assert_eq!(run.config.unwrap().update, [item("seed", "5".into())]);
    let rows = rows(&path);
    assert_eq!(rows[0].1[0], ("loss".into(), "0.5".into()));
    let picture: Value = serde_json::from_str(&rows[0].1[1].1).unwrap();
    assert_eq!((&picture["width"], &picture["height"]), (&Value::from(3), &Value::from(2)));
    let sent = all[3].files.clone().unwrap().files[0].path.clone();
    assert_eq!(picture["path"], Value::from(sent.clone()));
    assert_eq!(fs::read(path.with_file_name("files").join(sent)).unwrap(), png);
    let infinite = ("ratio".to_string(), "\"Infinity\"".to_string());
    assert_eq!(rows[1].1, [("loss".into(), "0.25".into()), infinite]);
    let summary = all[5].summary.clone().unwrap().update;
    assert!(summary.contains(&item("clip_i", "0.75".into())));
    assert!(summary.contains(&item("loss", "0.25".into())));
    assert!(summary.contains(&item("_wandb", "{\"runtime\":3}".into())));
    assert_eq!(all[6].exit, Some(Exit { exit_code: 0, runtime: 3 }));
}

#[test]
fn a_resumed_run_has_each_step_once_under_one_id() {
    let folder = tempfile::tempdir().unwrap();
    let whole = tempfile::tempdir().unwrap();
    let mut wandb = open(whole.path(), 0, 100.0).unwrap();
    log_steps(&mut wandb, 0..600);
    wandb.sync().unwrap();
    let want = rows(&wandb.path);

    let mut wandb = open(folder.path(), 0, 100.0).unwrap();
    log_steps(&mut wandb, 0..450);
    wandb.finish(450, &[], 103.5).unwrap();
    let path = wandb.path.clone();
    fs::write(path.with_extension("wandb.synced"), "").unwrap();
    // the last record cut off, as a kill may leave it
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let mut wandb = open(folder.path(), 400, 200.0).unwrap();
    assert_eq!(wandb.path, path);
    assert!(!path.with_extension("wandb.synced").exists());
    log_steps(&mut wandb, 400..600);
    wandb.finish(600, &[], 203.5).unwrap();
    assert_eq!(rows(&path), want);
    let all = records(&path);
    let numbers: Vec<_> = all.iter().map(|record| record.num).collect();
    assert_eq!(numbers, (1..=all.len() as i64).collect::<Vec<_>>());
    assert_eq!(all.iter().filter(|record| record.run.is_some()).count(), 1);
    // of a figure that came before the resume alone, the summary has the last value too
    let summary = all[all.len() - 2].summary.clone().unwrap().update;
    assert!(summary.contains(&item("ratio", "\"Infinity\"".into())));
}

#[test]
fn a_run_killed_at_its_very_beginning_begins_anew_and_a_log_with_too_few_steps_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut wandb = open(folder.path(), 0, 100.0).unwrap();
    let path = wandb.path.clone();
    log_steps(&mut wandb, 0..3);
    wandb.sync().unwrap();
    let error = open(folder.path(), 4, 101.0).err().unwrap().to_string();
    assert!(error.ends_with("has 3 of the 4 steps made; start the run anew"), "{error}");

    fs::write(&path, b":W&B").unwrap();
    let wandb = open(folder.path(), 0, 102.0).unwrap();
    assert_eq!((wandb.path, records(&path).len()), (path.clone(), 2));
    fs::remove_file(&path).unwrap();
    open(folder.path(), 0, 102.0).unwrap();
    assert_eq!(records(&path).len(), 2);
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(open(empty.path(), 1, 0.0), Err(LoggerError::Resume { found: 0, .. })));
}
