//! The curve that shows why a run stopped, as an SVG file: losses above, the figure that the
//! criterion watches or the scores below.
//!
//! Two panels share one axis of steps; the upper one has a second scale on its right.

use std::collections::BTreeMap;

use super::svg::{
    BLUE, FRAME, GREY, INK, Scale, axis_name, document, escape, extent, frame, line, polyline, text,
};

/// What one training step adds to the curve.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct CurvePoint {
    /// The training step's index, from 0.
    pub step: usize,
    /// The loss of the training batch; burn's `Learner` records it only where it is asked to, and it may be
    /// no finite number there.
    pub loss: Option<f64>,
    /// The deterministic loss of the fixed evaluation batch, at steps that computed it.
    pub eval_loss: Option<f64>,
    /// The variance of the last window of deterministic losses over that of all of them (DVAR,
    /// arXiv 2302.04841), at steps that computed it.
    pub ratio: Option<f64>,
    /// CLIP-I of samples, at steps that were scored.
    pub clip_i: Option<f64>,
    /// The step's other figures, by name; none where one is not a finite number.
    #[serde(flatten)]
    pub figures: BTreeMap<String, Option<f64>>,
}

impl CurvePoint {
    /// A figure by the name that it has in `metrics.jsonl`.
    pub fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "loss" => self.loss,
            "eval_loss" => self.eval_loss,
            "ratio" => self.ratio,
            "clip_i" => self.clip_i,
            other => self.figures.get(other).copied().flatten(),
        }
    }
}

/// The figure that decides when a run stops.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Its name in the steps' records.
    pub figure: &'a str,
    /// What it is called in the legend.
    pub label: &'a str,
    /// A value below it stops the run; a line is drawn there if it is a finite number.
    pub threshold: f64,
}

impl Watched<'static> {
    /// DVAR's ratio, which stops a run below `threshold`.
    pub fn dvar(threshold: f64) -> Self {
        Self { figure: "ratio", label: "variance ratio", threshold }
    }

    /// The last window's share of the fall, which stops a run below `threshold`.
    pub fn plateau(threshold: f64) -> Self {
        Self { figure: "ratio", label: "share of the fall", threshold }
    }
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 826.0;
const TOP_PANEL: Panel = Panel { top: 72.0, bottom: 282.0 };
const BOTTOM_PANEL: Panel = Panel { top: 304.0, bottom: 464.0 };
/// The part of a panel above its data, kept free for the label of the stop.
const HEADROOM: f64 = 0.16;

const PALE_GREY: &str = "#bfc5cb";
const ORANGE: &str = "#d9730d";
const RED: &str = "#b3261e";

