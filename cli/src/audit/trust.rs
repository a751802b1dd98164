//! Against what a log is verified: whose word is taken for a card, and the heads that were kept elsewhere.

use std::path::{Path, PathBuf};

use audit::LogId;
use audit::evidence::Authorities;
use audit::verify::{Anchor, Kept};
use proto::rpc::Fault;
use proto::shell::file;

use super::args::TrustArgs;
use super::heads::heads;
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
        Ok(Self { authorities: authorities(&args.ca)?, anchors: anchors(&args.anchor, log)? })
    }
}

/// Returns the heads of files, as [`Trust::of`] takes them.
///
/// # Errors
/// [`Fault::BadInput`] for a file that has none.
pub(super) fn anchors(paths: &[PathBuf], log: Option<LogId>) -> Result<Vec<Anchor>, CliError> {
    let mut anchors = Vec::new();
    for path in paths {
        anchors.extend(heads(path, log)?.into_iter().map(|head| Anchor { head, kept: Kept::Elsewhere }));
    }
    Ok(anchors)
}

/// Returns the authorities that a command line names.
///
/// # Errors
/// [`Fault::BadInput`] for a file that is missing or names none.
pub(super) fn authorities(ca: &str) -> Result<Authorities, CliError> {
    match ca {
        PRODUCTION => Ok(Authorities::production()),
        TEST => Ok(Authorities::test()),
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

/// Returns the files that are read for what a command line names.
pub(super) fn files(args: &TrustArgs) -> Vec<PathBuf> {
    let ca = Some(args.ca.as_str()).filter(|ca| ![PRODUCTION, TEST].contains(ca));
    args.anchor.iter().cloned().chain(ca.map(PathBuf::from)).collect()
}

const PRODUCTION: &str = "production";
const TEST: &str = "test";
const MAX_LIST: usize = 1 << 20;
