//! The curve that shows why a run stopped, as an SVG file: losses above, DVAR's ratio below.
//!
//! Written by hand: two panels that share one axis need a second scale on the right and a layout
//! that does not depend on installed fonts, and equal runs must give equal bytes.

/// What one training step adds to the curve.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
pub struct CurvePoint {
    /// The training step.
    pub step: usize,
    /// The loss of the training batch.
    pub loss: f64,
    /// The deterministic loss of the fixed evaluation batch, at steps that computed it.
    pub eval_loss: Option<f64>,
    /// The variance of the last window of deterministic losses over that of all of them (DVAR,
    /// arXiv 2302.04841), at steps that computed it.
    pub ratio: Option<f64>,
    /// CLIP-I of samples, at steps that were scored.
    pub clip_i: Option<f64>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 826.0;
const TOP_PANEL: Panel = Panel { top: 72.0, bottom: 282.0 };
const BOTTOM_PANEL: Panel = Panel { top: 304.0, bottom: 464.0 };
/// The part of a panel above its data, kept free for the label of the stop.
const HEADROOM: f64 = 0.16;

const INK: &str = "#24292f";
const FRAME: &str = "#d0d7de";
const BLUE: &str = "#1f5fbf";
const GREY: &str = "#7d858d";
const PALE_GREY: &str = "#bfc5cb";
const ORANGE: &str = "#d9730d";
const RED: &str = "#b3261e";

/// Draws `points`, which are in the order of their steps, as an SVG document of 900 x 520 pixels.
///
/// The upper panel holds the deterministic loss (blue, left axis) and the training loss (grey, an
/// axis of its own on the right), the lower one the ratio (orange) and `threshold` (dashed).
/// `stop` is the label of a vertical line at the last step. Values that are not finite are left
/// out. The size of the document does not grow with the number of points.
pub fn curve_svg(points: &[CurvePoint], threshold: f64, stop: Option<&str>, title: &str) -> String {
    let first = points.first().map_or(0.0, |point| point.step as f64);
    let last = points.last().map_or(1.0, |point| point.step as f64).max(first + 1.0);
    // A margin on the right keeps the line of the stop off the frame.
    let steps = Scale { low: first, high: last + 0.025 * (last - first), from: LEFT, to: RIGHT };
    let series = |value: fn(&CurvePoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let values = points.iter().filter_map(|point| Some((point.step as f64, value(point)?)));
        values.filter(|(_, value)| value.is_finite()).collect()
    };
    let loss = series(|point| Some(point.loss));
    let eval_loss = series(|point| point.eval_loss);
    let ratio = series(|point| point.ratio);
    let loss_scale = TOP_PANEL.scale(&loss, &[0.0]);
    let eval_loss_scale = TOP_PANEL.scale(&eval_loss, &[]);
    let ratio_scale = BOTTOM_PANEL.scale(&ratio, &[0.0, 1.0, threshold]);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-size=\"12\" fill=\"{INK}\" \
         font-family=\"'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
        escape(title)
    );
    let mut legend = vec![
        ("deterministic loss".to_owned(), BLUE, ""),
        ("training loss (right axis)".into(), PALE_GREY, ""),
        ("variance ratio".into(), ORANGE, ""),
    ];
    if threshold.is_finite() {
        legend.push((format!("threshold {threshold}"), INK, "6 4"));
    }
    svg += &legend_row(&legend);

    for panel in [TOP_PANEL, BOTTOM_PANEL] {
        svg += &panel.step_lines(&steps);
    }
    svg += &left_axis(&eval_loss_scale, "deterministic loss", BLUE);
    svg += &right_axis(&loss_scale, "training loss");
    svg += &left_axis(&ratio_scale, "variance ratio", ORANGE);
    svg += &step_axis(&steps);

