//! The local API of the node (`proto/schema/local/node.proto`): gRPC on a Unix socket, for our own user only.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chat::ChatName;
use proto::rpc::Fault;
use proto::rpc::api::node_server::Node;
use proto::rpc::api::{
    AddPeerReply, AddPeerRequest, ChatEvent, ChatLine, Counter, JoinRequest, LeaveReply, LeaveRequest, NodeStatus,
    NodeStatusRequest, PeerStatus, PostReply, PostRequest, RateLimits, SetReply, SetRequest, WakuStatus, chat_event,
};
use proto::rpc::socket::Peer;
use proto::{ChatKey, Fingerprint};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use wire::p2p::Enode;
use wire::waku::Allowance;

use crate::config::{Interest, Waku, check_interest, check_pow};
use crate::counters::Counters;
use crate::engine::command::{Change, Command, Following, Trouble};
use crate::engine::followers::TooSlow;
use crate::network::dialer::Dialer;
use crate::rooms::{Room, Rooms};
use crate::store::Line;

/// The local API, in front of the engine.
pub(crate) struct Service {
    pub(crate) engine: mpsc::Sender<Command>,
    pub(crate) dialer: Dialer,
    pub(crate) counters: Counters,
    pub(crate) about: About,
    /// None for a relay, which follows no chats.
    pub(crate) rooms: Option<Rooms>,
    /// One permit for each stream that may follow a chat.
    pub(crate) followers: Arc<Semaphore>,
}

/// What does not change while the node runs.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) role: &'static str,
    pub(crate) enode: Enode,
    pub(crate) owner: Option<ChatKey>,
}

#[tonic::async_trait]
impl Node for Service {
    type JoinStream = Pin<Box<dyn Stream<Item = Result<ChatEvent, Status>> + Send>>;