/// Draws `points`, which are in the order of their steps, as an SVG document of 900 x 520 pixels.
///
/// The upper panel holds the deterministic loss (blue, left axis) and the training loss (grey, an
/// axis of its own on the right), as far as they were recorded, the lower one the `watched` figure
/// (orange) and its threshold (dashed), or, where it was never computed but samples were scored,
/// CLIP-I.
/// `stop` is the label of a vertical line at the last step. Values that are not finite are left
/// out. The size of the document does not grow with the number of points.
pub fn curve_svg(
    points: &[CurvePoint],
    watched: &Watched<'_>,
    stop: Option<&str>,
    title: &str,
) -> String {
    let first = points.first().map_or(0.0, |point| point.step as f64);
    let last = points.last().map_or(1.0, |point| point.step as f64).max(first + 1.0);
    // A margin on the right keeps the line of the stop off the frame.
    let steps = Scale { low: first, high: last + 0.025 * (last - first), from: LEFT, to: RIGHT };
    let series = |figure: &str| -> Vec<(f64, f64)> {
        let value = |point: &CurvePoint| Some((point.step as f64, point.figure(figure)?));
        points.iter().filter_map(value).filter(|(_, value)| value.is_finite()).collect()
    };
    let (loss, eval_loss) = (series("loss"), series("eval_loss"));
    let (figure, scores) = (series(watched.figure), series("clip_i"));
    let (watched, name, threshold) = if figure.is_empty() && !scores.is_empty() {
        (scores, "CLIP-I", None)
    } else {
        (figure, watched.label, Some(watched.threshold).filter(|t| t.is_finite()))
    };
    let name = escape(name);
    let loss_scale = TOP_PANEL.scale(&loss, &[0.0]);
    let eval_loss_scale = TOP_PANEL.scale(&eval_loss, &[]);
    let mut anchors = threshold.map_or(Vec::new(), |threshold| vec![0.0, threshold]);
    if watched.is_empty() && threshold.is_some() {
        anchors.push(1.0); // an empty panel has the axis of a ratio
    }
    let watched_scale = BOTTOM_PANEL.scale(&watched, &anchors);

    // an empty panel has the axis of the training loss
    let shows_loss = !loss.is_empty() || eval_loss.is_empty();
    let mut legend = Vec::new();
    if !eval_loss.is_empty() {
        legend.push(("deterministic loss".to_owned(), BLUE, ""));
    }
    if shows_loss {
        legend.push(("training loss (right axis)".into(), PALE_GREY, ""));
    }
    legend.push((name.clone(), ORANGE, ""));
    if let Some(threshold) = threshold {
        legend.push((format!("threshold {threshold}"), INK, "6 4"));
    }
    let mut svg = legend_row(&legend);

    for panel in [TOP_PANEL, BOTTOM_PANEL] {
        svg += &panel.step_lines(&steps);
    }
    if !eval_loss.is_empty() {
        svg += &left_axis(&eval_loss_scale, "deterministic loss", BLUE);
    }
    if shows_loss {
        svg += &right_axis(&loss_scale, "training loss");
    }
    svg += &left_axis(&watched_scale, &name, ORANGE);
    svg += &step_axis(&steps);

    svg += &curve(&loss, &steps, &loss_scale, PALE_GREY, 0.7);
    svg += &curve(&eval_loss, &steps, &eval_loss_scale, BLUE, 1.8);
    svg += &curve(&watched, &steps, &watched_scale, ORANGE, 1.8);
    if let Some(threshold) = threshold {
        let y = watched_scale.at(threshold);
        svg += &line((LEFT, y), (RIGHT, y), INK, "stroke-width=\"1.2\" stroke-dasharray=\"6 4\"");
    }
    for panel in [TOP_PANEL, BOTTOM_PANEL] {
        svg += &panel.frame();
        svg += &stop.map_or_else(String::new, |label| panel.stop(steps.at(last), label));
    }
    document((WIDTH, HEIGHT), LEFT, title, &svg)
}

/// The vertical extent of a panel in pixels.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    bottom: f64,
}

impl Panel {
    /// A scale that fits the values and `also`, with a margin below and [`HEADROOM`] above.
    fn scale(&self, values: &[(f64, f64)], also: &[f64]) -> Scale {
        let all = values.iter().map(|(_, value)| *value).chain(also.iter().copied());
        let (low, span) = extent(all);
        let below = if low == 0.0 { 0.0 } else { 0.06 * span };
        let high = low + span * (1.0 + HEADROOM / (1.0 - HEADROOM));
        Scale { low: low - below, high, from: self.bottom, to: self.top }
    }

    fn step_lines(&self, steps: &Scale) -> String {
        let ticks = steps.ticks(8.0, 1.0);
        let at = ticks.values.iter().map(|step| steps.at(*step));
        at.map(|x| line((x, self.top), (x, self.bottom), FRAME, "stroke-opacity=\"0.5\"")).collect()
    }

    fn frame(&self) -> String {
        frame((LEFT, self.top), (RIGHT, self.bottom))
    }

    fn stop(&self, x: f64, label: &str) -> String {
        let rule = line((x, self.top), (x, self.bottom), RED, "stroke-width=\"1.4\"");
        // The white outline keeps the label readable where a curve crosses it.
        rule + &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{RED}\" \
             font-weight=\"bold\" stroke=\"#ffffff\" stroke-width=\"3\" \
             paint-order=\"stroke\">{}</text>\n",
            x - 7.0,
            self.top + 17.0,
            escape(label)
        )
    }
}

