//! An event as one sentence, for people.

use std::fmt;

use crate::entry::{Asked, Caller, Event, Outcome, SeedOrigin};
use crate::head::SecondWriter;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogCreated { log, .. } => write!(f, "log {log} begins"),
            Self::LogContinued { previous, .. } => {
                write!(f, "log {} goes on after entry {} in another file", previous.log, previous.entries)
            }
            Self::PolicyChanged { from, to } => {
                write!(f, "policy {} is in force instead of {}", short(to), short(from))
            }
            Self::HeadSigned(signed) => {
                write!(f, "{} signs the head ({} authority)", signed.card, signed.signed.authority)
            }
            Self::Statement(statement) => {
                write!(f, "a key of {} signs the head before entry {}, under PIN", statement.card, statement.intent)
            }
            Self::SecondWriter(SecondWriter { card, found }) => {
                write!(f, "{card} remembers log {} at entry {}, which this log never had", found.log, found.entries)
            }
            Self::LogOpened(opened) => {
                write!(f, "key manager {} starts", opened.version)?;
                f.write_str(if opened.test_authority { ", taking cards of the public test authority" } else { "" })
            }
            Self::ChannelOpened(opened) => write!(
                f,
                "channel to {} (applet {}, {} authority) is open",
                opened.card, opened.applet, opened.authority
            ),
            Self::PairedChannelOpened(opened) => {
                write!(f, "channel to {} (applet {}, slot {}", opened.card, opened.applet, opened.slot)?;
                match &opened.signed {
                    Some(signed) => write!(f, ", {} authority", signed.authority)?,
                    None => f.write_str(", unsigned card")?,
                }
                f.write_str(if opened.well_known { ", paired with a password that everybody knows" } else { "" })?;
                f.write_str(") is open")
            }
            Self::Intent(intent) => write!(
                f,
                "asks the card {}, for \"{}\", for {}",
                intent.request.operation, intent.purpose, intent.caller
            ),
            Self::Outcome { intent, outcome } => write!(f, "entry {intent} {outcome}"),
            Self::Refusal(refusal) => {
                write!(f, "refuses {} to {}: {}", refusal.asked, refusal.caller, refusal.reason)
            }
            Self::Decoy(decoy) => {
                write!(f, "uses the decoy keys of {}, chat key {}", decoy.card, decoy.chat_fingerprint)
            }
            Self::Owner(owner) => write!(f, "{owner}"),
            Self::Provisioning(p) => {
                write!(f, "enrols {} \"{}\", chat key {}, seed ", p.card, p.label, p.chat_fingerprint)?;
                f.write_str(match p.seed {
                    SeedOrigin::SeenByHost => "seen by this host",
                    SeedOrigin::GeneratedOnCard => "generated on the card",
                    SeedOrigin::BeforeEnrolment => "from before the enrolment",
                })
            }
        }
    }
}

/// Follows "refuses".
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlock => f.write_str("to unlock the card"),
            Self::Provision => f.write_str("to enrol the card"),
            Self::Private(path) => write!(f, "the private key of {path}"),
            Self::Public(path) => write!(f, "the public key of {path}"),
            Self::ExtendedPublic(path) => write!(f, "the extended public key of {path}"),
            Self::Operation(operation) => write!(f, "to ask the card {operation}"),
        }
    }
}

/// Follows the number of the intent.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { fingerprint: Some(fingerprint), .. } => write!(f, "is done, fingerprint {fingerprint}"),
            Self::Done { fingerprint: None, .. } => f.write_str("is done"),
            Self::Failed { reason } => write!(f, "failed, treat it as exported: {reason}"),
            Self::RefusedByCard { status } => write!(f, "was refused by the card ({status:04x})"),
            Self::NotSent { reason } => write!(f, "was not sent to the card: {reason}"),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match (&self.binary, self.pid) {
            (Some(binary), _) => write!(f, " ({binary})"),
            (None, Some(pid)) => write!(f, " (process {pid})"),
            (None, None) => Ok(()),
        }
    }
}

fn short(hash: &[u8; 32]) -> String {
    hex::encode(hash.get(..8).unwrap_or(&[]))
}
