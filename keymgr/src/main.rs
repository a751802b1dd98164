//! `cardinal-keymgr`: owns one card, exports what its policy allows, and writes down what left.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use audit::DataSlot;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use keymgr::activation::{self, Activated, Announced, NotActivated};
use keymgr::caller::Programs;
use keymgr::clock::{Clock as _, SystemClock};
use keymgr::daemon::{Config, Daemon, DaemonError};
use keymgr::drill::DrillError;
use keymgr::files::StateError;
use keymgr::front::{Front, peer};
use keymgr::hardening::{self, Hardening, Places};
use keymgr::incoming::Limits;
use keymgr::metrics::Metrics;
use keymgr::metrics::outgoing::Outgoing;
use keymgr::notify::Notifier;
use keymgr::policy::answer::{self, Supposed};
use keymgr::policy::{About, Policy};
use keymgr::reader::{NotAReader, ReaderName, SoftName, SoftReader, view};
use keymgr::trusted::Trusted;
use keymgr::witness::{self, Witness};
use proto::Pin;
use proto::rpc::Fault;
use proto::shell::{Stop, folder, memory};
use readers::Readers;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// The key manager: the one process with authority over a card.
#[derive(Debug, Parser)]
#[command(name = "cardinal-keymgr", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the card in a reader until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Say which PC/SC readers there are and what card is in each, as one JSON object. No key manager need run.
    Probe {
        /// Ask nothing of the card in this reader: a key manager lent it to another program.
        #[arg(long, value_name = "READER")]
        lent: Vec<String>,
    },
    /// Make a blank software card. Anybody who reads its file has its keys: it is no secure element.
    SoftCreate(SoftCreateArgs),
    /// Perform the histories of `cardinal audit drill` in a folder, with software cards.
    #[command(hide = true)]
    Drill(DrillArgs),
    /// Look at a policy without a card, for `cardinal policy`: one JSON object.
    #[command(subcommand, hide = true)]
    Policy(PolicyVerb),
    /// Look at callers' programs for a key manager that shut itself in. It starts this itself.
    #[command(name = witness::VERB, hide = true)]
    Witness,
}

/// What is asked about a policy.
#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// What it allows.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Whether it would allow a request. The exit code is 0 or that of a refusal.
    Test(PolicyTestArgs),
}

#[derive(Debug, Args)]
struct PolicyTestArgs {
    /// The policy file.
    #[arg(long)]
    policy: PathBuf,
    /// The user who would ask.
    #[arg(long)]
    uid: u32,
    /// The program that would ask.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// What would be done with the key.
    #[arg(long)]
    operation: String,
    /// The path of the key.
    #[arg(long)]
    path: String,
    /// What for.
    #[arg(long)]
    purpose: String,
    /// The card whose key it would be: its label, its id or its account; each of them once.
    #[arg(long, value_name = "NAME")]
    card: Vec<String>,
    /// The export log that tells what was allowed before, and what left.
    #[arg(long)]
    history: Option<PathBuf>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The directory with the log, the pins, the policy and the software cards (mode 0700).
    #[arg(long)]
    dir: PathBuf,
    /// The Unix socket to serve, in a directory of mode 0700; not needed when systemd hands one over.
    #[arg(long)]
    socket: Option<PathBuf>,
    /// The reader: auto (the only one with a card), pcsc:NAME (or a part of it) or soft:NAME. There is no other in its
    /// place when it is missing. A card may be inserted later.
    #[arg(long)]
    reader: String,
    /// The TOML file that names the cards which may be met.
    #[arg(long)]
    manifest: PathBuf,
    /// Take cards of the public test authority, which anybody can make. It is written to the log.
    #[arg(long)]
    allow_test_ca: bool,
    /// Also take cards whose certificate was signed by a key of this file: compressed, hexadecimal, one a line.
    #[arg(long, value_name = "FILE")]
    ca_keys: Option<PathBuf>,
    /// Also take the cards with the identity keys of this file, whoever signed their certificates.
    #[arg(long, value_name = "FILE")]
    card_keys: Option<PathBuf>,
    /// Read the PIN from this open file descriptor (a pipe or a file, one line) and unlock the card at once.
    #[arg(long, value_name = "N")]
    pin_fd: Option<u32>,
    /// Lock the card after so many minutes at the latest; 0: an unlocking may last until the manager stops.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pin_minutes: u32,
    /// Where each card keeps the log's head, so that a second key manager shows: in its memory for the Cash applet, in its
    /// public one, or nowhere. What another program keeps there is left alone.
    #[arg(long, value_name = "SLOT", value_enum, default_value_t = MirrorSlot::Cash)]
    mirror: MirrorSlot,
    /// Put the export log's file away, and go on in another, when it has so many MiB.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    log_rotate_mib: u32,
    /// Do not start unless every measure of hardening is in force: locked memory, seccomp, landlock.
    #[arg(long)]
    require_hardening: bool,
    /// Write what is counted into this file every 15 s, for the textfile collector of node_exporter.
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Where `cardinal audit push` remembers what it sent, if that is not beside the spool: what waits is counted.
    #[arg(long, value_name = "DIR")]
    sent: Option<PathBuf>,
    /// How the log on stderr is written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Stop when stdin is closed, that is, when the parent is gone.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// Where cards keep the log's head.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MirrorSlot {
    Off,
    Cash,
    Public,
}

