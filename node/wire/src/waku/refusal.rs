//! Names for everything a peer may do wrong, so that it can be counted, and for why a connection ends.

use super::status::StatusError;

/// Why an envelope or a packet was not taken. The connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Sent more than 10 s after now.
    #[error("envelope from future")]
    FromFuture,
    /// Expired more than 20 s ago.
    #[error("very old envelope")]
    VeryOld,
    /// Expired, but not long ago: left out without a word to the sender.
    #[error("expired envelope")]
    Expired,
    /// Larger than envelopes may be.
    #[error("oversized envelope")]
    Oversize,
    /// Less proof of work than is wanted here.
    #[error("envelope with low proof of work")]
    LowPow,
    /// Outside our topic interest or bloom filter.
    #[error("envelope outside of the topic interest")]
    Unwanted,
    /// The pool is full of envelopes with more work.
    #[error("no room for the envelope")]
    PoolFull,
    /// It was here already: no fault, but counted.
    #[error("known envelope")]
    Duplicate,
    /// A Messages packet that does not decode.
    #[error("malformed messages packet")]
    MalformedMessages,
    /// A Batch Ack or Message Response that does not decode.
    #[error("malformed confirmation")]
    MalformedConfirmation,
    /// A Status Update that does not decode, or with an option that cannot be.
    #[error("bad status update")]
    BadUpdate,
    /// A second Status.
    #[error("repeated status")]
    RepeatedStatus,
    /// A packet code that nothing here listens to.
    #[error("unknown packet code")]
    UnknownCode,
    /// A packet beyond the rate limits. It is looked at all the same.
    #[error("packet beyond the rate limits")]
    RateLimit,
    /// Envelopes of a peer that is not listened to.
    #[error("envelopes of an ignored peer")]
    Ignored,
    /// Envelopes from peer to peer, or the end of a request, from a peer that is not trusted.
    #[error("peer-to-peer packet of a peer that is not trusted")]
    Untrusted,
    /// A packet from peer to peer that does not decode.
    #[error("malformed peer-to-peer packet")]
    MalformedDirect,
    /// A request for old envelopes, which this node does not keep.
    #[error("mail request to a node that is no mail server")]
    NoMailServer,
}

impl Why {
    /// Returns whether the sender is told in a Message Response.
    #[must_use]
    pub const fn is_told(self) -> bool {
        matches!(
            self,
            Self::FromFuture | Self::VeryOld | Self::Oversize | Self::LowPow | Self::Unwanted | Self::PoolFull
        )
    }

    /// Returns the name under which it is counted.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FromFuture => "from-future",
            Self::VeryOld => "very-old",
            Self::Expired => "expired",
            Self::Oversize => "oversize",
            Self::LowPow => "low-pow",
            Self::Unwanted => "unwanted",
            Self::PoolFull => "pool-full",
            Self::Duplicate => "duplicate",
            Self::MalformedMessages => "malformed-messages",
            Self::MalformedConfirmation => "malformed-confirmation",
            Self::BadUpdate => "bad-update",
            Self::RepeatedStatus => "repeated-status",
            Self::UnknownCode => "unknown-code",
            Self::RateLimit => "rate-limit",
            Self::Ignored => "ignored-peer",
            Self::Untrusted => "untrusted",
            Self::MalformedDirect => "malformed-direct",
            Self::NoMailServer => "no-mail-server",
        }
    }
}

/// Why a peer must be disconnected (devp2p reason 16 in every case).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// Another packet came before the status.
    #[error("packet {code} before the status")]
    BeforeStatus {
        /// Its code.
        code: u64,
    },
    /// The status does not decode or asks the impossible.
    #[error("bad status")]
    BadStatus {
        /// What is wrong with it.
        #[source]
        source: StatusError,
    },
    /// No status came in time.
    #[error("no status in time")]
    NoStatus,
    /// A packet above the limit. It was not looked into.
    #[error("packet of {len} bytes")]
    Oversize {
        /// Its length.
        len: usize,
    },
    /// A packet beyond the rate limits, after as many as are forgiven.
    #[error("packet beyond the rate limits")]
    RateLimit,
}

impl DropReason {
    /// Returns the name under which it is counted.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BeforeStatus { .. } => "before-status",
            Self::BadStatus { .. } => "bad-status",
            Self::NoStatus => "no-status",
            Self::Oversize { .. } => "oversize-packet",
            Self::RateLimit => "rate-limit",
        }
    }
}
