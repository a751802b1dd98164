//! One-to-one chats between two of theirs: contact code, key agreement, ratchet, acknowledgements.

use scenarios::peer::{Outcome, World};
use serde_json::{Value, json};

use super::Cast;
use super::chat::{Chat, hold};
use super::relay::stage;

/// A contact code with a bundle reaches those who wait for it.
pub(super) fn contact_code(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    let key = alice.key()?;
    bob.call("open_1to1", json!({ "to": key }))?;
    alice.call("publish_contact_code", json!({}))?;
    let code = bob.event("envelope", |it| it["sig"] == *key && handled(it, "ContactCodeAdvertisement"))?;
    let bundles = code["encryption"]["bundles"].as_u64().unwrap_or(0);
    hold(bundles > 0, || format!("no bundle: {code}"))
}

/// The first message agrees on keys, the next ones turn the ratchet, each is acknowledged, and both end on a topic that only
/// they know.
pub(super) fn talk(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    let (alice_key, bob_key) = (alice.key()?, bob.key()?);
    // With a bundle the first message is encrypted by X3DH.
    alice.call("open_1to1", json!({ "to": bob_key }))?;
    bob.call("publish_contact_code", json!({}))?;
    alice.event("envelope", |it| it["sig"] == *bob_key && handled(it, "ContactCodeAdvertisement"))?;

    let first = alice.tells(&bob_key, "one")?;
    let heard = bob.hears("one")?;
    hold(heard["id"] == *first && heard["chat"] == *alice_key, || format!("another message: {heard}"))?;
    let envelope = bob.event("envelope", |it| it["sig"] == *alice_key && handled(it, "ChatMessage"))?;
    let direct = envelope["encryption"]["direct"].as_object().and_then(|all| all.values().next());
    let agreed = direct.is_some_and(|it| it["x3dh"].is_object() && it["dr"].is_object());
    hold(agreed, || format!("not by X3DH: {}", envelope["encryption"]))?;
    delivered(&mut alice, &first)?;

    for turn in ["two", "three"] {
        let sent = bob.tells(&alice_key, &format!("{turn} from bob"))?;
        alice.hears(&format!("{turn} from bob"))?;
        delivered(&mut bob, &sent)?;
        let sent = alice.tells(&bob_key, &format!("{turn} from alice"))?;
        bob.hears(&format!("{turn} from alice"))?;
        delivered(&mut alice, &sent)?;
    }
    for chat in [&mut alice, &mut bob] {
        chat.event("negotiated_filter", |_| true)?;
    }
    Ok(())
}

/// Who adds a contact is seen, and so is the name that a contact takes.
pub(super) fn contact(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    let (alice_key, bob_key) = (alice.key()?, bob.key()?);
    alice.call("add_contact", json!({ "to": bob_key }))?;
    bob.event("contact", |it| it["contact"]["id"] == *alice_key && it["has_been_added"] == true)?;
    let update = json!({ "to": alice_key, "ens_name": "bob.stateofus.eth", "profile_image": "" });
    bob.call("send_contact_update", update)?;
    alice.event("contact", |it| it["contact"]["id"] == *bob_key && it["contact"]["name"] == "bob.stateofus.eth")?;
    Ok(())
}

/// Whether the peer acted on an application message of this name.
pub(super) fn handled(envelope: &Value, name: &str) -> bool {
    envelope["handled"].as_array().is_some_and(|all| all.iter().any(|it| it == name))
}

/// Waits until the other side has acknowledged a message, where the program tells of that.
fn delivered(chat: &mut Chat, message: &str) -> Outcome {
    if chat.tells_of_deliveries() {
        chat.event("delivered", |it| it["id"] == *message)?;
    }
    Ok(())
}
