//! RLPx and the base protocol, beside go-ethereum and `@ethereumjs/devp2p`.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};

/// What this group shows.
pub(crate) const SCENARIOS: &[Scenario] = &[Scenario {
    group: "rlpx",
    name: "a_node_and_a_geth_peer_find_each_other",
    peers: &[Tool::Node, Tool::Geth],
    shows: &["CLIENT-01", "WAKU1-01", "WAKU1-03"],
    within: Duration::from_secs(30),
    run: a_node_and_a_geth_peer_find_each_other,
}];

fn a_node_and_a_geth_peer_find_each_other(world: &World) -> Outcome {
    let relay = world.relay(&[])?;
    let (mut geth, _) = world.peer(Tool::Geth, &["-peers", &relay.enode.to_string()])?;
    let connected = geth.event("connect", SOON)?;
    if connected["cap"] != "waku/1" || connected["inbound"] != false {
        return Err(format!("connected, but so: {connected}").into());
    }
    Ok(())
}

const SOON: Duration = Duration::from_secs(10);
