//! A key manager that holds two keys and no card, and nodes on loopback with directories of their own.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "what fails here fails the test")]

pub(crate) mod raw;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use k256::SecretKey;
use node::{Config, Limits, Node, NodeError, Role, Waku};
use proto::rpc::api::keymgr_server::{Keymgr, KeymgrServer};
use proto::rpc::api::node_client::NodeClient;
use proto::rpc::api::{
    AddPeerRequest, CardInfo, CardRequest, ChatLine, ExportPrivateReply, ExportPrivateRequest, ExportPublicReply,
    ExportPublicRequest, HistoryRequest, JoinRequest, KeymgrStatus, KeymgrStatusRequest, LockReply, LockRequest,
    MetricsReply, MetricsRequest, NodeEvent, NodeStatus, NodeStatusRequest, PostReply, PostRequest, ProvisionReply,
    ProvisionRequest, ReadersReply, ReadersRequest, RemovePeerRequest, SealingKeyReply, SealingKeyRequest, UnlockReply,
    UnlockRequest, WatchRequest, chat_event, node_event,
};
use proto::rpc::socket::{self, SocketFile};
use proto::rpc::{Fault, seal};
use proto::{ChatKey, ExportPath, Fingerprint};
use tempfile::TempDir;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// The switches of a fake key manager.
#[derive(Default)]
pub(crate) struct Switches {
    pub(crate) locked: AtomicBool,
    pub(crate) refuses: AtomicBool,
    pub(crate) lies: AtomicBool,
    pub(crate) status_calls: AtomicU64,
    pub(crate) exports: AtomicU64,
}

