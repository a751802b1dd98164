//! What kind of Waku node this is: what it asks for, what it takes, what it forwards and confirms.
//!
//! The settings themselves are those of the [Waku host](wire::waku::Config); here are their values for each role, and which
//! of them make sense together.

use wire::p2p::Capability;
use wire::waku::{self, Allowance, Confirmations};

use super::Interest;

/// What kind of Waku node this is.
#[derive(Debug, Clone)]
pub struct Waku {
    /// The versions of `waku` that are offered in Hello; the highest that both sides offer is spoken.
    pub capabilities: Vec<Capability>,
    /// Which envelopes peers are asked for.
    pub interest: Interest,
    /// Everything else. Its own `interest` is what the node's is said as.
    pub host: waku::Config,
}

/// Settings that make no sense, with what to do about them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSetting {
    /// No version of waku.
    #[error("no capability is offered; give --capability waku/1, waku/0 or both")]
    NoCapability,
    /// Not a number that proof of work can have.
    #[error("a proof of work of {pow} cannot be asked for; give a number from 0 up, for example 0.002")]
    Pow {
        /// What was asked for.
        pow: f64,
    },
    /// Peers put more into one packet than would be taken, or the node would take more than it can hold.
    #[error("packets of {max} bytes cannot be the largest; --max-packet takes {least} to {most}")]
    Packet {
        /// What was asked for.
        max: usize,
        /// The least: an envelope of the greatest size that is taken must fit.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Too small for any message, or too large to be forwarded in one packet.
    #[error("envelopes of {max} bytes cannot be the largest; --max-envelope takes {MIN_ENVELOPE} to {MAX_ENVELOPE}")]
    Envelope {
        /// What was asked for.
        max: usize,
    },
    /// Less than a packet of the size that peers send.
    #[error("{bytes} bytes a second are less than one packet may have; give {least} or more, or 0 for no limit")]
    Bytes {
        /// What was asked for.
        bytes: u64,
        /// The size of a packet.
        least: u64,
    },
    /// A relay has no chats.
    #[error("a relay follows no chats; give --interest full, bloom:FILTER or topics:TOPIC,TOPIC...")]
    NoChats,
    /// Peers would not send what the chats need.
    #[error("with a fixed interest a person's node misses its chats; give --interest chats, chats-bloom or full")]
    MissesChats,
}

impl Waku {
    /// Returns the settings of a relay: a full node.
    #[must_use]
    pub fn relay() -> Self {
        let mut relay = Self::interested(Interest::Full);
        relay.host.confirmations = Confirmations::InReturn;
        relay
    }

    /// Returns the settings of a person's node: its topics and nothing else.
    #[must_use]
    pub fn chat() -> Self {
        Self::interested(Interest::Chats)
    }

    fn interested(interest: Interest) -> Self {
        let host = waku::Config { interest: interest.said([]), ..waku::Config::default() };
        Self { capabilities: vec![Capability::WAKU_1, Capability::WAKU_0], interest, host }
    }

    /// Checks that the settings make sense together; `follows_chats` says whether the node has chats.
    ///
    /// # Errors
    /// [`BadSetting`].
    pub fn check(&self, follows_chats: bool) -> Result<(), BadSetting> {
        if self.capabilities.is_empty() {
            return Err(BadSetting::NoCapability);
        }
        check_pow(self.host.min_pow)?;
        check_interest(&self.interest, follows_chats)?;
        let waku::Config { max_packet, max_envelope, ref allowance, .. } = self.host;
        if !(MIN_ENVELOPE..=MAX_ENVELOPE).contains(&max_envelope) {
            return Err(BadSetting::Envelope { max: max_envelope });
        }
        if !(max_envelope..=MAX_PACKET).contains(&max_packet) {
            return Err(BadSetting::Packet { max: max_packet, least: max_envelope, most: MAX_PACKET });
        }
        // Peers keep their packets below a mebibyte, whatever is taken here.
        let least = max_packet.min(MAX_ENVELOPE) as u64;
        let bytes = |allowance: &Allowance| [allowance.per_peer.bytes, allowance.per_address.bytes];
        match allowance.iter().flat_map(bytes).find(|bytes| (1..least).contains(bytes)) {
            Some(bytes) => Err(BadSetting::Bytes { bytes, least }),
            None => Ok(()),
        }
    }
}

