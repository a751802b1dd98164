//! What PC/SC answers instead of an answer, sorted by what a person has to do about it.

use keycard::{NoService, TransportError};

/// Why there is no answer. Unlike [`TransportError`] it can be told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    NoCard,
    Removed,
    Reset,
    NoReader { name: String },
    Ambiguous { readers: Vec<String> },
    Service(NoService),
    Held,
    Hung { seconds: u64 },
    Other(pcsc::Error),
}

impl Trouble {
    /// Returns why a reader or the card in it could not be had.
    pub(crate) fn opening(name: &str, error: pcsc::Error) -> Self {
        use pcsc::Error as E;
        match error {
            // A card that does not come up is no card to us, whatever it may be.
            E::NoSmartcard | E::RemovedCard | E::UnresponsiveCard | E::UnpoweredCard | E::UnsupportedCard => {
                Self::NoCard
            }
            E::ProtoMismatch | E::ResetCard => Self::NoCard,
            other => Self::anywhere(name, other),
        }
    }

    /// Returns why the card that was spoken to did not answer.
    pub(crate) fn speaking(name: &str, error: pcsc::Error) -> Self {
        use pcsc::Error as E;
        match error {
            E::RemovedCard | E::NoSmartcard | E::UnpoweredCard | E::UnresponsiveCard => Self::Removed,
            E::ResetCard => Self::Reset,
            // What belonged to a service that has gone is unknown to the one that came after it.
            E::InvalidHandle => Self::Service(NoService::Stopped),
            other => Self::anywhere(name, other),
        }
    }

    /// Returns why there is no list of readers.
    pub(crate) fn listing(error: pcsc::Error) -> Self {
        Self::anywhere("", error)
    }

    fn anywhere(name: &str, error: pcsc::Error) -> Self {
        use pcsc::Error as E;
        match error {
            E::UnknownReader | E::ReaderUnavailable | E::NoReadersAvailable => Self::NoReader { name: name.to_owned() },
            E::NoService | E::ServiceStopped | E::CommError | E::ServerTooBusy => Self::Service(stopped()),
            E::NoAccess | E::SecurityViolation => Self::Service(NoService::Denied),
            E::SharingViolation => Self::Held,
            other => Self::Other(other),
        }
    }
}

/// Returns why no service answers.
#[cfg(all(unix, not(target_os = "macos")))]
fn stopped() -> NoService {
    if pcsc_shim::load().is_ok() { NoService::Stopped } else { NoService::Library }
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn stopped() -> NoService {
    NoService::Stopped
}

impl From<Trouble> for TransportError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NoCard => Self::NoCard,
            Trouble::Removed => Self::Removed,
            Trouble::Reset => Self::Reset,
            Trouble::NoReader { name } if name.is_empty() => {
                Self::NoReader { what: "there is no card reader".to_owned() }
            }
            Trouble::NoReader { name } => Self::NoReader { what: format!("the card reader {name} is not there") },
            Trouble::Ambiguous { readers } => Self::Ambiguous { readers },
            Trouble::Service(why) => Self::Service(why),
            Trouble::Held => Self::Held,
            Trouble::Hung { seconds } => Self::Hung { seconds },
            Trouble::Other(error) => Self::reader(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is mended by somebody else, or in another way.
    #[test]
    fn what_a_person_has_to_do_decides_which_error_it_is() {
        use pcsc::Error as E;
        let words = |trouble: Trouble| TransportError::from(trouble).to_string();
        let cases = [
            (Trouble::opening("R", E::NoSmartcard), "no card answers"),
            (Trouble::opening("R", E::UnresponsiveCard), "no card answers"),
            (Trouble::opening("R", E::UnknownReader), "the card reader R is not there"),
            (Trouble::opening("", E::NoReadersAvailable), "there is no card reader"),
            (Trouble::opening("R", E::SharingViolation), "another program holds the reader"),
            (Trouble::opening("R", E::SecurityViolation), "does not let this user"),
            (Trouble::speaking("R", E::RemovedCard), "the card was drawn"),
            (Trouble::speaking("R", E::ResetCard), "another program reset the card"),
            (Trouble::speaking("R", E::ReaderUnavailable), "the card reader R is not there"),
            (Trouble::speaking("R", E::NotTransacted), "the reader failed"),
        ];
        for (trouble, beginning) in cases {
            let words = words(trouble.clone());
            assert!(words.contains(beginning), "{trouble:?}: {words}");
        }
        assert!(matches!(Trouble::speaking("R", E::InvalidHandle), Trouble::Service(_)));
    }
}
