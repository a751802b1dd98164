//! One Keycard, one session: select it, open the secure channel, verify the PIN, ask for keys.
//!
//! ```text
//! select ─▶ Card<Blank> ── init ──▶ Card<Selected> ── open ──▶ Card<Secured> ── verify_pin ──▶ Card<Unlocked>
//!                                        └─ identify, pair: generation v1
//! ```
//! Each step consumes the one before, so a step cannot be left out. Nothing that the card says is believed: its
//! certificate, its proof of identity and the form of every answer are checked here. The invariant: no command that
//! makes, loads, exports, uses or changes a key, or changes who may, is sent without a spent [`audit::Recorded`] of that very request.
//!
//! Applets 2.x and 3.x speak secure channel v1, 4.0 speaks v2; which one is said by the version word alone.

mod access;
mod apdu;
mod application_info;
mod card;
mod channel;
mod command;
mod derivation;
mod error;
mod gate;
mod generation;
pub mod globalplatform;
mod identification;
mod init_secrets;
mod known;
mod known_keys;
mod metadata;
mod ndef;
mod opening;
mod pairing;
mod schnorr;
mod seed;
mod signature;
mod status_word;
mod tlv;
mod transport;
mod trust;
mod version;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_v1;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod faults_v1;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod transcript;
#[cfg(test)]
mod transcript_v1;

pub use access::Access;
pub use application_info::{ApplicationInfo, Kind};
pub use audit::evidence::{Authority, BadList, Certificate};
pub use card::{Blank, Card, Open, Secured, Selected, Selection, Unlocked};
pub use command::cash::{Cash, CashInfo};
pub use command::export_key::ExtendedPublic;
pub use command::export_lee::LeeKeys;
pub use command::reopen::SignedAgain;
pub use command::select::select;
pub use command::sign::Signed;
pub use command::status::Status;
pub use command::unblock_pin::UnblockError;
pub use command::verify_pin::VerifyError;
pub use derivation::ExtendedSecret;
pub use error::{CardError, Failed, Lost, Unsuitable};
pub use generation::Generation;
pub use identification::{Identification, Identity};
pub use init_secrets::{InitSecrets, Tries};
pub use known::{Changed, Known};
pub use known_keys::KnownKeys;
pub use metadata::{Metadata, NotMetadata};
pub use ndef::{NdefRecord, NotNdef};
pub use opening::{Opening, PairedOpening, SignedOpening};
pub use pairing::{Lasting, Pairing, PairingSecret, Unpaired};
pub use schnorr::SchnorrSignature;
pub use seed::{Mnemonic, Seed, SeedError};
pub use status_word::StatusWord;
pub use transport::{CardTransport, NoService, TransportError};
pub use trust::{Trust, Untrusted};
pub use version::{Feature, Version};
