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

use crate::clock::Rounds;
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
    let (mut asked, mut echoed) = (Rounds::default(), Rounds::default());
    let before = card_ms(&mut manager).await?;
    for _ in 0..ROUNDS {
        let ask = |mut manager: Manager| async move { manager.card(CardRequest::default()).await.is_ok() };
        asked.add(of_clients(&socket, ask).await?);
        // It answers every call that it knows none.
        let ask = |mut peer: Manager| async move { peer.status(KeymgrStatusRequest {}).await.is_err() };
        echoed.add(of_clients(&echoing, ask).await?);
    }
    drop(echo);
    // With seven others before it a call waits for eight answers of the card.
    let of_card = (card_ms(&mut manager).await? - before) / (ROUNDS * CALLS) as f64;
    for (what, part) in [(ASKED_P50, 0.5), (ASKED_P99, 0.99)] {
        let peer = Some(echoed.middle(part));
        bench.add(Row::new(what, Unit::Ms).ours(asked.middle(part)).peer(peer, "gRPC echo").floor(of_card));
    }
    bench.add(Row::new(OVERHEAD, Unit::Ms).ours(asked.middle(0.99) - of_card).target(1.0));
    let within = within_ms(&metrics(&mut manager).await?, 0.99)? - of_card;
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

/// Returns how many milliseconds so great a part of the requests for the card took at most, from when the manager had them
/// until it had their answer: between two bounds of its histogram as Prometheus' `histogram_quantile` has it.
fn within_ms(metrics: &str, part: f64) -> Result<f64, Trouble> {
    const BUCKET: &str = "cardinal_keymgr_request_seconds_bucket{operation=\"Card\",le=\"";
    let mut buckets = Vec::new();
    for bucket in metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
        let (bound, _) = bucket.split_once('"').ok_or("a bucket without a bound")?;
        buckets.push((if bound == "+Inf" { f64::INFINITY } else { bound.parse()? }, value(bucket)?));
    }
    let (_, all) = *buckets.last().ok_or("no histogram of requests for the card")?;
    let mut below = (0.0, 0.0);
    for bucket in buckets {
        if bucket.1 >= all * part {
            let share = (all * part - below.1) / (bucket.1 - below.1);
            return Ok((below.0 + (bucket.0 - below.0) * share) * 1e3);
        }
        below = bucket;
    }
    Err("a histogram that does not add up".into())
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

/// Returns the milliseconds of each call of eight clients at a time.
async fn of_clients<F>(socket: &Path, call: impl Fn(Manager) -> F + Copy + Send + 'static) -> Result<Vec<f64>, Trouble>
where
    F: Future<Output = bool> + Send,
{
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let manager = KeymgrClient::new(socket::connect(socket).await?);
        clients.spawn(async move {
            let mut took = Vec::with_capacity(CALLS);
            for _ in 0..CALLS {
                let began = Instant::now();
                if call(manager.clone()).await {
                    took.push(began.elapsed().as_secs_f64() * 1e3);
                }
            }
            took
        });
    }
    let all: Vec<f64> = clients.join_all().await.into_iter().flatten().collect();
    if all.len() == CLIENTS * CALLS { Ok(all) } else { Err("some calls were not answered".into()) }
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

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
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
const ASKED_P50: &str = "broker, 8 clients, a card without latency, p50";
const ASKED_P99: &str = "broker, 8 clients, a card without latency, p99";
const OVERHEAD: &str = "broker, 8 clients, over the card's own time, p99";
const WITHIN: &str = "broker, 8 clients, of that in the broker, without the transport, p99";
const EXPORT_P50: &str = "broker, export to sealed answer, two syncs, p50";
const EXPORT_P99: &str = "broker, export to sealed answer, two syncs, p99";
const WHAT: [&str; 7] = [MEMORY, ASKED_P50, ASKED_P99, OVERHEAD, WITHIN, EXPORT_P50, EXPORT_P99];
/// Ours and the peer's in turn: what else the machine does for a while is in the rounds of both, and not in the middle one.
const ROUNDS: usize = 9;
const CLIENTS: usize = 8;
/// Of each client in a round.
const CALLS: usize = 500;
/// In a round.
const EXPORTS: usize = 100;
