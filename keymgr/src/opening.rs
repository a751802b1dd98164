//! From a card in the reader to an open channel: is it a card that we take, and the one that we know?
//!
//! The invariant: no PIN, no INIT and no LOAD KEY before the manifest named the card, and every opening is in the log with
//! a salt that binds the card's signature to the log's head.

use std::time::Duration;

use audit::{Blob, ChannelOpened, LogStore, PairedChannelOpened, SignedHead, Text};
use keycard::{
    Access, ApplicationInfo, Card, CardError, CardTransport, Certificate, Failed, Generation, Identification, Opening,
    PairedOpening, Secured, Selected, Selection, SignedOpening, TransportError,
};
use proto::rpc::api::CardInfo;
use proto::{Fingerprint, Instant};

use crate::broker::Broker;
use crate::cards::seat::transport_of;
use crate::error::{BrokerError, Mismatch};
use crate::guard::Guarded;
use crate::manifest::Named;
use crate::reader::state::Input;
use crate::seats::Slot;

/// What a locked card said of itself, and when.
pub(crate) struct Described {
    info: CardInfo,
    at: Instant,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Returns what the card says of itself, inside the channel where it has one. It needs no PIN. A locked card is asked
    /// once in a few seconds at most, for each opening is a line in the log.
    ///
    /// # Errors
    /// [`BrokerError::Card`], [`BrokerError::Log`].
    pub fn card_info(&mut self) -> Result<CardInfo, BrokerError> {
        if let Ok((card, _)) = self.unlocked() {
            let (info, status) = (card.info().clone(), card.status());
            return match status {
                Ok(status) => {
                    self.metrics.puk_tries(info.card_id(), status.puk_tries);
                    Ok(describe(&info, Some(status)))
                }
                Err(error) => {
                    let error = error.into();
                    self.after(&error);
                    Err(error)
                }
            };
        }
        if let Some(mut card) = self.take_open() {
            let (info, status) = (card.info().clone(), card.status());
            return match status {
                Ok(status) => {
                    self.seat.slot = Slot::Open(Box::new(card));
                    Ok(describe(&info, Some(status)))
                }
                Err(error) => {
                    self.put_back(card.into_transport());
                    Err(error.into())
                }
            };
        }
        let now = self.journal.monotonic();
        if let Some(described) = self.seat.described.as_ref().filter(|described| now.since(described.at) < FRESH) {
            return Ok(described.info.clone());
        }
        let info = match self.connect()? {
            Selection::Blank(card) => {
                let info = describe(card.info(), None);
                self.put_back(card.into_transport());
                info
            }
            Selection::Initialised(card) => {
                let mut card = self.open(card)?;
                let (info, status) = (card.info().clone(), card.status());
                self.put_back(card.into_transport());
                let status = status?;
                self.metrics.puk_tries(info.card_id(), status.puk_tries);
                describe(&info, Some(status))
            }
        };
        self.seat.described = Some(Described { info: info.clone(), at: now });
        Ok(info)
    }

    /// Returns what the card says of itself to everybody, and the PIN tries where that tells them. An unlocked card is not
    /// asked again, and nothing is written down.
    ///
    /// # Errors
    /// [`BrokerError::Card`].
    pub(crate) fn glance(&mut self) -> Result<(CardInfo, Option<u32>), BrokerError> {
        let seen = |info: &ApplicationInfo| (describe(info, None), info.pin_tries.map(u32::from));
        self.unless_lent()?;
        if let Some(info) = self.seat.info() {
            return Ok(seen(info));
        }
        let (seen, transport) = match self.connect()? {
            Selection::Blank(card) => (seen(card.info()), card.into_transport()),
            Selection::Initialised(card) => (seen(card.info()), card.into_transport()),
        };
        self.put_back(transport);
        Ok(seen)
    }

