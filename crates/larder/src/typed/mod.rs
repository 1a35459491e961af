//! A cache of keys and values of two types, over a cache of bytes.

mod codec;
mod load;
#[cfg(feature = "async")]
mod load_async;
#[cfg(feature = "serde")]
mod serde;

pub use codec::{Codec, CodecError, Plain};
#[cfg(feature = "serde")]
pub use serde::Postcard;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cache::Cache;
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::op::{CasToken, StoreOutcome};
use crate::time::Ttl;

/// Keys of type `K` and values of type `V`, which a codec turns into the bytes of a [`Cache`].
///
/// Each call encodes or decodes once, with no lock held, so that its cost is the codec's and one
/// operation on bytes, both O(key + value). Several of these may share a cache if their prefixes differ.
///
/// ```
/// use larder::{Cache, Plain, Ttl, TypedCache};
/// use std::sync::Arc;
///
/// let cache = Arc::new(Cache::with_limit(1 << 20)?);
/// let names: TypedCache<u64, String, Plain> = TypedCache::new(Arc::clone(&cache), b"name/", Plain);
/// names.set(&7, &"Ada".to_owned(), Ttl::seconds(60))?;
/// assert_eq!(names.get(&7)?.as_deref(), Some("Ada"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TypedCache<K, V, C> {
    cache: Arc<Cache>,
    prefix: Box<[u8]>,
    codec: C,
    types: PhantomData<fn(&K) -> V>,
}

/// What a typed operation fails with.
#[derive(Debug)]
#[non_exhaustive]
pub enum TypedError {
    /// The cache refused.
    Cache(Error),
    /// The codec did not encode what it was given, or did not decode what is in the cache.
    Codec(CodecError),
}

impl<K, V, C: Codec<K> + Codec<V>> TypedCache<K, V, C> {
    /// Keys and values in `cache`, each key's bytes behind `prefix`.
    pub fn new(cache: Arc<Cache>, prefix: &[u8], codec: C) -> Self {
        Self {
            cache,
            prefix: prefix.into(),
            codec,
            types: PhantomData,
        }
    }

    /// The cache of bytes below.
    #[must_use]
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The value under `key`. Counts as a read.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn get(&self, key: &K) -> Result<Option<V>, TypedError> {
        let item = self.cache.get(&self.key(key)?);
        self.decode_if(item)
    }

    /// The value under `key`, without counting as a read.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn peek(&self, key: &K) -> Result<Option<V>, TypedError> {
        let item = self.cache.peek(&self.key(key)?);
        self.decode_if(item)
    }

    /// Whether there is a value under `key`. Does not count as a read, and decodes nothing.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn contains(&self, key: &K) -> Result<bool, TypedError> {
        Ok(self.cache.contains(&self.key(key)?))
    }

    /// Gives the value under `key` a new lifetime; false if there is none. Counts as a read.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn touch(&self, key: &K, ttl: impl Into<Ttl>) -> Result<bool, TypedError> {
        Ok(self.cache.touch(&self.key(key)?, ttl))
    }

    /// The value under `key`, which gets a new lifetime. Counts as a read.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn get_and_touch(&self, key: &K, ttl: impl Into<Ttl>) -> Result<Option<V>, TypedError> {
        let item = self.cache.get_and_touch(&self.key(key)?, ttl);
        self.decode_if(item)
    }

    /// Stores `value` under `key` if there is none; whether it was stored.
    ///
    /// # Errors
    /// [`TypedError::Codec`], and those of [`Cache::add`].
    pub fn add(&self, key: &K, value: &V, ttl: impl Into<Ttl>) -> Result<bool, TypedError> {
        let value = self.encode(value)?;
        let outcome = self.cache.add(&self.key(key)?, &value, ttl)?;
        Ok(matches!(outcome, StoreOutcome::Stored(_)))
    }

    /// Marks the value under `key` as stale: [`get_or_renew_with`](Self::get_or_renew_with) renews it. False if
    /// there is none.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn invalidate(&self, key: &K) -> Result<bool, TypedError> {
        Ok(self.cache.invalidate(&self.key(key)?))
    }

    /// Stores `value` under `key`, whatever was there.
    ///
    /// # Errors
    /// [`TypedError::Codec`], and those of [`Cache::set`].
    pub fn set(&self, key: &K, value: &V, ttl: impl Into<Ttl>) -> Result<CasToken, TypedError> {
        let value = self.encode(value)?;
        Ok(self.cache.set(&self.key(key)?, &value, ttl)?)
    }

    /// Removes the value under `key`; false if there is none.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn remove(&self, key: &K) -> Result<bool, TypedError> {
        Ok(self.cache.remove(&self.key(key)?))
    }

    /// Removes the value under `key` and returns it: of any number of callers, to one.
    ///
    /// # Errors
    /// [`TypedError::Codec`].
    pub fn take(&self, key: &K) -> Result<Option<V>, TypedError> {
        let item = self.cache.take(&self.key(key)?);
        self.decode_if(item)
    }

    /// Puts what `edit` makes of the value under `key` in its place, as one step; the lifetime stays.
    /// `None` if there is none. `edit` runs with no lock held, and again if the value was changed
    /// meanwhile.
    ///
    /// # Errors
    /// [`TypedError::Codec`], and those of [`Cache::compare_and_swap`].
    pub fn update(
        &self,
        key: &K,
        mut edit: impl FnMut(V) -> V,
    ) -> Result<Option<CasToken>, TypedError> {
        let key = self.key(key)?;
        while let Some(item) = self.cache.get(&key) {
            let value = self.encode(&edit(self.decode(&item)?))?;
            let ttl = item.expires_at().map_or(Ttl::NEVER, Ttl::at);
            let stored = self.cache.compare_and_swap(&key, &value, item.cas(), ttl)?;
            if let StoreOutcome::Stored(token) = stored {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn key(&self, key: &K) -> Result<Vec<u8>, TypedError> {
        let mut bytes = self.prefix.to_vec();
        self.codec
            .encode(key, &mut bytes)
            .map_err(TypedError::Codec)?;
        Ok(bytes)
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, TypedError> {
        let mut bytes = Vec::new();
        self.codec
            .encode(value, &mut bytes)
            .map_err(TypedError::Codec)?;
        Ok(bytes)
    }

    fn decode_if(&self, item: Option<ItemGuard<'_>>) -> Result<Option<V>, TypedError> {
        item.map(|item| self.decode(&item)).transpose()
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, TypedError> {
        self.codec.decode(bytes).map_err(TypedError::Codec)
    }
}

impl From<Error> for TypedError {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

impl fmt::Display for TypedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(error) => error.fmt(f),
            Self::Codec(error) => write!(f, "the codec: {error}"),
        }
    }
}

impl std::error::Error for TypedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cache(error) => Some(error),
            Self::Codec(error) => Some(&**error),
        }
    }
}
