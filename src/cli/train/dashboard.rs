//! A run on burn's terminal dashboard.

use std::{collections::BTreeMap, sync::Arc};

use burn::train::{
    Interrupter,
    metric::{
        MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
        format_float,
    },
    renderer::{MetricState, MetricsRenderer, default_renderer},
};

use crate::{
    early_stopping::{Control, StopReason},
    trainer::{Callback, StepContext, TrainError},
};

/// Shows every figure of the steps as a plot, and lets the user end the run with `q`. Where there
/// is no terminal, burn's renderer prints a line for each step.
pub(super) struct Dashboard {
    renderer: Box<dyn MetricsRenderer>,
    interrupter: Interrupter,
    metrics: BTreeMap<String, MetricId>,
}

impl Dashboard {
    /// Takes the terminal for a run of at most `steps`, of which `done` are made, until it is
    /// dropped.
    pub fn new(steps: usize, done: usize) -> Self {
        let interrupter = Interrupter::new();
        let mut renderer = default_renderer(interrupter.clone(), None);
        renderer.start(1, 1, Some(steps), Some("dvar"));
        renderer.start_split("train", steps);
        renderer.update_split(done);
        Self { renderer, interrupter, metrics: BTreeMap::new() }
    }

    /// The metric of a figure; a new figure becomes one.
    fn metric(&mut self, figure: &str) -> MetricId {
        let Self { renderer, metrics, .. } = self;
        let register = || {
            let name = Arc::new(figure.to_string());
            let metric_id = MetricId::new(name.clone());
            // a score is better if it is higher, everything else is a loss or a ratio of losses
            let higher_is_better = figure.starts_with("clip") || figure == "dino";
            renderer.register_metric(MetricDefinition {
                metric_id: metric_id.clone(),
                name,
                description: None,
                attributes: NumericAttributes { unit: None, higher_is_better }.into(),
            });
            metric_id
        };
        metrics.entry(figure.to_string()).or_insert_with(register).clone()
    }
}

impl<M, S> Callback<M, S> for Dashboard {
    fn name(&self) -> &'static str {
        "dashboard"
    }

    fn after_update(&mut self, step: StepContext<'_, M>) -> Result<Control, TrainError> {
        for (figure, value) in step.record.figures() {
            let entry = NumericEntry::Value(value);
            let text = SerializedEntry::new(format_float(value, 4), entry.serialize());
            let shown = MetricEntry::new(self.metric(figure), text);
            self.renderer.update_train(MetricState::Numeric(shown, Some(entry)));
        }
        let steps = step.record.step + 1;
        self.renderer.update_split(steps);
        self.renderer.log_event_training("Iteration".into());
        Ok(if self.interrupter.should_stop() {
            Control::Stop(StopReason::Interrupted { steps })
        } else {
            Control::Continue
        })
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.renderer.end_split();
        self.renderer.end();
    }
}
