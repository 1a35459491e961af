//! As load.rs, with loads that are futures.

use std::future::Future;
use std::time::Duration;

use super::{Codec, TypedCache, TypedError};
use crate::time::Ttl;

impl<K, V, C: Codec<K> + Codec<V>> TypedCache<K, V, C> {
    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a `load` that is a future:
    /// [`Cache::get_or_insert_with_async`](crate::Cache::get_or_insert_with_async).
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_insert_with_async<F>(
        &self,
        key: &K,
        load: impl FnOnce() -> F,
    ) -> Result<V, TypedError>
    where
        F: Future<Output = (V, Ttl)>,
    {
        self.try_get_or_insert_with_async(key, || async { Ok(load().await) })
            .await
    }

    /// As [`get_or_insert_with_async`](Self::get_or_insert_with_async), with a `load` that can fail.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub async fn try_get_or_insert_with_async<E, F>(
        &self,
        key: &K,
        load: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        E: From<TypedError>,
        F: Future<Output = Result<(V, Ttl), E>>,
    {
        let key = self.key(key)?;
        let put = || async { self.put(load().await) };
        self.loaded(self.cache.try_get_or_insert_with_async(&key, put).await)
    }

    /// As [`get_or_renew_with`](Self::get_or_renew_with), with a `load` that is a future:
    /// [`Cache::get_or_renew_with_async`](crate::Cache::get_or_renew_with_async).
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_renew_with_async<F>(
        &self,
        key: &K,
        ahead: Duration,
        load: impl FnOnce() -> F,
    ) -> Result<V, TypedError>
    where
        F: Future<Output = (V, Ttl)>,
    {
        self.try_get_or_renew_with_async(key, ahead, || async { Ok(load().await) })
            .await
    }

    /// As [`get_or_renew_with_async`](Self::get_or_renew_with_async), with a `load` that can fail: the old value
    /// stays then.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub async fn try_get_or_renew_with_async<E, F>(
        &self,
        key: &K,
        ahead: Duration,
        load: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        E: From<TypedError>,
        F: Future<Output = Result<(V, Ttl), E>>,
    {
        let key = self.key(key)?;
        let put = || async { self.put(load().await) };
        let renewed = self.cache.try_get_or_renew_with_async(&key, ahead, put);
        self.loaded(renewed.await)
    }
}
