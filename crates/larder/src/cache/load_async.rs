//! Loading what is missing, with loads that are futures. Any executor will do: nothing here blocks,
//! spawns or keeps time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use super::Cache;
use super::load::Sought;
use super::renew::Found;
use crate::error::Error;
use crate::guard::ItemGuard;
use crate::loader::{Joined, Turn};
use crate::revision::Put;

impl Cache {
    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a `load` that is a future.
    ///
    /// The tasks that wait are woken when it is done. A task that is dropped while it loads, at
    /// whatever `await`, hands over to the next that waits, which runs its own `load`; one that is
    /// dropped while it waits is forgotten. Threads and tasks can wait for one another's loads, but a
    /// thread that runs tasks must not wait by [`get_or_insert_with`](Self::get_or_insert_with) for a
    /// load that is a task of its own: nothing would run it. O(1) on a hit.
    ///
    /// ```
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = pin!(future);
    /// #     loop {
    /// #         let mut context = Context::from_waker(Waker::noop());
    /// #         if let Poll::Ready(out) = future.as_mut().poll(&mut context) {
    /// #             return out;
    /// #         }
    /// #     }
    /// # }
    /// use larder::{Cache, Put, Ttl};
    ///
    /// async fn fetch() -> Put<'static> {
    ///     Put::new(b"from the network").ttl(Ttl::seconds(60))
    /// }
    ///
    /// let cache = Cache::with_limit(1 << 20)?;
    /// let item = block_on(cache.get_or_insert_with_async(b"key", fetch))?;
    /// assert_eq!(&*item, b"from the network");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_insert_with_async<'v, F>(
        &self,
        key: &[u8],
        load: impl FnOnce() -> F,
    ) -> Result<ItemGuard<'_>, Error>
    where
        F: Future<Output = Put<'v>>,
    {
        self.try_get_or_insert_with_async(key, || async { Ok(load().await) })
            .await
    }

    /// As [`get_or_insert_with_async`](Self::get_or_insert_with_async), with a `load` that can fail:
    /// then its error is returned, nothing is stored, and the next that waits runs its own `load`.
    /// O(1) on a hit.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub async fn try_get_or_insert_with_async<'v, E, F>(
        &self,
        key: &[u8],
        load: impl FnOnce() -> F,
    ) -> Result<ItemGuard<'_>, E>
    where
        E: From<Error>,
        F: Future<Output = Result<Put<'v>, E>>,
    {
        let turn = match self.get_or_join(key)? {
            Sought::Item(item) => return Ok(item),
            Sought::Flight(Joined::Lead(lead)) => Turn::Lead(lead),
            Sought::Flight(Joined::Wait(mut wait)) => {
                poll_fn(|context| wait.poll(context.waker())).await
            }
        };
        let lead = match turn {
            Turn::Landed(landing) => return Ok(landing.item()?),
            Turn::Lead(lead) => lead,
        };
        match self.loaded_meanwhile(key, lead) {
            Ok(item) => Ok(item),
            Err(lead) => {
                // Pinned after `lead`, so dropped before it: what it joined has been left by then.
                let mut load = pin!(lead.within(load));
                let put = poll_fn(|context| lead.within(|| load.as_mut().poll(context))).await?;
                Ok(self.land(key, lead, &put)?)
            }
        }
    }

    /// As [`get_or_renew_with`](Self::get_or_renew_with), with a `load` that is a future. A task that is
    /// dropped while it loads leaves the old item, and the next that asks runs its own `load`. O(1) on a hit.
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_renew_with_async<'v, F>(
        &self,
        key: &[u8],
        ahead: Duration,
        load: impl FnOnce() -> F,
    ) -> Result<ItemGuard<'_>, Error>
    where
        F: Future<Output = Put<'v>>,
    {
        self.try_get_or_renew_with_async(key, ahead, || async { Ok(load().await) })
            .await
    }

    /// As [`get_or_renew_with_async`](Self::get_or_renew_with_async), with a `load` that can fail.
    /// O(1) on a hit.
    ///
    /// # Errors
    /// Those of `load`, and those of [`get_or_insert_with`](Self::get_or_insert_with) as `E`.
    pub async fn try_get_or_renew_with_async<'v, E, F>(
        &self,
        key: &[u8],
        ahead: Duration,
        load: impl FnOnce() -> F,
    ) -> Result<ItemGuard<'_>, E>
    where
        E: From<Error>,
        F: Future<Output = Result<Put<'v>, E>>,
    {
        match self.find_to_renew(key, ahead) {
            Found::Current(item) => Ok(item),
            Found::Old(right) => Ok(right.store(&load().await?)?),
            Found::Missing => self.try_get_or_insert_with_async(key, load).await,
        }
    }
}
