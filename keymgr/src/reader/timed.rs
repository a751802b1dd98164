//! A reader whose card is reset in time, whatever holds up its user: a thread of its own waits for that.
//!
//! The invariant: once the time is over nothing is said to the card until its user has reset it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keycard::{CardTransport, TransportError};
use proto::Instant;

use crate::clock::Clock;

/// A transport with a clock.
pub struct Timed<T: CardTransport>(Arc<Shared<T>>);

/// What the user and the thread share.
struct Shared<T> {
    line: Mutex<Line<T>>,
    /// Tells the thread that the time is another.
    news: Condvar,
    clock: Box<dyn Clock + Send + Sync>,
}

struct Line<T> {
    /// Gone when the user is.
    transport: Option<T>,
    due: Option<Instant>,
    is_over: bool,
    is_watched: bool,
}

impl<T: CardTransport + Send + 'static> Timed<T> {
    /// Returns a transport that goes by this clock.
    pub fn by(transport: T, clock: impl Clock + Send + Sync + 'static) -> Self {
        let line = Line { transport: Some(transport), due: None, is_over: false, is_watched: false };
        Self(Arc::new(Shared { line: Mutex::new(line), news: Condvar::new(), clock: Box::new(clock) }))
    }

    fn watch(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let builder = std::thread::Builder::new().name("lifetime".to_owned());
        builder.spawn(move || shared.watch()).map(drop)
    }
}

impl<T: CardTransport> Shared<T> {
    fn line(&self) -> MutexGuard<'_, Line<T>> {
        // A user that panicked in the middle of a command loses the transport, and its end resets the card.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        self.clock.now().monotonic
    }

    /// Waits until the time is over or does not matter any more.
    fn watch(&self) {
        let mut line = self.line();
        while let Some(due) = line.due {
            let left = due.since(self.now());
            if left.is_zero() {
                // First, should the transport panic.
                line.is_watched = false;
                return line.end();
            }
            let waited = self.news.wait_timeout(line, left.min(LOOK_AGAIN));
            (line, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        line.is_watched = false;
    }
}

impl<T: CardTransport> Line<T> {
    /// Resets the card at the end of its time.
    fn end(&mut self) {
        self.due = None;
        self.is_over = true;
        let Some(transport) = &mut self.transport else { return };
        match transport.reset() {
            Ok(()) => tracing::info!("the time of a card's PIN is over, and the card was reset"),
            // Its user tries again before anything else.
            Err(error) => tracing::error!("the card could not be reset at the end of its PIN's time: {error}"),
        }
    }

    fn transport(&mut self) -> Result<&mut T, TransportError> {
        self.transport.as_mut().ok_or(TransportError::NoCard)
    }
}

impl<T: CardTransport + Send + 'static> CardTransport for Timed<T> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let now = self.0.now();
        let mut line = self.0.line();
        // The thread may be late: it does not hear when the computer wakes from its sleep.
        if line.due.is_some_and(|due| due <= now) {
            line.end();
        }
        if line.is_over { Err(TransportError::Expired) } else { line.transport()?.transmit(command) }
    }

    fn announce(&mut self, instruction: u8) {
        if let Ok(transport) = self.0.line().transport() {
            transport.announce(instruction);
        }
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        let mut line = self.0.line();
        (line.due, line.is_over) = (None, false);
        self.0.news.notify_one();
        line.transport()?.reset()
    }

    fn reset_within(&mut self, left: Option<Duration>) {
        let due = left.map(|left| self.0.now().after(left));
        let mut line = self.0.line();
        line.due = due;
        if line.is_watched {
            self.0.news.notify_one();
        } else if due.is_some() {
            line.is_watched = true;
            drop(line);
            if let Err(error) = self.watch() {
                tracing::error!("no thread watches the time of a card's PIN, which its next use does: {error}");
                self.0.line().is_watched = false;
            }
        }
    }

    fn is_there(&mut self) -> bool {
        self.0.line().transport().is_ok_and(CardTransport::is_there)
    }
}

impl<T: CardTransport> Drop for Timed<T> {
    fn drop(&mut self) {
        // Here, and not with the thread: whoever asks for the reader next gets it.
        let mut line = self.0.line();
        line.due = None;
        let transport = line.transport.take();
        self.0.news.notify_one();
        drop((line, transport));
    }
}

/// The wait does not count the time that the computer sleeps, the time that a card has does: it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::tests::{Reader, StillClock};

    const SECOND: Duration = Duration::from_secs(1);
    const SELECT: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];

    fn reader() -> (Timed<Reader>, Reader, StillClock) {
        let (reader, clock) = (Reader::with_blank_card(), StillClock::default());
        (Timed::by(reader.clone(), clock.clone()), reader, clock)
    }

    #[test]
    fn the_card_is_reset_at_the_end_of_its_time_though_nobody_speaks_to_it() {
        let (mut timed, reader, clock) = reader();
        timed.reset_within(Some(SECOND));
        let resets = reader.resets();
        clock.pass_millis(999);
        timed.transmit(&SELECT).expect("its last millisecond");
        assert_eq!(reader.seen().resets, 0);
        clock.pass_millis(1);
        resets.recv_timeout(30 * SECOND).expect("a reset");
    }

    #[test]
    fn after_its_time_nothing_is_said_to_the_card_until_its_user_has_reset_it() {
        let (mut timed, reader, clock) = reader();
        timed.transmit(&SELECT).unwrap();
        timed.reset_within(Some(SECOND));
        clock.pass(1);
        for _ in 0..3 {
            assert!(matches!(timed.transmit(&SELECT), Err(TransportError::Expired)));
        }
        assert_eq!((reader.commands(), reader.seen().resets), (1, 1));
        timed.reset().unwrap();
        timed.transmit(&SELECT).unwrap();
        assert_eq!((reader.commands(), reader.seen().resets), (2, 2));
    }

    #[test]
    fn a_reset_and_another_time_end_the_time_that_was_given() {
        let (mut timed, reader, clock) = reader();
        for (n, other) in [None, Some(60 * SECOND)].into_iter().enumerate() {
            timed.reset_within(Some(SECOND));
            timed.reset_within(other);
            clock.pass(2);
            timed.transmit(&SELECT).unwrap();
            assert_eq!(reader.seen().resets, n);
            timed.reset().unwrap();
        }
        clock.pass(60);
        timed.transmit(&SELECT).unwrap();
        assert_eq!(reader.seen().resets, 2);
    }

    #[test]
    fn whoever_lets_a_reader_go_has_let_it_go_though_its_time_is_watched() {
        struct Held(#[expect(dead_code, reason = "its end is what counts")] mpsc::Sender<()>);
        impl CardTransport for Held {
            fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
                Err(TransportError::NoCard)
            }

            fn reset(&mut self) -> Result<(), TransportError> {
                Ok(())
            }
        }
        for _ in 0..100 {
            let (held, gone) = mpsc::channel();
            let mut timed = Timed::by(Held(held), StillClock::default());
            timed.reset_within(Some(SECOND));
            drop(timed);
            assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        }
    }
}
