//! The verbs and their options. No option takes a secret: a PIN comes from the terminal or a file descriptor.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use proto::rpc::Fault;

use crate::agent::AgentArgs;
use crate::audit::args::AuditVerb;
use crate::card::args::{CardVerb, ContactArgs, TargetArgs};
use crate::keys::KeysVerb;
use crate::policy::PolicyVerb;

/// A card-backed public chat on a private network.
#[derive(Debug, Parser)]
#[command(name = "cardinal", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Print JSON, one object a line, on the verbs that report something.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Ask the system's key manager, for example /run/cardinal/keymgr.sock, not a profile's. CARDINAL_KEYMGR_SOCKET does
    /// the same.
    #[arg(long, global = true, value_name = "SOCKET")]
    pub(crate) keymgr: Option<PathBuf>,
    /// The user that may serve that socket, besides root: `cardinal` unless this or CARDINAL_KEYMGR_USER says otherwise.
    #[arg(long, global = true, value_name = "USER")]
    pub(crate) keymgr_user: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show everything once in a temporary folder: cards, exports, refusals, chat, audit. Leaves nothing behind.
    Demo,
    /// Start the private network (a relay, alice and bob with a software card each) and stay.
    Up(UpArgs),
    /// End what `up` started.
    Down,
    /// Talk in a public chat: the last 50 messages, then what arrives; each line of stdin is posted.
    Chat(ChatArgs),
    /// Speak JSON lines on stdin and stdout, for scripts and bridges: commands in, replies and events out.
    #[command(long_about = crate::bot::INTERFACE)]
    Bot(BotArgs),
    /// Give the card's PIN to the key manager.
    Unlock(UnlockArgs),
    /// Take the PIN back: the card is reset.
    Lock(LockArgs),
    /// Cards: those in a profile's reader, and in any other.
    #[command(subcommand)]
    Card(Box<CardVerb>),
    /// The export log: what left the card, and whether the record is whole.
    #[command(subcommand)]
    Audit(Box<AuditVerb>),
    /// A profile's node, or the relay.
    #[command(subcommand)]
    Node(NodeVerb),
    /// A profile's key manager.
    #[command(subcommand)]
    Keymgr(KeymgrVerb),
    /// The keys of the unlocked card for other programs: sign, ecdh, derive. The policy decides; no PIN is asked.
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Which keys may leave the card or be used on it, for whom and what for.
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Approve or deny what clients ask for, where the policy wants that: on the terminal, or with --json as lines.
    Agent(AgentArgs),
    /// List the card readers, and what card is in each. A card that another program uses is not asked.
    Readers,
    /// Find out why no card answers, and say what mends it. Nothing is changed; the exit code is 0 when a card can be used.
    Doctor,
    /// Look for secrets where none may be: everything is done once with secrets that are known, on software cards in a
    /// folder of its own, and all that comes out is searched.
    Selftest(SelftestArgs),
}

/// What to test.
#[derive(Debug, Args)]
pub(crate) struct SelftestArgs {
    /// Search outputs, logs, files, sockets, arguments, environments and what a crash leaves, in every usual encoding.
    #[arg(long, required = true)]
    pub(crate) leaks: bool,
}

/// Which profile.
#[derive(Debug, Args)]
pub(crate) struct ProfileArg {
    /// The profile; needed when there is more than one.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

/// Where the PIN comes from.
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Read the PIN from this open file descriptor (one line a PIN) instead of asking on the terminal.
    #[arg(long, value_name = "N")]
    pub(crate) pin_fd: Option<u32>,
    /// Spend the last PIN try if it comes to that.
    #[arg(long)]
    pub(crate) last_try: bool,
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) pin: PinArgs,
    /// Show what the started programs write to their stderr.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Options of `chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArg,
    /// The chat's name, for example '#demo'.
    pub(crate) chat: String,
}

/// Options of `bot`.
#[derive(Debug, Args)]
pub(crate) struct BotArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArg,
    /// Use no profile but a throw-away identity: a software card, a key manager and a node that end, and are removed, with
    /// the bot.
    #[arg(long, conflicts_with = "profile")]
    pub(crate) ephemeral: bool,
    /// Where the throw-away node takes peers; port 0 takes a free one, which `started` tells.
    #[arg(long, value_name = "ADDRESS", requires = "ephemeral", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Peers for the node to stay connected to; several with commas or several times.
    #[arg(long, alias = "peer", value_name = "ENODE", value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Tell of messages of this identity too; without it a bot never hears itself.
    #[arg(long)]
    pub(crate) own: bool,
    /// Options of `cardinal-node run` for the throw-away node, for example `-- --interest chats-bloom --light`.
    #[arg(last = true, value_name = "OPTION", requires = "ephemeral", allow_hyphen_values = true)]
    pub(crate) options: Vec<String>,
}

/// Options of `unlock`.
#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    #[command(flatten)]
    pub(crate) pin: PinArgs,
    #[command(flatten)]
    pub(crate) validity: ValidityArgs,
}

/// How long the key manager may use a PIN. It may set a shorter time itself.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ValidityArgs {
    /// For so many minutes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) minutes: Option<u32>,
    /// For one use: then the card is locked again.
    #[arg(long)]
    pub(crate) each_use: bool,
    /// Until the card is drawn, `cardinal lock`, or the key manager stops. This is so when nothing else is said.
    #[arg(long)]
    pub(crate) until_removed: bool,
}

/// Options of `lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Lock every card.
    #[arg(long, conflicts_with_all = ["reader", "card"])]
    pub(crate) all: bool,
}

