//! ECIES over the plaintext, to the public key of one recipient (7/WAKU-DATA; reference section 2.10).
//!
//! The shared data s2 is empty. What is encrypted is [`super::plaintext`], the same as in the symmetric way.

use k256::SecretKey;

use super::{OpenError, Opened};
use crate::ecies;
use crate::waku::Envelope;

/// Opens an envelope with a private key.
///
/// # Errors
/// [`OpenError::Decrypt`] when it is not for this key, [`OpenError::Malformed`] when what is inside has not the format.
pub fn open_asymmetric(envelope: &Envelope, key: &SecretKey) -> Result<Opened, OpenError> {
    Opened::parse(ecies::open(key, &[], envelope.data()).map_err(|_| OpenError::Decrypt)?)
}
