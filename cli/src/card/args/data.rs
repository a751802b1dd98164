//! Options of the verbs about data slots.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{AccessArgs, ContactArgs};

/// Verbs about the public data slot.
#[derive(Debug, Subcommand)]
pub(crate) enum DataVerb {
    /// Show a slot.
    Get(DataGetArgs),
    /// Write a slot. What was there is replaced.
    Set(DataSetArgs),
}

/// A slot that is no NDEF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Slot {
    /// For any program; Status keeps its metadata here.
    Public,
    /// What the Cash applet shows.
    Cash,
}

/// Options of `data get`.
#[derive(Debug, Args)]
pub(crate) struct DataGetArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Which slot.
    #[arg(long, value_enum, default_value_t = Slot::Public)]
    pub(crate) slot: Slot,
}

/// Options of `data set`.
#[derive(Debug, Args)]
#[group(id = "content", required = true, multiple = false, args = ["hex", "file", "name"])]
pub(crate) struct DataSetArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Which slot.
    #[arg(long, value_enum, default_value_t = Slot::Public)]
    pub(crate) slot: Slot,
    /// The bytes, in hexadecimal.
    #[arg(long)]
    pub(crate) hex: Option<String>,
    /// The file with the bytes.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// A name for the card, in the metadata of Status.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Wallet accounts for the metadata of Status: the last numbers of their paths.
    #[arg(long, value_delimiter = ',', requires = "name")]
    pub(crate) accounts: Vec<u32>,
}

/// Verbs about NDEF.
#[derive(Debug, Subcommand)]
pub(crate) enum NdefVerb {
    /// Show the message.
    Get(ContactArgs),
    /// Write the message. What was there is replaced.
    Set(NdefSetArgs),
}

/// Options of `ndef set`.
#[derive(Debug, Args)]
#[group(id = "message", required = true, multiple = false, args = ["uri", "text", "ndef_hex", "ndef_file"])]
pub(crate) struct NdefSetArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// A record with this address.
    #[arg(long)]
    pub(crate) uri: Option<String>,
    /// A record with this text.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// The language of the text.
    #[arg(long, value_name = "CODE", default_value = "en")]
    pub(crate) language: String,
    /// The message, in hexadecimal, without its length.
    #[arg(long = "hex", id = "ndef_hex")]
    pub(crate) ndef_hex: Option<String>,
    /// The file with the message, without its length.
    #[arg(long = "file", id = "ndef_file")]
    pub(crate) ndef_file: Option<PathBuf>,
}
