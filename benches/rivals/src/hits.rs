//! Hit ratio on traces at equal resident memory.
//!
//! A trace is replayed look-aside: a get that misses stores. Larder gets room for a fraction of what the trace
//! asks for, and its resident memory at the highest is what the others may take: each is run again with other
//! room until it takes as much. Every run is a process of its own, so that nothing is left over from another, and
//! reads the requests from a flat file, so that reading holds no memory that a cache could use.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_bench::zipf::Zipf;
use larder_simulator::Trace;
use larder_simulator::trace::Op;

use crate::Flags;
use crate::caches::{Rival, chosen};
use crate::load::key;
use crate::plan::Plan;
use crate::process::{child, resident_bytes};
use crate::results::{Cell, Part, Row};
use crate::subject::{Room, Subject};
use crate::table::{Keep, Table, short};

/// Bytes of a key in a replay; the value makes up the rest of an item's bytes.
const KEY_BYTES: usize = 16;

/// How far from larder's resident memory another's may be, as a part of it.
const TOLERANCE: f64 = 0.02;

/// Runs of a cache to find the room that takes as much memory as ours.
const ATTEMPTS: usize = 6;

/// Times that resident memory is looked at in a replay.
const LOOKS: usize = 16;

/// Runs requests from a flat file through a cache with so much room.
pub(crate) type Replay = fn(Room, &Path) -> Result<Replayed, Box<dyn Error>>;

/// What a replay found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replayed {
    gets: u64,
    hits: u64,
    /// The highest resident memory over that before the cache was made.
    resident_bytes: usize,
}

impl Replayed {
    fn ratio(&self) -> f64 {
        self.hits as f64 / self.gets.max(1) as f64
    }
}

/// A trace that stands in a flat file.
struct Flat {
    name: String,
    path: PathBuf,
    whole: Room,
}

/// A trace and the part of it that there is room for.
struct Task<'a> {
    flat: &'a Flat,
    fraction: f64,
}

impl Task<'_> {
    fn label(&self) -> String {
        format!("{}, {} %", self.flat.name, self.fraction * 100.0)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a whole that is one"
    )]
    fn room(&self, scale: f64) -> Room {
        let part = self.fraction * scale;
        let of = |whole: usize| (whole as f64 * part) as usize;
        Room {
            items: of(self.flat.whole.items).max(1),
            bytes: of(self.flat.whole.bytes).max(1),
            ..self.flat.whole
        }
    }

    fn run(&self, rival: &Rival, scale: f64) -> Result<Replayed, Box<dyn Error>> {
        let room = self.room(scale);
        let said = child(&[
            "--child=replay".to_owned(),
            format!("--caches={}", rival.name),
            format!("--flat={}", self.flat.path.display()),
            format!("--items={}", room.items),
            format!("--bytes={}", room.bytes),
            format!("--item-bytes-max={}", room.item_bytes_max),
        ])?;
        let numbers: Result<Vec<u64>, _> = said.split_whitespace().map(str::parse).collect();
        let [gets, hits, resident] = numbers?[..] else {
            return Err(format!("not a replay's figures: {said}").into());
        };
        Ok(Replayed {
            gets,
            hits,
            resident_bytes: usize::try_from(resident)?,
        })
    }

    /// All caches; where to look for their room first.
    fn row(
        &self,
        rivals: &[Rival],
        known: &BTreeMap<(String, String), f64>,
    ) -> Result<Row, Box<dyn Error>> {
        let label = self.label();
        let first = self.run(&rivals[0], 1.0)?;
        let aim = first.resident_bytes;
        let mut cells = Vec::new();
        for (at, rival) in rivals.iter().enumerate() {
            let (scale, ran) = if at == 0 {
                (1.0, first)
            } else {
                let known = known.get(&(label.clone(), rival.name.to_owned()));
                self.calibrated(rival, aim, known.copied().unwrap_or(0.6))?
            };
            if (ran.resident_bytes as f64 / aim as f64 - 1.0).abs() > TOLERANCE {
                eprintln!(
                    "{label}, {}: {} KiB resident instead of {}",
                    rival.name,
                    ran.resident_bytes >> 10,
                    aim >> 10
                );
            }
            cells.push(Cell {
                cache: rival.name.to_owned(),
                figure: 100.0 * ran.ratio(),
                ratio: ran.ratio() / first.ratio(),
                scale: Some(scale),
            });
        }
        // Turned so that above 1 ours is better.
        for cell in &mut cells {
            cell.ratio = 1.0 / cell.ratio;
        }
        Ok(Row {
            case: format!("{label}, {} MiB", short(aim as f64 / f64::from(1 << 20))),
            cells,
        })
    }

    /// The room with which the cache takes `aim` resident bytes, and what it hits then.
    fn calibrated(
        &self,
        rival: &Rival,
        aim: usize,
        guess: f64,
    ) -> Result<(f64, Replayed), Box<dyn Error>> {
        let mut search = Search::new(aim as f64, guess);
        let mut best: Option<(f64, Replayed)> = None;
        for _ in 0..ATTEMPTS {
            let scale = search.next;
            let ran = self.run(rival, scale)?;
            let off = |ran: &Replayed| (ran.resident_bytes as f64 / aim as f64 - 1.0).abs();
            if best.as_ref().is_none_or(|(_, best)| off(&ran) < off(best)) {
                best = Some((scale, ran));
            }
            if off(&ran) <= TOLERANCE {
                break;
            }
            search.tell(ran.resident_bytes as f64);
        }
        Ok(best.expect("an attempt"))
    }
}

