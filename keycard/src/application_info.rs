//! What SELECT answers (reference: Keycard applet, SELECT response).
//!
//! ```text
//! 4.0       A4 len { 02 02 version, 8C 01 status, 8E 00|20 key UID, 8D 01 capabilities, 8A 62 certificate }
//! 2.x, 3.x  A4 len { 8F 10 instance UID, 80 41 key, 02 02 version, 02 01 free slots, 8E 00|20 key UID, 8D 01 capabilities }
//!           not initialised: 80 41 key
//! ```
//! `len` of 4.0 is one too small; 2.0 has no capabilities. Status: 00 not initialised, else 10 | tries left | 20 with a
//! LEE key. Nobody signs this answer: what it says of the key is a hint until a key was fetched inside the channel.

use proto::{CardId, ChatKey, InstanceUid, KeyUid};

use crate::error::{CardError, Unsuitable};
use crate::generation::Generation;
use crate::tlv::Reader;
use crate::version::Version;
use audit::evidence::Certificate;

/// An applet, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationInfo {
    /// The applet's version; a blank card of 2.x or 3.x does not say.
    pub version: Option<Version>,
    /// The PIN tries left, those of the PIN last used. Nothing on 2.x and 3.x, and while the card is not initialised.
    pub pin_tries: Option<u8>,
    /// The account, or nothing while there is no key.
    pub key_uid: Option<KeyUid>,
    /// Whether the key is of a LEE seed (4.0): such a tree is not that of BIP-32.
    pub lee: bool,
    /// What the applet can do, as bits; a blank card of 2.x or 3.x does not say.
    pub capabilities: u8,
    /// What its generation alone has.
    pub kind: Kind,
}

/// What SELECT shows of one generation and not of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Applet 2.x or 3.x, not initialised.
    BlankV1 {
        /// The key to which INIT is encrypted; INIT replaces it. Nobody vouches for it.
        channel_key: ChatKey,
    },
    /// Applet 2.x or 3.x.
    V1 {
        /// Drawn at installation and by each FACTORY RESET.
        instance: InstanceUid,
        /// The card's static half of the secure channel. Nobody vouches for it: the pairing does.
        channel_key: ChatKey,
        /// How many more hosts can be paired.
        free_slots: u8,
    },
    /// Applet 4.0.
    V2 {
        /// Whether INIT was done.
        initialised: bool,
        /// Who the card is.
        certificate: Certificate,
    },
}

impl ApplicationInfo {
    /// Reads the data of the answer.
    ///
    /// # Errors
    /// [`CardError::Unsuitable`] for an applet that was built without a secure channel, [`CardError::Answer`] for anything
    /// that is no answer of a Keycard.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, CardError> {
        let reader = Reader::new(data, WHAT);
        if reader.tag() == Some(0x80) {
            return blank_v1(reader);
        }
        let inside = reader.only_to_the_end(0xA4)?;
        if inside.tag() == Some(0x8F) { v1(inside) } else { v2(inside) }
    }

    /// Returns the name of the card.
    #[must_use]
    pub fn card_id(&self) -> CardId {
        match &self.kind {
            Kind::BlankV1 { channel_key } => CardId::of_blank(channel_key),
            Kind::V1 { instance, .. } => (*instance).into(),
            Kind::V2 { certificate, .. } => CardId::Identity(certificate.identity().to_compressed()),
        }
    }

    /// Returns whether the card has a PIN.
    #[must_use]
    pub const fn is_initialised(&self) -> bool {
        match self.kind {
            Kind::BlankV1 { .. } => false,
            Kind::V1 { .. } => true,
            Kind::V2 { initialised, .. } => initialised,
        }
    }

    /// Returns which secure channel the card speaks.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        match self.kind {
            Kind::BlankV1 { .. } | Kind::V1 { .. } => Generation::V1,
            Kind::V2 { .. } => Generation::V2,
        }
    }

    /// Returns the certificate that SELECT shows: 4.0 has it there. 3.1 and 3.2 show theirs in IDENTIFY CARD.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Certificate> {
        match &self.kind {
            Kind::V2 { certificate, .. } => Some(certificate),
            Kind::BlankV1 { .. } | Kind::V1 { .. } => None,
        }
    }

    /// Returns the static key of the card's half of secure channel v1.
    #[must_use]
    pub const fn channel_key(&self) -> Option<&ChatKey> {
        match &self.kind {
            Kind::BlankV1 { channel_key } | Kind::V1 { channel_key, .. } => Some(channel_key),
            Kind::V2 { .. } => None,
        }
    }
}

