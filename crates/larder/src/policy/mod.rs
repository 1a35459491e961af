//! Who is evicted next. One file a policy.

mod lru;

pub(crate) use lru::Lru;

/// What happens when memory is needed and the limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Evict the item that was read, stored or touched longest ago, among the shard's items of
    /// the same size class; exact order. If the class has none, the page of another class whose
    /// oldest item is oldest makes room.
    #[default]
    Lru,
    /// Evict nothing: a store that finds no memory fails with
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and everything stored stays.
    NoEviction,
}
