//! Options of the verbs about PIN and PUK.

use clap::{Args, Subcommand};

use super::{AccessArgs, ContactArgs};

/// Options of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Read the PIN (6 digits) from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) pin_fd: Option<u32>,
    /// Read the PUK (12 digits) from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) puk_fd: Option<u32>,
    /// Ask for a duress PIN that you will know.
    #[arg(long)]
    pub(crate) duress: bool,
    /// Read the duress PIN from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) duress_fd: Option<u32>,
    /// How many wrong PINs block it, 2 to 6.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) pin_tries: u32,
    /// How many wrong PUKs block it, 3 to 12.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) puk_tries: u32,
    /// Ask for a pairing password, with which other computers can be paired (2.x and 3.x).
    #[arg(long)]
    pub(crate) pairing_password: bool,
    /// Read the pairing password from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) pairing_password_fd: Option<u32>,
}

/// Verbs about the PIN.
#[derive(Debug, Subcommand)]
pub(crate) enum PinVerb {
    /// Set another PIN. It changes the PIN that was entered: under the duress PIN, that one.
    Change(ChangePinArgs),
    /// Give a blocked PIN a new value with the PUK. Wrong PUKs count: after the last one only a factory reset helps.
    Unblock(UnblockArgs),
}

/// Options of `pin change`.
#[derive(Debug, Args)]
pub(crate) struct ChangePinArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Read the new PIN from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) new_pin_fd: Option<u32>,
}

/// Options of `pin unblock`.
#[derive(Debug, Args)]
pub(crate) struct UnblockArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Read the PUK from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) puk_fd: Option<u32>,
    /// Read the new PIN from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) new_pin_fd: Option<u32>,
    /// Spend the last PUK try: after a wrong one only a factory reset helps, which erases the key.
    #[arg(long)]
    pub(crate) last_try: bool,
}

/// Verbs about the PUK.
#[derive(Debug, Subcommand)]
pub(crate) enum PukVerb {
    /// Set another PUK. There is no way to try a PUK without setting a new PIN: write it down.
    Change(ChangePukArgs),
}

/// Options of `puk change`.
#[derive(Debug, Args)]
pub(crate) struct ChangePukArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Read the new PUK from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) new_puk_fd: Option<u32>,
}
