//! A message that nobody fetched in its time to live is gone.

use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, World};
use serde_json::json;

use super::Cast;
use super::chat::{Chat, hold};
use super::relay::Between;

/// Who comes after it has expired hears what is said then, and not what was said before.
pub(super) fn gone(world: &World, cast: Cast) -> Outcome {
    let relay = Between::start(world, cast.relay)?;
    let mut alice = Chat::start(world, cast.alice, &relay.enode())?;
    let sent = alice.says(CHAT, "too early for you")?;
    alice.event("envelope_sent", |it| it["message_ids"].as_array().is_some_and(|ids| ids.contains(&json!(sent))))?;
    // Its sender's own pool lets it go at the same second as everybody's.
    let until = Instant::now() + PATIENCE;
    while alice.call("transport", json!({}))?["pool"] != 0 {
        hold(Instant::now() < until, || "the message does not expire".to_owned())?;
        std::thread::sleep(LOOK);
    }
    let mut bob = Chat::start(world, cast.bob, &relay.enode())?;
    bob.call("join_public", json!({ "chat": CHAT }))?;
    // One round in which the relay could have sent it.
    bob.says(CHAT, "am I late?")?;
    alice.hears("am I late?")?;
    alice.says(CHAT, "you are")?;
    bob.hears("you are")?;
    let unheard = bob.unheard();
    hold(unheard.is_empty(), || format!("what had expired came all the same: {unheard:?}"))
}

const CHAT: &str = "interop-expiry";
/// A message lives 15 s; the sweeps of the pools are seconds apart.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the pool.
const LOOK: Duration = Duration::from_millis(200);