    async fn status(&self, request: Request<NodeStatusRequest>) -> Result<Response<NodeStatus>, Status> {
        Peer::of_same_user(&request)?;
        let snapshot = self.ask(Command::Status).await?;
        let counters = self.counters.all().into_iter().map(|(name, value)| Counter { name, value }).collect();
        let peers = snapshot.peers.into_iter().map(|peer| PeerStatus {
            id: hex::encode(peer.id.to_node_id()),
            client: peer.client,
            address: peer.address.to_string(),
            inbound: peer.inbound,
            capability: format!("waku/{}", peer.version),
        });
        let owner = self.about.owner.as_ref();
        Ok(Response::new(NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            role: self.about.role.to_owned(),
            enode: self.about.enode.to_string(),
            chat_key: owner.map(ChatKey::to_string).unwrap_or_default(),
            chat_fingerprint: owner.map(|key| Fingerprint::of(key).to_string()).unwrap_or_default(),
            peers: peers.collect(),
            chats: snapshot.chats,
            envelopes_pooled: snapshot.pooled,
            messages_stored: snapshot.stored,
            counters,
            waku: Some(waku_status(snapshot.settings)),
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Self::JoinStream>, Status> {
        Peer::of_same_user(&request)?;
        let JoinRequest { chat, history } = request.into_inner();
        let room = self.room(&chat).await?;
        let permit = Arc::clone(&self.followers)
            .try_acquire_owned()
            .map_err(|_| Status::resource_exhausted("too many programs follow chats; close one of them"))?;
        let history = history.min(MAX_HISTORY);
        let following = self.ask(|reply| Command::Join { room, history, reply }).await?.map_err(status_of)?;
        let events = events(following).map(move |event| {
            // The stream holds its permit for as long as somebody reads it.
            let _held = &permit;
            event
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        Peer::of_same_user(&request)?;
        let rooms = self.rooms.as_ref().ok_or_else(|| bad_input("this node is a relay; it follows no chats"))?;
        let chat = ChatName::try_from(request.into_inner().chat.as_str()).map_err(bad_input)?;
        let name = chat.clone();
        if !self.ask(|reply| Command::Leave { chat, reply }).await?.map_err(status_of)? {
            return Err(bad_input("this chat was not joined; `cardinal node status` lists those that are"));
        }
        rooms.forget(&name);
        Ok(Response::new(LeaveReply {}))
    }

    async fn post(&self, request: Request<PostRequest>) -> Result<Response<PostReply>, Status> {
        Peer::of_same_user(&request)?;
        let PostRequest { chat, text, timeout_ms } = request.into_inner();
        let room = self.room(&chat).await?;
        let within = match timeout_ms {
            0 => DEFAULT_WAIT,
            millis => Duration::from_millis(millis).min(MAX_WAIT),
        };
        let posted = self.ask(|reply| Command::Post { room, text, within, reply }).await?.map_err(status_of)?;
        Ok(Response::new(PostReply {
            id: format!("0x{}", posted.id),
            envelope: posted.envelope.to_string(),
            acknowledged_after_ms: u64::try_from(posted.after.as_millis()).unwrap_or(u64::MAX),
        }))
    }

    async fn add_peer(&self, request: Request<AddPeerRequest>) -> Result<Response<AddPeerReply>, Status> {
        Peer::of_same_user(&request)?;
        let enode: Enode = request.into_inner().enode.parse().map_err(bad_input)?;
        self.dialer.add(enode).await.map_err(bad_input)?;
        Ok(Response::new(AddPeerReply {}))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetReply>, Status> {
        Peer::of_same_user(&request)?;
        // Nothing is changed unless all of it makes sense.
        for change in self.changes(request.into_inner())? {
            self.ask(|reply| Command::Set { change, reply }).await?;
        }
        Ok(Response::new(SetReply {}))
    }
}

impl Service {
    fn changes(&self, request: SetRequest) -> Result<Vec<Change>, Status> {
        let SetRequest { min_pow, at_once, interest } = request;
        let mut changes = Vec::new();
        if let Some(pow) = min_pow {
            check_pow(pow).map_err(bad_input)?;
            changes.push(Change::MinPow { pow, tolerate: !at_once });
        }
        if let Some(interest) = interest {
            let interest: Interest = interest.parse().map_err(bad_input)?;
            check_interest(&interest, self.rooms.is_some()).map_err(bad_input)?;
            changes.push(Change::Interest(interest));
        }
        Ok(changes)
    }

    async fn room(&self, chat: &str) -> Result<Arc<Room>, Status> {
        let rooms = self.rooms.as_ref().ok_or_else(|| bad_input("this node is a relay; it follows no chats"))?;
        let name = ChatName::try_from(chat).map_err(bad_input)?;
        rooms.of(name).await.map_err(bad_input)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Status> {
        let stopping = || Fault::NotRunning.status("the node is stopping");
        let (reply, answer) = oneshot::channel();
        self.engine.send(command(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

/// History, the mark, then what comes; at the end why, unless the node stops.
fn events(following: Following) -> impl Stream<Item = Result<ChatEvent, Status>> + Send {
    let Following { history, live, ended } = following;
    let event = |event| Ok(ChatEvent { event: Some(event) });
    let message = move |it| event(chat_event::Event::Message(line(it)));
    let past = tokio_stream::iter(history).map(message);
    let mark = tokio_stream::once(event(chat_event::Event::Live(true)));
    let live = ReceiverStream::new(live).map(message);
    let end = tokio_stream::once(ended).then(|ended| ended).filter_map(|ended| {
        ended
            .ok()
            .map(|TooSlow| Err(Status::resource_exhausted("messages were not read in time; follow the chat again")))
    });
    past.chain(mark).chain(live).chain(end)
}

fn waku_status(Waku { capabilities, interest, host }: Waku) -> WakuStatus {
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let ids = |nodes: Vec<ChatKey>| nodes.iter().map(|node| hex::encode(node.to_node_id())).collect();
    let rate_limits = |it: Allowance| RateLimits {
        packets_per_peer: it.per_peer.packets,
        packets_per_address: it.per_address.packets,
        bytes_per_peer: it.per_peer.bytes,
        bytes_per_address: it.per_address.bytes,
        excess_tolerance: it.tolerance,
    };
    WakuStatus {
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        interest: interest.to_string(),
        min_pow: host.min_pow,
        light_node: host.light_node,
        refuses_light_peers: host.light_node && host.refuse_light_peers,
        confirmations: host.confirmations,
        max_packet: bytes(host.max_packet),
        max_envelope: bytes(host.max_envelope),
        rate_limits: host.allowance.map(rate_limits),
        trusted: ids(host.trusted),
        ignored: ids(host.ignored),
    }
}

fn line(line: Line) -> ChatLine {
    let Line { id, chat, author, own, clock, timestamp, received, text } = line;
    ChatLine {
        chat,
        id: format!("0x{id}"),
        from: author.to_string(),
        fingerprint: Fingerprint::of(&author).to_string(),
        text,
        clock,
        timestamp_ms: timestamp.get(),
        received_ms: received.get(),
        own,
    }
}

fn status_of(trouble: Trouble) -> Status {
    match trouble.fault {
        Some(fault) => fault.status(trouble.message),
        None => Status::resource_exhausted(trouble.message),
    }
}

fn bad_input(error: impl std::fmt::Display) -> Status {
    Fault::BadInput.status(error.to_string())
}

/// Stored messages in one answer: they are in memory all at once.
const MAX_HISTORY: u32 = 1000;
/// How long a message waits for an acknowledgement when the caller does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);
/// An envelope lives 15 s; nobody needs to wait much longer.
const MAX_WAIT: Duration = Duration::from_secs(60);
