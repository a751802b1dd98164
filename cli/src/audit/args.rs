//! The verbs about the export log and their options.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::ProfileArg;
use crate::card::args::{AccessArgs, TargetArgs};

/// Verbs about the export log. They read files, and need neither a key manager nor a card, but where they say so.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Print the entries, one a line; with --json the lines of the log themselves.
    Show(ShowArgs),
    /// Find out whether the record is whole, and who vouches for it. Each verdict has an exit code of its own, 60 to 68.
    #[command(long_about = VERIFY)]
    Verify(VerifyArgs),
    /// Which keys can be computed from all that left, and from which lines each follows.
    #[command(long_about = CLOSURE)]
    Closure(ClosureArgs),
    /// A report for people: a page to print, a table, or JSON.
    Report(ReportArgs),
    /// See the verifier find every kind of forgery: software cards, honest and dishonest histories, a verdict for each.
    Drill(DrillArgs),
    /// Send the heads that cards have signed away from this computer.
    #[command(long_about = PUSH)]
    Push(PushArgs),
    /// Print the newest head, to be kept elsewhere: a line that `verify --anchor` takes, also from a sheet of paper.
    Anchor(LogArgs),
    /// Prove one line, or that the log goes on from an older head, without showing the other lines; and check such a proof.
    #[command(long_about = PROVE)]
    Prove(ProveArgs),
    /// Have the card state under its PIN how the log stands, for more than that it was there: a running key manager is asked.
    Sign(AccessArgs),
    /// Go on with a card that was used with another log: its owner knows why. A running key manager is asked.
    Adopt(TargetArgs),
}

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArg,
    /// The log file; without it, the profile's own. Older files of the same log that lie beside it, named
    /// export.log.FIRST-LAST, are found by themselves; others can be named after it.
    #[arg(value_name = "LOG", conflicts_with = "profile", num_args = 0..)]
    pub(crate) files: Vec<PathBuf>,
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// From this line (a number) or this time on (2026-11-21, or 2026-11-21T12:30:00, UTC).
    #[arg(long, value_name = "LINE|TIME")]
    pub(crate) from: Option<super::select::Edge>,
    /// Up to this line or before this time; a day without a time is included.
    #[arg(long, value_name = "LINE|TIME")]
    pub(crate) to: Option<super::select::Edge>,
    /// What this user asked for.
    #[arg(long, value_name = "N")]
    pub(crate) uid: Option<u32>,
    /// What was asked of this card: its id, or a part of it.
    #[arg(long, value_name = "ID")]
    pub(crate) card: Option<String>,
    /// What concerns the key at this path; with a final /* also those below it.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Operations by their name in the log, for example export_private or sign.
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
    /// What ended so: done, failed, refused-by-card, not-sent or unknown.
    #[arg(long, value_name = "HOW")]
    pub(crate) outcome: Option<super::select::Ending>,
    /// What the key manager refused.
    #[arg(long)]
    pub(crate) refusals: bool,
    /// What was asked for this purpose.
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
}

/// Whose word is taken for a card, and what was kept elsewhere.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Whose certificates make a card genuine: production (the cards on sale), test (software cards, which anybody can
    /// make), or a file with the keys of authorities, compressed and hexadecimal, one a line.
    #[arg(long, value_name = "production|test|FILE", default_value = "production")]
    pub(crate) ca: String,
    /// Heads that were kept elsewhere: what `audit push` sent, or a line of `audit anchor`. Several times for several files.
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Vec<PathBuf>,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Also ask the running key manager of the profile what its card remembers of the log.
    #[arg(long)]
    pub(crate) card: bool,
}

/// Options of `closure`.
#[derive(Debug, Args)]
pub(crate) struct ClosureArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// What left before the log, written by hand; nobody verified it.
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// What this user can compute alone.
    #[arg(long, value_name = "N")]
    pub(crate) uid: Option<u32>,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// What left before the log, written by hand (see `audit closure --help`).
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Write a page for a browser and a printer: one file, without scripts and without the network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write a table for a spreadsheet: a row for each thing that was asked.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

