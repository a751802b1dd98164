//! `cardinal keymgr status`: what the key manager holds, without touching the card.

use serde_json::{Value, json};

use crate::args::{KeymgrVerb, ProfileArg};
use crate::error::CliError;
use crate::output::Output;
use crate::paths::Layout;
use crate::{client, network};

/// Does what the verb says.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn run(out: Output, verb: KeymgrVerb) -> Result<(), CliError> {
    let KeymgrVerb::Status(ProfileArg { profile }) = verb;
    let profile = Layout::of_user()?.choose(profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    let status = network::keymgr_status(&mut manager).await?;
    let left = match (status.unlocked, status.pin_seconds_left) {
        (false, _) => json!(0),
        // Not a number of seconds: the PIN stays until the manager stops.
        (true, u64::MAX) => Value::Null,
        (true, seconds) => json!(seconds),
    };
    out.report(vec![
        ("profile", json!(profile.name.as_str())),
        ("version", json!(status.version)),
        ("pid", json!(status.pid)),
        ("reader", json!(status.reader)),
        ("card", json!(status.card)),
        ("label", json!(status.label)),
        ("enrolled", json!(status.enrolled)),
        ("key_uid", json!(status.key_uid)),
        ("unlocked", json!(status.unlocked)),
        ("pin_seconds_left", left),
        ("log_path", json!(status.log_path)),
        ("log_entries", json!(status.log_entries)),
        ("log_head", json!(status.log_head)),
        ("test_ca_allowed", json!(status.test_ca_allowed)),
    ])
}
