//! `cardinal lock`: the PIN's lifetime ends, the card is reset.

use proto::rpc::api::LockRequest;
use serde_json::json;

use crate::args::LockArgs;
use crate::card::manager::Manager;
use crate::client::answer;
use crate::error::CliError;
use crate::output::{Output, shown};

/// Takes the PIN back.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn run(out: Output, args: LockArgs) -> Result<(), CliError> {
    let LockArgs { target, all } = args;
    let mut manager = Manager::of(&target).await?;
    let target = manager.target();
    let locked = answer(manager.keymgr().lock(LockRequest { target, all })).await?.cards;
    if out.is_json() {
        return out.object(&json!({ "profile": manager.profile(), "unlocked": false, "locked": locked }));
    }
    if all {
        for card in &locked {
            out.line(format!("{} is locked and was reset.", shown(card)))?;
        }
        return out.line("Every card is locked.");
    }
    out.line(format!("{} is locked and was reset.", manager.card_of()))
}