impl MirrorSlot {
    const fn slot(self) -> Option<DataSlot> {
        match self {
            Self::Off => None,
            Self::Cash => Some(DataSlot::Cash),
            Self::Public => Some(DataSlot::Public),
        }
    }
}

#[derive(Debug, Args)]
struct SoftCreateArgs {
    /// The key manager's directory, made with mode 0700 if it is missing.
    #[arg(long)]
    dir: PathBuf,
    /// The applet that it models: 2.2, 3.0, 3.1, 3.2 or 4.0.
    #[arg(long, default_value_t = softcard::Model::V4_0)]
    applet: softcard::Model,
    /// The card's name: 1 to 32 of a-z, 0-9, - and _.
    name: SoftName,
}

#[derive(Debug, Args)]
struct DrillArgs {
    /// An empty folder, made with mode 0700 if it is missing.
    #[arg(long)]
    dir: PathBuf,
}

/// Why the program ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Drill(#[from] DrillError),
    #[error(transparent)]
    Reader(#[from] NotAReader),
    #[error("{0}")]
    BadInput(String),
    #[error("the policy refuses this")]
    NotAllowed,
    #[error("--require-hardening: not in force: {0}")]
    NotHardened(String),
    #[error(transparent)]
    Activation(#[from] NotActivated),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        let fault = match self {
            Self::Daemon(error) => error.fault(),
            Self::State(error) => Some(error.fault()),
            Self::Drill(error) => error.fault(),
            Self::Reader(NotAReader::Unknown) => Some(Fault::NoReader),
            Self::Reader(_) | Self::BadInput(_) | Self::Activation(_) => Some(Fault::BadInput),
            Self::NotAllowed => Some(Fault::Refused),
            Self::NotHardened(_) => Some(Fault::NotHardened),
            Self::System(_) => None,
        };
        fault.map_or(1, Fault::exit_code)
    }
}

