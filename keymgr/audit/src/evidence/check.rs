//! The check of one line that holds a card's signature, apart from whether it speaks of the right head.

use std::collections::BTreeMap;

use proto::{CardId, ChatKey, Digest, curve};

use super::certificate::{Authority, Certificate};
use super::opening::transcript_of;
use super::signature;
use crate::entry::ChannelOpened;
use crate::head::{HeadSigned, Statement};
use crate::paired::{PairedChannelOpened, SignedHead};

/// Certificates that were parsed, with who they are by: a log shows the same few again and again.
#[derive(Debug, Default)]
pub(crate) struct Certificates(BTreeMap<Vec<u8>, (Certificate, Option<Authority>)>);

impl Certificates {
    /// Returns a certificate and who it is by, which must be who the line says.
    fn certified(&mut self, bytes: &[u8], named: &str) -> Result<(Certificate, Option<Authority>), Unsigned> {
        let known = self.0.get(bytes).copied();
        let (certificate, authority) = match known {
            Some(known) => known,
            None => {
                let certificate = Certificate::parse(bytes).map_err(|_| Unsigned::Certificate)?;
                let known = (certificate, certificate.authority());
                if self.0.len() < MOST_CERTIFICATES {
                    self.0.insert(bytes.to_vec(), known);
                }
                known
            }
        };
        let is_other = authority.is_some_and(|authority| authority.to_string() != named);
        if is_other { Err(Unsigned::OtherAuthority) } else { Ok((certificate, authority)) }
    }
}

/// A signature that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The key that signed.
    pub(crate) identity: ChatKey,
    /// Who vouches for that key.
    pub(crate) authority: Option<Authority>,
    /// The X coordinate of R.
    pub(crate) nonce: [u8; 32],
    /// What was signed.
    pub(crate) digest: Digest,
}

/// Why a line holds no signature of its card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsigned {
    /// Its certificate is none.
    #[error("its certificate is malformed")]
    Certificate,
    /// Its certificate is that of another card.
    #[error("its certificate is that of another card")]
    OtherCard,
    /// Its certificate is not by the authority that the line names.
    #[error("its certificate is not by the authority that it names")]
    OtherAuthority,
    /// The signature is none.
    #[error("its signature is malformed")]
    Malformed,
    /// The signature is of something else, or by another key.
    #[error("its signature does not verify")]
    False,
    /// The key is not the one with which the card signed, as the outcome tells.
    #[error("its key is not the one that the outcome of the signature names")]
    OtherKey,
    /// The key is none of the curve.
    #[error("it names a key that is none")]
    Key,
}

impl ChannelOpened {
    /// Returns who signed the opening.
    pub(crate) fn check(&self, known: &mut Certificates) -> Result<Checked, Unsigned> {
        let (certificate, authority) = known.certified(self.certificate.as_bytes(), self.authority.as_str())?;
        if self.card != CardId::Identity(certificate.identity().to_compressed()) {
            return Err(Unsigned::OtherCard);
        }
        let digest = transcript_of(&self.salt, self.host_key.as_bytes(), self.card_key.as_bytes());
        let nonce = signed(self.signature.as_bytes(), &digest, certificate.identity())?;
        Ok(Checked { identity: *certificate.identity(), authority, nonce, digest })
    }
}

impl SignedHead {
    /// Returns who signed the salt.
    pub(crate) fn check(&self, known: &mut Certificates) -> Result<Checked, Unsigned> {
        let (certificate, authority) = known.certified(self.certificate.as_bytes(), self.authority.as_str())?;
        let digest = Digest::from(self.salt);
        let nonce = signed(self.signature.as_bytes(), &digest, certificate.identity())?;
        Ok(Checked { identity: *certificate.identity(), authority, nonce, digest })
    }
}

impl PairedChannelOpened {
    /// Returns who signed, if anybody did.
    pub(crate) fn check(&self, known: &mut Certificates) -> Option<Result<Checked, Unsigned>> {
        self.signed.as_ref().map(|signed| signed.check(known))
    }
}

impl HeadSigned {
    /// Returns who signed.
    pub(crate) fn check(&self, known: &mut Certificates) -> Result<Checked, Unsigned> {
        let checked = self.signed.check(known)?;
        // A card that is named by its identity must have signed with it.
        match self.card {
            CardId::Identity(key) if key != checked.identity.to_compressed() => Err(Unsigned::OtherCard),
            _ => Ok(checked),
        }
    }
}

impl Statement {
    /// Returns the key that signed. Nobody vouches for it but who knows the account.
    pub(crate) fn check(&self) -> Result<ChatKey, Unsigned> {
        let key = ChatKey::try_from(self.key.as_bytes()).map_err(|_| Unsigned::Key)?;
        let rs = self.signature.as_bytes().try_into().map_err(|_| Unsigned::Malformed)?;
        if curve::verify(rs, &Digest::from(self.salt), &key) { Ok(key) } else { Err(Unsigned::False) }
    }
}

/// Returns the X coordinate of R.
fn signed(der: &[u8], digest: &Digest, by: &ChatKey) -> Result<[u8; 32], Unsigned> {
    let rs = signature::parse(der).ok_or(Unsigned::Malformed)?;
    let nonce = *rs.first_chunk().ok_or(Unsigned::Malformed)?;
    if curve::verify(&rs, digest, by) { Ok(nonce) } else { Err(Unsigned::False) }
}

const MOST_CERTIFICATES: usize = 1000;
