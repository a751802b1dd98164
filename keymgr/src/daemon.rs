//! A running manager: the files of a profile, the card in its reader, the worker, and the socket.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::{Bad, DataSlot, Deed, Event, Line, LogStore, OpenError, What};
use keycard::{CardTransport, TransportError};
use proto::rpc::Fault;
use proto::rpc::api::approvals_server::ApprovalsServer;
use proto::rpc::api::cards_server::CardsServer;
use proto::rpc::api::keymgr_server::KeymgrServer;
use proto::rpc::api::policies_server::PoliciesServer;
use proto::rpc::api::proof_server::ProofServer;
use proto::rpc::socket::{self, Served, SocketError};
use proto::shell::dice;
use proto::{CardId, Pin};
use readers::{Readers, Watch};
use tokio::signal::unix::{SignalKind, signal};
use tower::Layer as _;

use crate::broker::{Broker, Enrolment, Outside, Rules};
use crate::caller::{ourselves, own_hash};
use crate::cards::Cards;
use crate::cards::known::KnownCards;
use crate::cards::pairings::Pairings;
use crate::clock::{Clock, SystemClock};
use crate::disk::{self, Disk};
use crate::error::BrokerError;
use crate::files::StateError;
use crate::front::{self, Front};
use crate::incoming::Incoming;
use crate::journal::Why;
use crate::log_files::{LogFiles, missing, older_files};
use crate::logbook::{self, Told};
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::metrics::requests::Counted;
use crate::mirror::Mirrors;
use crate::pins::PinnedCards;
use crate::policy::{History, Policy};
use crate::profile::Profile;
use crate::reader::view::Seen;
use crate::reader::{AnyReader, OtherReaders, ReaderName};
use crate::roles::{Gate, MAX_INSTALLATION, MAX_REQUEST};
use crate::rules;
use crate::service::{Place, Service, UNLOCK};
use crate::spool::Spool;
use crate::store::FileStore;
use crate::trusted::Trusted;
use crate::unlock::Unlocking;
use crate::worker::{NoAnswer, Worker};

/// What a manager is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its directory.
    pub dir: PathBuf,
    /// Its socket, unless one was handed over.
    pub socket: PathBuf,
    /// Its reader.
    pub reader: ReaderName,
    /// Its manifest.
    pub manifest: PathBuf,
    /// Whose word it takes for a card.
    pub trusted: Trusted,
    /// How long a PIN stays valid at most.
    pub pin_lifetime: Option<Duration>,
    /// In which of a card's memories the log's head is kept.
    pub mirror: Option<DataSlot>,
    /// How many bytes of the log are put away together.
    pub longest_log: u64,
    /// Counts what it does.
    pub metrics: Metrics,
}

/// Why a manager does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The card, its state, or the log that should be written.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The log that is there does not verify.
    #[error("{}: {}", path.display(), what_to_do(source))]
    LogBad {
        /// The log.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: OpenError,
    },
    /// The socket cannot be served.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The server failed.
    #[error("the local service failed: {}; start the key manager again", innermost(source))]
    Serve {
        /// How.
        #[from]
        source: tonic::transport::Error,
    },
    /// The operating system gave no thread, or the one with the card ended by itself.
    #[error("the thread that owns the card {what}; start the key manager again")]
    Worker {
        /// What happened.
        what: &'static str,
    },
}

impl DaemonError {
    /// Returns the cause that names the exit code, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Broker(error) => Some(error.fault()),
            Self::LogBad { source: OpenError::Read(_), .. } => Some(Fault::DiskFull),
            Self::LogBad { .. } => Some(Fault::LogBad),
            Self::Socket(SocketError::InUse(_)) => Some(Fault::InUse),
            Self::Socket(_) => Some(Fault::BadInput),
            Self::Serve { .. } | Self::Worker { .. } => None,
        }
    }
}

impl From<StateError> for DaemonError {
    fn from(error: StateError) -> Self {
        Self::Broker(error.into())
    }
}

impl From<audit::LogError> for DaemonError {
    fn from(error: audit::LogError) -> Self {
        Self::Broker(error.into())
    }
}

/// A manager that holds its files and its card, and whose socket answers nobody yet.
pub struct Daemon {
    broker: Broker<AnyReader, FileStore>,
    profile: Profile,
    place: Place,
    served: Served,
}