/// Reads `80 41 key` (`80 00` on a build without secure channel).
fn blank_v1(mut reader: Reader<'_>) -> Result<ApplicationInfo, CardError> {
    let channel_key = channel_key(&mut reader)?;
    reader.end()?;
    let kind = Kind::BlankV1 { channel_key };
    Ok(ApplicationInfo { version: None, pin_tries: None, key_uid: None, lee: false, capabilities: 0, kind })
}

/// Reads the inside of the template of 2.x and 3.x. Version and free slots share one tag, so their order tells them apart.
fn v1(mut inside: Reader<'_>) -> Result<ApplicationInfo, CardError> {
    let instance = InstanceUid::from(*inside.array(0x8F)?);
    let channel_key = channel_key(&mut inside)?;
    let version = Version::new(*inside.array(0x02)?);
    let [free_slots] = *inside.array(0x02)?;
    let key_uid = key_uid(&mut inside)?;
    let [capabilities] = if inside.tag().is_some() { *inside.array(0x8D)? } else { [ALL_BUT_FACTORY_RESET] };
    let malformed = inside.malformed();
    inside.end()?;
    if version.generation() != Generation::V1 {
        return Err(malformed);
    }
    let kind = Kind::V1 { instance, channel_key, free_slots };
    Ok(ApplicationInfo { version: Some(version), pin_tries: None, key_uid, lee: false, capabilities, kind })
}

/// Reads the inside of the template of 4.0.
fn v2(mut inside: Reader<'_>) -> Result<ApplicationInfo, CardError> {
    let version = Version::new(*inside.array(0x02)?);
    let [status] = *inside.array(0x8C)?;
    let key_uid = key_uid(&mut inside)?;
    let [capabilities] = *inside.array(0x8D)?;
    let certificate = Certificate::parse(inside.array::<{ Certificate::LEN }>(0x8A)?)?;
    let malformed = inside.malformed();
    inside.end()?;
    let pin_tries = match status {
        0x00 => None,
        0x10..=0x1f | 0x30..=0x3f => Some(status & 0x0f),
        _ => return Err(malformed),
    };
    if version.generation() != Generation::V2 {
        return Err(malformed);
    }
    let kind = Kind::V2 { initialised: pin_tries.is_some(), certificate };
    Ok(ApplicationInfo { version: Some(version), pin_tries, key_uid, lee: status & 0x20 != 0, capabilities, kind })
}

fn channel_key(reader: &mut Reader<'_>) -> Result<ChatKey, CardError> {
    match reader.value(0x80)? {
        [] => Err(Unsuitable::NoSecureChannel.into()),
        key @ [4, ..] => ChatKey::try_from(key).map_err(|_| reader.malformed()),
        _ => Err(reader.malformed()),
    }
}

fn key_uid(reader: &mut Reader<'_>) -> Result<Option<KeyUid>, CardError> {
    match reader.value(0x8E)? {
        [] => Ok(None),
        uid => KeyUid::try_from(uid).map(Some).map_err(|_| reader.malformed()),
    }
}