/// Looks for the scale at which a growing function has the value `aim`: by the line through the nearest value
/// below and the nearest above, as soon as there are both.
struct Search {
    aim: f64,
    next: f64,
    below: (f64, f64),
    above: Option<(f64, f64)>,
}

impl Search {
    fn new(aim: f64, guess: f64) -> Self {
        Self {
            aim,
            next: guess,
            below: (0.0, 0.0),
            above: None,
        }
    }

    /// The value at `next`, which moves.
    fn tell(&mut self, value: f64) {
        let point = (self.next, value);
        if value < self.aim {
            self.below = point;
        } else {
            self.above = Some(point);
        }
        self.next = match (self.below, self.above) {
            (below, Some(above)) => {
                let share = (self.aim - below.1) / (above.1 - below.1);
                // Steps of a cache's own make lines poor guides near their ends.
                below.0 + (above.0 - below.0) * share.clamp(0.05, 0.95)
            }
            ((scale, value), None) => scale * (self.aim / value.max(1.0)).clamp(1.05, 4.0),
        };
    }
}

/// Every trace of the folder, or a tiny one made up, at every fraction.
pub(crate) fn compare<'k>(
    plan: &Plan,
    traces: Option<&Path>,
    fractions: &[f64],
    before: Option<&Part>,
    keep: &'k mut Keep<'k>,
) -> Result<Part, Box<dyn Error>> {
    let title = "hit ratio in per cent, at equal resident memory (larder / it)";
    let table = Mutex::new(Table::new(title, keep));
    let folder = Folder::new()?;
    let flats = match traces {
        Some(traces) => folder.flatten(traces)?,
        None => vec![folder.flat("tiny", &tiny()?)?],
    };
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for flat in &flats {
        tasks.extend(fractions.iter().map(|&fraction| Task { flat, fraction }));
    }
    tasks.retain(|task| task.label().contains(&plan.only));
    // Two at a time: nothing is timed here.
    let (next, known) = (AtomicUsize::new(0), known(before));
    let work = || -> Result<(), String> {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = task.row(&plan.caches, &known);
            let row = row.map_err(|error| error.to_string())?;
            table.lock().expect("nobody panics under it").row(row);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let mut part = table.into_inner().expect("nobody panicked under it").done();
    // They came as they were ready.
    let place = |row: &Row| {
        tasks
            .iter()
            .position(|task| row.case.starts_with(&task.label()))
    };
    part.rows.sort_by_key(place);
    Ok(part)
}

/// Room that was found before, by trace with fraction and by cache.
fn known(before: Option<&Part>) -> BTreeMap<(String, String), f64> {
    let mut known = BTreeMap::new();
    for row in before.iter().flat_map(|part| &part.rows) {
        let (label, _) = row.case.rsplit_once(", ").unwrap_or((&row.case, ""));
        for cell in &row.cells {
            let at = (label.to_owned(), cell.cache.clone());
            known.extend(cell.scale.map(|scale| (at, scale)));
        }
    }
    known
}

/// Where flat files stand; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("larder-rivals-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Every trace of a folder, in the order of their names.
    fn flatten(&self, traces: &Path) -> Result<Vec<Flat>, Box<dyn Error>> {
        let mut paths = Vec::new();
        let entries = std::fs::read_dir(traces)
            .map_err(|error| format!("--traces {}: {error}", traces.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".csv.zst") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(format!("no traces in {}", traces.display()).into());
        }
        let flat = |path: &PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let name = file.split('.').next().unwrap_or_default();
            self.flat(name, &Trace::open_file(path)?)
        };
        paths.iter().map(flat).collect()
    }

    fn flat(&self, name: &str, trace: &Trace) -> Result<Flat, Box<dyn Error>> {
        let path = self.0.join(name);
        write_flat(trace, &path)?;
        let bytes = |size: &u32| (*size as usize).max(KEY_BYTES);
        Ok(Flat {
            name: name.to_owned(),
            path,
            whole: Room {
                items: trace.key_count(),
                bytes: trace.sizes.iter().map(bytes).sum(),
                item_bytes_max: trace.sizes.iter().map(bytes).max().unwrap_or(KEY_BYTES),
                small_pages: false,
            },
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a temporary folder goes with that.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Gets by Zipf's law, to see that everything runs.
fn tiny() -> std::io::Result<Trace> {
    let (mut random, zipf) = (fastrand::Rng::with_seed(0), Zipf::new(20_000, 0.9));
    let mut text = "key_id,size_bytes,op,ttl_s,time_s\n".to_owned();
    for _ in 0..60_000 {
        let key = zipf.rank(&mut random) - 1;
        let _ = writeln!(text, "{key},{},g,0,0", 100 + key % 900);
    }
    Trace::parse(text.as_bytes())
}

/// A request in 8 bytes: key, size, and the operation in the highest bits.
fn write_flat(trace: &Trace, path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for request in trace.requests() {
        let op = match request.op {
            Op::Get => 0,
            Op::Set => 1,
            Op::Delete => 2,
        };
        let size = u64::from(trace.sizes[request.key as usize]);
        let word = u64::from(request.key) | size << 32 | op << 62;
        file.write_all(&word.to_le_bytes())?;
    }
    file.flush()
}

/// Runs the requests of a flat file through a new cache. Lifetimes are left out: most of the caches have none.
pub(crate) fn replay<S: Subject>(room: Room, flat: &Path) -> Result<Replayed, Box<dyn Error>> {
    let count = usize::try_from(std::fs::metadata(flat)?.len())? / 8;
    let mut file = BufReader::with_capacity(1 << 16, File::open(flat)?);
    let value = vec![b'v'; room.item_bytes_max];
    let before = resident_bytes()?;
    let cache = S::new(room);
    let (mut gets, mut hits, mut highest) = (0, 0, 0);
    for at in 0..count {
        let mut word = [0; 8];
        file.read_exact(&mut word)?;
        let word = u64::from_le_bytes(word);
        let key = key(word & u64::from(u32::MAX));
        let key = &key[..KEY_BYTES];
        let size = usize::try_from(word >> 32 & 0x3FFF_FFFF)?;
        let value = &value[..size.saturating_sub(KEY_BYTES)];
        match word >> 62 {
            0 => {
                gets += 1;
                if cache.get(key, |_| ()).is_some() {
                    hits += 1;
                } else {
                    cache.set(key, value);
                }
            }
            1 => cache.set(key, value),
            _ => cache.remove(key),
        }
        if at % (count / LOOKS).max(1) == 0 || at + 1 == count {
            highest = highest.max(resident_bytes()?);
        }
    }
    Ok(Replayed {
        gets,
        hits,
        resident_bytes: highest.saturating_sub(before),
    })
}

/// What a process for one replay does.
pub(crate) fn alone(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let chosen = chosen(&flags.caches);
    let rival = chosen.first().ok_or("no such cache")?;
    let room = Room {
        items: usize::try_from(flags.items[0])?,
        bytes: flags.bytes,
        item_bytes_max: flags.item_bytes_max,
        small_pages: false,
    };
    let flat = flags.flat.as_deref().ok_or("no file")?;
    let Replayed {
        gets,
        hits,
        resident_bytes,
    } = (rival.replay)(room, flat)?;
    println!("{gets} {hits} {resident_bytes}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caches::CACHES;

    #[test]
    fn a_search_finds_a_line_with_a_step() {
        let resident = |scale: f64| 500.0 + 1000.0 * scale + if scale > 0.7 { 200.0 } else { 0.0 };
        for aim in [700.0, 1100.0, 1600.0, 4000.0] {
            let mut search = Search::new(aim, 0.6);
            let found = (0..12).any(|_| {
                let value = resident(search.next);
                search.tell(value);
                (value / aim - 1.0).abs() < TOLERANCE
            });
            assert!(found, "{aim}");
        }
    }

    #[test]
    fn a_replay_counts_hits_of_gets_and_removes() {
        let text = "key_id,size_bytes,op,ttl_s,time_s\n0,100,g,0,0\n0,100,g,0,0\n1,5,s,0,0\n\
                    1,5,g,0,0\n0,100,d,0,0\n0,100,g,0,0\n";
        let trace = Trace::parse(text.as_bytes()).unwrap();
        let path = std::env::temp_dir().join(format!("larder-flat-{}", std::process::id()));
        write_flat(&trace, &path).unwrap();
        let room = Room {
            items: 1000,
            bytes: 100_000,
            item_bytes_max: 100,
            small_pages: false,
        };
        for rival in CACHES {
            let ran = (rival.replay)(room, &path).unwrap();
            assert_eq!((ran.gets, ran.hits), (4, 2), "{}", rival.name);
        }
        std::fs::remove_file(path).unwrap();
    }
}