/// Verbs about the node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// Identity, peers, chats, settings and counters; `--profile relay` asks the relay.
    Status(NodeArg),
    /// Change settings until the node stops. Its peers are told.
    Set(SetArgs),
    /// Leave a public chat: its messages are no longer asked for, what is stored stays.
    Leave(LeaveArgs),
}

/// Which node.
#[derive(Debug, Args)]
pub(crate) struct NodeArg {
    #[command(flatten)]
    pub(crate) profile: ProfileArg,
    /// The node's socket, for one that belongs to no profile.
    #[arg(long, value_name = "SOCKET", conflicts_with = "profile")]
    pub(crate) socket: Option<PathBuf>,
}

/// What to change. What is not given stays as it is.
#[derive(Debug, Args)]
#[group(id = "settings", required = true, multiple = true, args = ["min_pow", "interest", "full_node"])]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(crate) node: NodeArg,
    /// The least proof of work that is taken. What was enough before is taken for 10 s more.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) min_pow: Option<f64>,
    /// Take nothing below the new proof of work from this moment on.
    #[arg(long, requires = "min_pow")]
    pub(crate) at_once: bool,
    /// Only ask for the new proof of work: what was enough before stays good.
    #[arg(long, requires = "min_pow", conflicts_with = "at_once")]
    pub(crate) ask_only: bool,
    /// Take everything, whatever peers are asked for (true), or not (false). Peers that are connected are told of the end
    /// only; to be sent everything by them, ask for it with `--interest full`.
    #[arg(long, value_name = "BOOL")]
    pub(crate) full_node: Option<bool>,
    /// What peers are asked for: full, bloom:FILTER or topics:TOPIC,TOPIC... (a relay), chats, chats-bloom or full (a
    /// profile's node).
    #[arg(long)]
    pub(crate) interest: Option<String>,
}

/// Which chat to leave.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArg,
    /// The chat, for example '#demo'.
    pub(crate) chat: String,
}

/// Verbs about the key manager.
#[derive(Debug, Subcommand)]
pub(crate) enum KeymgrVerb {
    /// Serve the cards in this computer's readers, until Ctrl-C. Other terminals use them meanwhile: `cardinal card info`.
    Run(RunArgs),
    /// What it holds, without touching the card.
    Status(ProfileArg),
    /// Everything that it counts, in the text format of Prometheus.
    Metrics(ProfileArg),
    /// Who has which card, for what, until when.
    Leases(ProfileArg),
    /// Give a reader to other programs for a while: its card is locked and reset, and the reader let go.
    Lend(LendArgs),
    /// Take a reader back before its time is over, and hear what became of the card.
    TakeBack(TargetArgs),
}

/// Options of `keymgr lend`.
#[derive(Debug, Args)]
pub(crate) struct LendArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// For so many minutes at most; without it an hour, and for a command a day.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub(crate) minutes: Option<u32>,
    /// A program to run; the reader is taken back when it ends, and its exit code is handed on.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Options of `keymgr run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The profile that keeps what is known of the cards and the log of what leaves them; made if it is missing.
    #[arg(long, value_name = "NAME", default_value = "cards")]
    pub(crate) profile: String,
    /// The reader: auto (the only one with a card), pcsc:NAME, or soft:NAME.
    #[arg(long, value_name = "READER", default_value = "auto")]
    pub(crate) reader: String,
    /// Take cards of the public test authority, which anybody can make: software cards. It is written to the log.
    #[arg(long)]
    pub(crate) allow_test_ca: bool,
}

impl Cli {
    /// Returns what the command line asks for.
    ///
    /// # Errors
    /// What clap found wrong, or the help and version texts that were asked for.
    pub(crate) fn parse_from_env() -> Result<Self, clap::Error> {
        let matches = Self::documented().try_get_matches()?;
        Self::from_arg_matches(&matches)
    }

    fn documented() -> clap::Command {
        let table = Fault::exit_code_table() + " 128  and a signal's number: stopped by it";
        with_exit_codes(Self::command(), &table)
    }
}

/// Puts the exit codes into the help of a command, of its verbs and of theirs.
fn with_exit_codes(command: clap::Command, table: &str) -> clap::Command {
    command.after_help(table.to_owned()).mut_subcommands(|verb| with_exit_codes(verb, table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::documented().debug_assert();
    }

    #[test]
    fn every_help_documents_every_exit_code() {
        fn documents(command: &mut clap::Command) -> usize {
            let help = command.render_help().to_string();
            for fault in Fault::ALL {
                let line = format!("{:>2}  {}", fault.exit_code(), fault.meaning());
                assert!(help.contains(&line), "{}: {}", command.get_name(), fault.name());
            }
            1 + command.get_subcommands_mut().map(documents).sum::<usize>()
        }
        assert!(documents(&mut Cli::documented()) > 12, "verbs of verbs too");
    }

    #[test]
    fn no_option_takes_a_pin() {
        for verb in ["unlock", "up"] {
            assert!(Cli::documented().try_get_matches_from(["cardinal", verb, "--pin", "123456"]).is_err());
            assert!(Cli::documented().try_get_matches_from(["cardinal", verb, "--pin-fd", "3"]).is_ok());
        }
        let card = |args: &str| {
            let args = ["cardinal", "card"].into_iter().chain(args.split(' '));
            Cli::documented().try_get_matches_from(args).is_ok()
        };
        assert!(card("init --pin-fd 3 --puk-fd 4") && card("key load --words-fd 3 --pin-fd 4"));
        for secret in
            ["init --pin 123456", "init --puk 1", "key load --words a", "pair --password x", "pin change 123456"]
        {
            assert!(!card(secret), "{secret}");
        }
    }
}
