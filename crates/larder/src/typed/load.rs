//! Loading and renewing values of a type: the cache of bytes decides who loads, the codec says what.

use std::time::Duration;

use super::{Codec, TypedCache, TypedError};
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::revision::Put;
use crate::time::Ttl;

/// A load of a typed value that failed.
pub(super) enum Failure<E> {
    /// The load itself.
    Load(E),
    /// The cache, or the codec.
    Typed(TypedError),
}

impl<K, V, C: Codec<K> + Codec<V>> TypedCache<K, V, C> {
    /// The value under `key`; if there is none, what `load` makes, once for all who ask, with the
    /// lifetime that it says: [`Cache::get_or_insert_with`](crate::Cache::get_or_insert_with).
    ///
    /// # Errors
    /// [`TypedError::Codec`], and those of [`Cache::get_or_insert_with`](crate::Cache::get_or_insert_with).
    pub fn get_or_insert_with(
        &self,
        key: &K,
        load: impl FnOnce() -> (V, Ttl),
    ) -> Result<V, TypedError> {
        self.try_get_or_insert_with(key, || Ok(load()))
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a `load` that can fail.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub fn try_get_or_insert_with<E: From<TypedError>>(
        &self,
        key: &K,
        load: impl FnOnce() -> Result<(V, Ttl), E>,
    ) -> Result<V, E> {
        let key = self.key(key)?;
        let put = || self.put(load());
        let item = self.cache.try_get_or_insert_with(&key, put);
        self.loaded(item)
    }

    /// The value under `key`; if it is old, that is [invalidated](Self::invalidate) or within `ahead` of its expiry,
    /// one of those who ask makes another by `load`, and the others are given the old one:
    /// [`Cache::get_or_renew_with`](crate::Cache::get_or_renew_with).
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub fn get_or_renew_with(
        &self,
        key: &K,
        ahead: Duration,
        load: impl FnOnce() -> (V, Ttl),
    ) -> Result<V, TypedError> {
        self.try_get_or_renew_with(key, ahead, || Ok(load()))
    }

    /// As [`get_or_renew_with`](Self::get_or_renew_with), with a `load` that can fail: the old value stays then.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub fn try_get_or_renew_with<E: From<TypedError>>(
        &self,
        key: &K,
        ahead: Duration,
        load: impl FnOnce() -> Result<(V, Ttl), E>,
    ) -> Result<V, E> {
        let key = self.key(key)?;
        let put = || self.put(load());
        let item = self.cache.try_get_or_renew_with(&key, ahead, put);
        self.loaded(item)
    }

    /// The value of what was found or loaded.
    pub(super) fn loaded<E: From<TypedError>>(
        &self,
        item: Result<ItemGuard<'_>, Failure<E>>,
    ) -> Result<V, E> {
        Ok(self.decode(&item.map_err(Failure::into_error)?)?)
    }

    /// What is to be stored of a value that was loaded.
    pub(super) fn put<E>(&self, loaded: Result<(V, Ttl), E>) -> Result<Put<'static>, Failure<E>> {
        let (value, ttl) = loaded.map_err(Failure::Load)?;
        let value = self.encode(&value).map_err(Failure::Typed)?;
        Ok(Put::new(value).ttl(ttl))
    }
}

impl<E: From<TypedError>> Failure<E> {
    fn into_error(self) -> E {
        match self {
            Self::Load(error) => error,
            Self::Typed(error) => error.into(),
        }
    }
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Typed(error.into())
    }
}
