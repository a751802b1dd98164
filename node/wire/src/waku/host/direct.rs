//! From peer to peer: old envelopes, asked of mail servers and sent by them, past the pool (reference section 2.8).
//!
//! Invariant: only a trusted peer's envelopes and completions get in; nothing that came directly is pooled or forwarded.

use super::receive::MAX_ENVELOPES;
use super::{Event, Host, Output};
use crate::rlp::{self, Malformed, Reader};
use crate::waku::code;
use crate::waku::envelope::Envelope;
use crate::waku::mail::{Completion, MailRequest};
use crate::waku::peer::PeerId;
use crate::waku::refusal::Why;

impl Host {
    /// Trusts a peer until it disconnects.
    pub(super) fn trust(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.trusted = true;
        }
    }

    pub(super) fn request(&mut self, id: PeerId, request: &MailRequest) {
        self.trust(id);
        self.send_to(id, code::P2P_REQUEST, || request.encode());
    }

    pub(super) fn send_direct(&mut self, id: PeerId, envelopes: &[Envelope]) {
        self.send_to(id, code::P2P_MESSAGE, || {
            rlp::list(|w| {
                for envelope in envelopes {
                    w.raw(envelope.as_bytes());
                }
            })
        });
    }

    pub(super) fn complete(&mut self, id: PeerId, completion: &Completion) {
        self.send_to(id, code::P2P_REQUEST_COMPLETE, || completion.encode());
    }

    /// Takes a packet from peer to peer; the peer's status is in.
    pub(super) fn direct(&mut self, from: PeerId, code: u64, payload: &[u8]) {
        let trusted = self.peers.get(&from).is_some_and(|peer| peer.trusted);
        let event = match code {
            code::P2P_REQUEST if !self.config.mail_server => Err(Why::NoMailServer),
            code::P2P_REQUEST => {
                MailRequest::decode(payload).map(|request| Event::MailRequest { request, from }).map_err(malformed)
            }
            _ if !trusted => Err(Why::Untrusted),
            code::P2P_MESSAGE => {
                envelopes(payload).map(|envelopes| Event::Direct { envelopes, from }).map_err(malformed)
            }
            _ => Completion::decode(payload)
                .map(|completion| Event::MailCompleted { completion, from })
                .map_err(malformed),
        };
        match event {
            Ok(event) => self.outputs.push_back(Output::Event(event)),
            Err(why) => self.refused(from, why),
        }
    }

    fn send_to(&mut self, id: PeerId, code: u64, payload: impl FnOnce() -> Vec<u8>) {
        if self.peers.contains_key(&id) {
            self.send(id, code, payload());
        }
    }
}

fn malformed(_: Malformed) -> Why {
    Why::MalformedDirect
}

/// Reads the envelopes of a P2P Message. Bytes behind the list do not matter.
fn envelopes(payload: &[u8]) -> Result<Vec<Envelope>, Malformed> {
    let mut list = Reader::new(payload).list()?;
    let mut envelopes = Vec::new();
    while !list.is_empty() {
        if envelopes.len() == MAX_ENVELOPES {
            return Err(Malformed { what: "too many envelopes" });
        }
        envelopes.push(Envelope::decode(list.raw()?)?);
    }
    Ok(envelopes)
}
