//! `cardinal unlock`: the owner gives a card's PIN to the key manager.

use proto::rpc::api::UnlockRequest;
use proto::rpc::seal;
use serde_json::json;

use crate::args::{UnlockArgs, ValidityArgs};
use crate::card::manager::Manager;
use crate::client::answer;
use crate::error::CliError;
use crate::output::{Output, shown};
use crate::pin::PinSource;

/// Asks for the PIN once and sends it, sealed.
///
/// # Errors
/// What the key manager answered; a wrong PIN is not tried again by itself.
pub(crate) async fn run(out: Output, args: UnlockArgs) -> Result<(), CliError> {
    let UnlockArgs { contact, pin: source, validity } = args;
    let mut manager = Manager::of(&contact.target).await?;
    let pin = PinSource::new(source.pin_fd)?.next(manager.whose()).await?;
    let ValidityArgs { minutes, each_use, until_removed: _ } = validity;
    let seconds = minutes.map_or(0, |minutes| u64::from(minutes) * 60);
    let reply = manager
        .contact(&contact, async |manager: &mut Manager, access| {
            let request = UnlockRequest {
                pin: Some(manager.sealed(seal::PIN, pin.expose()).await?),
                last_try: source.last_try,
                seconds,
                each_use,
                target: access.target,
                confirm: access.confirm,
                first_pairing: access.first_pairing,
            };
            answer(manager.keymgr().unlock(request)).await
        })
        .await?;
    // A manager that set no other time tells the one that was asked for, or a little less of it.
    let shorter = reply.seconds_left > 0 && reply.seconds_left < seconds.checked_sub(60).unwrap_or(u64::MAX);
    if out.is_json() {
        let object = json!({
            "profile": manager.profile(),
            "unlocked": true,
            "card": reply.card,
            "reader": reply.reader,
            "key_uid": reply.key_uid,
            "decoy": reply.decoy,
            "each_use": each_use,
            "pin_seconds_left": (reply.seconds_left != u64::MAX).then_some(reply.seconds_left),
        });
        return out.object(&object);
    }
    let until = match minutes {
        _ if shorter => format!("for {} s, which is all that the key manager allows", reply.seconds_left),
        Some(1) => "for 1 minute".to_owned(),
        Some(minutes) => format!("for {minutes} minutes"),
        None if each_use => "for one use".to_owned(),
        None => "until it is drawn, the key manager stops or `cardinal lock`".to_owned(),
    };
    if reply.decoy {
        out.line("The duress PIN was entered: the card's other keys are used, and the log says so.")?;
    }
    out.line(format!("{} is unlocked {until} (account {}).", manager.card_of(), shown(&reply.key_uid)))
}
