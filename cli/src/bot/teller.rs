//! The bot's stdout, on a thread of its own: whoever reads too slowly holds up the bot, but never a signal.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::error::CliError;
use crate::output::{Output, json_line};

/// Prints JSON lines in order.
pub(super) struct Teller {
    queue: mpsc::Sender<String>,
    ended: oneshot::Receiver<CliError>,
}

impl Teller {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn start(out: Output) -> Result<Self, CliError> {
        let (queue, mut lines) = mpsc::channel::<String>(WAITING);
        let (failed, ended) = oneshot::channel();
        let print = move || {
            while let Some(line) = lines.blocking_recv() {
                if let Err(error) = out.line(line) {
                    // Who started the thread may be gone; nobody is left to be told then.
                    let _ = failed.send(error);
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(print)
            .map_err(|error| CliError::Other(format!("no thread for the output: {error}")))?;
        Ok(Self { queue, ended })
    }

    /// Prints one object, after those before it. It waits while too many lines are unread.
    ///
    /// # Errors
    /// Why an earlier line was not printed: [`CliError::BrokenPipe`] when nobody reads.
    pub(super) async fn tell(&mut self, object: &impl Serialize) -> Result<(), CliError> {
        match self.queue.send(json_line(object)?).await {
            Ok(()) => Ok(()),
            Err(_) => Err((&mut self.ended).await.unwrap_or(CliError::BrokenPipe)),
        }
    }

    /// Prints the last object, unless nobody has read for [`PATIENCE`].
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub(super) async fn tell_last(mut self, object: &impl Serialize) -> Result<(), CliError> {
        let printed = async move {
            self.tell(object).await?;
            drop(self.queue);
            self.ended.await.map_or(Ok(()), Err)
        };
        tokio::time::timeout(PATIENCE, printed).await.unwrap_or(Ok(()))
    }
}

/// Lines that may wait for a reader.
const WAITING: usize = 64;
/// How long a bot that ends waits for its reader.
const PATIENCE: Duration = Duration::from_secs(1);