    /// Opens the channel of an enrolled card and keeps it open; a card that is none is reset. Returns whether it is one.
    pub(crate) fn recognise_here(&mut self) -> Result<bool, BrokerError> {
        if self.enrolment.pinned.is_empty() {
            return Ok(false);
        }
        let card = match self.connect()? {
            Selection::Initialised(card) if self.enrolment.pinned.find(&card.id()).is_some() => card,
            selection => {
                self.put_back(transport_of(selection));
                return Ok(false);
            }
        };
        if let Err(error) = self.recognise(card.info()) {
            self.put_back(card.into_transport());
            return Err(error);
        }
        let card = self.open(card)?;
        self.seat.slot = Slot::Open(Box::new(card));
        Ok(true)
    }

    /// Resets the card and selects the applet.
    pub(crate) fn connect(&mut self) -> Result<Selection<Guarded<T>>, BrokerError> {
        let transport = self.reset_transport()?;
        let selection = keycard::select(transport).map_err(|failed| {
            let error = self.failed(failed);
            if matches!(error, BrokerError::Card(CardError::Transport(TransportError::Hung { .. }))) {
                self.hear(Input::Failed);
            }
            error
        })?;
        self.hear(Input::Answered);
        Ok(selection)
    }

    /// Resets the card.
    pub(crate) fn reset_transport(&mut self) -> Result<Guarded<T>, BrokerError> {
        let mut transport = self.take()?;
        if let Err(error) = transport.reset() {
            self.put_back(transport);
            return Err(CardError::from(error).into());
        }
        Ok(transport)
    }

