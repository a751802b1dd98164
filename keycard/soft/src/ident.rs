//! The Ident applet (3.1 and later): where the factory stores the card's certificate and its key, once.
//!
//! ```text
//! SELECT       certificate(98), or nothing
//! STORE DATA   80 E2 00 00 82 certificate(98) private key(32)
//! ```

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command, done};
use crate::command::store_data;
use crate::identity::Identity;
use crate::memory::Memory;
use crate::status::StatusWord;

/// Answers a SELECT of the applet.
pub(crate) fn select(memory: &Memory) -> Answer {
    Ok(Zeroizing::new(memory.identity().map_or_else(Vec::new, |identity| identity.certificate().to_vec())))
}

pub(crate) fn handle(memory: &mut Memory, command: &Command<'_>) -> Answer {
    if command.ins != store_data::INS {
        return Err(StatusWord::UNKNOWN_INS);
    }
    if memory.identity().is_some() {
        return Err(StatusWord::CONDITIONS);
    }
    let data: &[u8; 130] = command.data.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    let identity = Identity::store(data);
    memory.commit(|state| state.identity = Some(identity))?;
    done()
}
