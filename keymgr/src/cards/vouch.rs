//! Who says that a card may be given a PIN, an INIT or a key.
//!
//! A valid certificate is not enough on first contact: it says that some genuine card answers, not which one. The manifest, a
//! list of identity keys, or a person who compared the fingerprint, then or before, must name this very card.

use audit::LogStore;
use keycard::{ApplicationInfo, Card, CardError, CardTransport, Secured, Trust};
use proto::{CardId, Fingerprint};

use crate::broker::Broker;
use crate::cards::known::Known;
use crate::error::{BrokerError, Mismatch};
use crate::guard::Guarded;
use crate::manifest::Generation;

/// Who vouched for a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// The manifest names it.
    Manifest,
    /// Its identity key is on the list that the manager was started with.
    List,
    /// It was taken before.
    Acquaintance,
    /// A person compared its fingerprint.
    Person,
}

impl Voucher {
    /// Returns the word that a description carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::List => "list",
            Self::Acquaintance => "acquaintance",
            Self::Person => "person",
        }
    }
}

/// What the owner says of a card on first contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// The fingerprint that a person compared.
    pub confirm: Option<String>,
    /// Whether a channel may be trusted whose pairing secret everybody knows.
    pub first_pairing: bool,
}

/// Returns what a person compares: of the identity key of a 4.0 card, of the channel key of an older one.
pub(crate) fn fingerprint_of(info: &ApplicationInfo) -> Option<Fingerprint> {
    let identity = info.certificate().map(|certificate| certificate.identity());
    identity.or(info.channel_key()).map(Fingerprint::of)
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Returns who vouches for the card that answers so.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] when it is not the card that was vouched for; [`BrokerError::Unvouched`] when nobody did;
    /// [`CardError::Untrusted`].
    pub(crate) fn vouch(&self, info: &ApplicationInfo, contact: &Contact) -> Result<Voucher, BrokerError> {
        if let Some(certificate) = info.certificate() {
            self.trust().judge(certificate, info.generation()).map_err(CardError::from)?;
        }
        let card = info.card_id();
        let generation = Generation::from(info.generation());
        let same = |pinned: Generation| {
            if pinned == generation { Ok(()) } else { Err(BrokerError::from(Mismatch::OtherGeneration)) }
        };
        let known = self.cards.known.find(&card);
        if let Some(known) = known {
            same(known.generation)?;
            if known.channel.is_some() && known.channel.as_ref() != info.channel_key() {
                return Err(Mismatch::OtherChannel.into());
            }
        }
        if let Some(pins) = self.enrolment.pinned.find(&card) {
            same(pins.generation)?;
        }
        if let Some(named) = self.rules.manifest.find(&card) {
            same(named.generation)?;
            return Ok(Voucher::Manifest);
        }
        if info.certificate().is_some_and(|certificate| self.rules.trust.lists(certificate.identity())) {
            return Ok(Voucher::List);
        }
        if known.is_some_and(|known| known.confirmed) {
            return Ok(Voucher::Acquaintance);
        }
        let fingerprint = fingerprint_of(info).ok_or(BrokerError::bad_input("the card shows no key of its own"))?;
        if contact.confirm.as_deref().is_some_and(|said| said.trim() == fingerprint.to_string()) {
            return Ok(Voucher::Person);
        }
        Err(BrokerError::Unvouched { card, fingerprint })
    }

    /// Returns whom to believe: the rules' authorities, and no identity key that was seen on the other generation.
    pub(crate) fn trust(&self) -> Trust {
        let seen = self.cards.known.all().filter_map(|known| Some((known.identity?, known.generation.into())));
        seen.fold(self.rules.trust.clone(), |trust, (identity, generation)| trust.with_seen(identity, generation))
    }

    /// Returns the same, and takes a card without a certificate, as all up to 3.0 are, for which somebody vouched.
    pub(crate) fn trust_in(&self, info: &ApplicationInfo) -> Trust {
        let vouched = self.vouch(info, &Contact::default()).is_ok();
        if vouched { self.trust().with_uncertified_cards() } else { self.trust() }
    }

    /// Returns what the card of this answer must show again, once it has proved who it is. Its account may have changed
    /// with its owner's doing, so that is compared only where it matters.
    pub(crate) fn to_compare(&self, info: &ApplicationInfo) -> Option<keycard::Known> {
        let known = self.cards.known.find(&info.card_id())?;
        known.identity?;
        let Known { card, generation, identity, channel, .. } = known;
        Some(keycard::Known {
            id: *card,
            generation: (*generation).into(),
            identity: *identity,
            key_uid: info.key_uid,
            channel_key: *channel,
        })
    }

    /// Remembers the identity key that a card proved when its channel was opened.
    pub(crate) fn compare_opening(&mut self, card: &Card<Secured, Guarded<T>>) -> Result<(), BrokerError> {
        let mut known = self.known(card.info());
        let Some(certificate) = card.opening().certificate() else { return Ok(()) };
        known.identity = Some(*certificate.identity());
        match self.cards.known.find(&known.card) {
            Some(_) => Ok(self.cards.known.keep(known)?),
            None => Ok(()),
        }
    }

    /// Vouches for a card and remembers it.
    pub(crate) fn welcome(&mut self, info: &ApplicationInfo, contact: &Contact) -> Result<Known, BrokerError> {
        let voucher = self.vouch(info, contact)?;
        let mut known = self.known(info);
        known.confirmed |= voucher == Voucher::Person;
        self.cards.known.keep(known.clone())?;
        Ok(known)
    }

    /// Returns what is known of a card, which may be nothing but what it says.
    pub(crate) fn known(&self, info: &ApplicationInfo) -> Known {
        let card = info.card_id();
        let known = self.cards.known.find(&card).cloned();
        let mut known = known.unwrap_or_else(|| Known::new(card, info.generation().into()));
        known.identity = info.certificate().map(|certificate| *certificate.identity()).or(known.identity);
        // INIT replaces the channel key that a blank card shows.
        if !matches!(card, CardId::Blank(_)) {
            known.channel = info.channel_key().copied().or(known.channel);
        }
        if let Some(pins) = self.enrolment.pinned.find(&card) {
            (known.key_uid, known.chat) = (Some(pins.key_uid), Some(pins.chat));
        }
        known
    }
}
