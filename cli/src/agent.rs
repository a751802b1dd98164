//! `cardinal agent`: shows the owner what clients ask for that the policy lets nobody have without approval, and asks.

use std::io::IsTerminal as _;

use clap::Args;
use proto::rpc::api::approvals_client::ApprovalsClient;
use proto::rpc::api::{ApprovalAnswer, ApprovalEvent, ApprovalRequest, WatchApprovalsRequest, approval_event};
use proto::rpc::{Fault, seal};
use serde::Deserialize;
use serde_json::json;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::args::ProfileArg;
use crate::client::{self, Keymgr, answer};
use crate::error::CliError;
use crate::lines::Lines;
use crate::output::{Output, Tone, shown};
use crate::paths::Layout;
use crate::pin::PinSource;
use crate::signals::Signals;

/// Options of `agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    profile: ProfileArg,
    /// Read the PINs from this open file descriptor (one line a PIN) instead of asking on the terminal.
    #[arg(long, value_name = "N")]
    pin_fd: Option<u32>,
}

/// A line of stdin, with --json.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    id: u64,
    approve: bool,
}

struct Agent {
    out: Output,
    manager: Keymgr,
    approvals: ApprovalsClient<Channel>,
    pins: PinSource,
}

/// Shows what is asked and answers it until the key manager ends, or a signal comes.
///
/// # Errors
/// What the key manager answered; the signal.
pub(crate) async fn run(out: Output, args: AgentArgs) -> Result<(), CliError> {
    let AgentArgs { profile, pin_fd } = args;
    if !out.is_json() && !std::io::stdin().is_terminal() {
        let message = "there is no terminal to ask on; use --json, which takes answers as lines of stdin";
        return Err(CliError::found(Fault::BadInput, message));
    }
    let profile = Layout::of_user()?.choose(profile.profile.as_deref())?;
    let channel = client::channel(&profile.keymgr_socket).await?;
    let mut approvals = ApprovalsClient::new(channel.clone());
    let events = answer(approvals.watch(WatchApprovalsRequest {})).await?;
    let mut agent = Agent { out, manager: Keymgr::new(channel), approvals, pins: PinSource::new(pin_fd)? };
    let mut signals = Signals::listen()?;
    if out.is_json() {
        out.object(&json!({ "event": "watching" }))?;
    } else {
        out.line(out.tone(Tone::Faint, "Waiting for what clients ask that needs approval. Ctrl-C ends the agent."))?;
    }
    tokio::select! {
        ended = agent.serve(events) => ended,
        signal = signals.received() => Err(signal),
    }
}

impl Agent {
    async fn serve(&mut self, mut events: Streaming<ApprovalEvent>) -> Result<(), CliError> {
        if !self.out.is_json() {
            while let Some(event) = events.message().await? {
                self.hear(event).await?;
            }
            return Err(gone());
        }
        let mut waiting = std::collections::BTreeMap::new();
        let mut lines = Lines::of_stdin();
        loop {
            tokio::select! {
                event = events.message() => match event?.and_then(|event| event.event) {
                    Some(approval_event::Event::Waits(request)) => {
                        self.out.object(&as_json(&request))?;
                        waiting.insert(request.id, request);
                    }
                    Some(approval_event::Event::Settled(settled)) => {
                        waiting.remove(&settled.id);
                        self.out.object(&json!({ "event": "settled", "id": settled.id, "how": settled.how }))?;
                    }
                    None => return Err(gone()),
                },
                line = lines.next() => {
                    let Some(line) = line.map_err(|error| CliError::Other(error.to_string()))? else { return Ok(()) };
                    let said: Result<Said, _> = serde_json::from_str(&line);
                    let result = match said {
                        Ok(Said { id, approve }) => {
                            let wants = |request: &&ApprovalRequest| request.pin;
                            let pin = waiting.get(&id).filter(wants).map(called);
                            self.answer(id, approve, pin).await
                        }
                        Err(error) => Err(CliError::found(Fault::BadInput, format!("no answer: {error}"))),
                    };
                    if let Err(error) = result {
                        self.out.object(&json!({ "event": "error", "message": error.to_string() }))?;
                    }
                }
            }
        }
    }

