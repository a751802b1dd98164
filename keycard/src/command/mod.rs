//! The applet's commands, one file each: the bytes that are sent, and the form of the answer.

pub(crate) mod export_key;
pub(crate) mod factory_reset;
pub(crate) mod generate_key;
pub(crate) mod identify;
pub(crate) mod init;
pub(crate) mod load_key;
pub(crate) mod open;
pub(crate) mod open_paired;
pub(crate) mod pair;
pub(crate) mod select;
pub(crate) mod status;
pub(crate) mod unpair;
pub(crate) mod verify_pin;
