//! The key manager in front of a card that takes no time: what it adds for eight clients, what an export costs with its two
//! records on disk, and how much memory it holds.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use proto::ExportPath;
use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::api::{
    CardRequest, ExportPrivateRequest, KeymgrStatusRequest, MetricsRequest, ProvisionRequest, SealingKeyRequest,
    UnlockRequest, provision_request,
};
use proto::rpc::{SealingKey, seal, socket};
use proto::shell::dice;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Channel;

use crate::clock::{Rounds, quantile};
use crate::row::{Row, Unit};
use crate::{Bench, Trouble};

type Manager = KeymgrClient<Channel>;

/// Measures the broker.
pub(crate) fn rows(bench: &mut Bench) -> Result<(), Trouble> {
    if !WHAT.iter().any(|what| bench.wants(what)) {
        return Ok(());
    }
    let program = bench.target().join("release/cardinal-keymgr");
    if !program.exists() {
        return Err("build cardinal-keymgr first: cargo build --release --bins".into());
    }
    runtime()?.block_on(measure(bench, &program))
}

async fn measure(bench: &mut Bench, program: &Path) -> Result<(), Trouble> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(program, dir.path())?;
    let socket = dir.path().join("run/keymgr.sock");
    let mut manager = KeymgrClient::new(socket::connect(&socket).await?);
    manager.status(KeymgrStatusRequest {}).await?;
    let resident = served.resident_mib()?;
    bench.add(Row::new(MEMORY, Unit::MiB).ours(resident).target(15.0));
    enrol(&mut manager).await?;

    let echoing = dir.path().join("echo/echo.sock");
    let echo = Served::echo(&echoing)?;
    let clients = (Client::all(&socket).await?, Client::all(&echoing).await?);
    let before = card_ms(&mut manager).await?;
    let mut turns = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        turns.push(Turn::take(&mut manager, &clients).await?);
    }
    drop((clients, echo));
    // With seven others before it a call waits for eight answers of the card.
    let of_card = (card_ms(&mut manager).await? - before) / (TURNS * CALLS) as f64;
    bench.add(row_of(ASKED_ALL, &turns, 0.99));
    turns.sort_by(|one, other| one.disturbed().total_cmp(&other.disturbed()));
    turns.truncate(QUIET);
    bench.add(row_of(ASKED_P50, &turns, 0.5).floor(of_card));
    bench.add(row_of(ASKED_P99, &turns, 0.99).floor(of_card));
    let mut asked: Vec<f64> = turns.iter().flat_map(|turn| &turn.asked).copied().collect();
    bench.add(Row::new(OVERHEAD, Unit::Ms).ours(quantile(&mut asked, 0.99) - of_card).target(1.0));
    let within = Buckets::sum(turns.iter().map(|turn| &turn.within)).quantile_ms(0.99)? - of_card;
    bench.add(Row::new(WITHIN, Unit::Ms).ours(within).target(1.0));

    let (mut exported, mut synced) = (Rounds::default(), Rounds::default());
    for round in 0..ROUNDS {
        let mut took = Vec::with_capacity(EXPORTS);
        for _ in 0..EXPORTS {
            let began = Instant::now();
            export(&mut manager).await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        exported.add(took);
        synced.add(floor(&dir.path().join(format!("floor {round}")))?);
    }
    for (what, part) in [(EXPORT_P50, 0.5), (EXPORT_P99, 0.99)] {
        bench.add(Row::new(what, Unit::Ms).ours(exported.middle(part)).floor(synced.middle(part)).target(5.0));
    }
    drop(served);
    Ok(())
}

/// A program that serves, ended when dropped.
struct Served(Child);

impl Served {
    fn start(program: &Path, dir: &Path) -> Result<Self, Trouble> {
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let made = Command::new(program).args(["soft-create", "bench", "--dir"]).arg(dir).output()?;
        let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
        let identity = made.get("identity").ok_or("a card without an identity")?;
        let manifest = dir.join("manifest.toml");
        std::fs::write(
            &manifest,
            format!("[[card]]\nlabel = \"bench\"\nidentity = {identity}\ngeneration = \"v2\"\n"),
        )?;
        let mut command = Command::new(program);
        command.args(["run", "--reader", "soft:bench", "--allow-test-ca", "--until-stdin-closes", "--dir"]).arg(dir);
        command.arg("--manifest").arg(manifest).arg("--socket").arg(dir.join("run/keymgr.sock"));
        command.env("CARDINAL_LOG", "warn").stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::when_ready(command)
    }