struct FakeKeymgr {
    chat: SecretKey,
    database: SecretKey,
    switches: Arc<Switches>,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Keymgr for FakeKeymgr {
    async fn status(&self, _: Request<KeymgrStatusRequest>) -> Reply<KeymgrStatus> {
        self.switches.status_calls.fetch_add(1, Ordering::SeqCst);
        let unlocked = !self.switches.locked.load(Ordering::SeqCst);
        Ok(Response::new(KeymgrStatus { unlocked, ..KeymgrStatus::default() }))
    }

    async fn export_private(&self, request: Request<ExportPrivateRequest>) -> Reply<ExportPrivateReply> {
        self.switches.exports.fetch_add(1, Ordering::SeqCst);
        if self.switches.locked.load(Ordering::SeqCst) {
            return Err(Fault::Locked.status("locked"));
        }
        if self.switches.refuses.load(Ordering::SeqCst) {
            return Err(Fault::Refused.status("not on the allow-list"));
        }
        let ExportPrivateRequest { path, purpose, caller, .. } = request.into_inner();
        let key = match (path.as_str(), purpose.as_str()) {
            (path, "chat identity") if path == ExportPath::chat().to_string() => &self.chat,
            (path, "database") if path == ExportPath::database().to_string() => &self.database,
            _ => return Err(Fault::Refused.status(format!("{path} for {purpose}"))),
        };
        let shown = if self.switches.lies.load(Ordering::SeqCst) { &self.database } else { key };
        let fingerprint = Fingerprint::of(&ChatKey::from(shown.public_key())).to_string();
        let sealed = seal::seal(&caller, seal::KEY, &key.to_bytes(), &mut proto::shell::dice()).unwrap();
        Ok(Response::new(ExportPrivateReply { key: Some(sealed), fingerprint, log_entry: 1 }))
    }

    async fn metrics(&self, _: Request<MetricsRequest>) -> Result<Response<MetricsReply>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn card(&self, _: Request<CardRequest>) -> Reply<CardInfo> {
        Err(Status::unimplemented(""))
    }
    async fn sealing_key(&self, _: Request<SealingKeyRequest>) -> Reply<SealingKeyReply> {
        Err(Status::unimplemented(""))
    }
    async fn unlock(&self, _: Request<UnlockRequest>) -> Reply<UnlockReply> {
        Err(Status::unimplemented(""))
    }
    async fn lock(&self, _: Request<LockRequest>) -> Reply<LockReply> {
        Err(Status::unimplemented(""))
    }
    async fn provision(&self, _: Request<ProvisionRequest>) -> Reply<ProvisionReply> {
        Err(Status::unimplemented(""))
    }
    async fn readers(&self, _: Request<ReadersRequest>) -> Reply<ReadersReply> {
        Err(Status::unimplemented(""))
    }
    async fn export_public(&self, _: Request<ExportPublicRequest>) -> Reply<ExportPublicReply> {
        Err(Status::unimplemented(""))
    }
}

/// A person: a directory, a fake key manager, and what a node needs to run on them.
pub(crate) struct Person {
    dir: TempDir,
    pub(crate) switches: Arc<Switches>,
    pub(crate) identity: ChatKey,
    keymgr: PathBuf,
    _socket: SocketFile,
}

impl Person {
    /// A person whose keys are made of this byte.
    pub(crate) fn new(byte: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keymgr = dir.path().join("keymgr.d/keymgr.sock");
        let chat = SecretKey::from_slice(&[byte; 32]).unwrap();
        let database = SecretKey::from_slice(&[byte ^ 0x40; 32]).unwrap();
        let identity = ChatKey::from(chat.public_key());
        let switches = Arc::<Switches>::default();
        let socket::Served { listener, guard } = socket::serve(&keymgr).unwrap();
        let service = KeymgrServer::new(FakeKeymgr { chat, database, switches: Arc::clone(&switches) });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { dir, switches, identity, keymgr, _socket: guard }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    pub(crate) fn config(&self, peers: &[&Node]) -> Config {
        Config {
            dir: self.state(),
            socket: self.dir.path().join("node.d/node.sock"),
            listen: "127.0.0.1:0".parse().unwrap(),
            peers: peers.iter().map(|node| node.enode()).collect(),
            role: Role::Chat { keymgr: self.keymgr.clone(), unlock_within: Duration::from_secs(30) },
            waku: Waku::chat(),
            limits: Limits::CHAT,
        }
    }

    /// Starts the person's node.
    pub(crate) async fn start(&self, peers: &[&Node]) -> Node {
        Node::start(self.config(peers)).await.unwrap()
    }

    /// Starts the person's node, which must fail.
    pub(crate) async fn fails_to_start(&self) -> NodeError {
        match Node::start(self.config(&[])).await {
            Ok(_) => panic!("the node started"),
            Err(error) => error,
        }
    }
}

/// A relay with a directory of its own.
pub(crate) struct Relay {
    dir: TempDir,
}

impl Relay {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            dir: self.dir.path().join("relay"),
            socket: self.dir.path().join("relay.d/node.sock"),
            listen: "127.0.0.1:0".parse().unwrap(),
            peers: Vec::new(),
            role: Role::Relay,
            waku: Waku::relay(),
            limits: Limits::RELAY,
        }
    }

    pub(crate) async fn start(&self) -> Node {
        Node::start(self.config()).await.unwrap()
    }

    /// Starts it again where it was.
    pub(crate) async fn start_where(&self, enode: wire::p2p::Enode) -> Node {
        Node::start(Config { listen: enode.socket_addr(), ..self.config() }).await.unwrap()
    }
}

/// A program that uses a node's local API.
#[derive(Clone)]
pub(crate) struct Program(NodeClient<Channel>);

impl Program {
    pub(crate) async fn of(node: &Node) -> Self {
        Self::at(node.socket()).await
    }

    pub(crate) async fn at(socket: &Path) -> Self {
        Self(NodeClient::new(socket::connect(socket).await.unwrap()))
    }

    pub(crate) async fn status(&mut self) -> NodeStatus {
        self.0.status(NodeStatusRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn counter(&mut self, name: &str) -> u64 {
        self.status().await.counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
    }

    /// Asks for the status until it is as it should be.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let asking = async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        if let Ok(status) = tokio::time::timeout(PATIENCE, asking).await {
            return status;
        }
        let counters = self.status().await.counters.into_iter().map(|c| format!("{}={}", c.name, c.value));
        panic!("waited in vain for {what}: {:?}", counters.collect::<Vec<_>>());
    }

