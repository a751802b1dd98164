//! The local API of the node (`proto/schema/local/node.proto`): gRPC on a Unix socket, for our own user only.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chat::ChatName;
use proto::rpc::Fault;
use proto::rpc::api::node_server::Node;
use proto::rpc::api::{
    AddPeerReply, AddPeerRequest, ChatEvent, ChatLine, Counter, HistoryReply, HistoryRequest, JoinRequest, LeaveReply,
    LeaveRequest, NodeEvent, NodeStatus, NodeStatusRequest, PeerGone, PeerStatus, PostReply, PostRequest, RateLimits,
    RemovePeerReply, RemovePeerRequest, SetReply, SetRequest, WakuStatus, WatchRequest, chat_event, node_event,
};
use proto::rpc::socket::Peer;
use proto::{ChatKey, Fingerprint, MessageId, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use wire::p2p::Enode;
use wire::waku::{self, Allowance, Former};

use crate::config::{Interest, Waku, check_interest, check_pow};
use crate::counters::Counters;
use crate::engine::command::{self, Change, Command, Following, Post, Trouble, Until};
use crate::engine::listener::{Listening, TooSlow};
use crate::engine::watchers::Happening;
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
    /// One permit for each stream that may follow a chat, or watch.
    pub(crate) followers: Arc<Semaphore>,
}

/// What does not change while the node runs.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) role: &'static str,
    pub(crate) enode: Enode,
    pub(crate) owner: Option<ChatKey>,
}

