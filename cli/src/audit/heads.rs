//! Heads in files: what `audit push` sent, however its receiver stored it, or lines of `audit anchor`.
//!
//! A head is four words beside each other in one line, `LOG-ID ENTRIES HASH ROOT`, whatever stands around them and however
//! many there are. Files are read as they come, whatever their length.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use audit::proof::TreeHead;
use audit::{Head, LogId, Root};
use proto::rpc::Fault;
use proto::shell::file;

use crate::error::CliError;

/// Returns the heads of a file: those of `log`, or one of another log where there are none.
///
/// # Errors
/// [`Fault::BadInput`] for a file that has none.
pub(super) fn heads(path: &Path, log: Option<LogId>) -> Result<Vec<Head>, CliError> {
    let (mut ours, mut other) = (Vec::new(), None);
    each(path, |head| {
        if log.is_none_or(|log| log == head.log) {
            ours.push(head);
        } else {
            other = Some(head);
        }
        if ours.len() > MOST_HEADS {
            // The newest know most, and old ones still tell where a log was written anew.
            ours.sort_by_key(|head: &Head| head.entries);
            ours.dedup();
            // The last one stays, whatever their number.
            let mut n = ours.len();
            ours.retain(|_| {
                n = n.saturating_sub(1);
                n.is_multiple_of(2)
            });
        }
        Ok(())
    })?;
    if ours.is_empty() {
        ours.extend(other);
    }
    Ok(ours)
}

/// Returns the newest head of this log in a file.
///
/// # Errors
/// [`Fault::BadInput`] for a file that has none.
pub(super) fn newest(path: &Path, log: LogId) -> Result<Head, CliError> {
    let newest = heads(path, Some(log))?.into_iter().filter(|head| head.log == log).max_by_key(|head| head.entries);
    newest.ok_or_else(|| {
        CliError::found(Fault::BadInput, format!("{}: there is no head of the log {log} in it", path.display()))
    })
}

/// All heads that somebody kept, of whatever logs: none is left out, because each may be the one that contradicts.
#[derive(Debug, Default)]
pub(super) struct KeptHeads {
    all: BTreeSet<TreeHead>,
    /// How many there are of each log.
    counts: BTreeMap<LogId, usize>,
}

/// What those who kept heads know of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It was kept.
    Same,
    /// One of the same log with as many entries was kept, and another root.
    Other,
    /// None of as many entries was kept.
    Nothing,
}

impl KeptHeads {
    /// Reads all heads of files.
    ///
    /// # Errors
    /// [`Fault::BadInput`] for a file that has none, and for more than fit into memory.
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self, CliError> {
        let mut kept = Self::default();
        for path in paths {
            each(path, |head| {
                if kept.all.insert(head.into()) {
                    *kept.counts.entry(head.log).or_default() += 1;
                }
                if kept.all.len() <= MOST_KEPT {
                    return Ok(());
                }
                let help = "name a file with those of the log that is proven";
                let message = format!("{}: more than {MOST_KEPT} different heads; {help}", path.display());
                Err(CliError::found(Fault::BadInput, message))
            })?;
        }
        Ok(kept)
    }

    /// Returns what is known of a head. One that contradicts counts for more than the same one.
    pub(super) fn know(&self, head: &TreeHead) -> Known {
        let at = |root: [u8; 32]| TreeHead { root: Root::from(root), ..*head };
        let mut found = self.all.range(at([0; 32])..=at([0xff; 32]));
        match found.next() {
            None => Known::Nothing,
            Some(kept) if kept == head && found.next().is_none() => Known::Same,
            Some(_) => Known::Other,
        }
    }

    /// Returns how many heads of a log there are.
    pub(super) fn count(&self, log: LogId) -> usize {
        self.counts.get(&log).copied().unwrap_or_default()
    }

    /// Returns whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Shows each head of a file.
fn each(path: &Path, mut see: impl FnMut(Head) -> Result<(), CliError>) -> Result<(), CliError> {
    let bad = |why: &str| {
        let help =
            "a file of heads has lines with LOG-ID ENTRIES HASH ROOT in them, as `audit push` and `audit anchor` write";
        CliError::found(Fault::BadInput, format!("{}: {why}; {help}", path.display()))
    };
    let file = file::open(path).map_err(|error| bad(&error.to_string()))?;
    let mut words = Words::default();
    let mut is_empty = true;
    // The end of a file ends its last word.
    for byte in BufReader::new(file).bytes().chain([Ok(b'\n')]) {
        if let Some(head) = words.take(byte.map_err(CliError::file(path))?) {
            is_empty = false;
            see(head)?;
        }
    }
    if is_empty { Err(bad("there is no head in it")) } else { Ok(()) }
}

/// The last words of a line, as its bytes go by.
#[derive(Debug, Default)]
struct Words {
    whole: VecDeque<String>,
    /// The one that did not end yet, or as much of it as shows that it is none of a head.
    next: String,
}

impl Words {
    /// Takes the next byte, and returns the head that it ends.
    fn take(&mut self, byte: u8) -> Option<Head> {
        if byte.is_ascii_alphanumeric() {
            if self.next.len() <= HASH {
                self.next.push(char::from(byte));
            }
            return None;
        }
        let head = if self.next.is_empty() { None } else { self.end_word() };
        if byte == b'\n' || head.is_some() {
            self.whole.clear();
        }
        head
    }

