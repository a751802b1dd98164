//! `cardinal card info`: what the card says of itself, without a PIN.

use serde_json::json;

use crate::args::{CardVerb, ProfileArg};
use crate::error::CliError;
use crate::output::Output;
use crate::paths::Layout;
use crate::{client, network};

/// Does what the verb says.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn run(out: Output, verb: CardVerb) -> Result<(), CliError> {
    let CardVerb::Info(ProfileArg { profile }) = verb;
    let profile = Layout::of_user()?.choose(profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    let card = network::card(&mut manager).await?;
    out.report(vec![
        ("profile", json!(profile.name.as_str())),
        ("card", json!(card.card)),
        ("identity_fingerprint", json!(card.identity_fingerprint)),
        ("authority", json!(card.authority)),
        ("applet", json!(card.applet)),
        ("initialised", json!(card.initialised)),
        ("has_key", json!(card.has_key)),
        ("key_uid", json!(card.key_uid)),
        ("pin_tries", json!(card.pin_tries)),
        ("puk_tries", json!(card.puk_tries)),
    ])
}
