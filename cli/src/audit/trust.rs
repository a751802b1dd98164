//! Against what a log is verified: whose word is taken for a card, and the heads that were kept elsewhere.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use audit::evidence::Authorities;
use audit::verify::{Anchor, Kept};
use audit::{Head, LogId};
use proto::rpc::Fault;
use proto::shell::file;

use super::args::TrustArgs;
use crate::error::CliError;

/// Against what a log is verified.
#[derive(Debug)]
pub(super) struct Trust {
    /// Whose certificates make a card genuine.
    pub(super) authorities: Authorities,
    /// The heads that were kept elsewhere.
    pub(super) anchors: Vec<Anchor>,
}

impl Trust {
    /// Reads what a command line names. Of each file of heads those of `log` are taken; where there are none, one of
    /// another log.
    ///
    /// # Errors
    /// [`Fault::BadInput`] for a file that is missing or none of these.
    pub(super) fn of(args: &TrustArgs, log: Option<LogId>) -> Result<Self, CliError> {
        let authorities = authorities(&args.ca)?;
        let mut anchors = Vec::new();
        for path in &args.anchor {
            anchors.extend(heads(path, log)?.into_iter().map(|head| Anchor { head, kept: Kept::Elsewhere }));
        }
        Ok(Self { authorities, anchors })
    }
}

fn authorities(ca: &str) -> Result<Authorities, CliError> {
    match ca {
        "production" => Ok(Authorities::production()),
        "test" => Ok(Authorities::test()),
        path => {
            let path = Path::new(path);
            let bad = |why: String| {
                let help = "--ca is production, test, or a file with one compressed public key in hexadecimal a line";
                CliError::found(Fault::BadInput, format!("{}: {why}; {help}", path.display()))
            };
            let bytes = file::read_bounded(path, MAX_LIST).map_err(|error| bad(error.to_string()))?;
            let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is no text".to_owned()))?;
            let listed = Authorities::listed(text).map_err(|why| bad(why.to_string()))?;
            if listed == Authorities::default() { Err(bad("it names no key".to_owned())) } else { Ok(listed) }
        }
    }
}

/// Returns the heads of a file: what `audit push` sent, however its receiver stored it, or lines of `audit anchor`.
fn heads(path: &Path, log: Option<LogId>) -> Result<Vec<Head>, CliError> {
    let bad = |why: &str| {
        let help =
            "a file of heads has lines with LOG-ID ENTRIES HASH ROOT in them, as `audit push` and `audit anchor` write";
        CliError::found(Fault::BadInput, format!("{}: {why}; {help}", path.display()))
    };
    let opened = path.metadata().and_then(|found| Ok((found.is_file(), File::open(path)?)));
    let (is_file, file) = opened.map_err(|error| bad(&error.to_string()))?;
    if !is_file {
        return Err(bad("it is no file"));
    }
    let mut lines = BufReader::new(file);
    let (mut ours, mut other) = (Vec::new(), None);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // What is longer is read in pieces, of which none is a head.
        let read = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
        if read.map_err(CliError::file(path))? == 0 {
            break;
        }
        match head_in(&String::from_utf8_lossy(&bytes)) {
            Some(head) if log.is_none_or(|log| log == head.log) => ours.push(head),
            Some(head) => other = Some(head),
            None => {}
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
    }
    if ours.is_empty() {
        ours.extend(other);
    }
    if ours.is_empty() { Err(bad("there is no head in it")) } else { Ok(ours) }
}

/// Returns the newest head of this log in a file.
///
/// # Errors
/// [`Fault::BadInput`] for a file that has none.
pub(super) fn newest_head(path: &Path, log: LogId) -> Result<Head, CliError> {
    let newest = heads(path, Some(log))?.into_iter().filter(|head| head.log == log).max_by_key(|head| head.entries);
    newest.ok_or_else(|| {
        CliError::found(Fault::BadInput, format!("{}: there is no head of the log {log} in it", path.display()))
    })
}

/// Returns the head that stands in a line, whatever stands around it: a log daemon adds its own words.
pub(super) fn head_in(line: &str) -> Option<Head> {
    let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.windows(4).find_map(|four| match four {
        [log, entries, hash, root] if log.len() == 32 && hash.len() == 64 && root.len() == 64 => {
            format!("{log} {entries} {hash} {root}").parse().ok()
        }
        _ => None,
    })
}

const MAX_LIST: usize = 1 << 20;
const MAX_LINE: u64 = 16 * 1024;
const MOST_HEADS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(log: u8, entries: u64) -> String {
        format!("{} {entries} {} {}", hex::encode([log; 16]), "ab".repeat(32), "cd".repeat(32))
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
}
