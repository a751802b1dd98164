//! Options of the verbs about pairings.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AccessArgs, ContactArgs, TargetArgs};

/// Options of `pair`.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Ask for the card's pairing password.
    #[arg(long)]
    pub(crate) password: bool,
    /// Read the card's pairing password from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) password_fd: Option<u32>,
}

/// Options of `unpair`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["slot", "others", "ours"])]
pub(crate) struct UnpairArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The pairing in this slot.
    #[arg(long, value_name = "N")]
    pub(crate) slot: Option<u32>,
    /// Every pairing but ours.
    #[arg(long)]
    pub(crate) others: bool,
    /// Our own pairing, which is forgotten.
    #[arg(long)]
    pub(crate) ours: bool,
}

/// Verbs about pairings.
#[derive(Debug, Subcommand)]
pub(crate) enum PairingsVerb {
    /// Take pairings of another program: a desktop pairings.json, or the base64 text of a phone for one card.
    Import(ImportArgs),
    /// Hand pairings over. Whoever has one can open a channel to the card and try PINs.
    Export(ExportArgs),
    /// Set another pairing password, or a random secret that nobody knows. Pairings that there are go on.
    Password(PasswordArgs),
}

/// Options of `pairings import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Read them from this open file descriptor instead of FILE.
    #[arg(long, value_name = "N", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) fd: Option<u32>,
    /// The file.
    pub(crate) file: Option<PathBuf>,
    /// It is the text of a phone, and the pairing of the card that is named.
    #[arg(long)]
    pub(crate) mobile: bool,
}

/// Options of `pairings export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Of all cards, not only of the one in the reader.
    #[arg(long, conflicts_with_all = ["mobile", "card", "reader"])]
    pub(crate) all: bool,
    /// As the text of a phone.
    #[arg(long)]
    pub(crate) mobile: bool,
    /// Write them to this open file descriptor instead of the terminal.
    #[arg(long, value_name = "N")]
    pub(crate) write_fd: Option<u32>,
}

/// Options of `pairings password`.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// A random secret: no other computer can be paired from then on.
    #[arg(long)]
    pub(crate) random: bool,
    /// Read the password from this open file descriptor.
    #[arg(long, value_name = "N", conflicts_with = "random")]
    pub(crate) password_fd: Option<u32>,
}
