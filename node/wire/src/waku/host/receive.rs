//! Receiving: a Messages packet, the door of the pool, and confirmations.

use std::collections::BTreeMap;

use proto::EnvelopeHash;

use super::forward::MAX_BODY;
use super::{Event, Host, Now, Output};
use crate::rlp::{Malformed, Reader};
use crate::waku::code;
use crate::waku::confirm::{BatchHash, Failure, REFUSED, Response, batch_ack};
use crate::waku::envelope::{Envelope, Fields};
use crate::waku::peer::PeerId;
use crate::waku::pool::{Entry, Slot};
use crate::waku::refusal::Why;

impl Host {
    /// Takes the envelopes of a Messages packet, each by itself, and confirms the packet to a peer that was promised so.
    pub(super) fn messages(&mut self, now: Now, id: PeerId, payload: &[u8]) {
        // Nothing of a packet counts unless all of it decodes.
        let Ok(list) = envelopes(payload) else {
            return self.refused(id, Why::MalformedMessages);
        };
        let (is_ignored, is_confirmed) =
            self.peers.get(&id).map_or((false, false), |peer| (peer.ignored, peer.confirmed));
        let mut counts = BTreeMap::<Why, u32>::new();
        let mut failures = Vec::new();
        for fields in list {
            if is_ignored {
                *counts.entry(Why::Ignored).or_default() += 1;
                continue;
            }
            let (slot, refused) = match self.admit(now, &fields, None) {
                Ok(Admitted::New(slot)) => (Some(slot), None),
                Ok(Admitted::Known(slot)) => (Some(slot), Some(Why::Duplicate)),
                Err(why) => (None, Some(why)),
            };
            if let (Some(slot), Some(peer)) = (slot, self.peers.get_mut(&id)) {
                peer.known.insert(slot);
            }
            if let Some(why) = refused {
                *counts.entry(why).or_default() += 1;
                if is_confirmed && why.is_told() && failures.len() < MAX_FAILURES {
                    failures.push(Failure { hash: fields.hash(), code: REFUSED, text: why.to_string().into_bytes() });
                }
            } else if let Some(entry) = slot.and_then(|slot| self.pool.entry(slot)) {
                let direct = self.config.light_node;
                let event = Event::Envelope { envelope: entry.envelope.clone(), from: id, pow: entry.pow, direct };
                self.outputs.push_back(Output::Event(event));
            }
        }
        if is_confirmed {
            let batch = BatchHash::of(payload);
            self.send(id, code::MESSAGE_RESPONSE, Response { batch, failures }.encode());
            self.send(id, code::BATCH_ACK, batch_ack(&batch));
        }
        for (why, count) in counts {
            self.outputs.push_back(Output::Event(Event::Refused { peer: id, why, count }));
        }
    }

    /// The checks of reference section 2.4, in its order. `own` is the envelope itself when it was posted here.
    pub(super) fn admit(&mut self, now: Now, fields: &Fields<'_>, own: Option<&Envelope>) -> Result<Admitted, Why> {
        let sent = fields.expiry.wrapping_sub(fields.ttl);
        let mut penalty_s = 0;
        if sent > now.secs {
            if sent.wrapping_sub(SYNC_ALLOWANCE_S) > now.secs {
                return Err(Why::FromFuture);
            }
            penalty_s = (sent - now.secs).wrapping_add(1);
        }
        if fields.expiry < now.secs {
            let long_ago = fields.expiry.wrapping_add(VERY_OLD_S) < now.secs;
            return Err(if long_ago { Why::VeryOld } else { Why::Expired });
        }
        if fields.size() > self.config.max_envelope || fields.raw.len() > MAX_BODY {
            return Err(Why::Oversize);
        }
        let hash = own.map_or_else(|| fields.hash(), Envelope::hash);
        let known = self.pool.find(&hash);
        let work = match known.and_then(|slot| self.pool.entry(slot)) {
            Some(entry) => entry.work,
            None => fields.work(),
        };
        let pow = work.value(fields.ttl, penalty_s);
        if !self.wanted.admits_pow(pow) {
            return Err(Why::LowPow);
        }
        if !self.wanted.admits_topic(fields.topic) {
            return Err(Why::Unwanted);
        }
        if let Some(slot) = known {
            return Ok(Admitted::Known(slot));
        }
        let envelope = own.cloned().unwrap_or_else(|| fields.to_envelope(hash));
        let entry = Entry { envelope, work, pow, own: own.is_some() };
        let going = self.pool.room_for(&entry).map_err(|_| Why::PoolFull)?;
        self.forget(&going);
        for slot in going {
            if let Some(gone) = self.pool.remove(slot).filter(|gone| gone.own) {
                let event = Event::NotPosted { hash: gone.envelope.hash(), why: Why::PoolFull };
                self.outputs.push_back(Output::Event(event));
            }
        }
        let slot = self.pool.insert(entry);
        self.forward_soon(now, slot);
        Ok(Admitted::New(slot))
    }

    /// Settles the envelopes of a batch that a peer has confirmed; what it names in `failures` it did not take.
    pub(super) fn confirmed(&mut self, id: PeerId, batch: &BatchHash, failures: &[Failure]) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let own = peer.batches.confirmed(batch);
        if own.is_empty() {
            return;
        }
        let codes: BTreeMap<EnvelopeHash, u64> = failures.iter().map(|f| (f.hash, f.code)).collect();
        for hash in own {
            let event = match codes.get(&hash) {
                Some(code) => Event::Rejected { hash, peer: id, code: *code },
                None => Event::Acknowledged { hash, peer: id },
            };
            self.outputs.push_back(Output::Event(event));
        }
    }
}

/// What the door said of an envelope that may be here.
pub(super) enum Admitted {
    /// It came in.
    New(Slot),
    /// It was here.
    Known(Slot),
}

/// Returns the envelopes of a Messages packet, or that not all of them decode.
fn envelopes(payload: &[u8]) -> Result<impl Iterator<Item = Fields<'_>>, Malformed> {
    let mut outer = Reader::new(payload);
    let mut list = outer.list()?;
    outer.finish()?;
    let mut check = list;
    for count in 0.. {
        if check.is_empty() {
            break;
        }
        if count == MAX_ENVELOPES {
            return Err(Malformed { what: "too many envelopes" });
        }
        Fields::decode(check.raw()?)?;
    }
    Ok(std::iter::from_fn(move || if list.is_empty() { None } else { Fields::decode(list.raw().ok()?).ok() }))
}

/// How far ahead of our clock the sender's may be (reference section 9.1).
const SYNC_ALLOWANCE_S: u32 = 10;

/// How long after its expiry an envelope is merely late.
const VERY_OLD_S: u32 = 20;

/// The most envelopes in one packet, because each takes a few microseconds from everybody else: as many as there are when
/// each has 160 bytes, which is hardly a message, and a packet the 10 MiB that no node goes beyond.
pub(super) const MAX_ENVELOPES: usize = 1 << 16;

/// The most failures that are listed for one packet.
const MAX_FAILURES: usize = 8_192;
