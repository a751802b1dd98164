//! The transport of a broker, which resets its card when it is lost.
//!
//! The invariant: a card that has heard a command since its last reset is reset before its transport is gone, whoever
//! drops it: a step that panics has the card on its stack, and its unwinding ends here.

use std::time::{Duration, Instant};

use keycard::{Card, CardTransport, TransportError, Unlocked};

use crate::metrics::{Metrics, instruction};

/// A card with a validated PIN.
pub(crate) type GuardedCard<T> = Card<Unlocked, Guarded<T>>;

/// A transport whose end resets the card.
pub(crate) struct Guarded<T: CardTransport> {
    transport: T,
    /// Whether the card has heard a command since its last reset.
    spoken: bool,
    /// The instruction inside the next secured command, if its sender said so.
    inside: Option<u8>,
    metrics: Metrics,
}

impl<T: CardTransport> Guarded<T> {
    pub(crate) const fn new(transport: T, metrics: Metrics) -> Self {
        Self { transport, spoken: false, inside: None, metrics }
    }

    /// Makes sure that what was said to the card is forgotten by it. A card that has gone has forgotten.
    ///
    /// # Errors
    /// The reader's: the card may still have its validated PIN.
    pub(crate) fn settle(&mut self) -> Result<(), TransportError> {
        match self.spoken.then(|| self.reset()) {
            Some(Err(TransportError::NoCard)) | None => Ok(()),
            Some(result) => result,
        }
    }
}

impl<T: CardTransport> CardTransport for Guarded<T> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.spoken = true;
        let outside = instruction::of(command);
        let inside = self.inside.take().filter(|_| outside == instruction::SECURED);
        let began = Instant::now();
        let answer = self.transport.transmit(command);
        // A card whose time is over took none.
        if !matches!(answer, Err(TransportError::Expired)) {
            self.metrics.command(inside.unwrap_or(outside), began.elapsed());
        }
        answer
    }

    fn announce(&mut self, instruction: u8) {
        self.inside = Some(instruction);
        self.transport.announce(instruction);
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.transport.reset()?;
        self.spoken = false;
        Ok(())
    }

    fn reset_within(&mut self, left: Option<Duration>) {
        self.transport.reset_within(left);
    }

    fn is_there(&mut self) -> bool {
        self.transport.is_there()
    }
}

impl<T: CardTransport> Drop for Guarded<T> {
    fn drop(&mut self) {
        if self.spoken
            && let Err(error) = self.transport.reset()
        {
            tracing::error!("the card could not be reset: {error}");
        }
    }
}
