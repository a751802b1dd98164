//! The last step of an installation: the identity of the card, which the Ident applet keeps.
//!
//! ```text
//! SELECT Ident, STORE DATA 80 E2 00 00 82 certificate(98) || private key(32), SELECT Ident -> certificate(98)
//! ```
//! The key goes to the card in clear: there is no channel to an applet without a key. So the host and the reader are to
//! be trusted at this moment, as a factory is.

use audit::{Operation, Recorded, Request};
use k256::SecretKey;
use k256::ecdsa::SigningKey;
use proto::{CardId, ChatKey, Secret};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::apdu::Command;
use crate::card::{Blank, Card, Selection};
use crate::command::select;
use crate::error::{CardError, Failed};
use crate::globalplatform::aid;
use crate::globalplatform::error::InstallError;
use crate::transport::{CardTransport, exchange};
use audit::evidence::{Authority, Certificate};

/// The private key of an authority that signs identity certificates.
pub struct AuthorityKey(SigningKey);

/// Why bytes are no key of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnAuthority {
    /// They are no private key.
    #[error("a key of a certificate authority is 32 bytes, or 64 hexadecimal digits, and not zero")]
    NotAKey,
    /// They are the key that everybody has.
    #[error("this is the public test authority, whose word proves nothing; ask for it by its name")]
    Test,
}

impl AuthorityKey {
    /// Reads the content of a key file: 32 bytes, or 64 hexadecimal digits and white space around them.
    ///
    /// # Errors
    /// [`NotAnAuthority`]: the test authority is never taken for another one.
    pub fn parse(file: &[u8]) -> Result<Self, NotAnAuthority> {
        let digits = file.trim_ascii();
        let key = match (Secret::<32>::copy_from(file), digits.as_chunks::<2>()) {
            (Some(key), _) => key,
            (None, (pairs, [])) if pairs.len() == 32 => Secret::try_fill(|room| {
                room.iter_mut().zip(pairs).try_for_each(|(byte, pair)| {
                    *byte = hexadecimal(*pair).ok_or(NotAnAuthority::NotAKey)?;
                    Ok(())
                })
            })?,
            _ => return Err(NotAnAuthority::NotAKey),
        };
        let key = SigningKey::from_slice(key.expose()).map_err(|_| NotAnAuthority::NotAKey)?;
        let key = Self(key);
        if key.authority() == Authority::Test { Err(NotAnAuthority::Test) } else { Ok(key) }
    }

    /// Returns the authority of the applet's test suite, whose private key is public: it proves nothing.
    #[must_use]
    pub fn test() -> Self {
        Self(SigningKey::from_slice(&TEST).expect("the published key is one"))
    }

    /// Returns who it is.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority::from(ChatKey::from(k256::PublicKey::from(self.0.verifying_key())))
    }

    /// Draws the identity of a new card and signs its certificate.
    ///
    /// # Errors
    /// [`CardError::Misuse`] when the dice give no key.
    pub fn issue(&self, rng: &mut dyn CryptoRng) -> Result<IssuedIdentity, CardError> {
        const NO_KEY: CardError = CardError::Misuse { what: "the random numbers give no key" };
        let key = Secret::<32>::fill(|room| rng.fill_bytes(room));
        let public = SecretKey::from_slice(key.expose()).map_err(|_| NO_KEY)?.public_key();
        let public = ChatKey::from(public).to_compressed();
        let (signature, recovery) = self.0.sign_prehash_recoverable(&Sha256::digest(public));
        let bytes = [&public[..], &signature.to_bytes(), &[recovery.to_byte()]].concat();
        Ok(IssuedIdentity { key, certificate: Certificate::parse(&bytes)? })
    }
}

/// An identity that no card has yet.
pub struct IssuedIdentity {
    key: Secret<32>,
    certificate: Certificate,
}

impl IssuedIdentity {
    /// Returns its certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// A card whose applets are installed.
pub struct Installed<T> {
    transport: T,
    chip: CardId,
}

impl<T> Installed<T> {
    pub(crate) fn new(transport: T, chip: CardId) -> Self {
        Self { transport, chip }
    }

