//! A running server: its threads, and how they end.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

use larder::Cache;
use mio::Waker;

use crate::auth::Auth;
use crate::config::{Config, THREADS_MAX};
use crate::flash::{Flash, read_for_all, write_for_all};
use crate::listener::{self, Acceptor, Bound};
use crate::service::Shared;
use crate::worker::{Inbox, Worker};

/// A server that is running. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    open_addresses: Vec<(SocketAddr, bool)>,
    udp_addresses: Vec<SocketAddr>,
    inboxes: Vec<Arc<Inbox>>,
    acceptor_waker: Waker,
    threads: Vec<JoinHandle<()>>,
    /// Those that read and write values on flash: they end after all others.
    flash_threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(cache: Arc<Cache>, config: Config) -> io::Result<Self> {
        if !(1..=THREADS_MAX).contains(&config.threads) {
            let message = format!("threads: 1 to {THREADS_MAX}, not {}", config.threads);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut config = config;
        config
            .finish_flash()
            .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        let auth = Shared::load_auth(&config)?;
        let tls = Shared::load_tls(&cache, &config)?;
        let Bound { listeners, udp } = listener::bind(&config)?;
        let flash = Flash::open(&cache, &config)?;
        let shared = Arc::new(Shared::new(cache, config, auth, tls, flash));
        let launched = Self::launch(Arc::clone(&shared), listeners, udp);
        if launched.is_err() && shared.flash.is_some() {
            // Whoever has the cache may try again.
            Flash::leave(&shared.cache);
        }
        launched
    }

    fn launch(
        shared: Arc<Shared>,
        listeners: Vec<listener::Listener>,
        udp: Vec<mio::net::UdpSocket>,
    ) -> io::Result<Self> {
        let addresses = listeners
            .iter()
            .filter_map(listener::Listener::tcp_address)
            .collect();
        let open_addresses = listeners
            .iter()
            .filter_map(listener::Listener::open_address)
            .collect();
        let udp_addresses = listener::udp_addresses(&udp).collect();
        let now = shared.cache.now();
        for listener in &listeners {
            shared.clients.add(&Arc::new(listener.as_peer(now)));
        }
        for socket in &udp {
            shared
                .clients
                .add(&Arc::new(listener::udp_peer(socket, now)));
        }
        let mut workers = Vec::new();
        let mut inboxes = Vec::new();
        for number in 0..shared.config.threads {
            let (worker, inbox) = Worker::new(number, Arc::clone(&shared))?;
            workers.push(worker);
            inboxes.push(inbox);
        }
        for (number, socket) in udp.into_iter().enumerate() {
            let number = number % workers.len();
            if let Some(worker) = workers.get_mut(number) {
                worker.add_udp(socket)?;
            }
        }
        let (acceptor, acceptor_waker) =
            Acceptor::new(listeners, Arc::clone(&shared), inboxes.clone())?;
        let mut server = Self {
            shared,
            addresses,
            open_addresses,
            udp_addresses,
            inboxes,
            acceptor_waker,
            threads: Vec::new(),
            flash_threads: Vec::new(),
        };
        // From here on, a failure drops `server`, which ends the threads that already run.
        server.spawn_flash()?;
        for (number, worker) in workers.into_iter().enumerate() {
            server.spawn(format!("worker-{number}"), || worker.run())?;
        }
        server.spawn("acceptor".to_owned(), || acceptor.run())?;
        Ok(server)
    }

    /// Begins to read and write values on flash, if there are any.
    fn spawn_flash(&mut self) -> io::Result<()> {
        let Some(flash) = self.shared.flash.clone() else {
            return Ok(());
        };
        for number in 0..self.shared.config.flash.threads {
            let (shared, flash) = (Arc::clone(&self.shared), Arc::clone(&flash));
            let run = self.guarded(move || read_for_all(&shared, &flash));
            let thread = Builder::new().name(format!("flash-{number}")).spawn(run)?;
            self.flash_threads.push(thread);
        }
        let shared = Arc::clone(&self.shared);
        let run = self.guarded(move || write_for_all(&shared, &flash));
        let thread = Builder::new().name("flash-writer".to_owned()).spawn(run)?;
        self.flash_threads.push(thread);
        Ok(())
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let guarded = self.guarded(run);
        self.threads.push(Builder::new().name(name).spawn(guarded)?);
        Ok(())
    }

    /// `run` for a thread whose end ends all others.
    fn guarded<F>(&self, run: F) -> impl FnOnce() + Send + use<F>
    where
        F: FnOnce() + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let inboxes = self.inboxes.clone();
        move || {
            if catch_unwind(AssertUnwindSafe(run)).is_err() || !shared.is_stopping() {
                // Without this thread some clients would wait for ever: the others end as well, and
                // whoever runs the server sees that it has ended.
                log::error!("a server thread has failed: the server stops");
                shared.stopping.store(true, Ordering::Release);
                inboxes.iter().for_each(|inbox| inbox.wake());
            }
        }
    }

    /// Whether every thread is at work. False when one has failed: then the others have stopped as
    /// well.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let mut threads = self.threads.iter().chain(&self.flash_threads);
        !self.shared.is_stopping() && threads.all(|thread| !thread.is_finished())
    }

    /// The TCP addresses that the server listens on, ports included.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Those of them whose clients need no certificate, and whether they are encrypted all the same.
    pub fn addresses_without_certificates(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        self.open_addresses.iter().copied()
    }

    /// The UDP addresses that the server listens on, ports included.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp_addresses
    }

    /// Reads again what may change while the server runs: the password file, and certificates and keys. What
    /// cannot be read stays as it was. Connections go on with what they began with.
    pub fn reload(&self) {
        if self.shared.reload_tls().is_ok() {
            log::info!("certificates and keys have been read again");
        }
        match self.shared.auth.as_ref().map(Auth::reload) {
            None if self.shared.tls.is_some() => {}
            None => log::debug!("nothing to read again"),
            Some(Ok(())) => log::info!("the password file has been read again"),
            Some(Err(error)) => log::error!("the old passwords stay: {error}"),
        }
    }

    /// Accepts no more, finishes the replies in flight (for a few seconds at most), closes every
    /// connection and ends the threads.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        for inbox in &self.inboxes {
            inbox.wake();
        }
        if let Err(error) = self.acceptor_waker.wake() {
            log::error!("the accepting thread cannot be woken: {error}");
        }
        join(&mut self.threads);
        if let Some(flash) = &self.shared.flash {
            flash.close();
            join(&mut self.flash_threads);
            Flash::leave(&self.shared.cache);
        }
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        if thread.join().is_err() {
            log::error!("a server thread had panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