/// A stream of events for one program.
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Node for Service {
    type JoinStream = Events<ChatEvent>;
    type WatchStream = Events<NodeEvent>;

    async fn status(&self, request: Request<NodeStatusRequest>) -> Result<Response<NodeStatus>, Status> {
        Peer::of_same_user(&request)?;
        let snapshot = self.ask(Command::Status).await?;
        let counters = self.counters.all().into_iter().map(|(name, value)| Counter { name, value }).collect();
        let owner = self.about.owner.as_ref();
        Ok(Response::new(NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            role: self.about.role.to_owned(),
            enode: self.about.enode.to_string(),
            chat_key: owner.map(ChatKey::to_string).unwrap_or_default(),
            chat_fingerprint: owner.map(|key| Fingerprint::of(key).to_string()).unwrap_or_default(),
            peers: snapshot.peers.into_iter().map(peer).collect(),
            chats: snapshot.chats,
            envelopes_pooled: snapshot.pooled,
            messages_stored: snapshot.stored,
            counters,
            waku: Some(waku_status(snapshot.settings, snapshot.full_node)),
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Self::JoinStream>, Status> {
        Peer::of_same_user(&request)?;
        let JoinRequest { chat, history } = request.into_inner();
        let room = self.room(&chat).await?;
        let permit = self.permit()?;
        let history = history.min(MAX_HISTORY);
        let following = self.ask(|reply| Command::Join { room, history, reply }).await?.map_err(status_of)?;
        Ok(Response::new(held(permit, chat_events(following))))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        Peer::of_same_user(&request)?;
        let rooms = self.chats()?;
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
        let PostRequest { chat, text, timeout_ms, response_to, only_kept } = request.into_inner();
        let response_to = message_id(&response_to)?;
        let room = self.room(&chat).await?;
        let within = match timeout_ms {
            0 => DEFAULT_WAIT,
            millis => Duration::from_millis(millis).min(MAX_WAIT),
        };
        let until = if only_kept { Until::Kept } else { Until::Acknowledged };
        let post = |reply| Command::Post(Post { room, text, response_to, until, within, reply });
        let posted = self.ask(post).await?.map_err(status_of)?;
        Ok(Response::new(PostReply {
            id: format!("0x{}", posted.id),
            envelope: posted.envelope.map(|hash| hash.to_string()).unwrap_or_default(),
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

    async fn remove_peer(&self, request: Request<RemovePeerRequest>) -> Result<Response<RemovePeerReply>, Status> {
        Peer::of_same_user(&request)?;
        let enode: Enode = request.into_inner().enode.parse().map_err(bad_input)?;
        self.dialer.remove(enode.key).await;
        // It may have dialled us.
        self.engine.send(Command::Dismiss(enode.key)).await.map_err(|_| stopping())?;
        Ok(Response::new(RemovePeerReply {}))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryReply>, Status> {
        Peer::of_same_user(&request)?;
        let HistoryRequest { chat, limit } = request.into_inner();
        self.chats()?;
        let chat = ChatName::try_from(chat.as_str()).map_err(bad_input)?;
        let limit = limit.min(MAX_HISTORY);
        let lines = self.ask(|reply| Command::History { chat, limit, reply }).await?;
        Ok(Response::new(HistoryReply { messages: lines.into_iter().map(line).collect() }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Peer::of_same_user(&request)?;
        let permit = self.permit()?;
        let Listening { live, ended } = self.ask(Command::Watch).await?;
        let event = |event| Ok(NodeEvent { event: Some(event) });
        let mark = tokio_stream::once(event(node_event::Event::Watching(true)));
        let live = ReceiverStream::new(live).map(move |happening| event(node_event(happening)));
        Ok(Response::new(held(permit, mark.chain(live).chain(end(ended)))))
    }
}

impl Service {
    fn changes(&self, request: SetRequest) -> Result<Vec<Change>, Status> {
        let SetRequest { min_pow, at_once, ask_only, interest, full_node } = request;
        let mut changes = Vec::new();
        if let Some(pow) = min_pow {
            check_pow(pow).map_err(bad_input)?;
            let former = match (at_once, ask_only) {
                (false, false) => Former::Tolerated,
                (true, false) => Former::Refused,
                (false, true) => Former::Kept,
                (true, true) => return Err(bad_input("a minimum cannot end at once and stay good")),
            };
            changes.push(Change::MinPow { pow, former });
        }
        if let Some(interest) = interest {
            let interest: Interest = interest.parse().map_err(bad_input)?;
            check_interest(&interest, self.rooms.is_some()).map_err(bad_input)?;
            changes.push(Change::Interest(interest));
        }
        changes.extend(full_node.map(Change::FullNode));
        Ok(changes)
    }

    fn chats(&self) -> Result<&Rooms, Status> {
        self.rooms.as_ref().ok_or_else(|| bad_input("this node is a relay; it follows no chats"))
    }

    async fn room(&self, chat: &str) -> Result<Arc<Room>, Status> {
        let rooms = self.chats()?;
        let name = ChatName::try_from(chat).map_err(bad_input)?;
        rooms.of(name).await.map_err(bad_input)
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.followers)
            .try_acquire_owned()
            .map_err(|_| Status::resource_exhausted("too many programs follow chats; close one of them"))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        self.engine.send(command(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

fn stopping() -> Status {
    Fault::NotRunning.status("the node is stopping")
}

/// The stream holds its permit for as long as somebody reads it.
fn held<T: 'static>(
    permit: OwnedSemaphorePermit,
    events: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Events<T> {
    Box::pin(events.map(move |event| {
        let _held = &permit;
        event
    }))
}

/// History, the mark, then what comes; at the end why, unless the node stops.
fn chat_events(following: Following) -> impl Stream<Item = Result<ChatEvent, Status>> + Send {
    let Following { history, listening: Listening { live, ended } } = following;
    let event = |event| Ok(ChatEvent { event: Some(event) });
    let message = move |it| event(chat_event::Event::Message(line(it)));
    let past = tokio_stream::iter(history).map(message);
    let mark = tokio_stream::once(event(chat_event::Event::Live(true)));
    let live = ReceiverStream::new(live).map(message);
    past.chain(mark).chain(live).chain(end(ended))
}

/// Says why a stream ends, unless the node stops.
fn end<T>(ended: oneshot::Receiver<TooSlow>) -> impl Stream<Item = Result<T, Status>> + Send {
    tokio_stream::once(ended).then(|ended| ended).filter_map(|ended| {
        ended.ok().map(|TooSlow| Err(Status::resource_exhausted("what came was not read in time; ask for it again")))
    })
}

fn node_event(happening: Happening) -> node_event::Event {
    use node_event::Event;
    match happening {
        Happening::PeerUp(it) => Event::PeerUp(peer(it)),
        Happening::PeerDown { id, why } => {
            Event::PeerDown(PeerGone { id: hex::encode(id.to_node_id()), why: why.to_owned() })
        }
        Happening::Joined(chat) => Event::Joined(chat.as_str().to_owned()),
        Happening::Left(chat) => Event::Left(chat.as_str().to_owned()),
        Happening::Message(it) => Event::Message(line(*it)),
        Happening::Sent(id) => Event::Sent(format!("0x{id}")),
        Happening::Expired(id) => Event::Expired(format!("0x{id}")),
    }
}

fn peer(peer: command::Peer) -> PeerStatus {
    PeerStatus {
        id: hex::encode(peer.id.to_node_id()),
        client: peer.client,
        address: peer.address.to_string(),
        inbound: peer.inbound,
        capability: format!("waku/{}", peer.version),
    }
}

/// Reads the id of a message, or nothing.
fn message_id(text: &str) -> Result<Option<MessageId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut bytes = [0; MessageId::LEN];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
        .map_err(|_| bad_input("a message's id is 0x and 64 hexadecimal digits"))?;
    Ok(Some(MessageId::from(bytes)))
}

fn waku_status(Waku { capabilities, interest, host }: Waku, full_node: bool) -> WakuStatus {
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let ids = |nodes: Vec<ChatKey>| nodes.iter().map(|node| hex::encode(node.to_node_id())).collect();
    let rate_limits = |it: Allowance| RateLimits {
        packets_per_peer: it.per_peer.packets,
        packets_per_address: it.per_address.packets,
        bytes_per_peer: it.per_peer.bytes,
        bytes_per_address: it.per_address.bytes,
        excess_tolerance: it.tolerance,
    };
    let topics = match &host.interest {
        waku::Interest::Topics(topics) => topics.as_slice().iter().map(Topic::to_string).collect(),
        _ => Vec::new(),
    };
    WakuStatus {
        topics,
        full_node,
        takes_everything: full_node || matches!(host.interest, waku::Interest::Full | waku::Interest::Unsaid),
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        interest: interest.to_string(),
        min_pow: host.min_pow,
        light_node: host.light_node,
        refuses_light_peers: host.light_node && host.refuse_light_peers,
        confirmations: host.confirmations.name().to_owned(),
        max_packet: bytes(host.max_packet),
        max_envelope: bytes(host.max_envelope),
        rate_limits: host.allowance.map(rate_limits),
        trusted: ids(host.trusted),
        ignored: ids(host.ignored),
    }
}

fn line(line: Line) -> ChatLine {
    let Line { id, chat, author, own, clock, timestamp, received, sent, text, response_to, content_type } = line;
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
        sent_ms: sent.to_millis().get(),
        response_to: response_to.map(|id| format!("0x{id}")).unwrap_or_default(),
        content_type,
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
