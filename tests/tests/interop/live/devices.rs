//! Two devices of one person, and somebody who talks to both.

use scenarios::peer::{Outcome, World};
use serde_json::json;

use super::chat::{Chat, hold};
use super::relay::Between;
use super::{Cast, TURNS};

/// They are paired, what one knows the other learns, and what is said to the person reaches both.
pub(super) fn pair_and_sync(world: &World, cast: Cast) -> Outcome {
    let relay = Between::start(world, cast.relay)?;
    let enode = relay.enode();
    let mut bob = Chat::start(world, cast.bob, &enode)?;
    let device = |installation: &str| {
        Chat::start_with(world, cast.alice, &enode, &["-identity", IDENTITY, "-installation", installation])
    };
    let (mut desk, mut phone) = (device(DESK)?, device(PHONE)?);
    let (person, bob_key) = (desk.key()?, bob.key()?);
    hold(person == phone.key()?, || "two identities".to_owned())?;

    for (chat, name) in [(&mut desk, "desk"), (&mut phone, "phone")] {
        chat.call("set_installation", json!({ "name": name, "device_type": "desktop" }))?;
    }
    for (from, to, id) in [(true, false, DESK), (false, true, PHONE)] {
        let (from, to) = match (from, to) {
            (true, _) => (&mut desk, &mut phone),
            _ => (&mut phone, &mut desk),
        };
        from.call("pair", json!({}))?;
        to.event("installation", |it| it["installation"]["id"] == id)?;
        to.call("enable_installation", json!({ "installation": id }))?;
    }
    desk.call("join_public", json!({ "chat": "interop-synced" }))?;
    desk.call("sync_devices", json!({ "ens_name": "", "profile_image": "" }))?;
    phone.event_within(TURNS, "chat", |it| it["chat"]["id"] == "interop-synced")?;

    desk.tells(&bob_key, "from the desk")?;
    bob.hears("from the desk")?;
    let synced = phone.hears("from the desk")?;
    hold(synced["from"] == *person && synced["chat"] == *bob_key, || format!("another message: {synced}"))?;
    bob.tells(&person, "to you")?;
    desk.hears("to you")?;
    phone.hears("to you")?;
    Ok(())
}

/// Any key will do.
const IDENTITY: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const DESK: &str = "11111111-1111-4111-8111-111111111111";
const PHONE: &str = "22222222-2222-4222-8222-222222222222";
