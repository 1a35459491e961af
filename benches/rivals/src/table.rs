//! Tables in Markdown, printed as they grow.

use std::fmt::Write as _;

use crate::caches::CACHES;
use crate::results::{Part, Row};

/// A part that grows. Every row is shown and kept as it comes: a run can take long, and can be cut short.
pub(crate) struct Table<'k> {
    part: Part,
    keep: &'k mut Keep<'k>,
}

/// Keeps what there is of a part.
pub(crate) type Keep<'k> = dyn FnMut(&Part) + Send + 'k;

impl<'k> Table<'k> {
    pub(crate) fn new(title: &str, keep: &'k mut Keep<'k>) -> Self {
        println!("\n{title}\n");
        let title = title.to_owned();
        let rows = Vec::new();
        Self {
            part: Part { title, rows },
            keep,
        }
    }

    pub(crate) fn row(&mut self, row: Row) {
        if self.part.rows.is_empty() {
            print!("{}", head(&row));
        }
        print!("{}", line(&row));
        self.part.rows.push(row);
        (self.keep)(&self.part);
    }

    pub(crate) fn done(self) -> Part {
        self.part
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
