//! The life of a group between two of theirs.

use scenarios::peer::{Outcome, World};
use serde_json::{Value, json};

use super::chat::{Chat, hold};
use super::relay::stage;
use super::{Cast, TURNS};

/// Created, joined, talked in, renamed; a member is removed, added again, and made an admin.
pub(super) fn life(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    let (alice_key, bob_key) = (alice.key()?, bob.key()?);
    let created = alice.call("create_group", json!({ "name": "crew", "members": [bob_key] }))?;
    let group = created["chats"][0]["id"].as_str().ok_or_else(|| format!("no group: {created}"))?.to_owned();
    shows(&mut bob, &group, |it| it["name"] == "crew" && member(it, &alice_key).is_some())?;
    bob.call("group_confirm", json!({ "chat": group }))?;
    shows(&mut alice, &group, |it| member(it, &bob_key).is_some_and(|bob| bob["joined"] == true))?;

    for (from, to, text) in [(true, false, "from alice"), (false, true, "from bob")] {
        let (from, to) = match (from, to) {
            (true, _) => (&mut alice, &mut bob),
            _ => (&mut bob, &mut alice),
        };
        from.call("send_group", json!({ "chat": group, "text": text }))?;
        let heard = to.hears(text)?;
        hold(heard["chat"] == *group && heard["from"] == *from.key()?, || format!("another message: {heard}"))?;
    }

    alice.call("group_rename", json!({ "chat": group, "name": "renamed" }))?;
    shows(&mut bob, &group, |it| it["name"] == "renamed")?;
    alice.call("group_remove", json!({ "chat": group, "member": bob_key }))?;
    shows(&mut bob, &group, |it| member(it, &bob_key).is_none())?;
    alice.call("group_add", json!({ "chat": group, "members": [bob_key] }))?;
    shows(&mut bob, &group, |it| member(it, &bob_key).is_some())?;
    alice.call("group_admins", json!({ "chat": group, "members": [bob_key] }))?;
    shows(&mut bob, &group, |it| member(it, &bob_key).is_some_and(|bob| bob["admin"] == true))
}

/// Waits until a group is shown so.
fn shows(chat: &mut Chat, group: &str, so: impl Fn(&Value) -> bool) -> Outcome {
    chat.event_within(TURNS, "chat", |it| it["chat"]["id"] == *group && so(&it["chat"])).map(drop)
}

fn member<'a>(group: &'a Value, key: &str) -> Option<&'a Value> {
    group["members"].as_array()?.iter().find(|member| member["id"] == *key)
}
