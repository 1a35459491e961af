//! A load that is a future, on an executor of a few lines: any other does as well.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use larder::{Cache, Error, Put, Ttl};

fn main() -> Result<(), Error> {
    let cache = Cache::with_limit(16 << 20)?;
    let page = block_on(cache.get_or_insert_with_async(b"/index", || fetch("/index")))?;
    assert_eq!(&*page, b"<h1>/index</h1>");

    // A task that is dropped while it loads hands over to whoever waits.
    drop(cache.get_or_insert_with_async(b"/slow", std::future::pending));
    assert!(block_on(cache.get_or_insert_with_async(b"/slow", || fetch("/slow"))).is_ok());
    Ok(())
}

async fn fetch(path: &str) -> Put<'static> {
    Put::new(format!("<h1>{path}</h1>").into_bytes()).ttl(Ttl::seconds(60))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
