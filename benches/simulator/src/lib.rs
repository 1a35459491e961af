//! A cache-trace simulator: which eviction policy misses least, and what a memory layout costs.
//!
//! A [`Trace`] is read once into memory, a [`Policy`](policy::Policy) is built by name for a [`Space`](policy::Space)
//! (a capacity and the weight of every key), and [`replay`](replay::replay) counts misses. [`bar`] compares a policy
//! with the reference miss ratios cell by cell; [`server`] predicts what a
//! server misses at a limit in MiB, with overhead per item and the engine's pages and size classes.
//! Everything is deterministic: what is random is seeded by a constant.
//!
//! This is a bench, not the engine: state is kept in arrays indexed by the trace's dense keys, which a cache cannot do.
#![expect(
    clippy::cast_possible_truncation,
    reason = "keys are dense u32 ids by construction"
)]

pub mod bar;
pub mod ghost;
pub mod list;
pub mod policy;
pub mod reference;
pub mod replay;
pub mod server;
pub mod size_class;
pub mod sketch;
pub mod trace;

pub use trace::Trace;