/// Options of `prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Prove that this line is in the log. Several times for several lines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) line: Vec<u64>,
    /// Prove that the log begins with all lines of the newest head of it in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
    /// Prove it of the newest head in this file; without it, of the newest one that a card signed.
    #[arg(long, value_name = "FILE")]
    pub(crate) head: Option<PathBuf>,
    /// Check the proofs in this file. No log is needed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "profile", "line", "since", "head"])]
    pub(crate) check: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Options of `drill`.
#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// Keep the logs, the anchors and the software cards in this folder, to try `verify` on them.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// Options of `push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArg,
    /// The spool; without it, the profile's own.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) spool: Option<PathBuf>,
    /// Where to send them. Several times for several places.
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: Vec<String>,
    /// Take places, spool and memory from this TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder that remembers what was sent; without it, the spool's name and `.sent`.
    #[arg(long, value_name = "DIR")]
    pub(crate) memory: Option<PathBuf>,
    /// Go on until stopped, and try again what was not taken.
    #[arg(long)]
    pub(crate) watch: bool,
}

const VERIFY: &str = "\
Find out whether the record is whole, and who vouches for it.

Every line is chained to the one before, and a Keycard signs the head of the chain at each opening of a channel and after
each outcome. So lines that were changed, removed, swapped or inserted show without any help. That the last lines are
missing shows only against a head that was kept elsewhere (--anchor). Each verdict has an exit code of its own, 60 to 68;
all findings are listed, and the exit code is the worst one's.";

const CLOSURE: &str = "\
Which keys can be computed from all that left, and from which lines each follows.

What left a card is not the list of what was exported: one extended public key and one child's private key give the parent's
private key and everything below it. This is the exact set under BIP-32.

What left before the log can be written down in a file, a line for each key, oldest first:

  account KEY-UID                            counts for the lines below it
  PATH FORM APPLET NOTE                      m/43'/60'/1581'/0'/0 private 3.1 Status on the old phone

FORM is private, public, extended-public, signature, ecdh, lee, bip85, or seed at m. APPLET is the version of the card's
applet, or - when it is not known. On 3.1 and 3.2 the extended public key of m carries the chain code of a node that the card used
before: every node of the account in the lines above counts. Lines that begin with # do not count. What follows from such lines is
marked unverified.";

const PROVE: &str = "\
Prove one line, or that the log goes on from an older head, without showing the other lines; and check such a proof.

  cardinal audit prove --line 7 --line 8 > proof        two lines, for example a request and what came of it
  cardinal audit prove --since old-heads > proof        the log still has all that it had
  cardinal audit prove --check proof --ca production    no log, key manager or card is needed

A proof is a line of JSON with the nodes between the line and the root of the head (RFC 6962). It takes the file with that line
and all later files of the log, and no older ones. It says that the line was there when a head stood, and nothing of any other
line. A log is held against the heads of --since, --head and --anchor, and the one beside it: nothing is proven of one that lost
its end, or was written anew.

Who vouches for the head of a proof: the card that signed it, whose signature is in the proof (--ca), or the same head that was
kept elsewhere (--anchor); where neither does, the exit code is 68. That the older head of a proof was kept is not enough: whoever
knows it can make up one that goes on from it. A head of the same log that was kept, with as many entries and another root, gives
64: the log was written anew. Any genuine card signs what its owner's key manager wrote: that it is the card that you mean, its
identity says, which is printed.";

const PUSH: &str = "\
Send the heads that cards have signed away from this computer, where nobody who owns it can change them.

A PLACE is one of
  file:DIR                      a line appended to DIR/cardinal.heads
  syslog                        this computer's log daemon; also syslog:unix:PATH
  syslog:udp:HOST:PORT          RFC 5424 in datagrams
  syslog:tcp:HOST:PORT          RFC 5424 over TCP, with octet counts
  http://127.0.0.1:PORT/PATH    POST to a service, or a proxy that speaks TLS, on this computer
  https://HOST/PATH             POST by the program curl
  git:DIR                       a commit of cardinal.heads in a work tree, and a push if it has a remote

A line is sent again until its place took it, so it may arrive twice. Over TCP a place took it that read it and closed the
connection; datagrams are lost without a word, so for what has to arrive choose another. What arrived is an anchor for
`audit verify`. The configuration file has: to = [\"PLACE\", ...], and if need be spool = \"FILE\" and memory = \"DIR\".";
