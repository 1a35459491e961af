//! Rows as bars, in an SVG: a group for each row, a bar for each cache, colours explained once.

use std::fmt::Write as _;

use crate::caches::CACHES;
use crate::results::Row;
use crate::table::{short, title};

const WIDTH: f64 = 860.0;
/// Where bars begin: labels are left of it.
const LEFT: f64 = 250.0;
/// Room for the figure behind the longest bar.
const RIGHT: f64 = 60.0;
const BAR: f64 = 11.0;
const GAP: f64 = 10.0;
/// Above the first group: the title and the colours.
const TOP: f64 = 58.0;
/// Colours that are told apart by everybody (Okabe and Ito), by cache.
const COLOURS: [&str; CACHES.len()] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#999999",
];

/// A bar for each cache of each row; `labels` beside them. All rows have one scale, from zero.
pub(crate) fn bars(heading: &str, rows: &[(String, &Row)]) -> String {
    let cells = || rows.iter().flat_map(|(_, row)| &row.cells);
    let longest = cells()
        .map(|cell| cell.figure)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut body = String::new();
    text(
        &mut body,
        10.0,
        22.0,
        "start",
        &format!("<tspan font-weight=\"bold\">{}</tspan>", escaped(heading)),
    );
    legend(&mut body, rows);
    let mut y = TOP;
    for (label, row) in rows {
        let height = BAR * row.cells.len() as f64;
        text(
            &mut body,
            LEFT - 8.0,
            y + height / 2.0 + 4.0,
            "end",
            &escaped(label),
        );
        for cell in &row.cells {
            let width = cell.figure.max(0.0) / longest * (WIDTH - LEFT - RIGHT);
            let colour = colour(&cell.cache);
            let _ = writeln!(
                body,
                "<rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>",
                BAR - 1.0
            );
            let _ = writeln!(
                body,
                "<text x=\"{:.1}\" y=\"{:.0}\" font-size=\"9\">{}</text>",
                LEFT + width + 4.0,
                y + BAR - 2.0,
                short(cell.figure)
            );
            y += BAR;
        }
        y += GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y:.0}\" viewBox=\"0 0 {WIDTH} {y:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn legend(svg: &mut String, rows: &[(String, &Row)]) {
    let mut x = 10.0;
    for cell in rows.first().iter().flat_map(|(_, row)| &row.cells) {
        let name = title(&cell.cache).replace('`', "");
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"33\" width=\"11\" height=\"11\" fill=\"{}\"/>",
            colour(&cell.cache)
        );
        text(svg, x + 16.0, 43.0, "start", &escaped(&name));
        x += 36.0 + 6.7 * name.len() as f64;
    }
}

fn colour(cache: &str) -> &'static str {
    let at = CACHES.iter().position(|rival| rival.name == cache);
    at.map_or("black", |at| COLOURS[at])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Cell;

    #[test]
    fn the_longest_bar_ends_where_figures_begin() {
        let cell = |cache: &str, figure| Cell {
            cache: cache.into(),
            figure,
            ratio: 1.0,
            scale: None,
        };
        let row = Row {
            case: "get".into(),
            cells: vec![cell("larder", 2.0), cell("sharded lru", 1.0)],
        };
        let svg = bars("a < b", &[("get".into(), &row)]);
        assert!(svg.contains("a &lt; b") && svg.contains("sharded Mutex&lt;lru&gt;"));
        assert!(svg.contains("width=\"550.0\"") && svg.contains("width=\"275.0\""));
    }
}
