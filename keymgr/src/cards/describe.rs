//! What a card says of itself, as far as it can be asked without a PIN, and what is remembered of it.

use audit::LogStore;
use keycard::{ApplicationInfo, Authority, CardTransport, Kind, Selection, Status};
use proto::Fingerprint;
use proto::rpc::api::{CardDescription, CardIdentity};

use crate::broker::Broker;
use crate::cards::known::Duress;
use crate::cards::seat::Target;
use crate::cards::vouch::{Contact, fingerprint_of};
use crate::error::{BrokerError, Mismatch};

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Describes a card. When its channel cannot be opened, the description says why and holds what SELECT says.
    ///
    /// # Errors
    /// Those of the reader and of SELECT, and [`BrokerError::Log`].
    pub fn describe(&mut self, target: &Target) -> Result<CardDescription, BrokerError> {
        let reader = self.reader_of(target);
        self.at(target, |broker| {
            if let Ok((card, _)) = broker.unlocked() {
                let (info, status) = (card.info().clone(), card.status());
                let status = status.map_err(BrokerError::from).inspect_err(|error| broker.after(error))?;
                return Ok(broker.description(&info, reader, Ok(Some(status))));
            }
            let (info, status) = match broker.connect()? {
                Selection::Blank(card) => {
                    let info = card.info().clone();
                    broker.put_back(card.into_transport());
                    (info, Ok(None))
                }
                Selection::Initialised(card) => {
                    let info = card.info().clone();
                    (info, broker.ask_status(card).map(Some))
                }
            };
            if let Err(error @ BrokerError::Log(_)) = status {
                return Err(error);
            }
            Ok(broker.description(&info, reader, status))
        })
    }

    /// Has a card prove that it holds the key of its certificate, and returns who that is.
    ///
    /// # Errors
    /// [`Mismatch::NoCertificate`] for a card that has none; [`CardError::Untrusted`], [`CardError::Impostor`].
    pub fn verify_identity(&mut self, target: &Target) -> Result<CardIdentity, BrokerError> {
        self.at(target, |broker| {
            let trust = broker.trust();
            let (challenge, _) = broker.fresh_salt();
            let (id, certificate, in_channel) = match broker.connect()? {
                Selection::Initialised(card) if matches!(card.info().kind, Kind::V2 { .. }) => {
                    let card = broker.open(card)?;
                    let proof = (card.id(), card.opening().certificate().copied(), true);
                    broker.put_back(card.into_transport());
                    proof
                }
                Selection::Initialised(mut card) => {
                    let identity = card.identify(&trust, challenge).map(|identity| identity.certified().cloned());
                    let id = card.id();
                    broker.put_back(card.into_transport());
                    (id, identity?.map(|proof| proof.certificate), false)
                }
                Selection::Blank(mut card) if matches!(card.info().kind, Kind::BlankV1 { .. }) => {
                    let identity = card.identify(&trust, challenge).map(|identity| identity.certified().cloned());
                    let id = card.id();
                    broker.put_back(card.into_transport());
                    (id, identity?.map(|proof| proof.certificate), false)
                }
                Selection::Blank(card) => {
                    broker.put_back(card.into_transport());
                    return Err(Mismatch::Blank.into());
                }
            };
            let certificate = certificate.ok_or(Mismatch::NoCertificate { card: id })?;
            let authority = certificate.authority();
            Ok(CardIdentity {
                card: id.to_string(),
                identity: hex::encode(certificate.identity().to_compressed()),
                fingerprint: Fingerprint::of(certificate.identity()).to_string(),
                authority: authority.map(|authority| authority.to_string()).unwrap_or_default(),
                test_card: authority == Some(Authority::Test),
                in_channel,
            })
        })
    }

    /// Opens the channel for GET STATUS alone.
    fn ask_status(
        &mut self,
        card: keycard::Card<keycard::Selected, crate::guard::Guarded<T>>,
    ) -> Result<Status, BrokerError> {
        let mut card = self.open(card)?;
        let status = card.status();
        self.put_back(card.into_transport());
        Ok(status?)
    }

    fn description(
        &self,
        info: &ApplicationInfo,
        reader: String,
        status: Result<Option<Status>, BrokerError>,
    ) -> CardDescription {
        let card = info.card_id();
        let known = self.known(info);
        let (status, trouble) = match status {
            Ok(status) => (status, String::new()),
            Err(error) => (None, error.to_string()),
        };
        // In quiet mode a number that differs from the card's own would tell which PIN was used.
        let quiet = known.duress == Duress::DecoyQuiet;
        let pin_tries = status.map(|status| match status.pin_tries {
            shown if quiet => shown,
            shown => self.tries_of(info, shown).fewest(),
        });
        let pin_tries = pin_tries.or(info.pin_tries);
        CardDescription {
            reader,
            card: card.to_string(),
            label: self.label_of(&card).unwrap_or_default(),
            applet: info.version.map(|version| version.to_string()).unwrap_or_default(),
            generation: known.generation.name().to_owned(),
            initialised: info.is_initialised(),
            key_uid: info.key_uid.map(|uid| uid.to_string()).unwrap_or_default(),
            has_key: status.map_or(info.key_uid.is_some(), |status| status.has_key),
            pin_tries: pin_tries.map(u32::from).unwrap_or_default(),
            puk_tries: status.map(|status| u32::from(status.puk_tries)).unwrap_or_default(),
            tries_known: status.is_some(),
            authority: info
                .certificate()
                .map(|certificate| certificate.authority().map_or_else(|| "nobody".to_owned(), |it| it.to_string()))
                .unwrap_or_default(),
            fingerprint: fingerprint_of(info).map(|it| it.to_string()).unwrap_or_default(),
            vouched_by: self
                .vouch(info, &Contact::default())
                .map_or_else(|_| "nobody".to_owned(), |voucher| voucher.name().to_owned()),
            capabilities: capabilities(info.capabilities),
            pairs: info.channel_key().is_some(),
            free_slots: match info.kind {
                Kind::V1 { free_slots, .. } => Some(u32::from(free_slots)),
                _ => None,
            },
            pairing: self.cards.pairings.find(&card).map(|kept| kept.pairing.slot.to_string()).unwrap_or_default(),
            duress: known.duress.name().to_owned(),
            trouble,
        }
    }

    /// Returns the name of the reader that a target leads to, as far as it says.
    fn reader_of(&self, target: &Target) -> String {
        match target {
            Target { reader: Some(reader), .. } => reader.clone(),
            Target { reader: None, card: None } => self.cards.own.clone(),
            Target { .. } => String::new(),
        }
    }
}

/// Returns the words for the bits of SELECT (reference: Keycard applet, formats of SELECT).
fn capabilities(bits: u8) -> Vec<String> {
    [
        (0x01, "secure channel"),
        (0x02, "key management"),
        (0x04, "credentials management"),
        (0x08, "NDEF"),
        (0x10, "factory reset"),
    ]
    .into_iter()
    .filter(|(bit, _)| bits & bit != 0)
    .map(|(_, word)| word.to_owned())
    .collect()
}