fn left_axis(scale: &Scale, name: &str, colour: &str) -> String {
    let ticks = scale.ticks(5.0, 0.0);
    let labels = ticks.labelled().map(|(value, label)| {
        let y = scale.at(value);
        line((LEFT, y), (RIGHT, y), FRAME, "stroke-opacity=\"0.5\"")
            + &text((LEFT - 8.0, y + 4.0), "end", INK, &label)
    });
    labels.collect::<String>() + &axis_name(20.0, scale.middle(), name, colour)
}

fn right_axis(scale: &Scale, name: &str) -> String {
    let ticks = scale.ticks(5.0, 0.0);
    let labels = ticks
        .labelled()
        .map(|(value, label)| text((RIGHT + 8.0, scale.at(value) + 4.0), "start", GREY, &label));
    labels.collect::<String>() + &axis_name(WIDTH - 14.0, scale.middle(), name, GREY)
}

fn step_axis(steps: &Scale) -> String {
    let ticks = steps.ticks(8.0, 1.0);
    let labels = ticks.labelled().map(|(step, label)| {
        text((steps.at(step), BOTTOM_PANEL.bottom + 18.0), "middle", INK, &label)
    });
    let middle = ((LEFT + RIGHT) / 2.0, BOTTOM_PANEL.bottom + 40.0);
    labels.collect::<String>() + &text(middle, "middle", INK, "training step")
}

fn legend_row(entries: &[(String, &str, &str)]) -> String {
    let mut x = LEFT;
    let mut row = String::new();
    for (name, colour, dashes) in entries {
        let style = format!("stroke-width=\"2.4\" stroke-dasharray=\"{dashes}\"");
        row += &line((x, 50.0), (x + 24.0, 50.0), colour, &style);
        row += &text((x + 31.0, 54.0), "start", INK, name);
        // Wide enough for the wider of the usual fonts.
        x += 31.0 + 6.2 * name.len() as f64 + 20.0;
    }
    row
}

