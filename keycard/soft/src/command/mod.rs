//! The applet's commands, one file each, and the tables that find them.
//!
//! A command takes the applet and what the channel had hidden, and gives its answer. It checks first, then changes the memory
//! in one transaction, then answers.

pub(crate) mod change_pin;
pub(crate) mod derive_key;
pub(crate) mod ecdh;
pub(crate) mod export_bip85;
pub(crate) mod export_key;
pub(crate) mod export_lee;
pub(crate) mod factory_reset;
pub(crate) mod generate_key;
pub(crate) mod generate_mnemonic;
pub(crate) mod get_challenge;
pub(crate) mod get_data;
pub(crate) mod get_status;
pub(crate) mod identify_card;
pub(crate) mod init;
pub(crate) mod load_key;
pub(crate) mod mutually_authenticate;
pub(crate) mod open_secure_channel;
pub(crate) mod pair;
pub(crate) mod remove_key;
pub(crate) mod select;
pub(crate) mod set_ndef;
pub(crate) mod set_pinless_path;
pub(crate) mod sign;
pub(crate) mod store_data;
pub(crate) mod unblock_pin;
pub(crate) mod unpair;
pub(crate) mod verify_pin;

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::model::Model;
use crate::status::StatusWord;

type Handler = fn(&mut Applet, &Command<'_>) -> Answer;

/// Answers a command that came through the secure channel of 4.0.
pub(crate) fn from_v4(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if applet.memory.owner().is_none() {
        return match command.ins {
            init::INS => init::inner(applet, command),
            get_challenge::INS => get_challenge::handle(applet, command),
            // The applet answers 9000 to everything before INIT.
            _ => done(),
        };
    }
    let handler = find(command.ins, Model::V4_0).ok_or(StatusWord::UNKNOWN_INS)?;
    handler(applet, command)
}

/// Answers a command of a card before 4.0, as it came over the wire.
///
/// What is refused here, before the channel has decrypted anything, is answered under the IV of the answer before.
pub(crate) fn before_v4(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let model = applet.memory.model();
    if applet.memory.owner().is_none() {
        return match command.ins {
            init::INS => init::one_shot(applet, command),
            identify_card::INS if model.has_identity() => identify_card::handle(applet, command.data),
            _ => Err(StatusWord::UNKNOWN_INS),
        };
    }
    match command.ins {
        open_secure_channel::INS => open_secure_channel::v1(applet, command),
        mutually_authenticate::INS => mutually_authenticate::handle(applet, command),
        pair::INS => pair::handle(applet, command),
        sign::INS => sign::before_v4(applet, command),
        factory_reset::INS if model.has_duress() => factory_reset::handle(applet, command),
        identify_card::INS if model.has_identity() => {
            if applet.v1.is_open() {
                let data = applet.v1.open(command)?;
                return identify_card::handle(applet, &data);
            }
            identify_card::handle(applet, command.data)
        }
        get_data::INS if model.has_data() => {
            if applet.v1.is_open() {
                applet.v1.open(command)?;
            }
            get_data::handle(applet, command)
        }
        ins => {
            let handler = find(ins, model).ok_or(StatusWord::UNKNOWN_INS)?;
            let data = applet.v1.open(command)?;
            handler(applet, &command.with(&data))
        }
    }
}

/// Returns the command that needs a channel and nothing else to be looked at before.
fn find(ins: u8, model: Model) -> Option<Handler> {
    let handler: Handler = match ins {
        verify_pin::INS => verify_pin::handle,
        change_pin::INS => change_pin::handle,
        unblock_pin::INS => unblock_pin::handle,
        load_key::INS => load_key::handle,
        generate_mnemonic::INS => generate_mnemonic::handle,
        remove_key::INS => remove_key::handle,
        generate_key::INS => generate_key::handle,
        export_key::INS => export_key::handle,
        get_status::INS => get_status::handle,
        store_data::INS if model.has_data() => store_data::handle,
        set_ndef::INS if !model.has_data() => set_ndef::handle,
        unpair::INS if model.has_pairings() => unpair::handle,
        derive_key::INS if model.has_pairings() => derive_key::handle,
        set_pinless_path::INS if model.has_pairings() => set_pinless_path::handle,
        get_challenge::INS if model == Model::V4_0 => get_challenge::handle,
        sign::INS if model == Model::V4_0 => sign::from_v4,
        export_lee::INS if model == Model::V4_0 => export_lee::handle,
        export_bip85::INS if model == Model::V4_0 => export_bip85::handle,
        ecdh::INS if model == Model::V4_0 => ecdh::handle,
        get_data::INS if model == Model::V4_0 => get_data::handle,
        _ => return None,
    };
    Some(handler)
}
