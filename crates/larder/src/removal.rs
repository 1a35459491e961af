//! Items that have gone: why, and telling somebody about it after the fact.
//!
//! ```text
//! under a shard's lock    a copy of the item goes to the shard's outbox, if somebody listens for the cause
//! after it is unlocked    who held the lock takes the outbox and calls the listener, item by item
//! ```
//!
//! So a listener may use the cache. What its own calls remove is told by the call of the cache that is
//! under way already, once the listener has returned: it is not called within itself.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::guard::ItemGuard;
use crate::op::ItemView;

/// Why an item has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The policy gave it up for room, or [`evict`](crate::Cache::evict) or a smaller limit asked.
    Evicted,
    /// Its time had passed, and somebody met it.
    Expired,
    /// A caller removed it: by its key, by a condition, or by storing what expires at once.
    Deleted,
    /// Another value was stored under its key, or its value was changed.
    Replaced,
    /// [`clear`](crate::Cache::clear) or [`clear_before`](crate::Cache::clear_before) removed it.
    Cleared,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 5] = [
        Self::Evicted,
        Self::Expired,
        Self::Deleted,
        Self::Replaced,
        Self::Cleared,
    ];
}

/// An item that has gone, as it was last: see [`listen`](crate::Cache::listen).
#[derive(Clone, Debug)]
pub struct Removal {
    item: ItemGuard<'static>,
    cause: Cause,
}

impl Removal {
    /// Why it has gone.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.view().key()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.item
    }

    /// All that was known of it.
    #[must_use]
    pub fn view(&self) -> ItemView<'_> {
        self.item.view()
    }
}

type Listen = dyn Fn(&Removal) + Send + Sync;

/// Who is told, and of which causes.
#[derive(Clone)]
pub(crate) struct Listener {
    causes: Arc<[Cause]>,
    listen: Arc<Listen>,
}

impl Listener {
    pub(crate) fn new(causes: &[Cause], listen: impl Fn(&Removal) + Send + Sync + 'static) -> Self {
        Self {
            causes: causes.into(),
            listen: Arc::new(listen),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.causes).finish()
    }
}

/// What a shard's listener has not been told yet: what the operation under way has removed.
#[derive(Debug)]
pub(crate) struct Outbox {
    listener: Listener,
    removed: Vec<Removal>,
}

impl Outbox {
    pub(crate) fn new(listener: Listener) -> Self {
        Self {
            listener,
            removed: Vec::new(),
        }
    }

    pub(crate) fn wants(&self, cause: Cause) -> bool {
        self.listener.causes.contains(&cause)
    }

    /// Keeps a copy of an item that is about to go, if somebody listens for `cause`.
    pub(crate) fn note(&mut self, view: &ItemView<'_>, cause: Cause) {
        if self.wants(cause) {
            let item = ItemGuard::copy_of(view);
            self.removed.push(Removal { item, cause });
        }
    }

    /// What an item that may be changed looks like now; to be kept once it has been.
    pub(crate) fn before_change(&self, view: &ItemView<'_>) -> Option<ItemGuard<'static>> {
        self.wants(Cause::Replaced)
            .then(|| ItemGuard::copy_of(view))
    }

    pub(crate) fn note_replaced(&mut self, item: ItemGuard<'static>) {
        let cause = Cause::Replaced;
        self.removed.push(Removal { item, cause });
    }

    /// What there is to tell, to be told when the shard is unlocked.
    pub(crate) fn take(&mut self) -> Option<News> {
        if self.removed.is_empty() {
            return None;
        }
        Some(News {
            listen: Arc::clone(&self.listener.listen),
            removed: std::mem::take(&mut self.removed),
        })
    }
}

/// Removals and who is to be told of them.
pub(crate) struct News {
    listen: Arc<Listen>,
    removed: Vec<Removal>,
}

/// How often the calls of listeners may cause others before it is taken for a circle.
const NESTED_MAX: usize = 1 << 20;

/// The removals that this thread has still to tell of.
#[derive(Default)]
struct Telling {
    /// A loop further up the stack tells.
    busy: bool,
    queue: VecDeque<(Arc<Listen>, Removal)>,
}

thread_local! {
    static TELLING: RefCell<Telling> = RefCell::default();
}

impl News {
    /// Calls the listener for each removal, in order. A panic of it goes on once all have been told,
    /// unless the thread is panicking already.
    ///
    /// # Panics
    /// If listeners' own calls of caches go on removing items without end.
    pub(crate) fn tell(self) {
        let own = self.removed.len();
        let told = self
            .removed
            .into_iter()
            .map(|removal| (Arc::clone(&self.listen), removal));
        let tells = TELLING.with_borrow_mut(|telling| {
            telling.queue.extend(told);
            !std::mem::replace(&mut telling.busy, true)
        });
        if tells
            && let Some(panic) = tell_all(own)
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

/// Tells of what is queued until nothing is; the first panic of a listener.
fn tell_all(own: usize) -> Option<Box<dyn Any + Send>> {
    let mut panic = None;
    let mut told = 0;
    loop {
        let next = TELLING.with_borrow_mut(|telling| {
            let next = telling.queue.pop_front();
            telling.busy = next.is_some();
            next
        });
        let Some((listen, removal)) = next else {
            return panic;
        };
        if let Err(caught) = catch_unwind(AssertUnwindSafe(|| listen(&removal))) {
            panic.get_or_insert(caught);
        }
        told += 1;
        if told == own + NESTED_MAX {
            TELLING.take();
            return Some(Box::new("the calls of a listener remove items without end"));
        }
    }
}
