//! The locks and atomics of the engine; nobody else names a lock.
//!
//! One file, so that a model checker's versions can stand in for all of them.

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
