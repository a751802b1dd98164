//! The applet's commands, one file each: the bytes that are sent, and the form of the answer.

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
pub(crate) mod identify;
pub(crate) mod init;
pub(crate) mod load_key;
pub(crate) mod open;
pub(crate) mod open_paired;
pub(crate) mod pair;
pub(crate) mod remove_key;
pub(crate) mod select;
pub(crate) mod set_pinless_path;
pub(crate) mod sign;
pub(crate) mod status;
pub(crate) mod store_data;
pub(crate) mod unblock_pin;
pub(crate) mod unpair;
pub(crate) mod verify_pin;
