//! The parts of a plot as SVG, written by hand: text stays text, a layout does not depend on
//! installed fonts, and equal numbers give equal bytes. Plots are dark on a white ground of their
//! own, so that they can be read on a page of any colour.

pub(crate) const INK: &str = "#24292f";
pub(crate) const FRAME: &str = "#d0d7de";
pub(crate) const BLUE: &str = "#1f5fbf";
pub(crate) const GREY: &str = "#7d858d";

/// A whole document with a title at the left edge of its plots, smaller where it would not fit.
pub(crate) fn document(size: (f64, f64), title_x: f64, title: &str, content: &str) -> String {
    let (width, height) = size;
    // a letter's width is a part of its height, in the wider of the usual fonts
    let fits = (width - title_x) / (0.62 * title.chars().count() as f64);
    let title_size = fits.min(16.0).floor();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-size=\"12\" fill=\"{INK}\" \
         font-family=\"'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{title_x}\" y=\"30\" font-size=\"{title_size}\" font-weight=\"bold\">{}</text>\n\
         {content}</svg>\n",
        escape(title)
    )
}

/// The lowest of the finite values and how far they spread; never zero, so that a flat curve gets
/// a range around it.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
    let size = low.abs().max(high.abs());
    match high - low {
        span if span > 1e-9 * size => (low, span),
        _ if size > 0.0 => (low, 0.01 * size),
        _ => (low, 1.0),
    }
}

/// Maps `low..=high` to the pixels `from..=to`.
pub(crate) struct Scale {
    pub low: f64,
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl Scale {
    /// The pixel of a value.
    pub fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The pixel in the middle.
    pub fn middle(&self) -> f64 {
        (self.from + self.to) / 2.0
    }

    /// About `count` round values inside the scale, at least `least` apart: two or more where that
    /// allows it, since one alone shows no scale.
    pub fn ticks(&self, count: f64, least: f64) -> Ticks {
        const FACTORS: [f64; 5] = [10.0, 5.0, 2.0, 1.0, 0.5];
        let rough = (self.high - self.low) / count;
        let power = 10_f64.powf(rough.log10().floor());
        let inside = |distance: f64| -> Vec<f64> {
            let first = (self.low / distance).ceil();
            let values = (0..count as usize + 4).map(|index| (first + index as f64) * distance);
            values.filter(|value| *value <= self.high).collect()
        };
        let round = |factor: &f64| f64::max(factor * power, least);
        let widest = FACTORS.iter().rposition(|factor| factor * power >= rough).unwrap_or(0);
        let mut distances = FACTORS[widest..].iter().map(round);
        let distance = distances.find(|distance| inside(*distance).len() > 1);
        let distance = distance.unwrap_or(round(&FACTORS[widest]));
        let decimals = (-(distance * 1.0001).log10().floor()).max(0.0) as usize;
        Ticks { values: inside(distance), decimals }
    }
}

/// Round values on an axis.
pub(crate) struct Ticks {
    pub values: Vec<f64>,
    decimals: usize,
}

impl Ticks {
    /// Each value with its label, all of the same number of decimals.
    pub fn labelled(&self) -> impl Iterator<Item = (f64, String)> {
        self.values.iter().map(|value| {
            // A multiple of the distance can come out as -0.
            let value = value + 0.0;
            let label = match self.decimals {
                0..=8 if value.abs() < 1e7 => format!("{value:.*}", self.decimals),
                _ => format!("{value:.3e}"),
            };
            (value, label)
        })
    }
}

/// A line through the points, which are in pixels and in the order of their x; a dot for one alone.
pub(crate) fn polyline(points: Vec<(f64, f64)>, colour: &str, mut width: f64) -> String {
    let mut points = thin_out(points);
    if let [only] = points[..] {
        // a line of no length is drawn by its round ends
        points.push(only);
        width *= 3.0;
    }
    let places: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
         stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n",
        places.join(" ")
    )
}

/// The outline of a plot.
pub(crate) fn frame(from: (f64, f64), to: (f64, f64)) -> String {
    format!(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" \
         stroke=\"{FRAME}\"/>\n",
        from.0,
        from.1,
        to.0 - from.0,
        to.1 - from.1
    )
}

/// The name of an upright axis, around `y`; not escaped.
pub(crate) fn axis_name(x: f64, y: f64, name: &str, colour: &str) -> String {
    format!(
        "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" \
         fill=\"{colour}\">{name}</text>\n"
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

pub(crate) fn line(from: (f64, f64), to: (f64, f64), colour: &str, style: &str) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" {style}/>\n",
        from.0, from.1, to.0, to.1
    )
}

pub(crate) fn text(at: (f64, f64), anchor: &str, colour: &str, content: &str) -> String {
    format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{content}</text>\n",
        at.0, at.1
    )
}

/// Text as XML content; control characters, which XML cannot hold, become spaces.
pub(crate) fn escape(text: &str) -> String {
    let plain = text.replace(|character: char| character.is_control(), " ");
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale { low: 0.3594, high: 0.3741, from: 0.0, to: 1.0 };
        let ticks = scale.ticks(5.0, 0.0);
        let labels: Vec<_> = ticks.labelled().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.360", "0.365", "0.370"]);
        // a loss that hardly moves, in steps of f32
        let flat = Scale { low: 0.180_000_015, high: 0.180_000_095, from: 0.0, to: 1.0 };
        let labels: Vec<_> = flat.ticks(5.0, 0.0).labelled().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.18000002", "0.18000004", "0.18000006", "0.18000008"]);
        let steps = Scale { low: 0.0, high: 3.0, from: 0.0, to: 1.0 };
        assert_eq!(steps.ticks(8.0, 1.0).values, [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_label_does_not_stand_alone_on_an_axis() {
        let labels = |low: f64, high: f64, count: f64, least: f64| -> Vec<String> {
            let scale = Scale { low, high, from: 0.0, to: 1.0 };
            scale.ticks(count, least).labelled().map(|(_, label)| label).collect()
        };
        // 0.2 apart only 0.6 would lie inside
        assert_eq!(labels(0.46, 0.75, 2.8, 0.0), ["0.5", "0.6", "0.7"]);
        assert_eq!(labels(0.021, 0.037, 3.0, 0.0), ["0.025", "0.030", "0.035"]);
        // there are no steps between steps
        assert_eq!(labels(0.5, 1.5, 8.0, 1.0), ["1"]);
    }

    #[test]
    fn a_long_title_is_not_cut_and_a_short_one_is_large() {
        let size = |title: &str| -> f64 {
            let svg = document((900.0, 520.0), 78.0, title, "");
            svg.split("y=\"30\" font-size=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        assert_eq!(size("<cat> - DVAR, window 282, threshold 0.39"), 16.0);
        let long = "<cat> - DVAR, window 282, threshold 0.39: never stops, it needs at least 283 \
                    evaluations and gets 2";
        // bold letters of DejaVu Sans are 0.58 of their size wide on average
        assert!(78.0 + 0.58 * size(long) * long.len() as f64 <= 900.0);
        assert!(size(long) > 10.0);
        assert_eq!(size(""), 16.0);
    }

    #[test]
    fn a_single_point_is_a_dot_and_no_point_is_nothing() {
        // a line to nowhere is not drawn
        let dot = polyline(vec![(3.0, 4.0)], INK, 2.0);
        assert!(dot.contains("\"3.0,4.0 3.0,4.0\"") && dot.contains("stroke-width=\"6\""), "{dot}");
        assert!(polyline(Vec::new(), INK, 2.0).contains("points=\"\""));
    }
}