    /// Shows one event on the terminal, and asks what is to be asked.
    async fn hear(&mut self, event: ApprovalEvent) -> Result<(), CliError> {
        let out = self.out;
        match event.event {
            Some(approval_event::Event::Waits(request)) => {
                for line in sentences(&request) {
                    out.line(line)?;
                }
                let approve = crate::card::ask_line("Approve? [y/N] ").await?;
                let approve = matches!(approve.as_str(), "y" | "Y" | "yes");
                let pin = request.pin.then(|| called(&request));
                match self.answer(request.id, approve, pin).await {
                    Ok(()) if !approve => out.line("Denied."),
                    Ok(()) => Ok(()),
                    Err(error) => out.line(out.tone(Tone::Bad, &shown(&error.to_string()))),
                }
            }
            Some(approval_event::Event::Settled(settled)) => {
                out.line(out.tone(Tone::Faint, &format!("Request {}: {}.", settled.id, shown(&settled.how))))
            }
            None => Ok(()),
        }
    }

    /// Answers; with the PIN of this card, where one is wanted.
    async fn answer(&mut self, id: u64, approve: bool, card: Option<String>) -> Result<(), CliError> {
        let pin = if let Some(card) = card.filter(|_| approve) {
            let pin = self.pins.next(&card).await?;
            Some(client::sealed(&mut self.manager, seal::PIN, pin.expose()).await?)
        } else {
            None
        };
        answer(self.approvals.answer(ApprovalAnswer { id, approve, pin })).await.map(drop)
    }
}

/// Returns what a person needs to know of a request.
fn sentences(request: &ApprovalRequest) -> Vec<String> {
    let ApprovalRequest { id, key, operation, path, purpose, uid, pid, binary, binary_sha256, doubt, pin, .. } =
        request;
    let ApprovalRequest { seconds, reader, asked, .. } = request;
    let known = |text: &str| if text.is_empty() { "not known".to_owned() } else { shown(text) };
    let mut lines = vec![
        format!("Request {id}: {} with {} (key \"{}\")", shown(operation), shown(path), shown(key)),
        format!("  what      {}", shown(asked)),
        format!("  card      {} in {}", called(request), shown(reader)),
        format!("  what for  {}", shown(purpose)),
        format!("  who       uid {uid}, process {pid}, {}", known(binary)),
        format!("  SHA-256   {}", known(binary_sha256)),
    ];
    if !doubt.is_empty() {
        lines.push(format!("  CAREFUL   {}", shown(doubt)));
    }
    let wants = if *pin { ", and needs the PIN" } else { "" };
    lines.push(format!("  It waits for {seconds} s{wants}."));
    lines
}

fn as_json(request: &ApprovalRequest) -> serde_json::Value {
    let ApprovalRequest { id, key, operation, path, purpose, uid, pid, binary, binary_sha256, doubt, pin, .. } =
        request;
    let ApprovalRequest { seconds, card, label, reader, asked, .. } = request;
    json!({
        "event": "waits",
        "id": id,
        "key": key,
        "operation": operation,
        "path": path,
        "purpose": purpose,
        "uid": uid,
        "pid": pid,
        "binary": binary,
        "binary_sha256": binary_sha256,
        "doubt": doubt,
        "pin": pin,
        "seconds": seconds,
        "card": card,
        "label": label,
        "reader": reader,
        "asked": asked,
    })
}

/// Returns what a person calls the card of a request.
fn called(request: &ApprovalRequest) -> String {
    let ApprovalRequest { card, label, .. } = request;
    if label.is_empty() { shown(card) } else { format!("{} ({})", shown(label), shown(card)) }
}

fn gone() -> CliError {
    CliError::found(Fault::NotRunning, "the key manager went away; start it and the agent again")
}