impl Daemon {
    /// Takes the profile, checks every file in it, and binds the socket, unless one was handed over.
    ///
    /// # Errors
    /// [`DaemonError`]; no file was changed then, except that a first start may have begun the log.
    pub fn assemble(config: &Config, activated: Option<UnixListener>) -> Result<Self, DaemonError> {
        let profile = Profile::hold(&config.dir)?;
        let readers = Readers::default();
        let mut broker = broker(config, &profile, &readers, SystemClock::start())?;
        let served = match activated {
            Some(listener) => socket::adopt(listener, &config.socket)?,
            None => socket::serve(&config.socket)?,
        };
        broker.announce(own_hash())?;
        let place = Place { reader: config.reader.clone(), readers, seen: Seen::default(), log: profile.log() };
        Ok(Self { broker, profile, place, served })
    }

    /// Unlocks the card with a PIN that came with the start.
    ///
    /// # Errors
    /// [`DaemonError::Broker`].
    pub fn unlock(&mut self, pin: Pin) -> Result<(), DaemonError> {
        let purpose = UNLOCK.to_owned().try_into().map_err(|_| BrokerError::bad_input("no purpose"))?;
        let why = Why::new(ourselves(), purpose);
        self.broker.unlock(Unlocking::with(pin), &why)?;
        Ok(())
    }

    /// Serves until `stop`, then resets the card and gives the profile back.
    ///
    /// # Errors
    /// [`DaemonError::Serve`], [`DaemonError::Worker`].
    pub async fn serve(self, front: Front, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
        let Self { broker, profile, place, served } = self;
        let result = serve(broker, place, served, front, stop).await;
        drop(profile);
        result
    }
}

/// Returns the broker of a profile: every file in it is checked, and a first start begins the log.
///
/// # Errors
/// [`DaemonError`].
pub(crate) fn broker(
    config: &Config,
    profile: &Profile,
    readers: &Readers,
    clock: impl Clock + Send + 'static,
) -> Result<Broker<AnyReader, FileStore>, DaemonError> {
    broker_on(&disk::os(), config, profile, readers, clock)
}

/// The same with the log on another disk.
pub(crate) fn broker_on(
    disk: &Arc<dyn Disk>,
    config: &Config,
    profile: &Profile,
    readers: &Readers,
    clock: impl Clock + Send + 'static,
) -> Result<Broker<AnyReader, FileStore>, DaemonError> {
    let manifest = Manifest::read(&config.manifest)?;
    let trust = config.trusted.read()?;
    let mut pinned = PinnedCards::read(&profile.pins())?;
    let policy = policy(profile, !pinned.is_empty())?;
    let card = AnyReader::open(&config.reader, profile.dir(), readers)?;
    let (log, told) = logbook::open(&profile.log(), disk, &pinned, &clock, &config.metrics)?;
    let Told { enrolled: logged, erased, policy: last, .. } = told;
    // The manager was cut off before it could forget the pins of a card that was reset.
    if erased.iter().filter_map(|card| pinned.unpin(card)).count() > 0 {
        pinned.write(&profile.pins())?;
    }
    for rule in policy.dead_rules() {
        tracing::warn!("{}: {rule}", profile.policy().display());
    }
    let (mut history, mut loans) = (History::default(), Loans::default());
    each_line(&profile.log(), |line| {
        history.hear(line);
        loans.hear(line);
    })?;
    let rules = Rules {
        trust,
        test_authority: config.trusted.test_authority,
        manifest,
        policy: policy.into(),
        pin_lifetime: config.pin_lifetime,
    };
    let enrolment = Enrolment { pinned, logged, pins_path: profile.pins(), policy_path: profile.policy() };
    let cards = Cards {
        known: KnownCards::read(&profile.cards())?,
        pairings: Pairings::read(&profile.pairings())?,
        readers: Box::new(OtherReaders::new(profile.dir(), config.reader.clone(), readers.clone())),
        own: config.reader.to_string(),
        seen: Seen::default(),
    };
    let outside = Outside { clock: Box::new(clock), dice: Box::new(dice()), metrics: config.metrics.clone() };
    let files =
        LogFiles::of(&profile.log(), config.longest_log, Spool::open(&profile.spool())?, config.metrics.clone())?;
    rules::keep(&rules.policy.policy().hash(), &profile.policy())?;
    let mut broker = Broker::new(card, log, rules, enrolment, cards, outside)
        .with_archive(Box::new(files.on(Arc::clone(disk))))
        .with_mirrors(Mirrors::in_slot(config.mirror))
        .after_rules(last)
        .after_loans(loans.0);
    broker.recall(history);
    Ok(broker)
}

