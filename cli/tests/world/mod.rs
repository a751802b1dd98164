//! A user's folders, and services that answer as a test wants, for the real `cardinal`.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use proto::rpc::api::keymgr_server::{Keymgr, KeymgrServer};
use proto::rpc::api::node_server::{Node, NodeServer};
use proto::rpc::api::{
    AddPeerReply, AddPeerRequest, CardInfo, CardRequest, ChatEvent, ChatLine, Counter, ExportPrivateReply,
    ExportPrivateRequest, ExportPublicReply, ExportPublicRequest, HistoryReply, HistoryRequest, JoinRequest,
    KeymgrStatus, KeymgrStatusRequest, LeaveReply, LeaveRequest, LockReply, LockRequest, MetricsReply, MetricsRequest,
    NodeEvent, NodeStatus, NodeStatusRequest, PeerStatus, PostReply, PostRequest, ProvisionReply, ProvisionRequest,
    ReadersReply, ReadersRequest, RemovePeerReply, RemovePeerRequest, SealingKeyReply, SealingKeyRequest, SetReply,
    SetRequest, UnlockReply, UnlockRequest, WakuStatus, WatchRequest, chat_event, node_event,
};
use proto::rpc::{Fault, SealingKey, seal, socket};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The folders of one user, with one profile in them.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn with_profiles(names: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("c").tempdir().unwrap();
        let world = Self { dir };
        for name in names {
            std::fs::create_dir_all(world.profile(name)).unwrap();
        }
        std::fs::create_dir_all(world.dir.path().join("run")).unwrap();
        world
    }

    pub(crate) fn profile(&self, name: &str) -> PathBuf {
        self.dir.path().join("data/cardinal/profiles").join(name)
    }

    pub(crate) fn socket(&self, profile: &str, service: &str) -> PathBuf {
        self.dir.path().join("run/cardinal").join(profile).join(format!("{service}.sock"))
    }

    /// Runs `cardinal` to its end with this on stdin.
    pub(crate) async fn cardinal(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_cardinal")));
        command.args(args);
        run(command, stdin.to_owned()).await
    }

    /// Runs a shell script in which `"$CARDINAL"` is the program.
    pub(crate) async fn shell(&self, script: &str) -> Output {
        let mut command = self.command(Path::new("sh"));
        command.args(["-c", script]).env("CARDINAL", env!("CARGO_BIN_EXE_cardinal"));
        run(command, String::new()).await
    }

    /// Runs `cardinal` to its end with an output that nobody reads.
    pub(crate) async fn unread(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_cardinal")));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.args(args).stdout(writer);
        feed(command, stdin.to_owned()).await
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.dir.path());
        command.env("XDG_DATA_HOME", self.dir.path().join("data"));
        command.env("XDG_RUNTIME_DIR", self.dir.path().join("run"));
        command
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

async fn run(mut command: Command, stdin: String) -> Output {
    command.stdout(Stdio::piped());
    feed(command, stdin).await
}

