//! Loads that are futures: every order in which three tasks can be polled, woken and dropped.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use larder::{Cache, Error, ItemGuard, Put, Ttl};

const TASKS: usize = 3;

/// A task's waker: the task wants to be polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Is pending once, and ready when it is polled again.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

type Task<'t> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>> + 't>>;

struct Run<'t> {
    tasks: [Option<Task<'t>>; TASKS],
    woken: [Arc<Woken>; TASKS],
}

impl Run<'_> {
    /// What may happen next: a task that was woken is polled (its number), or any is dropped.
    fn choices(&self) -> Vec<usize> {
        let live = |&task: &usize| self.tasks[task].is_some();
        let awake = |&task: &usize| self.woken[task].0.load(Ordering::Relaxed);
        let polled: Vec<_> = (0..TASKS).filter(live).filter(awake).collect();
        let lives = (0..TASKS).filter(live).count();
        assert!(
            lives == 0 || !polled.is_empty(),
            "all wait, and none is woken"
        );
        let dropped = (0..TASKS).filter(live).map(|task| task + TASKS);
        polled.into_iter().chain(dropped).collect()
    }

    fn step(&mut self, choice: usize) {
        let number = choice % TASKS;
        if choice >= TASKS {
            self.tasks[number] = None;
            return;
        }
        self.woken[number].0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.woken[number]));
        let task = self.tasks[number].as_mut().unwrap();
        if let Poll::Ready(result) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            assert_eq!(result.unwrap(), b"loaded");
            self.tasks[number] = None;
        }
    }
}

/// Runs three tasks that want one key by the given choices, then by the first choice there is. Returns
/// how many choices there were at each step.
fn run(cache: &Cache, key: &[u8], chosen: &[usize]) -> Vec<usize> {
    let loading = Cell::new(0);
    let task = || -> Task<'_> {
        Box::pin(async {
            let load = || async {
                struct Leave<'a>(&'a Cell<u32>);
                impl Drop for Leave<'_> {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() - 1);
                    }
                }
                loading.set(loading.get() + 1);
                let _leave = Leave(&loading);
                assert_eq!(loading.get(), 1, "one loads at a time");
                pause().await;
                pause().await;
                Put::new(b"loaded")
            };
            let item = cache.get_or_insert_with_async(key, load).await?;
            Ok(item.to_vec())
        })
    };
    let mut run = Run {
        tasks: [(); TASKS].map(|()| Some(task())),
        woken: [(); TASKS].map(|()| Arc::new(Woken(AtomicBool::new(true)))),
    };
    let mut counts = Vec::new();
    loop {
        let choices = run.choices();
        let Some(&first) = choices.first() else {
            return counts;
        };
        let choice = chosen.get(counts.len()).map_or(first, |&at| choices[at]);
        counts.push(choices.len());
        run.step(choice);
    }
}

#[test]
fn however_tasks_are_polled_and_dropped_the_rest_go_on() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    let mut chosen = Vec::new();
    let mut runs = 0_u32;
    loop {
        let key = format!("key-{runs}");
        let counts = run(&cache, key.as_bytes(), &chosen);
        runs += 1;
        // The next sequence of choices, counting up from the last step.
        chosen.resize(counts.len(), 0);
        while let Some(last) = chosen.pop() {
            if last + 1 < counts[chosen.len()] {
                chosen.push(last + 1);
                break;
            }
        }
        if chosen.is_empty() {
            break;
        }
    }
    println!("{runs} orders");
    assert!(runs > 1000);
}

/// At whatever `await` a task that renews is dropped, the old item is served on, and the next renews it.
#[test]
fn a_task_that_is_dropped_while_it_renews_leaves_that_to_the_next() {
    for polls in 0..4 {
        let cache = Cache::with_limit(1 << 20).unwrap();
        cache.set(b"key", b"old", Ttl::NEVER).unwrap();
        cache.invalidate(b"key");
        let load = || async {
            for _ in 0..3 {
                pause().await;
            }
            Put::new(b"never stored")
        };
        let mut task = Box::pin(cache.get_or_renew_with_async(b"key", Duration::ZERO, load));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(task.as_mut().poll(&mut context).is_pending());
        }
        let meanwhile = cache.get_or_renew_with(b"key", Duration::ZERO, || Put::new(b"other"));
        let is_renewing = polls > 0;
        assert_eq!(
            &*meanwhile.unwrap(),
            if is_renewing { b"old" } else { &b"other"[..] }
        );
        drop(task);
        if !is_renewing {
            cache.invalidate(b"key");
        }
        let next = cache.get_or_renew_with(b"key", Duration::ZERO, || Put::new(b"new"));
        assert_eq!(&*next.unwrap(), b"new");
        cache.validate();
    }
}

#[test]
fn a_task_that_needs_itself_is_refused() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    let mut task: Task<'_> = Box::pin(async {
        let around = cache.try_get_or_insert_with_async(b"a", || async {
            pause().await;
            let inner = cache.try_get_or_insert_with_async(b"b", || async {
                pause().await;
                let load = || async { Ok::<_, Error>(Put::new(b"")) };
                let item = cache.try_get_or_insert_with_async(b"a", load).await?;
                Ok::<_, Error>(Put::new(item.to_vec()))
            });
            Ok::<_, Error>(Put::new(inner.await?.to_vec()))
        });
        assert_eq!(around.await.unwrap_err(), Error::LoadNeedsItself);
        Ok(b"loaded".to_vec())
    });
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        if task.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
    panic!("it waits for itself");
}

#[test]
fn a_thread_waits_for_the_load_of_a_task() {
    let cache = Cache::with_limit(4 << 20).unwrap();
    let load = || async {
        pause().await;
        Put::new(b"the task's")
    };
    let mut task = Box::pin(cache.get_or_insert_with_async(b"key", load));
    let mut context = Context::from_waker(Waker::noop());
    assert!(task.as_mut().poll(&mut context).is_pending());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let own = || Put::new(b"the thread's");
            cache.get_or_insert_with(b"key", own).unwrap().to_vec()
        });
        while cache.stats().misses < 2 {
            std::thread::yield_now();
        }
        assert!(task.as_mut().poll(&mut context).is_ready());
        assert_eq!(waits.join().unwrap(), b"the task's");
    });
}

/// The futures can be spawned on executors of many threads.
#[test]
fn futures_are_send() {
    fn send<F: Future + Send>(_: F) {}
    let cache = Cache::with_limit(4 << 20).unwrap();
    send(cache.get_or_insert_with_async(b"key", || async { Put::new(b"value") }));
    fn sync<T: Send + Sync>() {}
    sync::<ItemGuard<'_>>();
}
