//! `cardinal-node`: one person's node, or a relay.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use node::{Config, Limits, Node, NodeError, Role};
use proto::Fingerprint;
use proto::rpc::Fault;
use proto::shell::{Stop, memory};
use serde::Serialize;
use wire::p2p::Enode;

/// A Status node: carries envelopes, and talks in public chats with a key that its key manager exports from a card.
#[derive(Parser)]
#[command(name = "cardinal-node", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one person's node.
    Run {
        #[command(flatten)]
        common: Common,
        /// The Unix socket of the key manager.
        #[arg(long, value_name = "SOCKET")]
        keymgr: PathBuf,
        /// How long to wait for the card to be unlocked.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        unlock_within: u64,
    },
    /// Runs a relay: it carries everybody's envelopes, has no key but its own and keeps no messages.
    Relay {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// The directory of the node's state, made (mode 0700) when there is none.
    #[arg(long)]
    dir: PathBuf,
    /// The Unix socket to serve the local API on; its directory must be ours alone (0700).
    #[arg(long)]
    socket: PathBuf,
    /// The address to take peers on; port 0 takes a free one, which the ready line tells.
    #[arg(long, default_value = "127.0.0.1:30303")]
    listen: SocketAddr,
    /// A peer to stay connected to; may be given several times.
    #[arg(long, value_name = "ENODE")]
    peer: Vec<Enode>,
    /// How many peers may be connected.
    #[arg(long, value_name = "NUMBER")]
    max_peers: Option<usize>,
    /// Stop when standard input is closed, so that the node ends with whoever started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// The one line on standard output, once the node is ready.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    role: &'static str,
    enode: String,
    socket: PathBuf,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_fingerprint: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { command } =
        Arguments::from_arg_matches(&documented().get_matches()).unwrap_or_else(|error| error.exit());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CARDINAL_LOG").unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    // The chat key lives in this process.
    if let Err(error) = memory::keep_private() {
        tracing::warn!("the memory of this process is not private: {error}");
    }
    let (config, until_stdin_closes) = config(command);
    match run(config, until_stdin_closes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The node's own errors name their causes themselves.
            let (line, code) = match error.downcast_ref::<NodeError>() {
                Some(error) => (error.to_string(), error.fault().exit_code()),
                None => (format!("{error:#}"), 1),
            };
            drop(writeln!(std::io::stderr(), "cardinal-node: {line}"));
            ExitCode::from(code)
        }
    }
}

fn config(command: Command) -> (Config, bool) {
    let (common, role, mut limits) = match command {
        Command::Run { common, keymgr, unlock_within } => {
            let unlock_within = Duration::from_secs(unlock_within);
            (common, Role::Chat { keymgr, unlock_within }, Limits::CHAT)
        }
        Command::Relay { common } => (common, Role::Relay, Limits::RELAY),
    };
    let Common { dir, socket, listen, peer: peers, max_peers, until_stdin_closes } = common;
    if let Some(max) = max_peers {
        limits = limits.with_peers(max);
    }
    (Config { dir, socket, listen, peers, role, limits }, until_stdin_closes)
}

#[tokio::main]
async fn run(config: Config, until_stdin_closes: bool) -> anyhow::Result<()> {
    let mut stop = Stop::listen(until_stdin_closes).context("cannot hear what would end it")?;
    let role = config.role.name();
    let mut node = tokio::select! {
        started = Node::start(config) => started?,
        // Nothing stands yet that would have to be taken down in order.
        _ = stop.heard() => return Ok(()),
    };
    let ready = Ready {
        ready: true,
        role,
        enode: node.enode().to_string(),
        socket: node.socket().clone(),
        pid: std::process::id(),
        chat_key: node.owner().map(|key| key.to_string()),
        chat_fingerprint: node.owner().map(|key| Fingerprint::of(&key).to_string()),
    };
    let mut stdout = std::io::stdout();
    // Whoever started us may not care to listen; that is no reason to stop.
    drop(writeln!(stdout, "{}", serde_json::to_string(&ready)?).and_then(|()| stdout.flush()));
    tokio::select! {
        why = stop.heard() => {
            tracing::info!(why, "stopping");
            Ok(node.stop().await?)
        }
        error = node.failed() => {
            // The farewell to the peers; the failure is what counts.
            drop(node.stop().await);
            Err(error.into())
        }
    }
}

/// The command line with the exit codes in every `--help`.
fn documented() -> clap::Command {
    let table = Fault::exit_code_table();
    Arguments::command().after_help(table.clone()).mut_subcommands(|verb| verb.after_help(table.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_help_lists_the_exit_code_of_every_fault() {
        let mut command = documented();
        command.clone().debug_assert();
        let mut helps = vec![command.render_help().to_string()];
        helps.extend(command.get_subcommands_mut().map(|verb| verb.render_help().to_string()));
        assert_eq!(helps.len(), 3);
        for fault in Fault::ALL {
            let line = format!("{:>2}  {}", fault.exit_code(), fault.meaning());
            assert!(helps.iter().all(|help| help.contains(&line)), "{}", fault.name());
        }
    }
}
