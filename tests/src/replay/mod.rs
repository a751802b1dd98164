//! Replays recordings of real peers through this project's own machines.
//!
//! A recording is JSON Lines, one case a line, with its inputs and what the peer made of them. What a file holds is told
//! by the beginning of its name. Nothing here knows the protocols: each case is put through the packages that do, and
//! what they say is compared with what the peer said.

pub mod case;
mod differs;
mod envelope;
mod opposite;
mod rlpx_hostile;
mod rlpx_session;
mod rlpx_timing;
mod topics;
mod waku_behaviour;
mod waku_status;

use std::path::Path;

use serde_json::Value;

use self::case::Case;

/// What became of one case, if nothing differed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// We do as the peer did.
    Same,
    /// We choose to differ, by a rule of `differs`.
    Listed,
    /// Nothing here reads this kind of case.
    Skipped,
}

/// What became of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many cases there were.
    pub cases: usize,
    /// In how many we do as the peer did.
    pub ok: usize,
    /// In how many we choose to differ.
    pub listed: usize,
    /// In how many nothing here reads the kind.
    pub skipped: usize,
    /// The cases that differ, each by its id with what differed.
    pub bad: Vec<(String, String)>,
}

impl Report {
    /// Returns whether every case was replayed and none differed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.bad.is_empty() && self.skipped == 0
    }
}

/// The counts, and under them every bad case.
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cases, ok, listed, skipped, bad } = self;
        write!(f, "cases={cases} ok={ok} listed={listed} bad={} skipped={skipped}", bad.len())?;
        bad.iter().try_for_each(|(id, what)| write!(f, "\n  bad {id}: {what}"))
    }
}

/// Replays the text of a file with this path.
#[must_use]
pub fn file(path: &Path, text: &str) -> Report {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let replay = KINDS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, replay)| *replay);
    let mut report = Report::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        report.cases += 1;
        let outcome = match (replay, serde_json::from_str::<Value>(line)) {
            (None, _) => Ok(Outcome::Skipped),
            (Some(_), Err(error)) => Err((format!("line {}", number + 1), error.to_string())),
            (Some(replay), Ok(case)) => {
                let id = case
                    .get("id")
                    .and_then(Value::as_str)
                    .map_or_else(|| format!("line {}", number + 1), str::to_owned);
                replay(Case::of(&case)).map_err(|what| (id, what))
            }
        };
        match outcome {
            Ok(Outcome::Same) => report.ok += 1,
            Ok(Outcome::Listed) => report.listed += 1,
            Ok(Outcome::Skipped) => report.skipped += 1,
            Err(bad) => report.bad.push(bad),
        }
    }
    report
}

/// Replays one case; the error says what differed.
type Replay = fn(Case<'_>) -> Result<Outcome, String>;

/// The beginnings of file names, and what replays their cases.
const KINDS: [(&str, Replay); 8] = [
    ("rlpx-session", rlpx_session::replay),
    ("rlpx-hostile", rlpx_hostile::replay),
    ("rlpx-timing", rlpx_timing::replay),
    ("waku-status", waku_status::replay),
    ("waku-behaviour", waku_behaviour::replay),
    ("waku-walk", waku_behaviour::replay),
    ("envelope", envelope::replay),
    ("topics", topics::replay),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(name: &str, text: &str) -> Report {
        file(Path::new(name), text)
    }

    #[test]
    fn a_kind_that_nobody_reads_counts_as_skipped() {
        let report = replayed("dir/unheard-of.jsonl", "{\"id\":\"a\"}\n\n{\"id\":\"b\"}\n");
        assert_eq!((report.cases, report.skipped), (2, 2));
        assert!(!report.is_good());
        assert_eq!(report.to_string(), "cases=2 ok=0 listed=0 bad=0 skipped=2");
    }

    #[test]
    fn what_differs_is_named_by_the_cases_id() {
        let good = r#"{"id":"bloom-1","kind":"bloom","topic":"00010200","expect":{"bloom":"FF"}}"#;
        let report = replayed("envelope-more.jsonl", good);
        assert_eq!(report.bad.len(), 1);
        assert!(report.to_string().contains("\n  bad bloom-1: bloom: "), "{report}");
    }

    #[test]
    fn a_line_that_is_no_case_is_bad_and_not_fatal() {
        let report = replayed("topics.jsonl", "nonsense\n{\"kind\":\"public\"}\n");
        let ids: Vec<_> = report.bad.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["line 1", "line 2"]);
    }
}
