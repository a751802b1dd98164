//! What SELECT answers (reference: Keycard applet, SELECT response).
//!
//! ```text
//! 4.0  A4 len { 02 02 version, 8C 01 status, 8E 00|20 key UID, 8D 01 capabilities, 8A 62 certificate }
//! 3.x  A4 len { 8F 10 instance UID, 80 41 key, 02 02 version, .. }, not initialised: 80 41 key
//! ```
//! `len` of 4.0 is one too small. Status: 00 not initialised, else 10 | tries left | 20 with a LEE key.
//! Nobody signs this answer: what it says of the key is a hint until a key was fetched inside the channel.

use proto::{CardId, KeyUid};

use crate::certificate::Certificate;
use crate::error::{CardError, Unsuitable};
use crate::tlv::Reader;
use crate::version::Version;

/// An applet of generation 4.0 or newer, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationInfo {
    /// The applet's version.
    pub version: Version,
    /// The PIN tries left, or nothing while the card is not initialised. They are those of the PIN last used.
    pub pin_tries: Option<u8>,
    /// The account, or nothing while there is no key.
    pub key_uid: Option<KeyUid>,
    /// What the applet can do, as bits.
    pub capabilities: u8,
    /// Who the card is.
    pub certificate: Certificate,
}

impl ApplicationInfo {
    /// Reads the data of the answer.
    ///
    /// # Errors
    /// [`CardError::Unsuitable`] for an older generation, [`CardError::Answer`] for anything that is no answer of a
    /// Keycard.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, CardError> {
        const WHAT: &str = "a malformed answer to SELECT";
        let reader = Reader::new(data, WHAT);
        if reader.tag() == Some(0x80) {
            return Err(blank_older_generation(reader)?.into());
        }
        let mut inside = reader.only_to_the_end(0xA4)?;
        if inside.tag() == Some(0x8F) {
            return Err(older_generation(inside)?.into());
        }
        let version = Version::new(*inside.array(0x02)?);
        let [status] = *inside.array(0x8C)?;
        let key_uid = match inside.value(0x8E)? {
            [] => None,
            uid => Some(KeyUid::try_from(uid).map_err(|_| inside.malformed())?),
        };
        let [capabilities] = *inside.array(0x8D)?;
        let certificate = Certificate::parse(inside.array::<{ Certificate::LEN }>(0x8A)?)?;
        inside.end()?;
        if version < Version::V4 {
            return Err(Unsuitable::Generation { version }.into());
        }
        let pin_tries = match status {
            0x00 => None,
            0x10..=0x1f | 0x30..=0x3f => Some(status & 0x0f),
            _ => return Err(CardError::Answer { what: WHAT }),
        };
        Ok(Self { version, pin_tries, key_uid, capabilities, certificate })
    }

    /// Returns the name of the card.
    #[must_use]
    pub fn card_id(&self) -> CardId {
        CardId::Identity(self.certificate.identity().to_compressed())
    }
}

/// Reads `80 41 key` (`80 00` on a build without secure channel).
fn blank_older_generation(mut reader: Reader<'_>) -> Result<Unsuitable, CardError> {
    let key = reader.value(0x80)?;
    let malformed = reader.malformed();
    reader.end()?;
    if matches!(key.len(), 0 | 65) { Ok(Unsuitable::BlankGeneration) } else { Err(malformed) }
}

/// Reads the template of 2.x and 3.x as far as the version.
fn older_generation(mut inside: Reader<'_>) -> Result<Unsuitable, CardError> {
    inside.array::<16>(0x8F)?;
    inside.value(0x80)?;
    Ok(Unsuitable::Generation { version: Version::new(*inside.array(0x02)?) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::{identity_certificate, select_data};

    /// SELECT answers of applet 3.1, recorded from the real applet: not initialised, and initialised with a key.
    const BLANK_3_1: &str = "804104ee696a1b4045451abc822819f57d1cca270b9aed4e970a55a678b319c943a97c71e12969bf6375e5deb8e7\
        348ebe51307efee034387fd3c9ad7314965613d007";
    const WITH_KEY_3_1: &str = "a481818f10a49a44c920f0c388010210991e939dff804104ee696a1b4045451abc822819f57d1cca270b9aed4e\
        970a55a678b319c943a97c71e12969bf6375e5deb8e7348ebe51307efee034387fd3c9ad7314965613d007020203010201048e2016f5b9c7\
        657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f18d011f";

    #[test]
    fn a_blank_card_has_neither_tries_nor_key() {
        let info = ApplicationInfo::parse(&select_data(0x00, None)).unwrap();
        assert_eq!(info.version, Version::V4);
        assert_eq!((info.pin_tries, info.key_uid, info.capabilities), (None, None, 0x1f));
        assert_eq!(info.certificate, identity_certificate());
    }

    #[test]
    fn an_initialised_card_reports_tries_and_key_uid() {
        let uid = KeyUid::from([7; 32]);
        let info = ApplicationInfo::parse(&select_data(0x32, Some(uid))).unwrap();
        assert_eq!((info.pin_tries, info.key_uid), (Some(2), Some(uid)), "with a LEE key");
        assert!(ApplicationInfo::parse(&select_data(0x02, None)).is_err(), "no such status");
        assert!(ApplicationInfo::parse(&select_data(0x53, None)).is_err(), "no such status");
    }

    #[test]
    fn older_generations_are_named_as_unsupported() {
        let blank = ApplicationInfo::parse(&hex::decode(BLANK_3_1).unwrap());
        assert!(matches!(blank, Err(CardError::Unsuitable(Unsuitable::BlankGeneration))));
        let error = ApplicationInfo::parse(&hex::decode(WITH_KEY_3_1).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("unsupported generation: applet 3.1;"), "{error}");
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_refused() {
        let whole = select_data(0x13, Some(KeyUid::from([7; 32])));
        for cut in 0..whole.len() {
            assert!(ApplicationInfo::parse(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(ApplicationInfo::parse(&[&whole[..], &[0]].concat()).is_err());
        // The right length byte, should a later applet write it.
        let mut right = whole.clone();
        right[2] += 1;
        assert!(ApplicationInfo::parse(&right).is_ok());
    }

    proptest! {
        #[test]
        fn any_answer_to_select_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..260)) {
            prop_assert!(ApplicationInfo::parse(&data).is_err());
        }

        #[test]
        fn an_altered_answer_never_panics(at in 0usize..147, byte in any::<u8>()) {
            let mut data = select_data(0x13, Some(KeyUid::from([7; 32])));
            data[at] = byte;
            let _ = ApplicationInfo::parse(&data);
        }
    }
}
