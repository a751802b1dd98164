//! What asks a service to end: SIGTERM, SIGINT, and, where it follows whoever started it, the end of its stdin.

use std::io::{self, Read as _};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Hears whatever asks this process to end.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
    closed: mpsc::Receiver<()>,
    /// Kept where stdin does not matter, so that it is never taken for closed.
    _open: Option<mpsc::Sender<()>>,
}

impl Stop {
    /// Listens from here on, to stdin only if told so. In a tokio runtime.
    ///
    /// # Errors
    /// The operating system's.
    pub fn listen(until_stdin_closes: bool) -> io::Result<Self> {
        let (open, closed) = mpsc::channel(1);
        let open = if until_stdin_closes {
            watch_stdin(open)?;
            None
        } else {
            Some(open)
        };
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, closed, _open: open })
    }

    /// Waits until this process is asked to end, and returns by what. It may be given up and called again.
    pub async fn heard(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.closed.recv() => "stdin is closed",
        }
    }
}

/// Drops `open` when stdin is closed; what is written to it is nothing we read for, and an error is an end as well.
///
/// A thread of its own, which may outlive `main`: a read cannot be given up, and the runtime would wait for one of its
/// own threads.
fn watch_stdin(open: mpsc::Sender<()>) -> io::Result<()> {
    let watch = move || {
        let mut room = [0; 256];
        while matches!(io::stdin().read(&mut room), Ok(1..)) {}
        drop(open);
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(watch).map(drop)
}
