//! One Keycard, one session: select it, open the secure channel, verify the PIN, ask for keys.
//!
//! ```text
//! select ─▶ Card<Blank> ── init ──▶ Card<Selected> ── open ──▶ Card<Secured> ── verify_pin ──▶ Card<Unlocked>
//! ```
//! Each step consumes the one before, so a step cannot be left out. Nothing that the card says is believed: its
//! certificate, its proof of identity and the form of every answer are checked here. The invariant: no command that
//! makes, loads or exports a key is sent without a spent [`audit::Recorded`] of that very request.
//!
//! This crate speaks to applet 4.0 (secure channel v2), and recognises older generations to say that it does not.

mod apdu;
mod application_info;
mod card;
mod certificate;
mod channel;
mod command;
mod error;
mod opening;
mod seed;
mod signature;
mod status_word;
mod tlv;
mod transport;
mod trust;
mod version;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod transcript;

pub use application_info::ApplicationInfo;
pub use card::{Blank, Card, Secured, Selected, Selection, Unlocked};
pub use certificate::{Authority, Certificate};
pub use command::export_key::ExtendedPublic;
pub use command::init::InitSecrets;
pub use command::select::select;
pub use command::status::Status;
pub use command::verify_pin::VerifyError;
pub use error::{CardError, Failed, Lost, Unsuitable};
pub use opening::Opening;
pub use seed::{Mnemonic, Seed, SeedError};
pub use status_word::StatusWord;
pub use transport::{CardTransport, NoService, TransportError};
pub use trust::{Trust, Untrusted};
pub use version::{Feature, Version};
