//! The relay between two chats: ours, or one of theirs.

use scenarios::peer::{Outcome, Program, Relay, Tool, World};

use super::Cast;
use super::chat::Chat;

/// A relay that takes connections. It ends when it is dropped.
#[derive(Debug)]
pub(super) enum Between {
    Ours(Relay),
    Theirs { enode: String, _program: Program },
}

impl Between {
    /// Starts it.
    pub(super) fn start(world: &World, tool: Tool) -> Outcome<Self> {
        if tool == Tool::Node {
            return Ok(Self::Ours(world.relay(&[])?));
        }
        let (program, started) = world.peer(tool, &[])?;
        let enode = started["enode"].as_str().ok_or("a relay that does not say where it is")?.to_owned();
        Ok(Self::Theirs { enode, _program: program })
    }

    /// Returns where it is.
    pub(super) fn enode(&self) -> String {
        match self {
            Self::Ours(relay) => relay.enode.to_string(),
            Self::Theirs { enode, .. } => enode.clone(),
        }
    }
}

/// Starts the relay and the two chats, and waits until they are connected.
pub(super) fn stage(world: &World, cast: Cast) -> Outcome<(Between, Chat, Chat)> {
    let relay = Between::start(world, cast.relay)?;
    let alice = Chat::start(world, cast.alice, &relay.enode())?;
    let bob = Chat::start(world, cast.bob, &relay.enode())?;
    Ok((relay, alice, bob))
}
