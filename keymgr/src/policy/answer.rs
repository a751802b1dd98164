//! A policy file looked at without a card: what it allows, and whether it would allow one request.

use std::path::{Path, PathBuf};

use audit::{Caller, Purpose, Text};
use proto::{KeyPath, UnixMillis};
use serde_json::{Value, json};

use super::history::History;
use super::question::{Question, Use};
use super::reason::Refusal;
use super::rule::{About, Approval};
use super::{Decision, Policy, Request};
use crate::caller::hash_of;
use crate::files::StateError;

/// A request that nobody makes.
#[derive(Debug, Clone)]
pub struct Supposed {
    /// Who would make it.
    pub uid: u32,
    /// With which program, whose file is hashed if it can be read.
    pub binary: Option<PathBuf>,
    /// What would be done.
    pub operation: Use,
    /// With which key.
    pub path: KeyPath,
    /// What for.
    pub purpose: Purpose,
    /// Of which card.
    pub about: About,
    /// After what: an export log.
    pub history: Option<PathBuf>,
    /// When.
    pub at: UnixMillis,
}

/// Returns what a policy allows.
#[must_use]
pub fn check(policy: &Policy, file: &Path) -> Value {
    let mut warnings = policy.dead_rules();
    warnings.extend(policy.unseen_programs(rustix::process::geteuid().as_raw()));
    json!({
        "file": file,
        "sha256": hex::encode(policy.hash()),
        "owners": policy.owners(),
        "allows": policy.rows(),
        "warnings": warnings,
    })
}

/// Returns whether a policy would allow a request, and why.
///
/// # Errors
/// [`StateError::Io`] when the history cannot be read.
pub fn test(policy: &Policy, file: &Path, supposed: &Supposed) -> Result<Value, StateError> {
    let Supposed { uid, binary, operation, path, purpose, about, history, at } = supposed;
    let history = match history {
        Some(log) => crate::daemon::history(log)?,
        None => History::default(),
    };
    let caller = Caller {
        uid: *uid,
        pid: None,
        binary: binary.as_ref().map(|path| Text::lossy(&path.to_string_lossy())),
        binary_hash: binary.as_deref().and_then(hash_of),
        one_time_key: None,
    };
    let question = &Question { operation: *operation, path: path.clone() };
    let request = Request { caller: &caller, doubt: None, question, purpose, about, at: *at };
    Ok(match policy.decide(&request, &history) {
        Decision::Allowed { key, approval } => {
            let approval = (approval != Approval::None).then_some(approval);
            json!({ "allowed": true, "file": file, "key": key, "approval": approval })
        }
        Decision::Refused(reason) => {
            let block = policy.block_for(&caller, None, question, purpose, reason.card());
            let block = block.filter(|_| reason.can_be_allowed());
            let refusal = Refusal { reason, block, file: file.to_owned() };
            json!({
                "allowed": false,
                "file": file,
                "reason": refusal.reason.to_string(),
                "block": refusal.block,
            })
        }
    })
}
