//! Tables in Markdown, printed as they grow; the same as JSON, and as bars in an SVG.

use std::fmt::Write as _;

use serde_json::json;

/// One cache in one row.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) cache: &'static str,
    pub(crate) figure: f64,
    /// Beside the first cache of the row, turned so that more is better for that one.
    pub(crate) ratio: f64,
}

/// Rows of one kind of figure.
#[derive(Debug)]
pub(crate) struct Table {
    title: &'static str,
    name: &'static str,
    rows: Vec<(String, Vec<Cell>)>,
}

impl Table {
    pub(crate) fn new(title: &'static str, name: &'static str) -> Self {
        println!("\n{title}\n");
        Self {
            title,
            name,
            rows: Vec::new(),
        }
    }

    /// Adds a row and prints it: a run can take long.
    pub(crate) fn row(&mut self, label: String, cells: Vec<Cell>) {
        if self.rows.is_empty() {
            let names: Vec<_> = cells.iter().map(|cell| cell.cache).collect();
            println!("| {} | {} |", self.name, names.join(" | "));
            println!("| --- |{}", " ---: |".repeat(cells.len()));
        }
        let first = cells.first().map_or("", |cell| cell.cache);
        let cell = |cell: &Cell| {
            if cell.cache == first {
                short(cell.figure)
            } else {
                format!("{} ({})", short(cell.figure), short(cell.ratio))
            }
        };
        let texts: Vec<_> = cells.iter().map(cell).collect();
        println!("| {label} | {} |", texts.join(" | "));
        self.rows.push((label, cells));
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures
        .get(figures.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Three digits that matter.
fn short(figure: f64) -> String {
    let decimals = if figure >= 100.0 {
        0
    } else if figure >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.decimals$}")
}

/// Everything.
pub(crate) fn json(tables: &[Table]) -> String {
    let row = |(label, cells): &(String, Vec<Cell>)| {
        let cell =
            |cell: &Cell| json!({"cache": cell.cache, "figure": cell.figure, "ratio": cell.ratio});
        json!({"case": label, "caches": cells.iter().map(cell).collect::<Vec<_>>()})
    };
    let table = |table: &Table| json!({"title": table.title, "rows": table.rows.iter().map(row).collect::<Vec<_>>()});
    let tables: Vec<_> = tables.iter().map(table).collect();
    format!("{:#}\n", json!(tables))
}

const WIDTH: f64 = 900.0;
const LABEL_WIDTH: f64 = 120.0;
const BAR_HEIGHT: f64 = 16.0;
/// Colours that are told apart by everybody (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999",
];

/// A bar for each cache of each row, as long as its figure beside the row's longest.
pub(crate) fn svg(tables: &[Table]) -> String {
    let (mut body, mut y) = (String::new(), 10.0);
    for table in tables {
        y += 24.0;
        text(
            &mut body,
            10.0,
            y,
            &format!("<tspan font-weight=\"bold\">{}</tspan>", table.title),
        );
        for (label, cells) in &table.rows {
            y += 26.0;
            text(&mut body, 10.0, y, label);
            let longest = cells
                .iter()
                .map(|cell| cell.figure)
                .fold(f64::MIN_POSITIVE, f64::max);
            for (cell, colour) in cells.iter().zip(COLOURS.iter().cycle()) {
                y += BAR_HEIGHT;
                let width = cell.figure / longest * (WIDTH - LABEL_WIDTH - 100.0);
                let _ = writeln!(
                    body,
                    "<rect x=\"{LABEL_WIDTH}\" y=\"{:.0}\" width=\"{width:.0}\" height=\"11\" fill=\"{colour}\"/>",
                    y - 9.0
                );
                text(&mut body, 20.0, y, cell.cache);
                text(&mut body, LABEL_WIDTH + width + 6.0, y, &short(cell.figure));
            }
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{0:.0}\" viewBox=\"0 0 {WIDTH} {0:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n",
        y + 20.0
    )
}

fn text(svg: &mut String, x: f64, y: f64, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\">{text}</text>");
}
