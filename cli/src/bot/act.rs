//! What each command does, in calls to the node.

use std::time::Duration;

use proto::rpc::Fault;
use proto::rpc::api::{
    AddPeerRequest, HistoryRequest, JoinRequest, LeaveRequest, NodeStatus, PeerStatus, PostRequest, RemovePeerRequest,
    SetRequest,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::client::{Node, answer, prompt_answer};
use crate::error::CliError;
use crate::network::node_status;

use super::command::{Command, SendPublic};
use super::event;

/// Why a command came to nothing, and what was done of it all the same.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: CliError,
    pub(super) result: Value,
}

impl From<CliError> for Failed {
    fn from(error: CliError) -> Self {
        Self { error, result: Value::Null }
    }
}

/// Does it, and returns the result, which is null where there is none.
///
/// # Errors
/// [`Failed`], with what the node answered.
pub(super) async fn act(node: &mut Node, command: Command) -> Result<Value, Failed> {
    match command {
        Command::Peers {} => Ok(node_status(node).await?.peers.iter().map(peer).collect()),
        Command::AddPeer { enode } => {
            answer(node.add_peer(AddPeerRequest { enode })).await?;
            Ok(Value::Null)
        }
        Command::RemovePeer { enode } => {
            answer(node.remove_peer(RemovePeerRequest { enode })).await?;
            Ok(Value::Null)
        }
        Command::WaitPeers { count } => wait_peers(node, count.unwrap_or(1)).await,
        Command::Transport {} => Ok(transport(node_status(node).await?)),
        Command::SetMinpow { pow } => {
            answer(node.set(SetRequest { min_pow: Some(pow), ..SetRequest::default() })).await?;
            Ok(Value::Null)
        }
        Command::JoinPublic { chat } => {
            // What comes is told to those who watch; to join is enough.
            drop(answer(node.join(JoinRequest { chat: bare(&chat), history: 0 })).await?);
            Ok(Value::Null)
        }
        Command::LeavePublic { chat } => {
            answer(node.leave(LeaveRequest { chat: bare(&chat) })).await?;
            Ok(Value::Null)
        }
        Command::SendPublic(send) => send_public(node, send).await,
        Command::Chats {} => Ok(node_status(node).await?.chats.iter().map(|name| event::chat(name, true)).collect()),
        Command::Messages { chat, limit } => {
            let request = HistoryRequest { chat: bare(&chat), limit: limit.unwrap_or(MESSAGES) };
            let stored = prompt_answer(node.history(request)).await?.messages;
            Ok(json!({ "messages": stored.iter().rev().map(event::line).collect::<Vec<_>>() }))
        }
        // The bot itself does these.
        Command::Info {} | Command::Quit {} => Ok(Value::Null),
    }
}

async fn wait_peers(node: &mut Node, count: usize) -> Result<Value, Failed> {
    let deadline = Instant::now() + PATIENCE;
    let mut changes = super::watch(node).await?;
    loop {
        let peers = node_status(node).await?.peers.len();
        if peers >= count {
            return Ok(json!({ "peers": peers }));
        }
        let late = || {
            let message = format!("{peers} of {count} peers are connected after {} s", PATIENCE.as_secs());
            CliError::Service { fault: None, message }
        };
        // What comes all the time must not keep the deadline from being seen.
        if Instant::now() >= deadline {
            return Err(late().into());
        }
        timeout_at(deadline, changes.message()).await.map_err(|_| late())?.map_err(CliError::from)?;
    }
}

async fn send_public(node: &mut Node, send: SendPublic) -> Result<Value, Failed> {
    let SendPublic { chat, text, response_to, count } = send;
    if count.is_some_and(|count| count > AT_ONCE) {
        let message = format!("count is at most {AT_ONCE}; send the rest when `envelope_sent` tells of these");
        return Err(CliError::found(Fault::BadInput, message).into());
    }
    let mut ids = Vec::new();
    for number in 0..count.unwrap_or(1) {
        let request = PostRequest {
            chat: bare(&chat),
            text: if count.is_some() { format!("{text} {number}") } else { text.clone() },
            response_to: response_to.clone().unwrap_or_default(),
            only_kept: true,
            ..PostRequest::default()
        };
        match answer(node.post(request)).await {
            Ok(reply) => ids.push(reply.id),
            Err(error) if ids.is_empty() => return Err(error.into()),
            Err(error) => return Err(Failed { error, result: json!({ "ids": ids }) }),
        }
    }
    Ok(match (count, ids.as_slice()) {
        (None, [id]) => json!({ "id": id }),
        _ => json!({ "ids": ids }),
    })
}

fn transport(status: NodeStatus) -> Value {
    let waku = status.waku.unwrap_or_default();
    json!({
        "min_pow": waku.min_pow,
        "topic_interest": waku.topics.iter().map(|topic| format!("0x{topic}")).collect::<Vec<_>>(),
        "full": waku.takes_everything,
        "max_message_size": waku.max_packet,
        "pool": status.envelopes_pooled,
    })
}

fn peer(peer: &PeerStatus) -> Value {
    json!({
        "id": peer.id,
        "name": peer.client,
        "caps": [peer.capability],
        "inbound": peer.inbound,
        "remote": peer.address,
    })
}

/// A chat's name without the `#` that people write before it.
fn bare(chat: &str) -> String {
    chat.strip_prefix('#').unwrap_or(chat).to_owned()
}

/// How long `wait_peers` waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages of one `send_public`: as many as the node keeps that no peer has acknowledged.
const AT_ONCE: u32 = 256;
/// How many messages `messages` returns when it is not said.
const MESSAGES: u32 = 100;
