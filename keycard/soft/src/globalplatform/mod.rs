//! The issuer security domain: the part of the card's operating system that loads, installs and deletes applets
//! (GlobalPlatform Card Specification 2.1.1, with SCP02 at security level 01).
//!
//! - `domain` is what outlives a power cut: keys, counters, what is loaded and installed;
//! - `channel` is SCP02: who may give orders;
//! - `content` carries the orders out, `applet` makes applets as new;
//! - `load_file` reads what is loaded: the card cannot run it, and looks only at what it says of itself.
//!
//! The invariant: nothing is loaded, installed or deleted, and no key replaced, for whom has not proven the keys in this
//! session; and after [`MAX_FAILURES`](domain::MAX_FAILURES) wrong proofs in a row nobody can prove them any more.

mod applet;
mod channel;
mod content;
mod des;
mod domain;
mod load_file;

pub(crate) use domain::{AppletName, Domain};

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::memory::Memory;
use crate::status::StatusWord;
use channel::Channel;
use load_file::Loading;
use rand_core::CryptoRng;

/// The name of the security domain.
pub(crate) const INSTANCE: &[u8] = &[0xa0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// A selection of the security domain: what it keeps until the next one.
#[derive(Default)]
pub(crate) struct Session {
    channel: Channel,
    loading: Option<Loading>,
}

/// Answers a SELECT of the security domain: its name, and that a command carries at most 255 bytes.
pub(crate) fn select() -> Answer {
    let proprietary = [0xa5, 0x04, 0x9f, 0x65, 0x01, 0xff];
    let body = [&[0x84, 0x08], INSTANCE, &proprietary].concat();
    Ok(Zeroizing::new([&[0x6f, 0x10], body.as_slice()].concat()))
}

impl Session {
    /// Answers one command.
    pub(crate) fn handle(&mut self, memory: &mut Memory, command: &Command<'_>, rng: &mut dyn CryptoRng) -> Answer {
        match command.ins {
            channel::INITIALIZE_UPDATE => {
                *self = Self::default();
                return self.channel.initialize(memory, command, rng);
            }
            channel::EXTERNAL_AUTHENTICATE => return self.channel.authenticate(memory, command),
            _ => {}
        }
        let data = self.channel.open(command).inspect_err(|_| *self = Self::default())?;
        let command = command.with(data);
        if command.ins != content::LOAD {
            // A load file comes in one piece.
            self.loading = None;
        }
        match command.ins {
            content::DELETE => content::delete(memory, &command, rng),
            content::INSTALL if command.p1 == content::FOR_LOAD => {
                self.loading = Some(content::announce(memory, &command)?);
                content::confirmed()
            }
            content::INSTALL => content::install(memory, &command, rng),
            content::LOAD => {
                let loading = self.loading.take().ok_or(StatusWord::CONDITIONS)?;
                self.loading = content::load(memory, &command, loading)?;
                content::confirmed()
            }
            content::GET_STATUS => content::status(memory, &command),
            content::PUT_KEY => content::put_key(memory, &command, self.channel.data_key()),
            _ => Err(StatusWord::UNKNOWN_INS),
        }
    }
}

#[cfg(test)]
mod tests;