async fn feed(mut command: Command, stdin: String) -> Output {
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let work = move || {
        use std::io::Write as _;
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // It may have ended without reading.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Checks the exit code, and that the error is one line that says something.
pub(crate) fn assert_fails(output: &Output, fault: Fault) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(fault.exit_code())), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// A node with this history; it acknowledges, or does not.
#[derive(Clone, Default)]
pub(crate) struct FakeNode {
    pub(crate) history: Vec<ChatLine>,
    pub(crate) deaf: bool,
    /// It never answers for its history.
    pub(crate) hangs: bool,
    pub(crate) posted: Arc<Mutex<Vec<String>>>,
    pub(crate) set: Arc<Mutex<Vec<SetRequest>>>,
    /// What those who watch are told, and how that ends; one list for each of them.
    pub(crate) happenings: Arc<Mutex<Vec<Happenings>>>,
}

/// What one who watches is told. Without an end, nothing comes after it.
#[derive(Default)]
pub(crate) struct Happenings {
    pub(crate) events: Vec<node_event::Event>,
    pub(crate) end: Option<Result<(), Status>>,
}

impl FakeNode {
    pub(crate) fn serve(&self, path: &Path) {
        let served = socket::serve(path).unwrap();
        let server = Server::builder().add_service(NodeServer::new(self.clone()));
        tokio::spawn(async move {
            let _guard = served.guard;
            server.serve_with_incoming(UnixListenerStream::new(served.listener)).await.unwrap();
        });
    }
}

#[tonic::async_trait]
impl Node for FakeNode {
    type JoinStream = ReceiverStream<Result<ChatEvent, Status>>;
    type WatchStream = ReceiverStream<Result<NodeEvent, Status>>;

    async fn status(&self, _: Request<NodeStatusRequest>) -> Result<Response<NodeStatus>, Status> {
        let peer = PeerStatus { client: "evil\x1b[2J/1".to_owned(), ..Default::default() };
        let counters = vec![Counter { name: "dropped-bad-mac".to_owned(), value: 3 }];
        let min_pow = self.set.lock().unwrap().iter().rev().find_map(|set| set.min_pow).unwrap_or_default();
        let waku = Some(WakuStatus { min_pow, interest: "chats".to_owned(), ..Default::default() });
        let role = "chat".to_owned();
        Ok(Response::new(NodeStatus { role, peers: vec![peer], counters, waku, ..Default::default() }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Self::JoinStream>, Status> {
        assert_eq!(request.get_ref().chat, "demo");
        assert!(matches!(request.get_ref().history, 0 | 50));
        let (say, events) = tokio::sync::mpsc::channel(64);
        let lines = self.history.clone();
        tokio::spawn(async move {
            for line in lines {
                let _ = say.send(Ok(ChatEvent { event: Some(chat_event::Event::Message(line)) })).await;
            }
            let _ = say.send(Ok(ChatEvent { event: Some(chat_event::Event::Live(true)) })).await;
            say.closed().await;
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn post(&self, request: Request<PostRequest>) -> Result<Response<PostReply>, Status> {
        assert!(request.get_ref().timeout_ms == 10_000 || request.get_ref().only_kept);
        if self.deaf {
            return Err(Fault::NotAcknowledged.status("no peer acknowledged the message within 10 s"));
        }
        let mut posted = self.posted.lock().unwrap();
        posted.push(request.into_inner().text);
        Ok(Response::new(PostReply {
            id: format!("0x{}", posted.len()),
            acknowledged_after_ms: 7,
            ..Default::default()
        }))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        assert_eq!(request.get_ref().chat, "demo");
        Ok(Response::new(LeaveReply {}))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetReply>, Status> {
        let request = request.into_inner();
        if request.interest.as_deref() == Some("nonsense") {
            return Err(Fault::BadInput.status("say full"));
        }
        self.set.lock().unwrap().push(request);
        Ok(Response::new(SetReply {}))
    }

    async fn add_peer(&self, _: Request<AddPeerRequest>) -> Result<Response<AddPeerReply>, Status> {
        not_here()
    }

    async fn remove_peer(&self, _: Request<RemovePeerRequest>) -> Result<Response<RemovePeerReply>, Status> {
        not_here()
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryReply>, Status> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let limit = request.get_ref().limit as usize;
        Ok(Response::new(HistoryReply { messages: self.history.iter().take(limit).cloned().collect() }))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut all = self.happenings.lock().unwrap();
        let Happenings { events, end } = if all.is_empty() { Happenings::default() } else { all.remove(0) };
        let (say, told) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            for event in [node_event::Event::Watching(true)].into_iter().chain(events) {
                let _ = say.send(Ok(NodeEvent { event: Some(event) })).await;
            }
            match end {
                Some(Ok(())) => {}
                Some(Err(status)) => drop(say.send(Err(status)).await),
                None => say.closed().await,
            }
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

/// A key manager whose card has this PIN.
#[derive(Clone)]
pub(crate) struct FakeKeymgr {
    pub(crate) pin: &'static [u8],
    pub(crate) asked: Arc<Mutex<Vec<(bool, u64)>>>,
    keys: Arc<Mutex<Vec<SealingKey>>>,
}

impl FakeKeymgr {
    pub(crate) fn with_pin(pin: &'static [u8]) -> Self {
        Self { pin, asked: Arc::default(), keys: Arc::default() }
    }

    pub(crate) fn serve(&self, path: &Path) {
        let served = socket::serve(path).unwrap();
        let server = Server::builder().add_service(KeymgrServer::new(self.clone()));
        tokio::spawn(async move {
            let _guard = served.guard;
            server.serve_with_incoming(UnixListenerStream::new(served.listener)).await.unwrap();
        });
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in this test"))
}

#[tonic::async_trait]
impl Keymgr for FakeKeymgr {
    async fn status(&self, _: Request<KeymgrStatusRequest>) -> Result<Response<KeymgrStatus>, Status> {
        let status = KeymgrStatus { unlocked: true, pin_seconds_left: u64::MAX, ..Default::default() };
        Ok(Response::new(status))
    }
    async fn metrics(&self, _: Request<MetricsRequest>) -> Result<Response<MetricsReply>, Status> {
        Ok(Response::new(MetricsReply { text: "cardinal_keymgr_log_entries 7\n".to_owned() }))
    }
    async fn card(&self, _: Request<CardRequest>) -> Result<Response<CardInfo>, Status> {
        Ok(Response::new(CardInfo { applet: "4.0".to_owned(), pin_tries: 3, ..Default::default() }))
    }
    async fn readers(&self, _: Request<ReadersRequest>) -> Result<Response<ReadersReply>, Status> {
        not_here()
    }
    async fn sealing_key(&self, _: Request<SealingKeyRequest>) -> Result<Response<SealingKeyReply>, Status> {
        let key = SealingKey::generate(&mut proto::shell::dice());
        let public_key = key.public().to_vec();
        self.keys.lock().unwrap().push(key);
        Ok(Response::new(SealingKeyReply { public_key }))
    }
    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockReply>, Status> {
        let request = request.into_inner();
        let key = self.keys.lock().unwrap().pop().unwrap();
        let pin = key.open(seal::PIN, &request.pin.unwrap()).unwrap();
        self.asked.lock().unwrap().push((request.last_try, request.seconds));
        if pin.as_slice() == self.pin {
            Ok(Response::new(UnlockReply { key_uid: "ab".repeat(32), ..Default::default() }))
        } else {
            Err(Fault::WrongPin.status("wrong PIN, 2 tries left"))
        }
    }
    async fn lock(&self, _: Request<LockRequest>) -> Result<Response<LockReply>, Status> {
        Ok(Response::new(LockReply::default()))
    }
    async fn provision(&self, _: Request<ProvisionRequest>) -> Result<Response<ProvisionReply>, Status> {
        not_here()
    }
    async fn export_private(&self, _: Request<ExportPrivateRequest>) -> Result<Response<ExportPrivateReply>, Status> {
        not_here()
    }
    async fn export_public(&self, _: Request<ExportPublicRequest>) -> Result<Response<ExportPublicReply>, Status> {
        not_here()
    }
}
