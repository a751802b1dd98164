//! What an envelope's data holds once it is decrypted, and how it gets there (7/WAKU-DATA, 26/WAKU2-PAYLOAD).
//!
//! [`plaintext`] is the format, [`symmetric`] and [`asymmetric`] are the two ways to encrypt it, [`Sealer`] makes whole
//! envelopes, [`Filters`] open them for whoever listens. Opening goes in stages, and the error says which one failed: the decryption, or the format inside.

pub mod asymmetric;
pub mod filter;
pub mod plaintext;
pub mod sealer;
pub mod symmetric;

pub use asymmetric::open_asymmetric;
pub use filter::{Arrival, Filter, Filters};
pub use plaintext::Opened;
pub use sealer::{Letter, SealError, SealToken, Sealer};
pub use symmetric::{SymKey, open_symmetric};

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not for this key, or was altered on its way: which one is nobody's business.
    #[error("the envelope does not decrypt with this key")]
    Decrypt,
    /// It decrypts, but what is inside has not the format.
    #[error("malformed payload: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}