    svg += &curve(&loss, &steps, &loss_scale, PALE_GREY, 0.7);
    svg += &curve(&eval_loss, &steps, &eval_loss_scale, BLUE, 1.8);
    svg += &curve(&ratio, &steps, &ratio_scale, ORANGE, 1.8);
    if threshold.is_finite() {
        let y = ratio_scale.at(threshold);
        svg += &line((LEFT, y), (RIGHT, y), INK, "stroke-width=\"1.2\" stroke-dasharray=\"6 4\"");
    }
    for panel in [TOP_PANEL, BOTTOM_PANEL] {
        svg += &panel.frame();
        svg += &stop.map_or_else(String::new, |label| panel.stop(steps.at(last), label));
    }
    svg + "</svg>\n"
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
        let (low, high) = all
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let size = low.abs().max(high.abs());
        let span = match high - low {
            span if span > 1e-9 * size => span,
            // A flat curve gets a range around it.
            _ if size > 0.0 => 0.01 * size,
            _ => 1.0,
        };
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
        format!(
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" \
             stroke=\"{FRAME}\"/>\n",
            self.top,
            RIGHT - LEFT,
            self.bottom - self.top
        )
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

/// Maps `low..=high` to the pixels `from..=to`.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About `count` round values inside the scale, at least `least` apart.
    fn ticks(&self, count: f64, least: f64) -> Ticks {
        let rough = (self.high - self.low) / count;
        let power = 10_f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough);
        let distance = (factor.unwrap_or(10.0) * power).max(least);
        let first = (self.low / distance).ceil();
        let values = (0..=count as usize + 1).map(|index| (first + index as f64) * distance);
        let decimals = (-(distance * 1.0001).log10().floor()).max(0.0) as usize;
        Ticks { values: values.filter(|value| *value <= self.high).collect(), decimals }
    }
}

struct Ticks {
    values: Vec<f64>,
    decimals: usize,
}

impl Ticks {
    /// Each value with its label, all of the same number of decimals.
    fn labelled(&self) -> impl Iterator<Item = (f64, String)> {
        self.values.iter().map(|value| {
            // A multiple of the distance can come out as -0.
            let value = value + 0.0;
            let label = match self.decimals {
                0..=6 if value.abs() < 1e7 => format!("{value:.*}", self.decimals),
                _ => format!("{value:.3e}"),
            };
            (value, label)
        })
    }
}

fn left_axis(scale: &Scale, name: &str, colour: &str) -> String {
    let ticks = scale.ticks(5.0, 0.0);
    let labels = ticks.labelled().map(|(value, label)| {
        let y = scale.at(value);
        line((LEFT, y), (RIGHT, y), FRAME, "stroke-opacity=\"0.5\"")
            + &text((LEFT - 8.0, y + 4.0), "end", INK, &label)
    });
    labels.collect::<String>() + &axis_name(scale, 20.0, name, colour)
}

fn right_axis(scale: &Scale, name: &str) -> String {
    let ticks = scale.ticks(5.0, 0.0);
    let labels = ticks
        .labelled()
        .map(|(value, label)| text((RIGHT + 8.0, scale.at(value) + 4.0), "start", GREY, &label));
    labels.collect::<String>() + &axis_name(scale, WIDTH - 14.0, name, GREY)
}

fn step_axis(steps: &Scale) -> String {
    let ticks = steps.ticks(8.0, 1.0);
    let labels = ticks.labelled().map(|(step, label)| {
        text((steps.at(step), BOTTOM_PANEL.bottom + 18.0), "middle", INK, &label)
    });
    let middle = ((LEFT + RIGHT) / 2.0, BOTTOM_PANEL.bottom + 40.0);
    labels.collect::<String>() + &text(middle, "middle", INK, "training step")
}

fn axis_name(scale: &Scale, x: f64, name: &str, colour: &str) -> String {
    let y = (scale.from + scale.to) / 2.0;
    format!(
        "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" \
         fill=\"{colour}\">{name}</text>\n"
    )
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
    let places: Vec<String> =
        thin_out(pixels).iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
         stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n",
        places.join(" ")
    )
}

