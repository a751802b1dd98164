//! A card that is held: one exclusive connection, on the thread that makes its calls.

use std::ffi::CString;

use pcsc::{Card, Disposition, MAX_BUFFER_SIZE, Protocols, ShareMode};
use zeroize::Zeroizing;

use crate::line::Line;
use crate::service::{Holding, Readers, establish};
use crate::trouble::Trouble;

/// A card that nobody else can speak to. Its end resets the card, on every way: the connection is dropped with the thread
/// that has it, and when this process dies the service does it.
pub(crate) struct Session {
    line: Line<Option<Card>>,
    readers: Readers,
    name: String,
    _ours: Holding,
}

impl Session {
    /// Takes the card in the reader of this name.
    pub(crate) fn open(readers: &Readers, name: &str) -> Result<Self, Trouble> {
        let mut line = Line::<Option<Card>>::start(&readers.hanging, name)?;
        let reader = CString::new(name).map_err(|_| Trouble::NoReader { name: name.to_owned() })?;
        line.call(readers.moment(), move |card| {
            // The context of this thread alone: a call that hangs blocks every other one of its context.
            let context = establish()?;
            *card = Some(context.connect(&reader, ShareMode::Exclusive, Protocols::T0 | Protocols::T1)?);
            Ok(())
        })?
        .map_err(|error| Trouble::opening(name, error))?;
        Ok(Self { line, readers: readers.clone(), name: name.to_owned(), _ours: readers.ours.hold(name) })
    }

    /// Sends one command, whose instruction is this, and returns the answer.
    pub(crate) fn transmit(&mut self, command: &[u8], instruction: u8) -> Result<Vec<u8>, Trouble> {
        let command = Zeroizing::new(command.to_vec());
        let answer = self.line.call(self.readers.time_for(instruction), move |card| {
            let Some(card) = card else { return Err(pcsc::Error::InvalidHandle) };
            let mut room = Zeroizing::new([0; MAX_BUFFER_SIZE]);
            match card.transmit(&command, room.as_mut_slice()) {
                // vpcd answers so when the card goes away in the middle of a command.
                Ok([]) => Err(pcsc::Error::RemovedCard),
                Ok(answer) => Ok(answer.to_vec()),
                // Drivers say so of anything; the service knows whether the card is there.
                Err(pcsc::Error::NotTransacted) => {
                    Err(card.status2_owned().err().unwrap_or(pcsc::Error::NotTransacted))
                }
                Err(error) => Err(error),
            }
        })?;
        answer.map_err(|error| Trouble::speaking(&self.name, error))
    }

    /// Whether the card has been there since it was taken.
    pub(crate) fn is_there(&mut self) -> bool {
        matches!(
            self.line
                .call(self.readers.moment(), |card| card.as_ref().is_some_and(|card| card.status2_owned().is_ok())),
            Ok(true)
        )
    }

    /// Resets the card and lets it go. A card that has gone has been without power.
    pub(crate) fn close(mut self) -> Result<(), Trouble> {
        let closed = self.line.call(self.readers.moment(), |card| {
            match card.take().map(|card| card.disconnect(Disposition::ResetCard)) {
                None | Some(Ok(())) => Ok(()),
                // Dropping the card tries once more.
                Some(Err((_card, error))) => Err(error),
            }
        })?;
        match closed.map_err(|error| Trouble::speaking(&self.name, error)) {
            Ok(()) | Err(Trouble::Removed | Trouble::Reset) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }
}
