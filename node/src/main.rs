//! `cardinal-node`: one person's node, or a relay.

mod args;
mod pace;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use args::Arguments;
use node::{Config, Node, NodeError};
use proto::Fingerprint;
use proto::shell::{Stop, memory};
use serde::Serialize;

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
    let (config, until_stdin_closes) = Arguments::of_process().config();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CARDINAL_LOG").unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    // The chat key lives in this process.
    if let Err(error) = memory::keep_private() {
        tracing::warn!("the memory of this process is not private: {error}");
    }
    // One thread: the crossing of a packet from one to another costs more than all that is done to it.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().on_thread_park(pace::paced()).build().context("cannot start");
    match runtime.and_then(|runtime| runtime.block_on(run(config, until_stdin_closes))) {
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