    /// Starts a server without any service, in a process of its own.
    fn echo(socket: &Path) -> Result<Self, Trouble> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ECHO).arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::when_ready(command)
    }

    /// Starts a program and waits until it says that it is ready.
    fn when_ready(mut command: Command) -> Result<Self, Trouble> {
        let mut served = Self(command.spawn()?);
        let mut line = String::new();
        BufReader::new(served.0.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        if line.contains(READY) { Ok(served) } else { Err("a server does not start".into()) }
    }

    /// Returns its memory as the kernel counts it.
    fn resident_mib(&self) -> Result<f64, Trouble> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no size")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

async fn metrics(manager: &mut Manager) -> Result<String, Trouble> {
    Ok(manager.metrics(MetricsRequest {}).await?.into_inner().text)
}

/// Returns for how many milliseconds the card was waited for, by the manager's own account.
async fn card_ms(manager: &mut Manager) -> Result<f64, Trouble> {
    let text = metrics(manager).await?;
    let sums = text.lines().filter(|line| line.starts_with("cardinal_keymgr_card_command_seconds_sum"));
    let mut seconds = 0.0;
    for sum in sums {
        seconds += value(sum)?;
    }
    Ok(seconds * 1e3)
}

/// Calls of all clients at a time, between two helpings of calls to the peer.
struct Turn {
    asked: Vec<f64>,
    echoed: Vec<f64>,
    within: Buckets,
}

impl Turn {
    async fn take(manager: &mut Manager, (ours, peers): &(Vec<Client>, Vec<Client>)) -> Result<Self, Trouble> {
        let ask = |mut manager: Manager| async move { manager.card(CardRequest::default()).await.is_ok() };
        // It answers every call that it knows none.
        let echo = |mut peer: Manager| async move { peer.status(KeymgrStatusRequest {}).await.is_err() };
        let mut echoed = Client::ask(peers, CALLS / 2, echo).await?;
        let before = Buckets::of(&metrics(manager).await?)?;
        let asked = Client::ask(ours, CALLS, ask).await?;
        let within = Buckets::of(&metrics(manager).await?)?.since(&before);
        echoed.extend(Client::ask(peers, CALLS / 2, echo).await?);
        Ok(Self { asked, echoed, within })
    }

    /// Returns how much else the machine did meanwhile: the peer's slowest call, in milliseconds.
    fn disturbed(&self) -> f64 {
        self.echoed.iter().copied().fold(0.0, f64::max)
    }
}

/// Returns a row of what so great a part of the calls in some turns took at most.
fn row_of(what: &str, turns: &[Turn], part: f64) -> Row {
    let mut asked: Vec<f64> = turns.iter().flat_map(|turn| &turn.asked).copied().collect();
    let mut echoed: Vec<f64> = turns.iter().flat_map(|turn| &turn.echoed).copied().collect();
    Row::new(what, Unit::Ms).ours(quantile(&mut asked, part)).peer(Some(quantile(&mut echoed, part)), "gRPC echo")
}

/// How many requests for the card took how long, from when the manager had them until it had their answer: the bounds in
/// seconds of the manager's own histogram, and how many are below.
#[derive(Clone)]
struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    fn of(metrics: &str) -> Result<Self, Trouble> {
        const BUCKET: &str = "cardinal_keymgr_request_seconds_bucket{operation=\"Card\",le=\"";
        let mut buckets = Vec::new();
        for bucket in metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
            let (bound, _) = bucket.split_once('"').ok_or("a bucket without a bound")?;
            buckets.push((if bound == "+Inf" { f64::INFINITY } else { bound.parse()? }, value(bucket)?));
        }
        Ok(Self(buckets))
    }

    /// Returns what came since `before`, which is empty before the first request.
    fn since(mut self, before: &Self) -> Self {
        for (bucket, before) in self.0.iter_mut().zip(&before.0) {
            bucket.1 -= before.1;
        }
        self
    }

    fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = all.into_iter();
        let mut sum = all.next().cloned().unwrap_or(Self(Vec::new()));
        for buckets in all {
            for (bucket, more) in sum.0.iter_mut().zip(&buckets.0) {
                bucket.1 += more.1;
            }
        }
        sum
    }

    /// Returns what so great a part took at most: between two bounds as Prometheus' `histogram_quantile` has it.
    fn quantile_ms(&self, part: f64) -> Result<f64, Trouble> {
        let (_, all) = *self.0.last().ok_or("no histogram of requests for the card")?;
        let mut below = (0.0, 0.0);
        for bucket in &self.0 {
            if bucket.1 >= all * part {
                let share = (all * part - below.1) / (bucket.1 - below.1);
                return Ok((below.0 + (bucket.0 - below.0) * share) * 1e3);
            }
            below = *bucket;
        }
        Err("a histogram that does not add up".into())
    }
}

/// Returns the figure of a sample.
fn value(sample: &str) -> Result<f64, Trouble> {
    Ok(sample.rsplit(' ').next().ok_or("a sample without a figure")?.parse()?)
}