/// Serves a broker on a socket until `stop`, then resets the card.
///
/// # Errors
/// [`DaemonError::Serve`], [`DaemonError::Worker`].
pub async fn serve<T, S>(
    broker: Broker<T, S>,
    place: Place,
    served: Served,
    mut front: Front,
    stop: impl Future<Output = ()>,
) -> Result<(), DaemonError>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    let mut broker = broker;
    broker.listen(place.seen.clone());
    let policy = broker.in_force();
    let gate = Gate::new(policy.clone(), rustix::process::geteuid().as_raw());
    let (worker, mut ended) = Worker::start(broker).map_err(|_| DaemonError::Worker { what: "did not start" })?;
    let _watch = watch(&worker, &place)?;
    let (metrics, hardening) = (front.metrics.clone(), front.hardening.clone());
    let (notifier, textfile) = (std::mem::take(&mut front.notifier), front.textfile.take());
    let incoming = Incoming::new(served.listener, &front, policy.clone());
    let service = Arc::new(Service::new(worker.clone(), place, front, policy));
    let _reload = reload_on_signal(&worker);
    let policies = PoliciesServer::from_arc(Arc::clone(&service)).max_decoding_message_size(MAX_REQUEST);
    let approvals = ApprovalsServer::from_arc(Arc::clone(&service)).max_decoding_message_size(MAX_REQUEST);
    let cards = CardsServer::from_arc(Arc::clone(&service)).max_decoding_message_size(MAX_INSTALLATION);
    let proof = ProofServer::from_arc(Arc::clone(&service)).max_decoding_message_size(MAX_REQUEST);
    let service = KeymgrServer::from_arc(service).max_decoding_message_size(MAX_REQUEST);
    let (shut, shutting) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(MAX_CALLS)
        .concurrency_limit_per_connection(MAX_CALLS as usize)
        .initial_stream_window_size(MAX_WINDOW)
        .initial_connection_window_size(MAX_WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .add_service(Counted::new(gate.layer(service), metrics.clone()))
        .add_service(Counted::new(gate.layer(cards), metrics.clone()))
        .add_service(Counted::new(gate.layer(policies), metrics.clone()))
        .add_service(Counted::new(gate.layer(approvals), metrics.clone()))
        .add_service(Counted::new(gate.layer(proof), metrics.clone()))
        .serve_with_incoming_shutdown(incoming, async {
            drop(shutting.await);
        });
    tokio::pin!(server);
    notifier.ready();
    let by_itself = tokio::select! {
        result = &mut server => Some(result.map_err(DaemonError::from)),
        () = ended.wait() => Some(Err(DaemonError::Worker { what: "ended by itself" })),
        () = stop => None,
        () = front::feed_watchdog(&notifier, &worker) => None,
        () = front::write_textfile(textfile, &metrics, &hardening, &worker) => None,
    };
    notifier.stopping();
    drop(shut);
    if by_itself.is_none() {
        // Calls that are under way get their answer, but nobody can hold us up.
        drop(tokio::time::timeout(GRACE, server).await);
    }
    // A full queue makes this wait, so not on a thread of the runtime.
    drop(tokio::task::spawn_blocking(move || worker.stop()).await);
    ended.wait().await;
    drop(served.guard);
    by_itself.unwrap_or(Ok(()))
}

/// Hears of cards and readers that come and go: a PIN's lifetime ends with its card.
fn watch<T, S>(worker: &Worker<T, S>, place: &Place) -> Result<Watch, DaemonError>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    let (worker, seen) = (worker.clone(), place.seen.clone());
    let wants_readers = place.reader.choice().is_some();
    let heard = move |states: Result<_, TransportError>| {
        match &states {
            Err(error) if wants_readers => tracing::warn!("{error}"),
            Err(error) => tracing::debug!("{error}"),
            Ok(_) => {}
        }
        seen.hear(states.ok());
        // When too many requests wait for this one to be let in, it is heeded after the next of them.
        worker.tell(Broker::heed);
        true
    };
    place.readers.watch(heard).map_err(|_| DaemonError::Worker { what: "did not start" })
}

/// Returns the rules in force: the file's, or before the first enrolment those that will be written then.
fn policy(profile: &Profile, enrolled: bool) -> Result<Policy, StateError> {
    let path = profile.policy();
    match Policy::read(&path)? {
        Some(policy) => Ok(policy),
        None if enrolled => {
            Err(StateError::Missing { path, todo: "restore it from a backup, or write the rules anew" })
        }
        None => Policy::parse(&Policy::initial(rustix::process::geteuid().as_raw()))
            .map_err(|error| StateError::damaged(&path, error.to_string())),
    }
}

