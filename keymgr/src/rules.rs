//! The rules that were in force: a copy of each, by its hash, so that an auditor can read under which rules an intent stood;
//! and a line in the log when they are others than before.

use std::path::Path;

use audit::LogStore;
use keycard::CardTransport;

use crate::broker::Broker;
use crate::error::BrokerError;
use crate::files::{self, StateError};
use crate::policy::Policy;

/// Keeps a copy of the rules in force, which stand in the file at `path`, or will after the first enrolment.
///
/// # Errors
/// [`StateError`].
pub(crate) fn keep(policy: &[u8; 32], path: &Path) -> Result<(), StateError> {
    let uid = rustix::process::geteuid().as_raw();
    let text = files::read_text(path, Policy::MAX_BYTES)?.unwrap_or_else(|| Policy::initial(uid));
    let folder = path.with_file_name(FOLDER);
    files::make_private_dir(&folder)?;
    let copy = folder.join(format!("{}.toml", hex::encode(policy)));
    // A file that was written anew since it was read is not in force.
    if Policy::hash_of(&text) == *policy && !copy.exists() {
        files::write_whole(&copy, text.as_bytes())
    } else {
        Ok(())
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Says which rules the log tells of last.
    #[must_use]
    pub fn after_rules(mut self, last: Option<[u8; 32]>) -> Self {
        self.journal.after_policy(last);
        self
    }

    /// Tells the log when other rules are in force than those that it tells of last.
    ///
    /// # Errors
    /// [`BrokerError::Log`].
    pub(crate) fn tell_of_rules(&mut self) -> Result<(), BrokerError> {
        let policy = self.rules.policy.policy().hash();
        self.journal.policy_is(policy)
    }
}

const FOLDER: &str = "policies";