    fn end_word(&mut self) -> Option<Head> {
        if self.whole.len() == 4 {
            self.whole.pop_front();
        }
        self.whole.push_back(std::mem::take(&mut self.next));
        match self.whole.make_contiguous() {
            [log, entries, hash, root] if log.len() == LOG && hash.len() == HASH && root.len() == HASH => {
                format!("{log} {entries} {hash} {root}").parse().ok()
            }
            _ => None,
        }
    }
}

/// Hexadecimal digits of a log's name.
const LOG: usize = 32;
/// Hexadecimal digits of a hash.
const HASH: usize = 64;
const MOST_HEADS: usize = 65_536;
/// Of all logs together: some 20 MiB.
const MOST_KEPT: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(log: u8, entries: u64) -> String {
        rooted(log, entries, "cd")
    }

    fn rooted(log: u8, entries: u64, root: &str) -> String {
        format!("{} {entries} {} {}", hex::encode([log; 16]), "ab".repeat(32), root.repeat(32))
    }

    fn found(text: &str, log: Option<u8>) -> Result<Vec<u64>, Option<Fault>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heads");
        std::fs::write(&path, text).unwrap();
        let heads = heads(&path, log.map(|log| [log; 16].into()));
        heads.map(|heads| heads.iter().map(|head| head.entries).collect()).map_err(|error| error.fault())
    }

    #[test]
    fn a_head_is_found_in_whatever_a_receiver_made_of_its_line() {
        let head = head(7, 12);
        for line in [
            head.clone(),
            format!("{{\"head\":\"{head}\",\"unix_ms\":1,\"card\":null,\"line\":13}}"),
            format!("<85>1 2026-11-21T12:00:00Z box cardinal 77 head - {head}"),
            format!("Nov 21 12:00:00 box cardinal[77]: {{\"head\":\"{head}\"}}"),
            format!("  {head} # written on paper"),
        ] {
            assert_eq!(found(&format!("something else\n{line}\n"), Some(7)), Ok(vec![12]), "{line}");
        }
    }

    #[test]
    fn all_heads_of_a_line_are_found_however_long_it_is() {
        let (one, two) = (head(7, 12), head(7, 13));
        assert_eq!(found(&format!("[{{\"head\":\"{one}\"}},{{\"head\":\"{two}\"}}]"), Some(7)), Ok(vec![12, 13]));
        assert_eq!(found(&format!("{one} {two}\r\n{}", head(7, 14)), Some(7)), Ok(vec![12, 13, 14]));
        // Wherever a reader would cut such a line in pieces.
        for before in [4096, 8192, 16 * 1024].into_iter().flat_map(|at: usize| at - 200..at + 8) {
            let line = format!("{} {two} and no end of line", "x".repeat(before));
            assert_eq!(found(&line, Some(7)), Ok(vec![13]), "{before}");
        }
    }

    #[test]
    fn the_words_of_two_lines_and_longer_ones_are_no_head() {
        let [one, two] = [head(7, 12), head(7, 13)];
        for text in [
            one.replacen(' ', "\n", 1),
            one.replace(' ', ""),
            format!("{one}0"),
            format!("x{one}"),
            one[..160].to_owned(),
        ] {
            assert_eq!(found(&text, Some(7)), Err(Some(Fault::BadInput)), "{text}");
        }
        assert_eq!(found(&format!("{} {two}", &one[..110]), Some(7)), Ok(vec![13]));
    }

    #[test]
    fn heads_of_this_log_are_taken_and_one_of_another_only_where_there_are_none() {
        let text = format!("{}\n{}\n{}\n", head(1, 5), head(2, 6), head(1, 7));
        assert_eq!(found(&text, Some(1)), Ok(vec![5, 7]));
        assert_eq!(found(&text, Some(3)), Ok(vec![7]));
        assert_eq!(found(&text, None), Ok(vec![5, 6, 7]));
    }

    #[test]
    fn a_file_without_a_head_is_no_anchor() {
        for bad in ["", "\n", "hello", &head(1, 5)[..100], &"x".repeat(40_000)] {
            assert_eq!(found(bad, Some(1)), Err(Some(Fault::BadInput)), "{bad:?}");
        }
    }

    #[test]
    fn very_many_heads_are_thinned_out_and_the_newest_stays() {
        for more in [1, 2] {
            let text: String = (1..=MOST_HEADS + more).map(|n| format!("{}\n", head(1, n as u64))).collect();
            let kept = found(&text, Some(1)).unwrap();
            assert!(kept.len() < MOST_HEADS && kept.last() == Some(&((MOST_HEADS + more) as u64)), "{}", kept.len());
        }
    }

    #[test]
    fn heads_that_were_kept_know_the_same_one_and_one_that_contradicts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heads");
        let lines = [head(1, 5), head(1, 5), head(1, 9), rooted(1, 9, "ee"), head(2, 7)];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let kept = KeptHeads::of(&[path]).unwrap();
        let know = |text: String| kept.know(&text.parse::<Head>().unwrap().into());
        assert_eq!(know(head(1, 5)), Known::Same);
        assert_eq!(know(rooted(1, 5, "00")), Known::Other);
        assert_eq!(know(rooted(1, 5, "ff")), Known::Other);
        assert_eq!(know(head(1, 9)), Known::Other, "two heads of those that were kept differ");
        assert_eq!(
            (know(head(1, 7)), know(head(2, 5)), know(head(3, 7))),
            (Known::Nothing, Known::Nothing, Known::Nothing)
        );
        assert_eq!((kept.count([1; 16].into()), kept.count([3; 16].into()), kept.is_empty()), (3, 0, false));
    }
}
