//! `cardinal node`: `leave` a chat; `set` settings of a running node; `status` says who a node is, how it behaves, whom it
//! is connected to, and what it has dropped and why.

use std::path::PathBuf;

use proto::rpc::api::{LeaveRequest, NodeStatus, SetRequest};
use serde_json::{Map, Value, json};

use crate::args::{LeaveArgs, NodeArg, NodeVerb, SetArgs};
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
        NodeVerb::Status(node) => status(out, node).await,
        NodeVerb::Set(args) => set(out, args).await,
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

async fn set(
    out: Output,
    SetArgs { node, min_pow, at_once, ask_only, interest, full_node }: SetArgs,
) -> Result<(), CliError> {
    let (name, socket) = find(node)?;
    let mut client = client::node(&socket).await?;
    client::prompt_answer(client.set(SetRequest { min_pow, at_once, ask_only, interest, full_node })).await?;
    let status = network::node_status(&mut client).await?;
    out.report(vec![("profile", json!(name)), ("waku", waku(&status))])
}

/// Returns a node's name for the report, and its socket.
fn find(NodeArg { profile, socket }: NodeArg) -> Result<(String, PathBuf), CliError> {
    if let Some(socket) = socket {
        return Ok((String::new(), socket));
    }
    let layout = Layout::of_user()?;
    if profile.profile.as_deref() == Some(RELAY) {
        return Ok((RELAY.to_owned(), layout.relay_socket()));
    }
    let profile = layout.choose(profile.profile.as_deref())?;
    Ok((profile.name.to_string(), profile.node_socket))
}

async fn status(out: Output, node: NodeArg) -> Result<(), CliError> {
    let (name, socket) = find(node)?;
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
        ("waku", waku(&status)),
        ("peers", json!(peers)),
        ("envelopes_pooled", json!(status.envelopes_pooled)),
        ("messages_stored", json!(status.messages_stored)),
        ("counters", json!(counters)),
    ])
}

fn waku(status: &NodeStatus) -> Value {
    let Some(waku) = &status.waku else { return Value::Null };
    json!({
        "capabilities": waku.capabilities,
        "interest": waku.interest,
        "full_node": waku.full_node,
        "min_pow": waku.min_pow,
        "light_node": waku.light_node,
        "refuses_light_peers": waku.refuses_light_peers,
        "confirmations": waku.confirmations,
        "max_packet": waku.max_packet,
        "max_envelope": waku.max_envelope,
        "rate_limits": waku.rate_limits.as_ref().map(|it| json!({
            "packets_per_peer": it.packets_per_peer,
            "packets_per_address": it.packets_per_address,
            "bytes_per_peer": it.bytes_per_peer,
            "bytes_per_address": it.bytes_per_address,
            "excess_tolerance": it.excess_tolerance,
        })),
        "trusted": waku.trusted,
        "ignored": waku.ignored,
    })
}