fn main() -> ExitCode {
    let matches = documented().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    log(match &cli.verb {
        Verb::Run(args) => args.log_format,
        _ => LogFormat::Text,
    });
    if let Err(error) = memory::keep_private() {
        tracing::warn!("the memory of this process is not private: {error}");
    }
    let result = match cli.verb {
        Verb::Run(args) => run(args),
        Verb::Probe { lent } => probe(&lent),
        Verb::SoftCreate(args) => soft_create(&args),
        Verb::Drill(args) => drill(&args),
        Verb::Policy(verb) => policy(&verb),
        Verb::Witness => witness_callers(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "cardinal-keymgr: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Writes what happens to stderr.
fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("CARDINAL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
    }
}

fn policy_at(file: &Path) -> Result<Policy, Failure> {
    let missing = || Failure::BadInput(format!("there is no {}; name a policy file", file.display()));
    Policy::read(file)?.ok_or_else(missing)
}

fn policy(verb: &PolicyVerb) -> Result<(), Failure> {
    let args = match verb {
        PolicyVerb::Check { file } => return Ok(print_line(&answer::check(&policy_at(file)?, file))?),
        PolicyVerb::Test(args) => args,
    };
    let PolicyTestArgs { policy, uid, binary, operation, path, purpose, card, history } = args;
    let supposed = Supposed {
        uid: *uid,
        binary: binary.clone(),
        operation: operation.parse().map_err(Failure::BadInput)?,
        path: path.parse().map_err(|error| Failure::BadInput(format!("{path:?}: {error}")))?,
        purpose: purpose.parse().map_err(|error| Failure::BadInput(format!("{purpose:?}: {error}")))?,
        about: About::named(card),
        history: history.clone(),
        at: SystemClock::start().now().unix,
    };
    let said = answer::test(&policy_at(policy)?, policy, &supposed)?;
    print_line(&said)?;
    if said.get("allowed") == Some(&true.into()) { Ok(()) } else { Err(Failure::NotAllowed) }
}

fn witness_callers() -> Result<(), Failure> {
    hardening::restrict_witness();
    Ok(witness::serve(std::io::stdin().lock(), std::io::stdout())?)
}

fn soft_create(args: &SoftCreateArgs) -> Result<(), Failure> {
    let (identity, path) = SoftReader::create(&args.name, args.applet, &args.dir)?;
    print_line(&serde_json::json!({
        "reader": ReaderName::Soft(args.name.clone()).to_string(),
        "identity": identity.map(hex::encode),
        "applet": args.applet.to_string(),
        "path": path,
    }))?;
    Ok(())
}

fn drill(args: &DrillArgs) -> Result<(), Failure> {
    let histories = keymgr::drill::perform(&args.dir)?;
    Ok(print_line(&serde_json::json!({ "dir": args.dir, "histories": histories }))?)
}

fn probe(lent: &[String]) -> Result<(), Failure> {
    let lent = lent.iter().map(|name| name.parse()).collect::<Result<Vec<ReaderName>, _>>()?;
    Ok(print_line(&view::to_json(&view::all(&Readers::default(), &lent)))?)
}

fn run(args: RunArgs) -> Result<(), Failure> {
    let RunArgs {
        dir,
        socket,
        reader,
        manifest,
        allow_test_ca,
        ca_keys,
        card_keys,
        pin_fd,
        pin_minutes,
        mirror,
        log_rotate_mib,
        require_hardening,
        metrics_file,
        sent,
        log_format: _,
        until_stdin_closes,
    } = args;
    let reader: ReaderName = reader.parse()?;
    let activated = activation::take(&Announced::from_env())?;
    let socket = socket_of(activated.as_ref(), socket)?;
    let pin = pin_fd.map(read_pin).transpose()?;
    let longest_log = u64::from(log_rotate_mib) * 1024 * 1024;
    let pin_lifetime = (pin_minutes > 0).then(|| Duration::from_secs(u64::from(pin_minutes) * 60));
    let trusted = Trusted { test_authority: allow_test_ca, authorities: ca_keys, cards: card_keys };
    // What needs more than a manager that shut itself in may do comes before that.
    let notifier = Notifier::from_env()?;
    let programs = Programs::from(Witness::start()?);
    let read = [Some(&manifest), trusted.authorities.as_ref(), trusted.cards.as_ref(), sent.as_ref()];
    let mut places = Places::of(&dir, read.into_iter().flatten());
    if activated.is_none() {
        // A folder that cannot be made is told by whoever serves the socket.
        drop(socket.parent().map(folder::make_private));
        places.write_beside(&socket);
    }
    if let Some(file) = &metrics_file {
        places.write_beside(file);
    }
    let hardening = Hardening::apply(&places);
    if let Some(missing) = hardening.missing().filter(|_| require_hardening) {
        return Err(Failure::NotHardened(missing));
    }
    let metrics = Metrics::of(Outgoing::of(&dir, sent));
    let config = Config {
        dir,
        socket,
        reader,
        manifest,
        trusted,
        pin_lifetime,
        mirror: mirror.slot(),
        longest_log,
        metrics: metrics.clone(),
    };
    let front = Front {
        limits: Limits::default(),
        metrics,
        textfile: metrics_file,
        hardening,
        programs,
        kernel: peer,
        notifier,
    };
    // One thread for all that is no card's: a second one takes a core from the card's, and requests cross threads twice.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut stop = Stop::listen(until_stdin_closes)?;
        let mut daemon = Daemon::assemble(&config, activated.map(|it| it.listener))?;
        if let Some(pin) = pin {
            daemon.unlock(pin)?;
        }
        let ready = serde_json::json!({ "ready": true, "socket": config.socket, "reader": config.reader.to_string() });
        print_line(&ready)?;
        tracing::info!(socket = %config.socket.display(), "serving");
        // Not in the macro itself: what is not logged is not waited for.
        let stopped = async {
            let why = stop.heard().await;
            tracing::info!(why, "stopping");
        };
        daemon.serve(front, stopped).await?;
        tracing::info!("stopped");
        Ok(())
    });
    runtime.shutdown_background();
    result
}