    /// Gives the transport back, with the card as it is.
    #[must_use]
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// Returns the request that a record must hold before the card takes this identity.
    #[must_use]
    pub fn request(&self, identity: &IssuedIdentity) -> Request {
        let operation = Operation::Personalise(identity.certificate.identity().to_compressed());
        Request { card: self.chip, key_uid: None, operation }
    }
}

impl<T: CardTransport> Installed<T> {
    /// Gives the card its identity. Applet 4.0 answers nothing before; 3.1 and 3.2 can do without.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`InstallError::Refused`], [`InstallError::NotInstalled`] when
    /// the card does not show the certificate afterwards, [`InstallError::Card`].
    pub fn personalise(
        mut self,
        identity: &IssuedIdentity,
        recorded: &mut Recorded,
    ) -> Result<Self, Failed<T, InstallError>> {
        let request = self.request(identity);
        match store(&mut self.transport, identity, &request, recorded) {
            Ok(()) => Ok(self),
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }

    /// Selects the new Keycard.
    ///
    /// # Errors
    /// [`InstallError::NotInstalled`] when it is not blank; [`InstallError::Card`].
    pub fn select(self) -> Result<Card<Blank, T>, Failed<T, InstallError>> {
        match select::select(self.transport) {
            Ok(Selection::Blank(card)) => Ok(card),
            Ok(Selection::Initialised(card)) => {
                let error = InstallError::NotInstalled { what: "the Keycard has a PIN already" };
                Err(Failed { transport: card.into_transport(), error })
            }
            Err(Failed { transport, error }) => Err(Failed { transport, error: error.into() }),
        }
    }
}

fn store<T: CardTransport>(
    transport: &mut T,
    identity: &IssuedIdentity,
    request: &Request,
    recorded: &mut Recorded,
) -> Result<(), InstallError> {
    recorded.spend(request).map_err(CardError::from)?;
    let certificate = identity.certificate.as_bytes();
    certificate_on(transport)?;
    let store = Command::with_body([0x80, 0xE2, 0x00, 0x00], &[certificate, identity.key.expose()])?;
    exchange(transport, store)?.success("STORE DATA of the Ident applet")?;
    if certificate_on(transport)? == certificate {
        Ok(())
    } else {
        Err(InstallError::NotInstalled { what: "its certificate" })
    }
}

/// Selects the Ident applet and returns the certificate that it shows.
fn certificate_on<T: CardTransport>(transport: &mut T) -> Result<Vec<u8>, CardError> {
    let (_, instance) = aid::IDENT;
    let answer = exchange(transport, Command::with_body([0x00, 0xA4, 0x04, 0x00], &[instance])?)?;
    Ok(answer.success("SELECT of the Ident applet")?.to_vec())
}

fn hexadecimal(pair: [u8; 2]) -> Option<u8> {
    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

/// The private key of the applet test suite's authority: published, so its word proves nothing.
const TEST: [u8; 32] = [
    0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0xA7, 0xB8, 0xC9, 0xD0, 0xE1, 0xF2, 0xA3, 0xB4, 0xC5, 0xD6, 0xE7, 0xF8, 0xA9,
    0xB0, 0xC1, 0xD2, 0xE3, 0xF4, 0xA5, 0xB6, 0xC7, 0xD8, 0xE9, 0xF0, 0xA1, 0xB2,
];

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;

    #[test]
    fn an_issued_certificate_names_its_authority() {
        let ours = AuthorityKey::parse(&[7; 32]).unwrap();
        let mut dice = TestDice::seeded(1);
        for (authority, name) in
            [(AuthorityKey::test(), Authority::Test), (ours, AuthorityKey::parse(&[7; 32]).unwrap().authority())]
        {
            let identity = authority.issue(&mut dice).unwrap();
            assert_eq!(identity.certificate().authority(), Some(name));
        }
    }

    #[test]
    fn a_key_file_holds_bytes_or_digits_and_never_the_key_of_everybody() {
        let digits = "07".repeat(32);
        for file in [&[7; 32][..], digits.as_bytes(), format!(" {digits}\n").as_bytes()] {
            assert!(AuthorityKey::parse(file).is_ok());
        }
        let zero = "00".repeat(32);
        for file in [&b""[..], &[7; 31], &[0; 32], zero.as_bytes(), "0g".repeat(32).as_bytes(), &digits.as_bytes()[1..]]
        {
            assert_eq!(AuthorityKey::parse(file).err(), Some(NotAnAuthority::NotAKey));
        }
        for file in [&TEST[..], hex::encode(TEST).as_bytes()] {
            assert_eq!(AuthorityKey::parse(file).err(), Some(NotAnAuthority::Test));
        }
    }
}
