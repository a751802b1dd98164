//! `cardinal lock`: the PIN's lifetime ends, the card is reset.

use proto::rpc::api::LockRequest;
use serde_json::json;

use crate::args::ProfileArg;
use crate::client::{self, answer};
use crate::error::CliError;
use crate::output::Output;
use crate::paths::Layout;

/// Takes the PIN back.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn run(out: Output, args: ProfileArg) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(args.profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    answer(manager.lock(LockRequest::default())).await?;
    if out.is_json() {
        return out.object(&json!({ "profile": profile.name.as_str(), "unlocked": false }));
    }
    out.line(format!("{}'s card is locked and was reset.", profile.name))
}
