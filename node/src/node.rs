//! A running node: what is started in which order, and how it ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat::InstallationId;
use proto::ChatKey;
use proto::rpc::api::node_server::NodeServer;
use proto::rpc::socket::{self, Served, SocketFile};
use proto::shell::dice;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use wire::p2p::Enode;
use wire::rlpx::{Local, NodeKey};

use crate::clock::Clock;
use crate::config::{Config, Role, client_name};
use crate::counters::Counters;
use crate::engine::person::Person;
use crate::engine::{self, Engine};
use crate::error::NodeError;
use crate::identity::Identity;
use crate::network::connection::{SHARES, Shell};
use crate::network::dialer::Dialer;
use crate::network::listener;
use crate::network::outbox::Outboxes;
use crate::profile::Profile;
use crate::rooms::Rooms;
use crate::service::{About, Service};
use crate::stop::{Stop, StopAll};
use crate::store::{Location, Store, StoreError, StoreKey};
use crate::{keys, nodekey, stop};

/// A running node. Dropping it without [`Node::stop`] ends its tasks without farewell.
#[derive(Debug)]
pub struct Node {
    enode: Enode,
    socket: PathBuf,
    owner: Option<ChatKey>,
    stop: StopAll,
    tasks: mpsc::Receiver<()>,
    /// None once its failure was told.
    engine: Option<JoinHandle<Result<(), NodeError>>>,
    server: JoinHandle<()>,
    // In this order: the socket's file goes before the profile is free for another node.
    _socket: SocketFile,
    _profile: Profile,
}

impl Node {
    /// Starts a node; it is ready when this returns.
    ///
    /// # Errors
    /// [`NodeError`], with everything that was started stopped again.
    pub async fn start(config: Config) -> Result<Self, NodeError> {
        config.waku.check(config.role.follows_chats())?;
        let mut profile = Profile::hold(&config.dir)?;
        let key = node_key(&profile)?;
        let Served { listener: local_api, guard } =
            socket::serve(&config.socket).map_err(|source| NodeError::Socket { source })?;
        let clock = Clock::start();
        let counters = Counters::default();
        let rooms = Rooms::new(config.limits.chats);
        let person = match &config.role {
            Role::Relay => None,
            Role::Chat { keymgr, unlock_within } => {
                let keys = keys::fetch(keymgr, *unlock_within).await?;
                let store = open_store(&profile, &keys).await?;
                let identity = Identity::hold(keys.chat)?;
                Some(Person::begin(clock, counters.clone(), identity, store, &rooms).await?)
            }
        };
        profile.complete()?;
        let owner = person.as_ref().map(Person::owner);

        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| NodeError::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(|source| NodeError::Listen { address: config.listen, source })?;
        let enode = enode(&key, address);
        let (stop, stopped) = stop::stop();
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (alive, tasks) = mpsc::channel(1);
        let (peers, connected) = engine::peers(enode.key, &config.limits);
        let engine = Engine::new(clock, counters.clone(), peers, person, config.waku.clone());
        let engine = Some(tokio::spawn(engine.run(commanded, stopped.clone())));
        let local = Arc::new(Local {
            key,
            client_name: client_name(),
            listen_port: address.port(),
            capabilities: config.waku.capabilities,
        });
        let memory = || Arc::new(Semaphore::new(SHARES as usize));
        let engine_commands = commands.clone();
        let shell = Shell {
            local,
            clock,
            counters: counters.clone(),
            engine: commands,
            shares: memory(),
            frames: memory(),
            outboxes: Outboxes::default(),
            stop: stopped.clone(),
            _alive: alive,
        };
        tokio::spawn(listener::listen(listener, shell.clone(), config.limits.handshakes));
        let dialer = Dialer::start(shell, connected, config.limits.static_peers);
        for peer in &config.peers {
            if let Err(why) = dialer.add(*peer).await {
                tracing::warn!(%peer, %why, "peer not added");
            }
        }
        let service = Service {
            engine: engine_commands,
            dialer,
            counters,
            about: About { role: config.role.name(), enode, owner },
            rooms: owner.is_some().then_some(rooms),
            followers: Arc::new(Semaphore::new(config.limits.subscribers)),
        };
        let server = tokio::spawn(serve(local_api, service, stopped));
        tracing::info!(role = config.role.name(), %enode, "node started");
        Ok(Self { enode, socket: config.socket, owner, stop, tasks, engine, server, _socket: guard, _profile: profile })
    }