/// Keeps the highest and the lowest point of every pixel column, in their order, which draws the
/// same line.
fn thin_out(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let columns = points.chunk_by(|a, b| a.0.floor() == b.0.floor());
    let extremes = columns.flat_map(|column| {
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let lowest = (0..column.len()).min_by(by_height);
        let highest = (0..column.len()).max_by(by_height);
        let (first, second) = (lowest.min(highest), lowest.max(highest));
        let second = second.filter(|_| first != second);
        first.into_iter().chain(second).map(|index| column[index])
    });
    extremes.collect()
}

fn line(from: (f64, f64), to: (f64, f64), colour: &str, style: &str) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" {style}/>\n",
        from.0, from.1, to.0, to.1
    )
}

fn text(at: (f64, f64), anchor: &str, colour: &str, content: &str) -> String {
    format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{content}</text>\n",
        at.0, at.1
    )
}

/// Text as XML content; control characters, which XML cannot hold, become spaces.
fn escape(text: &str) -> String {
    let plain = text.replace(|character: char| character.is_control(), " ");
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: usize) -> Vec<CurvePoint> {
        let point = |step: usize| CurvePoint {
            step,
            loss: 0.1 + 0.05 * (step as f64 * 1.7).sin(),
            eval_loss: Some(0.36 + 0.01 / (1.0 + step as f64)),
            ratio: (step >= 150).then(|| 150.0 / step as f64),
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
        let svg = curve_svg(&run(400), 0.39, Some("stopped at step 399"), "a run");
        assert_eq!(svg.matches("stopped at step 399").count(), 2);
        assert_eq!(svg.matches(&format!("stroke=\"{RED}\"")).count(), 2);
        assert!(!curve_svg(&run(400), 0.39, None, "a run").contains(RED));
    }

    #[test]
    fn the_threshold_crosses_the_ratio_where_the_values_do() {
        let svg = curve_svg(&run(400), 1.0, None, "a run");
        let dashed = svg.rfind("<line").unwrap();
        let threshold = attribute(&svg[dashed..], "<line", "y1");
        let ratio = &svg[svg.rfind("<polyline").unwrap()..];
        // The first ratio of the series is 150 / 150.
        let first = attribute(ratio, "<polyline", "points").split(' ').next().unwrap();
        assert_eq!(first.split(',').nth(1).unwrap(), threshold);
    }

    #[test]
    fn a_long_run_stays_a_small_file_and_keeps_its_extremes() {
        let mut points = run(6100);
        points[3000].loss = 9.0;
        let svg = curve_svg(&points, 0.39, Some("stopped"), "a run");
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
        broken[7].loss = f64::NAN;
        broken[8].eval_loss = Some(f64::INFINITY);
        broken[160].ratio = Some(f64::NEG_INFINITY);
        let flat = vec![CurvePoint { eval_loss: Some(0.0), ..run(1)[0] }; 3];
        for points in [broken, flat, run(1), Vec::new()] {
            for threshold in [0.39, f64::NAN] {
                let svg = curve_svg(&points, threshold, Some("stopped"), "a run");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert_eq!(svg.matches("<polyline").count(), 3);
            }
        }
    }

    #[test]
    fn titles_and_labels_are_escaped() {
        let svg = curve_svg(&run(2), 0.39, Some("a & b"), "<cat-toy>\u{1}");
        assert!(svg.contains(">&lt;cat-toy&gt; </text>") && svg.contains(">a &amp; b</text>"));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale { low: 0.3594, high: 0.3741, from: 0.0, to: 1.0 };
        let ticks = scale.ticks(5.0, 0.0);
        let labels: Vec<_> = ticks.labelled().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.360", "0.365", "0.370"]);
        let steps = Scale { low: 0.0, high: 3.0, from: 0.0, to: 1.0 };
        assert_eq!(steps.ticks(8.0, 1.0).values, [0.0, 1.0, 2.0, 3.0]);
    }
}
