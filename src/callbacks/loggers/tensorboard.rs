//! TensorBoard's event files: records of TensorFlow's TFRecord format, each an `Event` message of
//! `tensorboard/compat/proto/{event,summary}.proto`.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use prost::Message;
use serde_json::{Map, Value as Json};

use super::sink::{LoggerError, Png, Sink, at};
use crate::{files::if_supported, trainer::Record};

const FILE_NAME: &str = "events.out.tfevents.";
/// The version from which readers trust [`SessionLog`] rather than guess.
const FILE_VERSION: &str = "brain.Event:2";

/// One event file that is being written.
pub(super) struct TensorBoard {
    path: PathBuf,
    file: File,
}

impl TensorBoard {
    /// Begins a new file after those of the folder. Files are numbered, because TensorBoard reads
    /// them in the order of their names.
    pub(super) fn open(
        folder: &Path,
        config: &Map<String, Json>,
        step: usize,
        now: f64,
    ) -> Result<Self, LoggerError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let names = fs::read_dir(folder).map_err(at(folder))?;
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let number = |name: String| name.strip_prefix(FILE_NAME)?.get(..10)?.parse::<u64>().ok();
        let next = names.filter_map(number).max().map_or(0, |last| last + 1);
        let path = folder.join(format!("{FILE_NAME}{next:010}.dvar"));
        let file = File::create_new(&path).map_err(at(&path))?;
        let mut events = Self { path, file };
        events.write(Event { file_version: Some(FILE_VERSION.into()), ..Event::at(0, now) })?;
        let start = Some(SessionLog { status: SessionLog::START });
        events.write(Event { session_log: start, ..Event::at(step, now) })?;
        if step == 0 {
            events.values(0, vec![Value::text("config", table(config))], now)?;
        }
        Ok(events)
    }

    fn values(&mut self, step: usize, value: Vec<Value>, now: f64) -> Result<(), LoggerError> {
        self.write(Event { summary: Some(Summary { value }), ..Event::at(step, now) })
    }

    fn write(&mut self, event: Event) -> Result<(), LoggerError> {
        self.file.write_all(&framed(&event.encode_to_vec())).map_err(at(&self.path))
    }
}

impl Sink for TensorBoard {
    fn figures(&mut self, record: &Record, now: f64) -> Result<(), LoggerError> {
        let values = record.figures().map(|(name, value)| Value::scalar(name, value)).collect();
        self.values(record.step, values, now)
    }

    fn picture(&mut self, name: &str, step: usize, png: Png, now: f64) -> Result<(), LoggerError> {
        self.values(step, vec![Value::image(name, png)], now)
    }

    /// The figures of the whole run stand at its last step.
    fn finish(
        &mut self,
        step: usize,
        summary: &[(&str, f64)],
        now: f64,
    ) -> Result<(), LoggerError> {
        let values = summary.iter().map(|(name, value)| Value::scalar(name, *value)).collect();
        self.values(step, values, now)
    }

    fn sync(&mut self) -> Result<(), LoggerError> {
        if_supported(self.file.sync_data()).map_err(at(&self.path))
    }
}

/// The options as a table in Markdown, which TensorBoard shows as one.
fn table(config: &Map<String, Json>) -> String {
    let rows = config.iter().map(|(name, value)| {
        let value = value.to_string().replace('|', "\\|");
        format!("| {name} | {value} |\n")
    });
    format!("| option | value |\n|---|---|\n{}", rows.collect::<String>())
}

/// A record of a TFRecord file: length, its checksum, content, its checksum.
fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&length, &masked_crc(&length), content, &masked_crc(content)];
    parts.concat()
}

/// CRC-32C, masked because a record may itself hold checksums.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

impl Event {
    fn at(step: usize, wall_time: f64) -> Self {
        Self { wall_time, step: step as i64, ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl SessionLog {
    /// What was logged before, of this step or later, no longer holds.
    const START: i32 = 1;
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

impl Value {
    fn scalar(tag: &str, value: f64) -> Self {
        Self { tag: tag.into(), simple_value: Some(value as f32), ..Self::default() }
    }

    fn image(tag: &str, png: Png<'_>) -> Self {
        let (height, width) = (png.height as i32, png.width as i32);
        let image = Image { height, width, colorspace: Image::RGB, encoded: png.bytes.into() };
        Self { tag: tag.into(), image: Some(image), ..Self::default() }
    }

    fn text(tag: &str, text: String) -> Self {
        let shape = Some(Shape { dim: vec![Dim { size: 1 }] });
        let tensor = Tensor { dtype: Tensor::STRING, shape, string_val: vec![text.into_bytes()] };
        let metadata = Metadata { plugin: Some(Plugin { name: "text".into() }) };
        let (tensor, metadata) = (Some(tensor), Some(metadata));
        Self { tag: tag.into(), tensor, metadata, ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

impl Image {
    const RGB: i32 = 3;
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    string_val: Vec<Vec<u8>>,
}

impl Tensor {
    const STRING: i32 = 7;
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of RFC 3720, B.4, and the checksum that every file begins with: that of the length
    /// 24 of its first record.
    #[test]
    fn checksums_are_crc32c_masked() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(&24_u64.to_le_bytes()), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    /// The first record that TensorFlow writes to any file, but for the time.
    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        let event = Event { file_version: Some(FILE_VERSION.into()), ..Event::at(0, 0.0) };
        let content = event.encode_to_vec();
        assert_eq!(content, b"\x1a\x0dbrain.Event:2");
        let record = framed(&content);
        assert_eq!(record.len(), 8 + 4 + 15 + 4);
        assert_eq!(record[..8], [15, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record[12..27], content);
        assert_eq!(record[27..], masked_crc(&content));
    }

    #[test]
    fn each_session_has_a_file_of_its_own_and_only_the_first_the_options() {
        let folder = tempfile::tempdir().unwrap();
        let config = Map::from_iter([("seed".into(), Json::from(5))]);
        for (step, number) in [(0, 0), (20, 1)] {
            let path = TensorBoard::open(folder.path(), &config, step, 1.5).unwrap().path;
            assert!(path.ends_with(format!("events.out.tfevents.000000000{number}.dvar")));
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            assert_eq!(text.contains("| seed | 5 |"), step == 0);
        }
    }
}
