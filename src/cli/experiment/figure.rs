//! Figures of the experiments, as SVG.

use super::statistics::Spread;
use crate::plot::svg::{
    BLUE, FRAME, GREY, INK, Scale, axis_name, document, escape, extent, frame, line, polyline, text,
};

const WIDTH: f64 = 900.0;
/// Below the title.
const TOP: f64 = 68.0;
/// Between the document's edge and the outermost plots.
const MARGIN: f64 = 20.0;

/// One quantity that methods are compared by.
#[derive(Clone, Debug)]
pub(super) struct Measure<'a> {
    /// The axis' label, such as `CLIP-I` or `steps`.
    pub name: &'a str,
    /// One for each method; none where no run gave a value.
    pub spreads: Vec<Option<Spread>>,
    /// Decimals of the medians' labels.
    pub decimals: usize,
    /// Whether the axis begins at zero, as one of counts or minutes should.
    pub from_zero: bool,
}

/// Draws a row for each method and a panel for each measure: a dot at the median, a bar from
/// quartile to quartile. The document is 900 pixels wide, more for long names, and equal inputs give
/// equal bytes.
pub(super) fn dot_and_range_svg(title: &str, methods: &[&str], measures: &[Measure<'_>]) -> String {
    const ROW: f64 = 40.0;
    const GAP: f64 = 36.0;
    let longest = methods.iter().map(|method| method.chars().count()).max().unwrap_or(0);
    // wide enough for the wider of the usual fonts
    let left = MARGIN + 7.0 * longest.max(6) as f64 + 12.0;
    let document_width = WIDTH + 7.0 * longest.saturating_sub(40) as f64;
    let bottom = TOP + ROW * methods.len() as f64;
    let count = measures.len().max(1) as f64;
    let panel = (document_width - MARGIN - left - GAP * (count - 1.0)) / count;
    let row = |index: usize| TOP + ROW * (index as f64 + 0.5);

    let mut svg = String::new();
    for (index, method) in methods.iter().enumerate() {
        svg += &text((left - 12.0, row(index) + 4.0), "end", INK, &escape(method));
    }
    for (index, measure) in measures.iter().enumerate() {
        let from = left + index as f64 * (panel + GAP);
        let to = from + panel;
        let known = measure.spreads.iter().flatten().flat_map(|s| [s.lower, s.median, s.upper]);
        let (low, span) = extent(known.chain(measure.from_zero.then_some(0.0)));
        let below = if measure.from_zero { 0.0 } else { 0.08 * span };
        let scale = Scale { low: low - below, high: low + 1.08 * span, from, to };
        for (value, label) in scale.ticks(panel / 80.0, 0.0).labelled() {
            let x = scale.at(value);
            svg += &line((x, TOP), (x, bottom), FRAME, "stroke-opacity=\"0.5\"");
            svg += &text((x, bottom + 18.0), "middle", INK, &label);
        }
        svg += &text((scale.middle(), bottom + 40.0), "middle", INK, &escape(measure.name));
        svg += &frame((from, TOP), (to, bottom));
        for (index, spread) in measure.spreads.iter().enumerate().take(methods.len()) {
            let y = row(index);
            svg += &match spread {
                Some(spread) => dot_and_range(spread, measure.decimals, &scale, y),
                None => text((scale.middle(), y + 4.0), "middle", GREY, "no value"),
            };
        }
    }
    let note = "dot: median over the concepts, bar: quartile to quartile";
    svg += &text((left, 52.0), "start", GREY, note);
    document((document_width, bottom + 56.0), left, title, &svg)
}

fn dot_and_range(spread: &Spread, decimals: usize, scale: &Scale, y: f64) -> String {
    let [lower, median, upper] = [spread.lower, spread.median, spread.upper].map(|v| scale.at(v));
    let style = "stroke-width=\"5\" stroke-linecap=\"round\" stroke-opacity=\"0.35\"";
    line((lower, y), (upper, y), BLUE, style)
        + &format!("<circle cx=\"{median:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{BLUE}\"/>\n")
        + &text((median, y - 9.0), "middle", INK, &format!("{:.decimals$}", spread.median))
}

/// One plot among [many](loss_panels_svg).
#[derive(Clone, Debug)]
pub(super) struct LossPanel {
    /// What was resampled, and the size of the batch.
    pub title: String,
    /// How well the losses follow the deterministic ones, if that is defined.
    pub r_squared: Option<f64>,
    /// Step and loss, in the order of the steps.
    pub losses: Vec<(usize, f64)>,
}

/// Draws losses over steps, a small panel for each series, `columns` (at least one) side by side.
/// All share the axis of steps; each has a scale of its own for its losses, because they differ by
/// orders of magnitude. Losses that are not finite are left out. The document is 900 pixels wide,
/// more where the panels' titles need it, and equal inputs give equal bytes.
pub(super) fn loss_panels_svg(title: &str, panels: &[LossPanel], columns: usize) -> String {
    const LEFT: f64 = 78.0;
    const HEIGHT: f64 = 84.0;
    /// Room for a panel's title above it, and for the labels on its left.
    const GAP: (f64, f64) = (62.0, 34.0);
    let columns = columns.clamp(1, panels.len().max(1));
    let rows = panels.len().div_ceil(columns);
    let name = |panel: &LossPanel| {
        let fit = panel.r_squared.map_or("R² undefined".into(), |r| format!("R² {r:.3}"));
        format!("{}, {fit}", panel.title)
    };
    let longest = panels.iter().map(|panel| name(panel).chars().count()).max().unwrap_or(0);
    // that no title runs into the next one, in the wider of the usual fonts
    let least = 6.2 * longest as f64 + 8.0 - GAP.0;
    let width = ((WIDTH - MARGIN - LEFT + GAP.0) / columns as f64 - GAP.0).max(least);
    let right = LEFT + columns as f64 * (width + GAP.0) - GAP.0;
    let steps = || panels.iter().flat_map(|panel| &panel.losses).map(|(step, _)| *step);
    let first = steps().min().unwrap_or(0) as f64;
    let last = (steps().max().unwrap_or(1) as f64).max(first + 1.0);

    let mut svg = String::new();
    for (index, panel) in panels.iter().enumerate() {
        let from = LEFT + (index % columns) as f64 * (width + GAP.0);
        let top = TOP + (index / columns) as f64 * (HEIGHT + GAP.1);
        let bottom = top + HEIGHT;
        let steps = Scale { low: first, high: last, from, to: from + width };
        svg += &text((from, top - 7.0), "start", INK, &escape(&name(panel)));
        svg += &small_plot(&panel.losses, &steps, (top, bottom));
        // below each column's last panel
        if index + columns >= panels.len() {
            for (step, label) in steps.ticks(width / 70.0, 1.0).labelled() {
                svg += &text((steps.at(step), bottom + 17.0), "middle", INK, &label);
            }
        }
    }
    let bottom = TOP + rows as f64 * (HEIGHT + GAP.1) - GAP.1;
    svg += &text(((LEFT + right) / 2.0, bottom + 40.0), "middle", INK, "training step");
    svg += &axis_name(16.0, (TOP + bottom) / 2.0, "evaluation loss", INK);
    document(((right + MARGIN).round(), bottom + 56.0), LEFT, title, &svg)
}

/// A frame with labelled losses and their curve.
fn small_plot(losses: &[(usize, f64)], steps: &Scale, (top, bottom): (f64, f64)) -> String {
    let finite: Vec<_> = losses.iter().filter(|(_, loss)| loss.is_finite()).collect();
    let (low, span) = extent(finite.iter().map(|(_, loss)| *loss));
    let scale = Scale { low: low - 0.06 * span, high: low + 1.06 * span, from: bottom, to: top };
    let mut svg = String::new();
    for (loss, label) in scale.ticks(3.0, 0.0).labelled() {
        let y = scale.at(loss);
        svg += &line((steps.from, y), (steps.to, y), FRAME, "stroke-opacity=\"0.5\"");
        svg += &text((steps.from - 5.0, y + 4.0), "end", INK, &label);
    }
    svg += &frame((steps.from, top), (steps.to, bottom));
    let points = finite.iter().map(|(step, loss)| (steps.at(*step as f64), scale.at(*loss)));
    svg + &polyline(points.collect(), BLUE, 1.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [&str; 3] = ["baseline", "few iterations (mean)", "DVAR <0.39>"];

    fn spread(values: &[f64]) -> Option<Spread> {
        Spread::of(values)
    }

    fn measures() -> [Measure<'static>; 2] {
        [
            Measure {
                name: "CLIP-I",
                spreads: vec![spread(&[0.70, 0.74, 0.78]), spread(&[0.69, 0.705, 0.72]), None],
                decimals: 3,
                from_zero: false,
            },
            Measure {
                name: "steps",
                spreads: vec![spread(&[6100.0]), spread(&[445.0]), spread(&[200.0, 384.0, 700.0])],
                decimals: 0,
                from_zero: true,
            },
        ]
    }

    fn panel(title: &str, scale: f64, r_squared: Option<f64>) -> LossPanel {
        let loss = |step: usize| 0.18 - 0.001 * (step as f64 / 600.0) + scale * (step as f64).sin();
        let losses = (0..600).map(|step| (step, loss(step))).collect();
        LossPanel { title: title.into(), r_squared, losses }
    }

    #[test]
    fn a_dot_stands_at_its_median_and_a_bar_from_quartile_to_quartile() {
        // quartiles 5, 10 and 15, from zero: the axis ends at 16.2
        let one = Measure {
            name: "steps",
            spreads: vec![spread(&[0.0, 10.0, 20.0])],
            decimals: 0,
            from_zero: true,
        };
        let svg = dot_and_range_svg("t", &["a"], &[one]);
        let (left, width) = (MARGIN + 42.0 + 12.0, WIDTH - 2.0 * MARGIN - 42.0 - 12.0);
        let at = |value: f64| left + width * value / 16.2;
        assert!(svg.contains(&format!("<circle cx=\"{:.1}\" cy=\"{:.1}\"", at(10.0), TOP + 20.0)));
        let bar = format!("<line x1=\"{:.1}\" y1=\"88.0\" x2=\"{:.1}\" y2=", at(5.0), at(15.0));
        assert!(svg.contains(&bar), "{svg}");
    }

    #[test]
    fn every_method_has_a_dot_or_a_word_for_each_measure() {
        let svg = dot_and_range_svg("score & speed", &METHODS, &measures());
        assert_eq!((svg.matches("<circle").count(), svg.matches("no value").count()), (5, 1));
        assert!(svg.contains(">score &amp; speed<") && svg.contains(">DVAR &lt;0.39&gt;<"));
        assert!(svg.contains(">0.740<") && svg.contains(">6100<") && svg.contains(">CLIP-I<"));
    }

    #[test]
    fn every_series_has_a_panel_with_its_fit_and_a_scale_of_its_own() {
        let panels = [
            panel("captions, batch 4", 1e-4, Some(0.9312)),
            panel("timesteps, batch 4", 0.2, Some(0.002)),
            panel("none, batch 4", 0.0, None),
        ];
        let svg = loss_panels_svg("resampled", &panels, 2);
        assert_eq!(svg.matches("<polyline").count(), 3);
        for words in ["captions, batch 4, R² 0.931", "R² 0.002", "R² undefined", "training step"]
        {
            assert!(svg.contains(words), "{words}");
        }
        // the axis of steps is labelled below the last panel of both columns
        assert_eq!(svg.matches(">200<").count(), 2);
    }

    /// Where each text with this anchor begins and ends, at 6.2 pixels a letter, which is wide.
    fn places(svg: &str, anchor: &str) -> Vec<(f64, f64)> {
        let texts = svg.lines().filter(|line| line.contains(&format!("text-anchor=\"{anchor}\"")));
        let place = |line: &str| {
            let x = line.split("x=\"").nth(1).unwrap().split('"').next().unwrap();
            let x: f64 = x.parse().unwrap();
            let content = line.split('>').nth(1).unwrap().trim_end_matches("</text");
            let width = 6.2 * content.chars().count() as f64;
            if anchor == "end" { (x - width, x) } else { (x, x + width) }
        };
        texts.map(place).collect()
    }

    #[test]
    fn no_title_of_a_panel_runs_into_the_next_one() {
        let title = |inputs: usize| format!("images, captions redrawn, {inputs} inputs");
        let panels = [4, 32, 128, 512].map(|inputs| panel(&title(inputs), 0.1, None));
        let svg = loss_panels_svg("redrawn", &panels, 4);
        let titles = places(&svg, "start");
        assert_eq!(titles.len(), 4);
        assert!(titles.windows(2).all(|two| two[0].1 < two[1].0), "{titles:?}");
        // two columns have room in 900 pixels
        assert!(loss_panels_svg("redrawn", &panels, 2).contains("width=\"900\""));
    }

    #[test]
    fn a_long_name_of_a_method_is_not_cut() {
        let name = "DVAR, window 282, threshold 0.39, 4 inputs at every single step of the run";
        let one =
            Measure { name: "steps", spreads: vec![spread(&[3.0])], decimals: 0, from_zero: true };
        let svg = dot_and_range_svg("t", &[name], &[one]);
        assert!(places(&svg, "end").iter().all(|(begin, _)| *begin > 0.0));
    }

    #[test]
    fn nothing_and_what_is_no_number_leave_no_broken_number() {
        let mut broken = panel("x", 0.1, None);
        broken.losses[3].1 = f64::NAN;
        broken.losses[4].1 = f64::INFINITY;
        let empty = LossPanel { losses: Vec::new(), ..broken.clone() };
        let mut nothing = measures();
        nothing[0].spreads = vec![None; 3];
        for svg in [
            loss_panels_svg("t", &[broken, empty], 0),
            loss_panels_svg("t", &[], 3),
            dot_and_range_svg("t", &[], &[]),
            dot_and_range_svg("t", &METHODS, &nothing),
        ] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
