//! `cardinal node status`: who a node is, whom it is connected to, and what it has dropped and why.

use serde_json::{Map, Value, json};

use crate::args::{NodeVerb, ProfileArg};
use crate::error::CliError;
use crate::output::Output;
use crate::paths::{Layout, RELAY};
use crate::{client, network};

/// Does what the verb says.
///
/// # Errors
/// What the node answered.
pub(crate) async fn run(out: Output, verb: NodeVerb) -> Result<(), CliError> {
    let NodeVerb::Status(ProfileArg { profile }) = verb;
    let layout = Layout::of_user()?;
    let (name, socket) = if profile.as_deref() == Some(RELAY) {
        (RELAY.to_owned(), layout.relay_socket())
    } else {
        let profile = layout.choose(profile.as_deref())?;
        (profile.name.to_string(), profile.node_socket)
    };
    let status = network::node_status(&mut client::node(&socket).await?).await?;
    let peers: Vec<Value> = status
        .peers
        .iter()
        .map(|peer| {
            json!({
                "id": peer.id,
                "client": peer.client,
                "address": peer.address,
                "inbound": peer.inbound,
                "capability": peer.capability,
            })
        })
        .collect();
    let counters: Map<String, Value> =
        status.counters.iter().map(|counter| (counter.name.clone(), json!(counter.value))).collect();
    out.report(vec![
        ("profile", json!(name)),
        ("role", json!(status.role)),
        ("version", json!(status.version)),
        ("pid", json!(status.pid)),
        ("enode", json!(status.enode)),
        ("chat_key", json!(status.chat_key)),
        ("chat_fingerprint", json!(status.chat_fingerprint)),
        ("chats", json!(status.chats)),
        ("peers", json!(peers)),
        ("envelopes_pooled", json!(status.envelopes_pooled)),
        ("messages_stored", json!(status.messages_stored)),
        ("counters", json!(counters)),
    ])
}