async fn enrol(manager: &mut Manager) -> Result<(), Trouble> {
    let (pin, puk) =
        (Some(sealed(manager, seal::PIN, b"493817").await?), Some(sealed(manager, seal::PUK, b"201938475601").await?));
    let key = Some(provision_request::Key::Generate(true));
    manager.provision(ProvisionRequest { pin, puk, key, ..ProvisionRequest::default() }).await?;
    let pin = Some(sealed(manager, seal::PIN, b"493817").await?);
    manager.unlock(UnlockRequest { pin, ..UnlockRequest::default() }).await?;
    Ok(())
}

async fn sealed(manager: &mut Manager, context: &str, secret: &[u8]) -> Result<proto::rpc::api::Sealed, Trouble> {
    let key = manager.sealing_key(SealingKeyRequest {}).await?.into_inner().public_key;
    seal::seal(&key, context, secret, &mut dice()).map_err(|_| "a sealing key that is none".into())
}

/// Exports the database key and opens it.
async fn export(manager: &mut Manager) -> Result<(), Trouble> {
    let ours = SealingKey::generate(&mut dice());
    let request = ExportPrivateRequest {
        path: ExportPath::database().to_string(),
        purpose: "database".to_owned(),
        caller: ours.public().to_vec(),
        ..ExportPrivateRequest::default()
    };
    let key = manager.export_private(request).await?.into_inner().key.ok_or("no key")?;
    ours.open(seal::KEY, &key).map(drop).map_err(|_| "the key does not open".into())
}

/// A client with a connection of its own.
struct Client(Manager);

impl Client {
    /// Returns eight of them.
    async fn all(socket: &Path) -> Result<Vec<Self>, Trouble> {
        let mut clients = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            clients.push(Self(KeymgrClient::new(socket::connect(socket).await?)));
        }
        Ok(clients)
    }

    /// Returns the milliseconds of each call when each client makes so many, and all clients at a time.
    async fn ask<F>(
        clients: &[Self],
        calls: usize,
        call: impl Fn(Manager) -> F + Copy + Send + 'static,
    ) -> Result<Vec<f64>, Trouble>
    where
        F: Future<Output = bool> + Send,
    {
        let mut asking = tokio::task::JoinSet::new();
        for Self(manager) in clients {
            let manager = manager.clone();
            asking.spawn(async move {
                let mut took = Vec::with_capacity(calls);
                for _ in 0..calls {
                    let began = Instant::now();
                    if call(manager.clone()).await {
                        took.push(began.elapsed().as_secs_f64() * 1e3);
                    }
                }
                took
            });
        }
        let all: Vec<f64> = asking.join_all().await.into_iter().flatten().collect();
        if all.len() == CLIENTS * calls { Ok(all) } else { Err("some calls were not answered".into()) }
    }
}

/// Is the server without any service, until its input ends.
pub(crate) fn echo(path: &Path) -> Result<(), Trouble> {
    runtime()?.block_on(async {
        let served = socket::serve(path)?;
        let server = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
        let server = tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(served.listener)));
        println!("{READY}");
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
        server.abort();
        Ok(())
    })
}

/// All clients are on one thread, and so is the peer.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Returns the milliseconds that two lines take to be on this disk.
fn floor(path: &Path) -> Result<Vec<f64>, Trouble> {
    let mut file = File::options().append(true).create_new(true).open(path)?;
    let line = [b'x'; 700];
    let mut took = Vec::with_capacity(EXPORTS);
    for _ in 0..EXPORTS {
        let began = Instant::now();
        for _ in 0..2 {
            file.write_all(&line)?;
            file.sync_data()?;
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

/// The argument that makes this program the server without any service.
pub(crate) const ECHO: &str = "--echo";
/// What a server says when it is ready.
const READY: &str = "\"ready\":true";
const MEMORY: &str = "broker, memory when idle";
const ASKED_ALL: &str = "broker, 8 clients, a card without latency, disturbed or not, p99";
const ASKED_P50: &str = "broker, 8 clients, a card without latency, p50";
const ASKED_P99: &str = "broker, 8 clients, a card without latency, p99";
const OVERHEAD: &str = "broker, 8 clients, over the card's own time, p99";
const WITHIN: &str = "broker, 8 clients, of that in the broker, without the transport, p99";
const EXPORT_P50: &str = "broker, export to sealed answer, two syncs, p50";
const EXPORT_P99: &str = "broker, export to sealed answer, two syncs, p99";
const WHAT: [&str; 8] = [MEMORY, ASKED_ALL, ASKED_P50, ASKED_P99, OVERHEAD, WITHIN, EXPORT_P50, EXPORT_P99];
const CLIENTS: usize = 8;
/// Ours and the peer's.
const TURNS: usize = 480;
/// So many of them count: those in which the peer was disturbed least. What else runs, and a hypervisor that takes the cores
/// away for milliseconds, is in both, and whether it was there the peer alone decides.
const QUIET: usize = TURNS / 8;
/// Of each client in a turn.
const CALLS: usize = 10;
const ROUNDS: usize = 9;
/// In a round.
const EXPORTS: usize = 100;
