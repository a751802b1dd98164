//! Everything that came out, by where it came out.

use super::secrets::Secrets;

/// What was captured.
#[derive(Debug, Default)]
pub(super) struct Captured(Vec<(String, Vec<u8>)>);

/// A secret that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Which secret.
    pub(super) secret: String,
    /// In which encoding.
    pub(super) encoding: &'static str,
    /// Where.
    pub(super) place: String,
}

impl Captured {
    /// Keeps what came out at a place.
    pub(super) fn keep(&mut self, place: impl Into<String>, bytes: Vec<u8>) {
        self.0.push((place.into(), bytes));
    }

    /// Returns how many places there are.
    pub(super) const fn places(&self) -> usize {
        self.0.len()
    }

    /// Returns how much was captured.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Returns where a text is that must be there, so that an empty capture is not taken for a clean one.
    pub(super) fn has(&self, place: &str, text: &str) -> bool {
        self.0
            .iter()
            .filter(|(name, _)| name.contains(place))
            .any(|(_, bytes)| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// Looks for every secret in every form everywhere.
    pub(super) fn search(&self, secrets: &Secrets) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (secret, forms) in secrets.forms() {
            for (place, bytes) in &self.0 {
                for form in forms.iter().filter(|form| form.find(bytes).is_some()) {
                    let finding = Finding { secret: secret.clone(), encoding: form.encoding, place: place.clone() };
                    if !findings.contains(&finding) {
                        findings.push(finding);
                    }
                }
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_leak_is_named_with_its_secret_its_encoding_and_its_place_and_not_shown() {
        let mut captured = Captured::default();
        captured.keep("the output of a", b"pin 493817".to_vec());
        captured.keep("the log of b", b"{\"words\":\"legal winner thank\"}".to_vec());
        captured.keep("the socket", b"nothing".to_vec());
        let findings = captured.search(&Secrets::known());
        let named: Vec<_> =
            findings.iter().map(|found| (found.secret.as_str(), found.encoding, found.place.as_str())).collect();
        assert_eq!(named, [("the PIN", "raw", "the output of a"), ("the words", "words", "the log of b")]);
        assert!(!format!("{findings:?}").contains("493817"));
        assert!(captured.has("log of b", "winner") && !captured.has("socket", "winner"));
    }
}