    /// Returns the node's address.
    #[must_use]
    pub const fn enode(&self) -> Enode {
        self.enode
    }

    /// Returns where the local API is served.
    #[must_use]
    pub const fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// Returns whose node it is; nobody's for a relay.
    #[must_use]
    pub const fn owner(&self) -> Option<ChatKey> {
        self.owner
    }

    /// Waits until the node fails. One that does not fail runs until [`Node::stop`].
    pub async fn failed(&mut self) -> NodeError {
        let Some(engine) = &mut self.engine else { return std::future::pending().await };
        let ended = engine.await;
        self.engine = None;
        match ended {
            Ok(Err(error)) => error,
            // The engine ends by itself only when it fails; a panic in it has printed its reason.
            Ok(Ok(())) | Err(_) => NodeError::Store(StoreError::Closed),
        }
    }

    /// Ends the node: peers are told, the store is closed, the socket is removed.
    ///
    /// # Errors
    /// [`NodeError`] when the engine failed and [`Node::failed`] has not told it.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.stop.say();
        // Each connection takes a second at most for its farewell; then nobody is left to command the engine.
        drop(tokio::time::timeout(GOODBYE, self.tasks.recv()).await);
        if tokio::time::timeout(GOODBYE, &mut self.server).await.is_err() {
            self.server.abort();
        }
        let Some(mut engine) = self.engine.take() else { return Ok(()) };
        match tokio::time::timeout(GOODBYE, &mut engine).await {
            Ok(ended) => ended.unwrap_or(Err(NodeError::Store(StoreError::Closed))),
            Err(_) => {
                // What is on the disk is whole at every moment; only the farewell is cut short.
                engine.abort();
                Ok(())
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            engine.abort();
        }
        self.server.abort();
    }
}

fn node_key(profile: &Profile) -> Result<NodeKey, NodeError> {
    let path = profile.nodekey();
    if profile.is_fresh() && !path.exists() {
        return nodekey::create(&path, &mut dice());
    }
    nodekey::load(&path)
}

async fn open_store(profile: &Profile, keys: &keys::Keys) -> Result<Store, NodeError> {
    let location = Location {
        path: profile.store(),
        key: StoreKey::derive(&keys.database.secret),
        owner: keys.chat.public,
        installation: InstallationId::random(&mut dice()),
        may_create: profile.is_fresh(),
    };
    Ok(Store::open(location).await?)
}

/// Where others find us: the address that we listen on, or this machine's own when we listen on all of them.
fn enode(key: &NodeKey, address: SocketAddr) -> Enode {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Enode { key: *key.id(), ip, tcp: address.port(), udp: address.port() }
}

async fn serve(listener: tokio::net::UnixListener, service: Service, mut stopped: Stop) {
    let stop = async move { stopped.heard().await };
    let served = tonic::transport::Server::builder()
        .concurrency_limit_per_connection(CALLS)
        .add_service(NodeServer::new(service).max_decoding_message_size(REQUEST))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the local API has failed");
    }
}

/// Commands that may wait for the engine. Packets among them are bounded by their bytes as well.
const COMMANDS: usize = 256;
/// Calls at a time on one connection of the local API.
const CALLS: usize = 64;
/// The longest request: a message of 4096 code points and a name, generously.
const REQUEST: usize = 64 * 1024;
/// How long each part of the node may take to end.
const GOODBYE: Duration = Duration::from_secs(2);