    /// Waits until this many peers have shaken hands down to Waku.
    pub(crate) async fn until_ready(&mut self, peers: usize) {
        self.until("peers", |status| {
            let ready = status.counters.iter().find(|c| c.name == "peer.ready").map_or(0, |c| c.value);
            status.peers.len() == peers && ready >= peers as u64
        })
        .await;
    }

    pub(crate) async fn join(&mut self, chat: &str, history: u32) -> Follower {
        let request = JoinRequest { chat: chat.to_owned(), history };
        Follower(self.0.join(request).await.unwrap().into_inner())
    }

    pub(crate) async fn try_join(&mut self, chat: &str) -> Result<(), Status> {
        self.0.join(JoinRequest { chat: chat.to_owned(), history: 0 }).await.map(drop)
    }

    pub(crate) async fn leave(&mut self, chat: &str) -> Result<(), Status> {
        let request = proto::rpc::api::LeaveRequest { chat: chat.to_owned() };
        self.0.leave(request).await.map(|_| ())
    }

    pub(crate) async fn post(&mut self, chat: &str, text: &str, timeout_ms: u64) -> Result<PostReply, Status> {
        let (chat, text) = (chat.to_owned(), text.to_owned());
        let request = PostRequest { chat, text, timeout_ms, ..PostRequest::default() };
        self.0.post(request).await.map(Response::into_inner)
    }

    /// Posts without waiting for a peer; returns the message's id.
    pub(crate) async fn keep(&mut self, chat: &str, text: &str, response_to: &str) -> Result<String, Status> {
        let (chat, text, response_to) = (chat.to_owned(), text.to_owned(), response_to.to_owned());
        let request = PostRequest { chat, text, response_to, only_kept: true, ..PostRequest::default() };
        Ok(self.0.post(request).await?.into_inner().id)
    }

    pub(crate) async fn history(&mut self, chat: &str, limit: u32) -> Vec<ChatLine> {
        let request = HistoryRequest { chat: chat.to_owned(), limit };
        self.0.history(request).await.unwrap().into_inner().messages
    }

    pub(crate) async fn watch(&mut self) -> Watcher {
        let mut watcher = Watcher(self.0.watch(WatchRequest {}).await.unwrap().into_inner());
        assert!(watcher.next().await == Some(node_event::Event::Watching(true)));
        watcher
    }

    pub(crate) async fn remove_peer(&mut self, enode: &str) -> Result<(), Status> {
        self.0.remove_peer(RemovePeerRequest { enode: enode.to_owned() }).await.map(drop)
    }

    pub(crate) async fn add_peer(&mut self, enode: &str) -> Result<(), Status> {
        self.0.add_peer(AddPeerRequest { enode: enode.to_owned() }).await.map(drop)
    }
}

/// What happens to a node.
pub(crate) struct Watcher(Streaming<NodeEvent>);

impl Watcher {
    /// The next thing that happened; nothing once the node has stopped.
    pub(crate) async fn next(&mut self) -> Option<node_event::Event> {
        let next = tokio::time::timeout(PATIENCE, self.0.message()).await;
        next.unwrap_or_else(|_| panic!("nothing happened")).unwrap()?.event
    }
}

/// A followed chat.
pub(crate) struct Follower(Streaming<proto::rpc::api::ChatEvent>);

impl Follower {
    /// The next message; nothing for the mark between history and what comes.
    pub(crate) async fn next(&mut self) -> Option<ChatLine> {
        match self.0.message().await.unwrap().unwrap().event.unwrap() {
            chat_event::Event::Message(line) => Some(line),
            chat_event::Event::Live(_) => None,
        }
    }

    /// The history, up to the mark.
    pub(crate) async fn history(&mut self) -> Vec<ChatLine> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }

    /// Whether the stream has ended in good order.
    pub(crate) async fn ends(&mut self) -> bool {
        self.0.message().await.is_ok_and(|event| event.is_none())
    }
}

/// After so long a test has failed. It is no part of what is tested.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