fn curve(values: &[(f64, f64)], steps: &Scale, scale: &Scale, colour: &str, width: f64) -> String {
    let pixels = values.iter().map(|(step, value)| (steps.at(*step), scale.at(*value))).collect();
    polyline(pixels, colour, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: usize) -> Vec<CurvePoint> {
        let point = |step: usize| CurvePoint {
            step,
            loss: Some(0.1 + 0.05 * (step as f64 * 1.7).sin()),
            eval_loss: Some(0.36 + 0.01 / (1.0 + step as f64)),
            ratio: (step >= 150).then(|| 150.0 / step as f64),
            clip_i: None,
            figures: BTreeMap::new(),
        };
        (0..steps).map(point).collect()
    }

    fn attribute<'a>(svg: &'a str, of: &str, name: &str) -> &'a str {
        let element = &svg[svg.find(of).unwrap()..];
        let value = &element[element.find(name).unwrap() + name.len() + 2..];
        &value[..value.find('"').unwrap()]
    }

    #[test]
    fn a_stop_is_marked_in_both_panels_and_nothing_is_without_one() {
        let svg =
            curve_svg(&run(400), &Watched::dvar(0.39), Some("stopped after 400 steps"), "a run");
        assert_eq!(svg.matches("stopped after 400 steps").count(), 2);
        assert_eq!(svg.matches(&format!("stroke=\"{RED}\"")).count(), 2);
        assert!(!curve_svg(&run(400), &Watched::dvar(0.39), None, "a run").contains(RED));
    }

    #[test]
    fn the_threshold_crosses_the_ratio_where_the_values_do() {
        let svg = curve_svg(&run(400), &Watched::dvar(1.0), None, "a run");
        let dashed = svg.rfind("<line").unwrap();
        let threshold = attribute(&svg[dashed..], "<line", "y1");
        let ratio = &svg[svg.rfind("<polyline").unwrap()..];
        // The first ratio of the series is 150 / 150.
        let first = attribute(ratio, "<polyline", "points").split(' ').next().unwrap();
        assert_eq!(first.split(',').nth(1).unwrap(), threshold);
    }

    #[test]
    fn a_figure_of_another_criterion_is_drawn_by_its_name_with_its_threshold() {
        let line = |step: usize| {
            let share = 1.0 / (1 + step) as f64;
            format!(r#"{{"step":{step},"loss":0.5,"fall":{share},"fallen":null}}"#)
        };
        let points: Vec<CurvePoint> =
            (0..9).map(|step| serde_json::from_str(&line(step)).unwrap()).collect();
        assert_eq!((points[1].figure("fall"), points[1].figure("fallen")), (Some(0.5), None));
        let watched = Watched { figure: "fall", label: "share of the fall", threshold: 0.25 };
        let svg = curve_svg(&points, &watched, None, "a run");
        assert!(svg.contains(">share of the fall</text>") && svg.contains(">threshold 0.25<"));
        let dashed = attribute(&svg[svg.rfind("<line").unwrap()..], "<line", "y1");
        let curve = &svg[svg.rfind("<polyline").unwrap()..];
        // the fourth value is the threshold
        let fourth = attribute(curve, "<polyline", "points").split(' ').nth(3).unwrap();
        assert_eq!(fourth.split(',').nth(1).unwrap(), dashed);
    }

    /// As of burn's `Learner` without `with_loss`, or where a loss was no number.
    #[test]
    fn steps_without_a_training_loss_are_read_and_drawn_without_its_axis() {
        let read = |line: &str| serde_json::from_str::<CurvePoint>(line).unwrap();
        let points = [
            read(r#"{"step":0,"eval_loss":0.5,"ratio":1.0}"#),
            read(r#"{"step":1,"loss":null,"eval_loss":0.4,"ratio":0.9}"#),
        ];
        assert_eq!(points.each_ref().map(|point| point.figure("loss")), [None, None]);
        let svg = curve_svg(&points, &Watched::dvar(0.39), None, "a run");
        assert!(svg.contains(">deterministic loss</text>") && !svg.contains("training loss"));
        assert!(curve_svg(&run(2), &Watched::dvar(0.39), None, "a run").contains("training loss"));
    }

    #[test]
    fn a_long_run_stays_a_small_file_and_keeps_its_extremes() {
        let mut points = run(6100);
        points[3000].loss = Some(9.0);
        let svg = curve_svg(&points, &Watched::dvar(0.39), Some("stopped"), "a run");
        assert!(svg.len() < 80_000, "{} bytes", svg.len());
        let curve = &svg[svg.find("<polyline").unwrap()..];
        let heights = attribute(curve, "<polyline", "points").split(' ');
        let highest = heights
            .map(|place| place.split(',').nth(1).unwrap().parse::<f64>().unwrap())
            .fold(f64::INFINITY, f64::min);
        let headroom = TOP_PANEL.top + HEADROOM * (TOP_PANEL.bottom - TOP_PANEL.top);
        assert!((highest - headroom).abs() < 0.1, "{highest}");
    }

    #[test]
    fn values_that_are_not_finite_and_empty_or_flat_runs_leave_no_broken_number() {
        let mut broken = run(200);
        broken[7].loss = Some(f64::NAN);
        broken[8].eval_loss = Some(f64::INFINITY);
        broken[160].ratio = Some(f64::NEG_INFINITY);
        let flat = vec![CurvePoint { eval_loss: Some(0.0), ..run(1)[0].clone() }; 3];
        for points in [broken, flat, run(1), Vec::new()] {
            for threshold in [0.39, f64::NAN] {
                let svg = curve_svg(&points, &Watched::dvar(threshold), Some("stopped"), "a run");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert_eq!(svg.matches("<polyline").count(), 3);
            }
        }
    }

    #[test]
    fn titles_and_labels_are_escaped() {
        let watched = Watched { label: "b < a", ..Watched::dvar(0.39) };
        let svg = curve_svg(&run(2), &watched, Some("a & b"), "<cat-toy>\u{1}");
        assert!(svg.contains(">&lt;cat-toy&gt; </text>") && svg.contains(">a &amp; b</text>"));
        assert_eq!(svg.matches(">b &lt; a</text>").count(), 2, "legend and axis");
    }
}