    /// Opens the channel and writes the evidence down.
    pub(crate) fn open(&mut self, card: Card<Selected, Guarded<T>>) -> Result<Card<Secured, Guarded<T>>, BrokerError> {
        let (salt, random) = self.fresh_salt();
        let (id, trust, known) = (card.id(), self.trust_in(card.info()), self.to_compare(card.info()));
        let mut access = Access::new(&trust, salt);
        if let Some(known) = &known {
            access = access.to_known(known);
        }
        if let Some(kept) = self.cards.pairings.find(&id) {
            access = access.paired(&kept.pairing);
            if kept.vouched {
                access = access.allowing_first_pairing();
            }
        }
        let card = match card.open(&access, &mut *self.dice) {
            Ok(card) => card,
            Err(failed) => return Err(self.failed(failed)),
        };
        match self.tell_of_opening(&card, random).and_then(|()| self.compare_opening(&card)) {
            Ok(()) => Ok(card),
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    /// Returns what the manifest says of a card that we take: trusted, named, and as it was pinned, if it was.
    pub(crate) fn recognise(&self, info: &ApplicationInfo) -> Result<Named, BrokerError> {
        if let Some(certificate) = info.certificate() {
            self.trust().judge(certificate, Generation::V2).map_err(CardError::from)?;
        }
        let card = info.card_id();
        let acquaintance = || {
            let known = self.cards.known.find(&card).filter(|known| known.confirmed)?;
            let label = known.label.clone().unwrap_or_else(|| card.to_string());
            Some(Named { label, card, generation: known.generation })
        };
        let named = self.rules.manifest.find(&card).cloned().or_else(acquaintance);
        let named = named.ok_or(Mismatch::NotInManifest { card })?;
        if named.generation != info.generation().into() {
            return Err(Mismatch::OtherGeneration.into());
        }
        if let Some(pins) = self.enrolment.pinned.find(&card) {
            if pins.generation != named.generation {
                return Err(Mismatch::OtherGeneration.into());
            }
            if Some(pins.key_uid) != info.key_uid {
                return Err(Mismatch::OtherKey.into());
            }
        }
        Ok(named)
    }

    /// Puts back what a failed step left.
    pub(crate) fn failed(&mut self, failed: Failed<Guarded<T>>) -> BrokerError {
        self.put_back(failed.transport);
        failed.error.into()
    }

    /// Returns a fresh salt that speaks of the log's head, and what it was drawn from.
    pub(crate) fn fresh_salt(&mut self) -> ([u8; 32], [u8; 32]) {
        let mut random = [0; 32];
        self.dice.fill_bytes(&mut random);
        (self.journal.head().salt(&random), random)
    }

    fn tell_of_opening(&mut self, card: &Card<Secured, Guarded<T>>, random: [u8; 32]) -> Result<(), BrokerError> {
        match card.opening() {
            Opening::V1(opening) => {
                self.journal.paired_channel_opened(paired_evidence(card.info(), opening, random)?).map(drop)
            }
            Opening::V2(opening) => {
                self.journal.channel_opened(signed_evidence(card.info(), opening, random)?).map(drop)
            }
        }
    }
}

pub(crate) fn signed_evidence(
    info: &ApplicationInfo,
    opening: &SignedOpening,
    random: [u8; 32],
) -> Result<ChannelOpened, CardError> {
    Ok(ChannelOpened {
        card: info.card_id(),
        key_uid: info.key_uid,
        applet: Text::lossy(&applet(info)),
        authority: Text::lossy(&authority(&opening.certificate)),
        certificate: blob(opening.certificate.as_bytes())?,
        random,
        salt: opening.salt,
        host_key: blob(&opening.client_ephemeral.to_bytes())?,
        card_key: blob(&opening.card_ephemeral.to_bytes())?,
        signature: blob(&opening.signature)?,
    })
}

fn paired_evidence(
    info: &ApplicationInfo,
    opening: &PairedOpening,
    random: [u8; 32],
) -> Result<PairedChannelOpened, CardError> {
    Ok(PairedChannelOpened {
        card: info.card_id(),
        key_uid: info.key_uid,
        applet: Text::lossy(&applet(info)),
        slot: opening.slot,
        well_known: opening.well_known,
        channel_key: blob(&opening.channel_key.to_bytes())?,
        signed: opening.identity.certified().map(|proof| signed_head(proof, random)).transpose()?,
    })
}

/// Returns the evidence of an answer to IDENTIFY CARD.
pub(crate) fn signed_head(proof: &Identification, random: [u8; 32]) -> Result<SignedHead, CardError> {
    Ok(SignedHead {
        authority: Text::lossy(&authority(&proof.certificate)),
        certificate: blob(proof.certificate.as_bytes())?,
        random,
        salt: proof.challenge,
        signature: blob(&proof.signature)?,
    })
}

fn blob<const MAX: usize>(bytes: &[u8]) -> Result<Blob<MAX>, CardError> {
    Blob::try_from(bytes).map_err(|_| CardError::Answer { what: "an opening longer than any Keycard's" })
}

fn authority(certificate: &Certificate) -> String {
    certificate.authority().map_or_else(|| "nobody".to_owned(), |authority| authority.to_string())
}

/// Returns the version, or nothing for a blank card of 2.x or 3.x, which does not say.
pub(crate) fn applet(info: &ApplicationInfo) -> String {
    info.version.map(|version| version.to_string()).unwrap_or_default()
}

/// Returns what a card said of itself, in the form that crosses the socket.
pub(crate) fn describe(info: &ApplicationInfo, status: Option<keycard::Status>) -> CardInfo {
    CardInfo {
        card: info.card_id().to_string(),
        applet: applet(info),
        key_uid: info.key_uid.map(|uid| uid.to_string()).unwrap_or_default(),
        initialised: info.is_initialised(),
        pin_tries: status.map_or(0, |status| u32::from(status.pin_tries)),
        puk_tries: status.map_or(0, |status| u32::from(status.puk_tries)),
        authority: info.certificate().map(authority).unwrap_or_default(),
        identity_fingerprint: info
            .certificate()
            .map(|certificate| Fingerprint::of(certificate.identity()).to_string())
            .unwrap_or_default(),
        has_key: status.is_some_and(|status| status.has_key),
    }
}

/// How long a locked card is taken to be as it was.
const FRESH: Duration = Duration::from_secs(5);
