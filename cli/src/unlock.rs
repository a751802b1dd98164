//! `cardinal unlock`: the owner gives the card's PIN to the key manager.

use serde_json::json;

use crate::args::UnlockArgs;
use crate::client;
use crate::error::CliError;
use crate::output::{Output, shown};
use crate::paths::Layout;
use crate::pin::PinSource;

/// Asks for the PIN once and sends it, sealed.
///
/// # Errors
/// What the key manager answered; a wrong PIN is not tried again by itself.
pub(crate) async fn run(out: Output, args: UnlockArgs) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(args.profile.profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    let pin = PinSource::new(args.pin.pin_fd)?.next(profile.name.as_str()).await?;
    let seconds = args.minutes.map_or(0, |minutes| u64::from(minutes) * 60);
    let reply = client::unlock(&mut manager, &pin, args.pin.last_try, seconds).await?;
    if out.is_json() {
        let object = json!({
            "profile": profile.name.as_str(),
            "unlocked": true,
            "key_uid": reply.key_uid,
            "decoy": reply.decoy,
        });
        return out.object(&object);
    }
    let until = match args.minutes {
        Some(1) => "for 1 minute".to_owned(),
        Some(minutes) => format!("for {minutes} minutes"),
        None => "until the key manager stops or `cardinal lock`".to_owned(),
    };
    if reply.decoy {
        out.line("The duress PIN was entered: the card's other keys are used, and the log says so.")?;
    }
    out.line(format!("{}'s card is unlocked {until} (account {}).", profile.name, shown(&reply.key_uid)))
}
