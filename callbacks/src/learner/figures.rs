//! Figures of the steps on burn's dashboard.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    tensor::TensorReadError,
    train::metric::{
        Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes,
        NumericEntry, SerializedEntry,
        state::{FormatOptions, NumericMetricState},
    },
};

use crate::Record;

/// The last known value of every figure that callbacks recorded. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Figures(Arc<Mutex<BTreeMap<String, f64>>>);

impl Figures {
    /// The last value recorded under a name, such as `eval_loss`.
    pub fn get(&self, figure: &str) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(figure).copied()
    }

    pub(super) fn publish(&self, record: &Record) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.extend(record.figures().map(|(name, value)| (name.to_string(), value)));
    }
}

/// A recorded figure as a metric of burn's dashboard and log files.
///
/// Burn computes metrics on a thread of its own, which may be a step or two behind the training and
/// then shows the value of a later step than its own; nothing is decided by it. Register it for
/// training alone (`metric_train_numeric`).
#[derive(Clone)]
pub struct FigureMetric {
    name: MetricName,
    figure: &'static str,
    higher_is_better: bool,
    figures: Figures,
    state: NumericMetricState,
    shown: bool,
}

impl fmt::Debug for FigureMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, figure, higher_is_better, .. } = self;
        f.debug_struct("FigureMetric")
            .field("name", name)
            .field("figure", figure)
            .field("higher_is_better", higher_is_better)
            .finish_non_exhaustive()
    }
}

impl FigureMetric {
    /// Shows `figure` of a strategy's [`figures`](super::StepwiseLearningStrategy::figures) under
    /// `name`.
    pub fn new(
        figures: &Figures,
        figure: &'static str,
        name: &str,
        higher_is_better: bool,
    ) -> Self {
        Self {
            name: Arc::new(name.to_string()),
            figure,
            higher_is_better,
            figures: figures.clone(),
            state: NumericMetricState::new(),
            shown: false,
        }
    }

    /// DVAR's ratio: the run stops when it falls below the threshold.
    pub fn dvar_ratio(figures: &Figures) -> Self {
        Self::new(figures, "ratio", "DVAR Ratio", false)
    }

    /// The loss on the fixed batch.
    pub fn eval_loss(figures: &Figures) -> Self {
        Self::new(figures, "eval_loss", "Deterministic Loss", false)
    }

    /// The CLIP score of samples, recorded as `clip_i` by a score monitor.
    pub fn clip_score(figures: &Figures) -> Self {
        Self::new(figures, "clip_i", "CLIP Score", true)
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).precision(4)
    }
}

impl Metric for FigureMetric {
    type Input = ();

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: self.higher_is_better }.into()
    }

    fn update(
        &mut self,
        _item: &(),
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let Some(value) = self.figures.get(self.figure) else {
            return Ok(SerializedEntry::not_available(None));
        };
        self.state.update(value, 1);
        self.shown = true;
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(if self.shown {
            self.state.compute_final(self.format())
        } else {
            SerializedEntry::not_available(None)
        })
    }

    fn clear(&mut self) {
        self.state.reset();
        self.shown = false;
    }
}

impl Numeric for FigureMetric {
    fn value(&self) -> Option<NumericEntry> {
        self.shown.then(|| self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.shown.then(|| self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}
