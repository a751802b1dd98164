//! What stands beside a log: the files in which it was continued, and the heads that wait to be sent off this computer.
//!
//! The invariant: nothing here is on the way of a record, so nothing here can delay or fail one.

use std::io::{self, BufRead, Read as _};

use audit::line::MAX_LINE;
use audit::{Event, Head, Line, LineHash, Log, LogError, StoreError, Tree, When};
use proto::{CardId, UnixMillis};

use crate::files::StateError;

/// A head of the log that something outside of it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The head.
    pub head: Head,
    /// When.
    pub at: UnixMillis,
    /// The card that signed it; none where the log was continued in another file.
    pub card: Option<CardId>,
    /// The line that tells of it.
    pub line: u64,
}

/// Keeps what stands beside a log that is written through `S`.
pub trait Archive<S>: Send {
    /// Keeps a head to be sent off this computer. What cannot be kept is told to the operator and to nobody else.
    fn keep(&mut self, anchor: &Anchor);

    /// Returns whether the log's file is long enough to be put away.
    fn is_full(&self) -> bool;

    /// Returns the log going on in another file, with the one until here put away.
    ///
    /// # Errors
    /// [`LogError`]: the log goes on where it is.
    fn rotate(&mut self, log: &Log<S>, when: When) -> Result<Log<S>, LogError>;

    /// Returns how the log stood when it had so many entries; nothing when it never did.
    ///
    /// # Errors
    /// [`StateError::Missing`] when the file that tells is gone, [`StateError::Io`] when one cannot be read.
    fn head_at(&mut self, entries: u64) -> Result<Option<Head>, StateError>;
}

/// A log with nothing beside it.
pub(crate) struct Alone;

impl<S> Archive<S> for Alone {
    fn keep(&mut self, _: &Anchor) {}

    fn is_full(&self) -> bool {
        false
    }

    fn rotate(&mut self, _: &Log<S>, _: When) -> Result<Log<S>, LogError> {
        Err(StoreError::Failed { source: io::ErrorKind::Unsupported.into() }.into())
    }

    fn head_at(&mut self, _: u64) -> Result<Option<Head>, StateError> {
        Ok(None)
    }
}

/// Returns the first line of a file of a log, if it is one.
///
/// # Errors
/// When it cannot be read.
pub fn first_line(mut file: impl BufRead) -> io::Result<Option<Line>> {
    let mut bytes = Vec::with_capacity(MAX_LINE);
    next_line(&mut file, &mut bytes)?;
    Ok(Line::decode(&bytes).ok())
}

/// Returns how a file of a log stood at so many entries of the log; nothing when it begins later or ends before.
///
/// # Errors
/// When it cannot be read.
pub fn head_at(mut file: impl BufRead, entries: u64) -> io::Result<Option<Head>> {
    let mut bytes = Vec::with_capacity(MAX_LINE);
    next_line(&mut file, &mut bytes)?;
    let (log, mut tree) = match Line::decode(&bytes).map(|line| line.event) {
        Ok(Event::LogCreated { log, .. }) => (log, Tree::default()),
        Ok(Event::LogContinued { previous, .. }) if previous.entries == entries => return Ok(Some(previous)),
        Ok(Event::LogContinued { previous, peaks, .. }) => match Tree::of(previous.entries, peaks) {
            Ok(tree) => (previous.log, tree),
            Err(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    while bytes.last() == Some(&b'\n') && tree.lines() < entries {
        let hash = LineHash::of(&bytes);
        tree.push(&hash);
        if tree.lines() == entries {
            return Ok(Some(Head { log, entries, hash, root: tree.root() }));
        }
        next_line(&mut file, &mut bytes)?;
    }
    Ok(None)
}

/// Reads a line, or what there is of one.
fn next_line(file: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    let room = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
    file.take(room).read_until(b'\n', bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use audit::LogId;

    use super::*;
    use crate::clock::Clock as _;
    use crate::tests::{Memory, StillClock};

    #[test]
    fn a_file_tells_how_the_log_stood_at_each_of_its_lines() {
        let (first, when) = (Memory::default(), StillClock::default().now());
        let mut log = Log::create(first.clone(), LogId::from([1; 16]), when).unwrap();
        let mut heads = vec![log.head()];
        for to in 1..20 {
            log.policy_changed(when, [0; 32], [to; 32]).unwrap();
            heads.push(log.head());
        }
        let second = Memory::default();
        let mut next = log.continued(second.clone(), when).unwrap();
        next.policy_changed(when, [0; 32], [0; 32]).unwrap();
        for head in &heads {
            assert_eq!(head_at(first.bytes().as_slice(), head.entries).unwrap(), Some(*head));
        }
        assert_eq!(head_at(first.bytes().as_slice(), 0).unwrap(), None);
        assert_eq!(head_at(first.bytes().as_slice(), 21).unwrap(), None);
        assert_eq!(head_at(second.bytes().as_slice(), 19).unwrap(), None);
        assert_eq!(head_at(second.bytes().as_slice(), 20).unwrap(), Some(heads[19]), "which it carries");
        assert_eq!(head_at(second.bytes().as_slice(), 22).unwrap(), Some(next.head()));
        assert_eq!(first_line(second.bytes().as_slice()).unwrap().unwrap().seq, 21);
        for junk in [b"".as_slice(), b"junk", b"junk\n", &[b'x'; 10_000]] {
            assert_eq!((head_at(junk, 1).unwrap(), first_line(junk).unwrap()), (None, None));
        }
    }
}