/// Returns what the log tells of the past, in all of its files.
///
/// # Errors
/// As [`each_line`].
pub(crate) fn history(log: &Path) -> Result<History, StateError> {
    let mut history = History::default();
    each_line(log, |line| history.hear(line))?;
    Ok(history)
}

/// Shows `hear` every line of a log, in all of its files: what left before counts for ever. Without one of them nobody knows
/// what left, so nothing is decided. Whether the file in use is good its own opening says.
///
/// # Errors
/// [`StateError::Missing`], [`StateError::Damaged`], [`StateError::Io`].
fn each_line(log: &Path, mut hear: impl FnMut(&Line)) -> Result<(), StateError> {
    let mut hear_file = |path: &Path| {
        let mut first = None;
        let file = File::open(path).map(BufReader::new);
        let bad = file.and_then(|file| {
            audit::read(file, |line| {
                first.get_or_insert(line.seq);
                hear(line);
            })
        });
        bad.map(|bad| (first, bad)).map_err(|source| StateError::io(path, source))
    };
    let mut next = 1;
    for older in older_files(log)? {
        if older.first != next {
            return Err(missing(log, next, older.first, TELLS_WHAT_LEFT));
        }
        if let (_, Some(bad)) = hear_file(&older.path)? {
            return Err(StateError::damaged(&older.path, bad.to_string()));
        }
        next = older.last.saturating_add(1);
    }
    match hear_file(log)? {
        (Some(first), _) if first > next => Err(missing(log, next, first, TELLS_WHAT_LEFT)),
        _ => Ok(()),
    }
}

/// The loans of which a log tells no end, each with the card that was in the reader.
#[derive(Debug, Default)]
pub(crate) struct Loans(Vec<Option<CardId>>);

impl Loans {
    fn hear(&mut self, line: &Line) {
        let Event::Owner(owner) = &line.event else { return };
        match owner.deed {
            Deed::Lends { .. } => self.0.push(owner.card),
            Deed::TakesBack => {
                let at = self.0.iter().position(|card| *card == owner.card);
                at.map(|at| self.0.remove(at));
            }
            _ => {}
        }
    }
}

/// Reads the policy again at each SIGHUP, until dropped.
fn reload_on_signal<T, S>(worker: &Worker<T, S>) -> Option<AbortOnDrop>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    let mut hangups = signal(SignalKind::hangup()).ok()?;
    let worker = worker.clone();
    Some(AbortOnDrop(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            // A rule that was taken back must not stay because many ask.
            while let Err(NoAnswer::Busy) = worker.ask(reload).await {
                tokio::time::sleep(SOON).await;
            }
        }
    })))
}

fn reload<T: CardTransport, S: LogStore>(broker: &mut Broker<T, S>) {
    if let Err(error) = broker.reload_policy() {
        tracing::error!("the policy in force stays: {error}");
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn what_to_do(error: &OpenError) -> String {
    match error {
        OpenError::Bad { bad: Bad { what: What::CutOff, .. }, good_bytes } => {
            format!(
                "{error}; nothing followed from that line: keep a copy and cut it off with truncate -s {good_bytes}"
            )
        }
        OpenError::Bad { bad: Bad { what: What::Missing { .. }, .. }, .. } => {
            format!("{error}; restore it from a backup, or remove export.log.head to go on without the lost lines")
        }
        OpenError::Bad { .. } => format!("{error}; keep a copy and restore the log from a backup"),
        OpenError::Read(source) => format!("{error}: {source}; mend its rights or its disk"),
        other => format!("{other}; restore it from a backup"),
    }
}

/// Returns the cause of all causes: the transport's own messages say little.
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

const TELLS_WHAT_LEFT: &str = "it tells what left before; bring it back";
/// How many calls of one connection are under way at most.
const MAX_CALLS: u32 = 16;
/// What one connection may send before it is read: the largest request fits.
const MAX_WINDOW: u32 = 256 * 1024;
const MAX_HEADERS: u32 = 16 * 1024;
/// A client that is silent for so long is asked whether it lives, and has as long to answer.
const PING: Duration = Duration::from_secs(30);
/// When a full queue is tried again.
const SOON: Duration = Duration::from_millis(100);
/// How long a stop waits for calls that are under way.
const GRACE: Duration = Duration::from_secs(5);
