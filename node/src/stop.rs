//! The word that the node stops, for every task that waits for something else meanwhile.

use tokio::sync::watch;

/// Hears the word.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// Says the word.
#[derive(Debug)]
pub(crate) struct StopAll(watch::Sender<bool>);

/// Returns both ends.
pub(crate) fn stop() -> (StopAll, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopAll(sender), Stop(receiver))
}

impl StopAll {
    /// Says the word, once and for all.
    pub(crate) fn say(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits for the word; the end of the one who could say it counts as well.
    pub(crate) async fn heard(&mut self) {
        drop(self.0.wait_for(|said| *said).await);
    }
}
