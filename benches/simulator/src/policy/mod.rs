//! Eviction policies behind one small trait, one file each.
//!
//! A policy is told of accesses and removals by key and keeps within its [`Space`]. Weights are the space's business:
//! all 1 where capacity counts objects, payload bytes where it counts bytes. An object heavier than the whole capacity
//! is never held.

mod arc;
mod belady;
mod clock_pro;
mod engine;
mod gdsf;
mod larder;
mod lru;
mod s3_fifo;
mod segmented;
mod sieve;
mod tiny_lfu;

use std::sync::Arc;

pub(crate) use self::larder::Paged;

use crate::trace::{Key, Trace};

/// What became of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The key was held.
    Hit,
    /// The key was not held; it has been offered to the policy.
    Miss,
}

/// Who stays and who is evicted.
pub trait Policy {
    /// Asks for `key`; on a miss the policy takes it in, evicts for it, or declines it.
    fn access(&mut self, key: Key) -> Access;

    /// Removes `key` if it is held, because it was deleted or has expired.
    fn remove(&mut self, key: Key);

    /// The weight of what is held.
    fn used(&self) -> u64;
}

/// A capacity and what every key weighs against it.
#[derive(Clone, Debug)]
pub struct Space {
    /// The weight that may be held.
    pub capacity: u64,
    /// The weight of each key.
    pub sizes: Arc<[u32]>,
}

impl Space {
    /// A space of `capacity` for keys of the given weights.
    pub fn new(capacity: u64, sizes: impl Into<Arc<[u32]>>) -> Self {
        Self {
            capacity,
            sizes: sizes.into(),
        }
    }

    /// The weight of `key`.
    #[inline]
    pub fn size(&self, key: Key) -> u64 {
        u64::from(self.sizes[key as usize])
    }

    /// About how many keys fit, by their mean weight.
    pub fn entries(&self) -> u64 {
        let total: u64 = self.sizes.iter().map(|&size| u64::from(size)).sum();
        (self.capacity * self.sizes.len() as u64 / total.max(1)).max(1)
    }
}

/// The policies that [`build`] knows, with the parameters each takes.
pub const NAMES: &[&str] = &[
    "lru",
    "segmented",
    "sieve",
    "s3-fifo",
    "arc",
    "tiny-lfu",
    "tiny-lfu-adaptive",
    "gdsf",
    "clock-pro",
    "belady",
    "larder",
    "engine",
];

/// Builds the policy named in `spec`, which is `name` or `name:parameter=value,...`.
///
/// # Errors
/// When the name or a parameter is unknown.
pub fn build(spec: &str, space: Space, trace: &Trace) -> Result<Box<dyn Policy>, String> {
    let (name, parameters) = spec.split_once(':').unwrap_or((spec, ""));
    let mut parameters = Parameters::parse(parameters)?;
    let policy: Box<dyn Policy> = match name {
        "lru" => Box::new(lru::Lru::new(space)),
        "segmented" => Box::new(segmented::Segmented::new(space)),
        "sieve" => Box::new(sieve::Sieve::new(space)),
        "s3-fifo" => Box::new(s3_fifo::S3Fifo::new(space, &mut parameters)),
        "arc" => Box::new(arc::Arc::new(space)),
        "tiny-lfu" => Box::new(tiny_lfu::TinyLfu::fixed(space, &mut parameters)),
        "tiny-lfu-adaptive" => Box::new(tiny_lfu::TinyLfu::adaptive(space)),
        "gdsf" => Box::new(gdsf::Gdsf::new(space)),
        "clock-pro" => Box::new(clock_pro::ClockPro::new(space)),
        "belady" => Box::new(belady::Belady::new(space, trace)),
        "larder" => Box::new(larder::Larder::new(space, &mut parameters)),
        "engine" => Box::new(engine::Engine::new(space, &mut parameters)?),
        _ => return Err(format!("no policy {name}; there are {}", NAMES.join(", "))),
    };
    parameters.finish()?;
    Ok(policy)
}

/// Numbers given to a policy by name.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, f64)>);

impl Parameters {
    /// Reads `name=value,name=value`.
    ///
    /// # Errors
    /// When a value is missing or no number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parameters = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part}: no value"))?;
            let value = value.parse().map_err(|error| format!("{part}: {error}"))?;
            parameters.0.push((name.to_owned(), value));
        }
        Ok(parameters)
    }

    /// Takes the parameter `name`, or `default` where it was not given.
    pub fn take(&mut self, name: &str, default: f64) -> f64 {
        match self.0.iter().position(|(given, _)| given == name) {
            Some(index) => self.0.swap_remove(index).1,
            None => default,
        }
    }

    /// Checks that every parameter was taken.
    ///
    /// # Errors
    /// When one was not, which is a misspelling.
    pub fn finish(self) -> Result<(), String> {
        match self.0.first() {
            Some((name, _)) => Err(format!("unknown parameter {name}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
