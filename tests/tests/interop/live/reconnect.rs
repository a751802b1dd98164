//! What is lost is found again.

use scenarios::peer::{Outcome, World};
use serde_json::json;

use super::Cast;
use super::chat::Chat;

/// Our relay is killed and starts again where it was: both chats come back by themselves and talk on.
pub(super) fn relay(world: &World, cast: Cast) -> Outcome {
    let relay = world.relay(&[])?;
    let enode = relay.enode.to_string();
    let mut alice = Chat::start(world, cast.alice, &enode)?;
    let mut bob = Chat::start(world, cast.bob, &enode)?;
    bob.call("join_public", json!({ "chat": CHAT }))?;
    alice.says(CHAT, "before")?;
    bob.hears("before")?;
    let before = relay.kill();
    for chat in [&mut alice, &mut bob] {
        chat.event("peer_drop", |_| true)?;
    }
    let _relay = world.relay_again(before, &[])?;
    for chat in [&mut alice, &mut bob] {
        chat.connected()?;
    }
    alice.says(CHAT, "after")?;
    bob.hears("after")?;
    Ok(())
}

const CHAT: &str = "interop-reconnect";
