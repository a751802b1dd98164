//! The applet's commands, one file each, and the table that finds them.
//!
//! A command takes the applet and the inner command and gives its answer. It checks first, then changes the memory in one
//! transaction, then answers.

pub(crate) mod export_key;
pub(crate) mod factory_reset;
pub(crate) mod generate_key;
pub(crate) mod get_challenge;
pub(crate) mod get_status;
pub(crate) mod init;
pub(crate) mod load_key;
pub(crate) mod open_secure_channel;
pub(crate) mod select;
pub(crate) mod verify_pin;

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::status::StatusWord;

/// Answers a command that came through the secure channel.
pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if applet.memory.owner().is_none() {
        return match command.ins {
            init::INS => init::handle(applet, command),
            get_challenge::INS => get_challenge::handle(applet, command),
            // The applet answers 9000 to everything before INIT.
            _ => done(),
        };
    }
    match command.ins {
        verify_pin::INS => verify_pin::handle(applet, command),
        get_challenge::INS => get_challenge::handle(applet, command),
        export_key::INS => export_key::handle(applet, command),
        load_key::INS => load_key::handle(applet, command),
        generate_key::INS => generate_key::handle(applet),
        get_status::INS => get_status::handle(applet, command),
        _ => Err(StatusWord::UNKNOWN_INS),
    }
}
