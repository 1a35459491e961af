//! Latencies by percentile as an SVG: each step to the right is another nine, both axes logarithmic.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// One curve.
#[derive(Debug)]
pub struct Curve<'a> {
    /// For the legend.
    pub label: String,
    /// What is drawn.
    pub latency: &'a Histogram<u64>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
/// Nines on the horizontal axis: to p99.99 and a little further.
const NINES: f64 = 4.5;
const STEPS: u32 = 360;
const TICKS: [(f64, &str); 8] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.75, "75 %"),
    (0.9, "90 %"),
    (0.95, "95 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];
/// Colours that are told apart by everybody (Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// Where latencies lie on the vertical axis: powers of ten of microseconds.
struct Axis {
    lowest: i32,
    highest: i32,
}

impl Axis {
    #[expect(clippy::cast_possible_truncation, reason = "logarithms of latencies")]
    fn of(curves: &[Curve<'_>]) -> Self {
        let drawn = curves.iter().filter(|curve| !curve.latency.is_empty());
        let (mut lowest, mut highest) = (f64::MAX, f64::MIN);
        for curve in drawn {
            lowest = lowest.min(log_micros(curve.latency.min()));
            highest = highest.max(log_micros(at_nines(curve.latency, NINES)));
        }
        if lowest > highest {
            (lowest, highest) = (0.0, 1.0);
        }
        let lowest = lowest.floor() as i32;
        Self {
            lowest,
            highest: (highest.ceil() as i32).max(lowest + 1),
        }
    }

    fn y(&self, log_micros: f64) -> f64 {
        let span = f64::from(self.highest - self.lowest);
        let up = (log_micros - f64::from(self.lowest)) / span;
        TOP + (1.0 - up.clamp(0.0, 1.0)) * (HEIGHT - TOP - BOTTOM)
    }
}

fn x(nines: f64) -> f64 {
    LEFT + nines / NINES * (WIDTH - LEFT - RIGHT)
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn at_nines(latency: &Histogram<u64>, nines: f64) -> u64 {
    latency.value_at_quantile(1.0 - 10f64.powf(-nines))
}

fn log_micros(nanos: u64) -> f64 {
    (nanos.max(1) as f64 / 1e3).log10()
}

/// The picture.
#[must_use]
pub fn svg(title: &str, curves: &[Curve<'_>]) -> String {
    let axis = Axis::of(curves);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, WIDTH / 2.0, 24.0, "middle", title);
    grid(&mut svg, &axis);
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        if !curve.latency.is_empty() {
            line(&mut svg, &axis, curve.latency, colour);
        }
    }
    for ((curve, colour), row) in curves.iter().zip(COLOURS.iter().cycle()).zip(0u32..) {
        let y = TOP + 18.0 + 20.0 * f64::from(row);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"18\" height=\"4\" fill=\"{colour}\"/>",
            LEFT + 14.0,
            y - 6.0
        );
        text(&mut svg, LEFT + 40.0, y, "start", &curve.label);
    }
    svg.push_str("</svg>\n");
    svg
}

fn grid(svg: &mut String, axis: &Axis) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (quantile, label) in TICKS {
        let x = x(nines(quantile));
        rule(svg, (x, TOP), (x, bottom));
        text(svg, x, bottom + 18.0, "middle", label);
    }
    for power in axis.lowest..=axis.highest {
        let y = axis.y(f64::from(power));
        rule(svg, (LEFT, y), (right, y));
        text(svg, LEFT - 8.0, y + 4.0, "end", &duration(power));
    }
    text(
        svg,
        f64::midpoint(LEFT, right),
        HEIGHT - 14.0,
        "middle",
        "percentile of requests",
    );
    text(svg, LEFT - 8.0, TOP - 14.0, "end", "latency");
}

/// Ten to this power of microseconds, in words.
fn duration(power: i32) -> String {
    let (unit, exponent) = match power {
        ..0 => ("ns", power + 3),
        0..3 => ("us", power),
        3..6 => ("ms", power - 3),
        _ => ("s", power - 6),
    };
    format!("{} {unit}", 10f64.powi(exponent))
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#dddddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn line(svg: &mut String, axis: &Axis, latency: &Histogram<u64>, colour: &str) {
    let mut points = String::new();
    for step in 0..=STEPS {
        let nines = f64::from(step) / f64::from(STEPS) * NINES;
        let y = axis.y(log_micros(at_nines(latency, nines)));
        let _ = write!(points, "{:.1},{y:.1} ", x(nines));
    }
    let _ = writeln!(
        svg,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
        points.trim_end()
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::histogram;

    #[test]
    fn curves_rise_to_the_right_and_stay_inside() {
        let mut latency = histogram();
        for nanos in 1..=100_000u64 {
            latency.record(nanos * 10).unwrap();
        }
        let curve = |label: &str| Curve {
            label: label.to_owned(),
            latency: &latency,
        };
        let picture = svg("a & b", &[curve("one"), curve("<two>")]);
        assert!(picture.contains("a &amp; b") && picture.contains("&lt;two&gt;"));
        assert_eq!(picture.matches("<polyline").count(), 2);
        let points = picture.split("points=\"").nth(1).unwrap();
        let points = points.split('"').next().unwrap();
        let points: Vec<(f64, f64)> = points
            .split(' ')
            .map(|point| {
                let (x, y) = point.split_once(',').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(points.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        let inside =
            |&(x, y): &(f64, f64)| x <= WIDTH - RIGHT && (TOP..=HEIGHT - BOTTOM).contains(&y);
        assert!(points.iter().all(inside));
    }

    #[test]
    fn nothing_measured_is_an_empty_picture() {
        let latency = histogram();
        let label = "none".to_owned();
        let latency = &latency;
        let picture = svg("", &[Curve { label, latency }]);
        assert!(!picture.contains("<polyline") && !picture.contains("NaN"));
        assert_eq!(
            (duration(-1), duration(2), duration(4)),
            ("100 ns".into(), "100 us".into(), "10 ms".into())
        );
    }
}
