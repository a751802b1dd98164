//! `cardinal node`: `leave` a chat; `status` says who a node is, whom it is connected to, and what it has dropped and why.

use proto::rpc::api::LeaveRequest;
use serde_json::{Map, Value, json};

use crate::args::{LeaveArgs, NodeVerb, ProfileArg};
use crate::error::CliError;
use crate::output::Output;
use crate::paths::{Layout, RELAY};
use crate::{client, network};

/// Does what the verb says.
///
/// # Errors
/// What the node answered.
pub(crate) async fn run(out: Output, verb: NodeVerb) -> Result<(), CliError> {
    match verb {
        NodeVerb::Status(profile) => status(out, profile).await,
        NodeVerb::Leave(args) => leave(out, args).await,
    }
}

async fn leave(out: Output, LeaveArgs { profile, chat }: LeaveArgs) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(profile.profile.as_deref())?;
    let chat = chat.strip_prefix('#').unwrap_or(&chat).to_owned();
    let request = LeaveRequest { chat: chat.clone() };
    client::node(&profile.node_socket).await?.leave(request).await?;
    out.report(vec![("profile", json!(profile.name.to_string())), ("left", json!(chat))])
}

async fn status(out: Output, ProfileArg { profile }: ProfileArg) -> Result<(), CliError> {
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
