//! Hears when readers come and go, and cards in them.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keycard::TransportError;
use pcsc::{Context, PNP_NOTIFICATION, State};

use crate::service::{Ours, ReaderState, all, establish};
use crate::trouble::Trouble;

/// A thread that watches the readers until this is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Gone when the thread is to end.
    _stop: Sender<()>,
    waiting: Arc<Mutex<Option<Waiting>>>,
}

/// The context in which the thread waits.
struct Waiting(Context);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Watch {
    pub(crate) fn start(
        ours: Ours,
        tell: impl FnMut(Result<Vec<ReaderState>, TransportError>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let waiting = Arc::default();
        let watcher = Watcher { ours, tell, told: None, stopped, waiting: Arc::clone(&waiting) };
        std::thread::Builder::new().name("readers".to_owned()).spawn(move || watcher.run())?;
        Ok(Self { _stop: stop, waiting })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(Waiting(context)) = lock(&self.waiting).take() {
            // A wait that begins in this moment ends by itself.
            let _gone = context.cancel();
        }
    }
}

struct Watcher<F> {
    ours: Ours,
    tell: F,
    told: Option<Result<Vec<ReaderState>, Trouble>>,
    stopped: Receiver<()>,
    waiting: Arc<Mutex<Option<Waiting>>>,
}

impl<F: FnMut(Result<Vec<ReaderState>, TransportError>) -> bool> Watcher<F> {
    fn run(mut self) {
        loop {
            let trouble = match self.follow() {
                Ok(()) => return,
                Err(error) => Trouble::listing(error),
            };
            *lock(&self.waiting) = None;
            if !self.say(Err(trouble)) || self.is_over(AGAIN) {
                return;
            }
        }
    }

    /// Tells of changes until nobody wants to hear of them.
    fn follow(&mut self) -> Result<(), pcsc::Error> {
        let context = establish()?;
        *lock(&self.waiting) = Some(Waiting(context.clone()));
        loop {
            let mut states = all(&context)?;
            let readers = states.len();
            states.push(pcsc::ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE));
            if readers > 0 {
                context.get_status_change(Duration::ZERO, states.get_mut(..readers).unwrap_or_default())?;
            }
            // As long as the readers stay the same.
            loop {
                let seen = states.iter().take(readers).map(|state| self.ours.describe(state)).collect();
                if !self.say(Ok(seen)) || self.is_over(Duration::ZERO) {
                    return Ok(());
                }
                states.iter_mut().for_each(pcsc::ReaderState::sync_current_state);
                match context.get_status_change(WAIT, &mut states) {
                    Ok(()) | Err(pcsc::Error::Timeout) => {}
                    Err(pcsc::Error::Cancelled) if self.is_over(Duration::ZERO) => return Ok(()),
                    Err(pcsc::Error::Cancelled | pcsc::Error::UnknownReader) => break,
                    Err(error) => return Err(error),
                }
                let known = states.iter().take(readers).map(|state| state.name().to_owned());
                if !context.list_readers_owned().unwrap_or_default().into_iter().eq(known) {
                    break;
                }
            }
        }
    }

    /// Tells it unless it was told last.
    fn say(&mut self, seen: Result<Vec<ReaderState>, Trouble>) -> bool {
        if self.told.as_ref() == Some(&seen) {
            return true;
        }
        self.told = Some(seen.clone());
        (self.tell)(seen.map_err(TransportError::from))
    }

    fn is_over(&self, wait: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

fn lock(waiting: &Mutex<Option<Waiting>>) -> MutexGuard<'_, Option<Waiting>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks for a service that is not there.
const AGAIN: Duration = Duration::from_secs(2);
/// A driver that does not tell of changes is asked this often, and so is the end.
const WAIT: Duration = Duration::from_secs(5);