const WHAT: &str = "a malformed answer to SELECT";
/// What 2.0, which has no capabilities in its answer, can do.
const ALL_BUT_FACTORY_RESET: u8 = 0x0f;

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
        assert_eq!(info.version, Some(Version::V4));
        assert_eq!((info.pin_tries, info.key_uid, info.capabilities), (None, None, 0x1f));
        assert_eq!(info.certificate(), Some(&identity_certificate()));
        assert!(!info.is_initialised());
    }

    #[test]
    fn an_initialised_card_reports_tries_and_key_uid() {
        let uid = KeyUid::from([7; 32]);
        let info = ApplicationInfo::parse(&select_data(0x32, Some(uid))).unwrap();
        assert_eq!((info.pin_tries, info.key_uid), (Some(2), Some(uid)), "with a LEE key");
        assert!(info.lee);
        assert!(info.is_initialised());
        assert!(ApplicationInfo::parse(&select_data(0x02, None)).is_err(), "no such status");
        assert!(ApplicationInfo::parse(&select_data(0x53, None)).is_err(), "no such status");
    }

    #[test]
    fn a_blank_3_1_shows_its_channel_key_and_nothing_else() {
        let info = ApplicationInfo::parse(&hex::decode(BLANK_3_1).unwrap()).unwrap();
        assert_eq!((info.version, info.is_initialised(), info.generation()), (None, false, Generation::V1));
        let key = info.channel_key().unwrap();
        assert_eq!(hex::encode(key.to_bytes()), BLANK_3_1[4..]);
        assert_eq!(info.card_id(), CardId::of_blank(key));
        assert!(info.card_id().to_string().starts_with("blank:"));
    }

    #[test]
    fn a_3_1_shows_instance_channel_key_version_slots_and_account() {
        let info = ApplicationInfo::parse(&hex::decode(WITH_KEY_3_1).unwrap()).unwrap();
        assert_eq!((info.version, info.capabilities), (Some(Version::V3_1), 0x1f));
        assert_eq!(info.pin_tries, None, "SELECT of this generation does not say");
        assert_eq!(info.card_id().to_string(), "instance:a49a44c920f0c388010210991e939dff");
        let Kind::V1 { free_slots: 4, .. } = info.kind else { panic!("{:?}", info.kind) };
        assert_eq!(
            info.key_uid.unwrap().to_string(),
            "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1"
        );
    }

    #[test]
    fn a_2_0_that_lists_no_capabilities_can_do_all_but_a_factory_reset() {
        let mut data = hex::decode(WITH_KEY_3_1).unwrap();
        data.truncate(data.len() - 3);
        data.splice(1..3, [0x81 - 3]);
        let version = data.len() - 34 - 5;
        data[version..version + 2].copy_from_slice(&[2, 0]);
        let info = ApplicationInfo::parse(&data).unwrap();
        assert_eq!((info.version, info.capabilities), (Some(Version::new([2, 0])), 0x0f));
    }

    #[test]
    fn a_build_without_secure_channel_is_named_as_such() {
        let built_without = ApplicationInfo::parse(&[0x80, 0]);
        assert!(matches!(built_without, Err(CardError::Unsuitable(Unsuitable::NoSecureChannel))));
    }

    /// Attack: a 4.0 that is made to look like 3.x has to keep to one form or the other.
    #[test]
    fn the_version_and_the_form_of_the_answer_must_agree() {
        let mut older = hex::decode(WITH_KEY_3_1).unwrap();
        let version = older.len() - 3 - 34 - 5;
        assert_eq!(older[version..version + 2], [3, 1]);
        older[version] = 4;
        assert!(ApplicationInfo::parse(&older).is_err());
        let mut newer = select_data(0x13, None);
        assert_eq!(newer[4..6], [4, 0]);
        newer[4] = 3;
        assert!(ApplicationInfo::parse(&newer).is_err());
    }

    #[test]
    fn a_channel_key_off_the_curve_is_refused() {
        for text in [BLANK_3_1, WITH_KEY_3_1] {
            let mut data = hex::decode(text).unwrap();
            let key = data.windows(2).position(|two| two == [0x80, 0x41]).unwrap() + 2;
            data[key + 64] ^= 1;
            assert!(ApplicationInfo::parse(&data).is_err());
            data[key + 64] ^= 1;
            data[key] = 2;
            assert!(ApplicationInfo::parse(&data).is_err(), "not the uncompressed form");
        }
    }

    #[test]
    fn every_cut_and_every_extra_byte_of_an_older_answer_is_refused() {
        for text in [BLANK_3_1, WITH_KEY_3_1] {
            let whole = hex::decode(text).unwrap();
            for cut in 0..whole.len() {
                assert!(ApplicationInfo::parse(&whole[..cut]).is_err(), "{cut}");
            }
            assert!(ApplicationInfo::parse(&[&whole[..], &[0]].concat()).is_err());
        }
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

        #[test]
        fn an_altered_older_answer_never_panics(at in 0usize..132, byte in any::<u8>()) {
            let mut data = hex::decode(WITH_KEY_3_1).unwrap();
            data[at] = byte;
            let _ = ApplicationInfo::parse(&data);
        }
    }
}