/// Checks a least proof of work.
///
/// # Errors
/// [`BadSetting::Pow`].
pub(crate) fn check_pow(pow: f64) -> Result<(), BadSetting> {
    if pow.is_finite() && pow.is_sign_positive() { Ok(()) } else { Err(BadSetting::Pow { pow }) }
}

/// Checks that an interest suits a node that follows chats or does not.
///
/// # Errors
/// [`BadSetting::NoChats`], [`BadSetting::MissesChats`].
pub(crate) fn check_interest(interest: &Interest, follows_chats: bool) -> Result<(), BadSetting> {
    match interest {
        Interest::Chats | Interest::ChatsBloom if !follows_chats => Err(BadSetting::NoChats),
        Interest::Bloom(_) | Interest::Topics(_) if follows_chats => Err(BadSetting::MissesChats),
        _ => Ok(()),
    }
}

/// The least that the largest envelope may be, counted as 20 + data: the shortest message, padded to 256 bytes, with its
/// tag and nonce (reference section 2.10).
pub const MIN_ENVELOPE: usize = 20 + 256 + 16 + 12;
/// The most: an envelope must fit into a packet that every peer takes (1 MiB, reference section 2.4).
pub const MAX_ENVELOPE: usize = 1 << 20;
/// The hard cap of status-go on what may be taken in one packet (reference section 9.1).
pub const MAX_PACKET: usize = 10 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Interest {
        "topics:01020304".parse().unwrap()
    }

    #[test]
    fn the_settings_of_each_role_make_sense() {
        assert_eq!(Waku::relay().check(false), Ok(()));
        assert_eq!(Waku::chat().check(true), Ok(()));
    }

    #[test]
    fn an_interest_must_suit_the_role() {
        let with = |interest| Waku { interest, ..Waku::relay() };
        assert_eq!(with(Interest::ChatsBloom).check(false), Err(BadSetting::NoChats));
        assert_eq!(with(topics()).check(true), Err(BadSetting::MissesChats));
        assert_eq!(with(topics()).check(false), Ok(()));
        assert_eq!(with(Interest::Full).check(true), Ok(()));
    }

    /// WAKU1-12: the limits can be chosen, within what peers send and what can be sent on.
    #[test]
    fn sizes_have_bounds() {
        let with = |max_packet, max_envelope| {
            let host = waku::Config { max_packet, max_envelope, ..waku::Config::default() };
            Waku { host, ..Waku::relay() }.check(false)
        };
        assert_eq!(with(MIN_ENVELOPE, MIN_ENVELOPE), Ok(()));
        assert_eq!(with(MAX_PACKET, MAX_ENVELOPE), Ok(()));
        assert!(matches!(with(MAX_PACKET + 1, MAX_ENVELOPE), Err(BadSetting::Packet { .. })));
        assert!(matches!(with(4999, 5000), Err(BadSetting::Packet { least: 5000, .. })));
        assert!(matches!(with(MAX_PACKET, MAX_ENVELOPE + 1), Err(BadSetting::Envelope { .. })));
        assert!(matches!(with(MAX_PACKET, MIN_ENVELOPE - 1), Err(BadSetting::Envelope { .. })));
    }

    /// WAKU1-55: a limit of bytes is at least as large as a packet.
    #[test]
    fn a_packet_must_fit_into_a_second() {
        let with = |max_packet, bytes| {
            let per_peer = waku::Rate { packets: 0, bytes };
            let allowance = Some(Allowance { per_peer, ..Allowance::default() });
            let host = waku::Config { max_packet, max_envelope: 5000, allowance, ..waku::Config::default() };
            Waku { host, ..Waku::relay() }.check(false)
        };
        assert_eq!(with(MAX_PACKET, 1000), Err(BadSetting::Bytes { bytes: 1000, least: 1 << 20 }));
        assert_eq!(with(9000, 8999), Err(BadSetting::Bytes { bytes: 8999, least: 9000 }));
        assert_eq!((with(9000, 9000), with(MAX_PACKET, 1 << 20), with(MAX_PACKET, 0)), (Ok(()), Ok(()), Ok(())));
    }

    /// WAKU1-33: no peer could keep such a minimum.
    #[test]
    fn an_impossible_proof_of_work_is_refused() {
        for pow in [f64::NAN, f64::INFINITY, -0.1, -0.0] {
            assert!(check_pow(pow).is_err(), "{pow}");
        }
        assert_eq!((check_pow(0.0), check_pow(0.002)), (Ok(()), Ok(())));
    }
}
