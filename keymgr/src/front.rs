//! What stands around the service: its limits, what it counts, what it is hardened with, and who watches it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use audit::LogStore;
use keycard::CardTransport;
use tokio::net::UnixStream;

use crate::caller::{Asker, Programs};
use crate::hardening::Hardening;
use crate::incoming::Limits;
use crate::metrics::{Metrics, textfile};
use crate::notify::Notifier;
use crate::worker::Worker;

/// The front of a manager. The default is one that nobody watches, as tests have it.
#[derive(Debug)]
pub struct Front {
    /// How many connections are taken.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Metrics,
    /// A file for the textfile collector of node_exporter.
    pub textfile: Option<PathBuf>,
    /// What is in force.
    pub hardening: Hardening,
    /// The eye for callers' programs.
    pub programs: Programs,
    /// Says who is at the other end of a connection.
    pub kernel: Kernel,
    /// The service manager.
    pub notifier: Notifier,
}

/// Who is at the other end of a connection: nobody is served whom it does not name.
pub type Kernel = fn(&UnixStream) -> Option<Asker>;

impl Default for Front {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            metrics: Metrics::default(),
            textfile: None,
            hardening: Hardening::default(),
            programs: Programs::default(),
            kernel: peer,
            notifier: Notifier::default(),
        }
    }
}

/// Asks the kernel itself (SO_PEERCRED).
#[must_use]
pub fn peer(stream: &UnixStream) -> Option<Asker> {
    let peer = stream.peer_cred().ok()?;
    Some(Asker::new(peer.uid(), peer.pid()))
}

/// Tells the service manager, again and again, that the thread with the cards answers. It never ends.
pub(crate) async fn feed_watchdog<T, S>(notifier: &Notifier, worker: &Worker<T, S>)
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    let Some(period) = notifier.watchdog() else { return std::future::pending().await };
    loop {
        // A full queue says nothing of the thread behind it: it is asked again soon.
        let answered = worker.ask(|_| ()).await.is_ok();
        if answered {
            notifier.alive();
        }
        tokio::time::sleep(if answered { period } else { period.min(SOON) }).await;
    }
}

/// Writes the textfile, again and again. It never ends.
pub(crate) async fn write_textfile<T, S>(
    path: Option<PathBuf>,
    metrics: &Metrics,
    hardening: &Hardening,
    worker: &Worker<T, S>,
) where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    let Some(path) = path else { return std::future::pending().await };
    let mut told: Option<String> = None;
    loop {
        if let Ok(held) = worker.ask(|broker| broker.held()).await {
            let (file, text) = (path.clone(), metrics.text(&held, hardening));
            // On a thread that may wait: the folder may be on a disk that hangs, and nobody else has to wait for it.
            let written = tokio::task::spawn_blocking(move || textfile::write(&file, &text)).await;
            let trouble = written.map_err(io::Error::from).flatten().err().map(|error| error.to_string());
            if trouble != told
                && let Some(error) = &trouble
            {
                tracing::warn!("{} is not written: {error}; mend its rights", path.display());
            }
            told = trouble;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

const SOON: Duration = Duration::from_secs(1);
/// As often as most scrape.
const PERIOD: Duration = textfile::PERIOD;
