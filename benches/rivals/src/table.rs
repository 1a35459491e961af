//! Tables in Markdown, printed as they grow.

use std::fmt::Write as _;

use crate::caches::CACHES;
use crate::results::{Part, Row};

/// A part without rows, announced.
pub(crate) fn begin(title: &str) -> Part {
    println!("\n{title}\n");
    Part {
        title: title.to_owned(),
        rows: Vec::new(),
    }
}

/// Shows a row, under names if it is the first of a table: a run can take long.
pub(crate) fn print(row: &Row, first: bool) {
    if first {
        print!("{}", head(row));
    }
    print!("{}", line(row));
}

/// Adds rows and shows them.
pub(crate) fn extend(part: &mut Part, rows: Vec<Row>) {
    for row in rows {
        print(&row, part.rows.is_empty());
        part.rows.push(row);
    }
}

/// The whole table.
pub(crate) fn markdown(part: &Part) -> String {
    let mut text = part.rows.first().map(head).unwrap_or_default();
    for row in &part.rows {
        text += &line(row);
    }
    text
}

/// Names over columns.
fn head(row: &Row) -> String {
    let mut text = "| |".to_owned();
    for cell in &row.cells {
        let _ = write!(text, " {} |", title(&cell.cache));
    }
    text + "\n| --- |" + &" ---: |".repeat(row.cells.len()) + "\n"
}

/// How a cache is called over a column.
pub(crate) fn title(cache: &str) -> &str {
    let rival = CACHES.iter().find(|rival| rival.name == cache);
    rival.map_or(cache, |rival| rival.title)
}

/// Figures, and the ratio behind each but the first.
fn line(row: &Row) -> String {
    let mut text = format!("| {} |", row.case);
    for (at, cell) in row.cells.iter().enumerate() {
        let _ = match at {
            0 => write!(text, " {} |", short(cell.figure)),
            _ => write!(text, " {} ({}) |", short(cell.figure), short(cell.ratio)),
        };
    }
    text + "\n"
}

/// Three digits that matter.
pub(crate) fn short(figure: f64) -> String {
    let decimals = if figure.abs() >= 100.0 {
        0
    } else if figure.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.decimals$}")
}