/// Returns where the socket is that is served.
fn socket_of(activated: Option<&Activated>, asked: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match (activated, asked) {
        (Some(activated), Some(asked)) if activated.path != asked => Err(Failure::BadInput(format!(
            "the socket that was handed over is {}, not {}",
            activated.path.display(),
            asked.display()
        ))),
        (Some(activated), _) => Ok(activated.path.clone()),
        (None, Some(asked)) => Ok(asked),
        (None, None) => Err(Failure::BadInput("say which socket to serve with --socket".to_owned())),
    }
}

/// Reads a line with a PIN, byte by byte into memory that is wiped, so that no buffer keeps it.
fn read_pin(fd: u32) -> Result<Pin, Failure> {
    let no_pin = |error: std::io::Error| Failure::BadInput(format!("no PIN can be read from descriptor {fd}: {error}"));
    let mut file = File::open(format!("/proc/self/fd/{fd}")).map_err(no_pin)?;
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_PIN_LINE));
    let mut byte = Zeroizing::new([0]);
    while line.len() < MAX_PIN_LINE && file.read(byte.as_mut_slice()).map_err(no_pin)? == 1 && *byte != *b"\n" {
        line.extend_from_slice(byte.as_slice());
    }
    Pin::try_from(line.strip_suffix(b"\r").unwrap_or(&line))
        .map_err(|error| Failure::BadInput(format!("the PIN: {error}")))
}

fn print_line(value: &serde_json::Value) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{value}")?;
    stdout.flush()
}

/// The command line with the exit codes in every `--help`.
fn documented() -> clap::Command {
    let table = Fault::exit_code_table();
    Cli::command().after_help(table.clone()).mut_subcommands(|verb| verb.after_help(table.clone()))
}

const MAX_PIN_LINE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_the_exit_code_of_every_fault() {
        Cli::command().debug_assert();
        let mut command = documented();
        let run = command.find_subcommand_mut("run").unwrap().render_help().to_string();
        for help in [run, command.render_help().to_string()] {
            for fault in Fault::ALL {
                assert!(help.contains(&format!("{:>2}  {}", fault.exit_code(), fault.meaning())), "{}", fault.name());
            }
        }
    }

    #[test]
    fn no_option_takes_a_pin() {
        let run = |extra: &[&str]| {
            let base =
                ["cardinal-keymgr", "run", "--dir", "d", "--socket", "s", "--reader", "soft:a", "--manifest", "m"];
            Cli::command().try_get_matches_from(base.iter().chain(extra)).is_ok()
        };
        assert!(run(&[]) && run(&["--pin-fd", "3"]));
        assert!(!run(&["--pin", "123456"]));
    }
}
