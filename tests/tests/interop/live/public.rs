//! Public chats between two of theirs.

use scenarios::peer::{Outcome, World};
use serde_json::json;

use super::chat::{Chat, hold};
use super::relay::{Between, stage};
use super::{Cast, PROBE, SOON};

/// A message, an answer to it, and a reaction that is taken back.
pub(super) fn talk(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    for chat in [&mut alice, &mut bob] {
        chat.call("join_public", json!({ "chat": CHAT }))?;
    }
    let question = alice.says(CHAT, "is anybody there?")?;
    let heard = bob.hears("is anybody there?")?;
    hold(heard["id"] == *question && heard["from"] == *alice.key()?, || format!("another message: {heard}"))?;
    bob.answers(CHAT, "I am", &question)?;
    let heard = alice.hears("I am")?;
    hold(heard["response_to"] == *question, || format!("not an answer: {heard}"))?;

    let reacted = alice.call("emoji", json!({ "chat": CHAT, "message_id": heard["id"], "emoji": 1 }))?;
    let reaction = bob.event("emoji", |it| it["message_id"] == heard["id"])?;
    hold(reaction["retracted"] == false, || format!("no reaction: {reaction}"))?;
    let of = &reacted["emojiReactions"][0]["id"];
    let of = if of.is_null() { &reaction["reaction"]["id"] } else { of };
    alice.call("emoji_retract", json!({ "message_id": of }))?;
    bob.event("emoji", |it| it["message_id"] == heard["id"] && it["retracted"] == true)?;
    Ok(())
}

/// The probe sees a message and opens it; what it sends in a good envelope is no message, and harms nobody.
pub(super) fn probe_and_junk(world: &World, cast: Cast) -> Outcome {
    let (relay, mut alice, mut bob) = stage(world, cast)?;
    let enode = relay.enode();
    bob.call("join_public", json!({ "chat": CHAT }))?;
    let mut probe = world.start(PROBE, &["listen", "-enode", &enode, "-password", CHAT, "-secs", "60"])?;
    probe.event("connected", SOON)?;
    alice.says(CHAT, "for all to see")?;
    bob.hears("for all to see")?;
    let key = alice.key()?;
    let signer = key.strip_prefix("0x").unwrap_or(&key).to_owned();
    probe.wait_for("the opened envelope", SOON, |line| {
        let opened = |envelope: &serde_json::Value| {
            envelope["src"] == *signer
                && envelope["payload_text"].as_str().is_some_and(|it| it.contains("for all to see"))
        };
        line["envelopes"].as_array().is_some_and(|all| all.iter().any(opened))
    })?;
    let junk =
        ["send", "-enode", &enode, "-password", CHAT, "-topic", &format!("#{CHAT}"), "-payload", "\u{1}junk\u{ff}"];
    let mut sender = world.start(PROBE, &junk)?;
    sender.event("sent", SOON)?;
    bob.event("envelope", |it| it["sig"] != *key && it["handled"].is_null())?;
    alice.says(CHAT, "still here?")?;
    bob.hears("still here?")?;
    Ok(())
}

/// Many messages at once all arrive.
pub(super) fn many(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    bob.call("join_public", json!({ "chat": CHAT }))?;
    let half = MANY / 2;
    for part in ["a", "b"] {
        let sent = alice.call("send_public", json!({ "chat": CHAT, "text": part, "count": half }))?;
        hold(sent["ids"].as_array().is_some_and(|ids| ids.len() == half), || format!("not so many: {sent}"))?;
    }
    for number in 0..half {
        bob.hears(&format!("a {number}"))?;
        bob.hears(&format!("b {number}"))?;
    }
    Ok(())
}

/// Chats that say a bloom filter instead of topics get the same messages.
pub(super) fn bloom(world: &World, cast: Cast) -> Outcome {
    let relay = Between::start(world, cast.relay)?;
    let mut alice = Chat::start_with(world, cast.alice, &relay.enode(), &["-bloom"])?;
    let mut bob = Chat::start_with(world, cast.bob, &relay.enode(), &["-bloom", "-light"])?;
    for chat in [&mut alice, &mut bob] {
        chat.call("join_public", json!({ "chat": CHAT }))?;
    }
    alice.says(CHAT, "through a filter")?;
    bob.hears("through a filter")?;
    bob.says(CHAT, "and back")?;
    alice.hears("and back")?;
    Ok(())
}

const CHAT: &str = "interop-public";
const MANY: usize = 100;
