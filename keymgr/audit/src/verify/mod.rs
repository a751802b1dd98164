//! Offline verification: what a log says, whether it can be believed, and what it cannot answer.

mod anchor;
mod auditor;
mod bad;
mod clock;
mod coverage;
mod left;
mod nonces;
mod question;
mod report;
mod signatures;
mod verdict;
mod wallets;

use std::io::BufRead;

pub use anchor::{Anchor, Kept, NotAnAnchor};
pub use auditor::Auditor;
pub use bad::{Bad, What};
pub use coverage::{Coverage, More, Span, Tail};
pub use left::{Form, Key, Left};
pub(crate) use nonces::may_be_one;
pub use nonces::{Repeat, SignedBy, Tally};
pub use question::Question;
pub use report::{Manager, Report, Stated};
pub use verdict::{Finding, Lines, Verdict, Why};

use crate::evidence::Authorities;
use crate::line::{Head, Line};
use crate::replay::Replay;

/// Shows every good line, in order, and returns the first bad one.
///
/// # Errors
/// Only when `log` cannot be read.
pub fn read(log: impl BufRead, mut see: impl FnMut(&Line)) -> std::io::Result<Option<Bad>> {
    Replay::default().read(log, |line, _| see(line))
}

/// Reads one file of a log and reports, taking no card for genuine. With the head that its writer remembered apart from it,
/// a log that lost its last lines is bad at the first of them.
///
/// # Errors
/// Only when `log` cannot be read; whatever is wrong with what was read is in the [`Report`].
pub fn verify(log: impl BufRead, remembered: Option<Head>) -> std::io::Result<Report> {
    let beside = remembered.map(|head| Anchor { head, kept: Kept::Beside });
    let mut auditor = Auditor::new(Authorities::default()).with_anchors(beside);
    auditor.read(log, |_, _| {})?;
    Ok(auditor.finish())
}
