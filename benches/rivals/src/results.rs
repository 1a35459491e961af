//! Figures, and the file that keeps them: parts of rows of cells, as JSON.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::caches::Rival;

/// One cache in one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) cache: String,
    pub(crate) figure: f64,
    /// Beside the first cache of the row, turned so that above 1 that one is the better.
    pub(crate) ratio: f64,
    /// How much room the cache was given, if that was sought; where to look for it next time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scale: Option<f64>,
}

/// All caches under one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) cells: Vec<Cell>,
}

/// Rows of one kind of figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What the figures are, and what the ratios.
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// Everything that was measured, by name of the part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) parts: BTreeMap<String, Part>,
}

impl Row {
    /// A row of figures of which less is better: `figure` measures each cache.
    pub(crate) fn of_costs<E>(
        case: String,
        caches: &[Rival],
        mut figure: impl FnMut(&Rival) -> Result<f64, E>,
    ) -> Result<Self, E> {
        let mut cells: Vec<Cell> = Vec::new();
        for rival in caches {
            let figure = figure(rival)?;
            cells.push(Cell {
                cache: rival.name.to_owned(),
                figure,
                ratio: figure / cells.first().map_or(figure, |first| first.figure),
                scale: None,
            });
        }
        Ok(Self { case, cells })
    }

    /// The figure of one cache.
    pub(crate) fn figure(&self, cache: &str) -> Option<f64> {
        Some(self.cell(cache)?.figure)
    }

    pub(crate) fn cell(&self, cache: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.cache == cache)
    }
}

impl Part {
    pub(crate) fn row(&self, case: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case)
    }

    /// With the rows of `new`, each in the place of one of the same case or behind all.
    pub(crate) fn merged(mut self, new: Self) -> Self {
        for row in new.rows {
            match self.rows.iter_mut().find(|old| old.case == row.case) {
                Some(old) => *old = row,
                None => self.rows.push(row),
            }
        }
        self.title = new.title;
        self
    }
}

impl Results {
    /// Reads them; none yet if there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        if !path.exists() {
            return Ok(Self::default());
        }
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    }

    /// Writes them, with as many digits as mean something.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut rounded = self.clone();
        let rows = rounded.parts.values_mut().flat_map(|part| &mut part.rows);
        for cell in rows.flat_map(|row| &mut row.cells) {
            cell.figure = digits(cell.figure);
            cell.ratio = digits(cell.ratio);
            cell.scale = cell.scale.map(digits);
        }
        std::fs::write(path, rounded.json()?)?;
        Ok(())
    }

    /// A line for a row, so that differences can be read.
    fn json(&self) -> serde_json::Result<String> {
        let mut parts = Vec::new();
        for (name, part) in &self.parts {
            let rows: Result<Vec<_>, _> = part.rows.iter().map(serde_json::to_string).collect();
            parts.push(format!(
                "{}: {{\"title\": {}, \"rows\": [\n{}\n]}}",
                serde_json::to_string(name)?,
                serde_json::to_string(&part.title)?,
                rows?.join(",\n")
            ));
        }
        Ok(format!("{{\"parts\": {{\n{}\n}}}}\n", parts.join(",\n")))
    }
}

/// Rounded to four digits.
fn digits(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().expect("a number")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_four_digits() {
        let cell = Cell {
            cache: "larder".into(),
            figure: 1234.567,
            ratio: 0.000_123_456,
            scale: None,
        };
        let part = Part {
            title: "t".into(),
            rows: vec![Row {
                case: "c".into(),
                cells: vec![cell],
            }],
        };
        let results = Results {
            parts: [("speed".to_owned(), part)].into(),
        };
        let path = std::env::temp_dir().join(format!("larder-results-{}", std::process::id()));
        results.write(&path).unwrap();
        let read = Results::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let row = read.parts["speed"].row("c").unwrap();
        assert_eq!(row.figure("larder"), Some(1235.0));
        assert_eq!(row.cells[0].ratio, 0.000_123_5);
        let again = results.parts["speed"].clone();
        assert_eq!(Part::default().merged(again.clone()), again);
        assert_eq!(again.clone().merged(again.clone()), again);
        assert_eq!(median([3.0, 1.0, 2.0, 9.0]), 2.0);
    }
}
