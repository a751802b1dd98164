//! `cardinal selftest --leaks`: does everything once with secrets that it knows, on software cards in a folder of its own, and
//! looks for them in all that came out.
//!
//! What is searched: the output of every command, the logs of the key manager and the node at TRACE, every file that they
//! wrote, what went over the socket, the arguments and the environment of every process, and what a crash leaves. The
//! invariant: what is found is named, never shown; and nothing of the test outlives it.

mod captured;
mod script;
mod secrets;
mod stage;
mod tap;

use serde_json::json;

use crate::args::SelftestArgs;
use crate::error::CliError;
use crate::folder::Folder;
use crate::output::Output;
use crate::signals::Signals;
use proto::rpc::Fault;

use captured::{Captured, Finding};
use secrets::Secrets;
use stage::Stage;

/// Runs the test.
///
/// # Errors
/// [`Fault::Leak`] when a secret was found, or the step that failed.
pub(crate) async fn run(out: Output, SelftestArgs { leaks: _ }: SelftestArgs) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    signals.follow_parent();
    let folder = Folder::make()?;
    let mut captured = Captured::default();
    let tested = tokio::select! {
        tested = act(&folder, &mut captured) => tested,
        signal = signals.received() => Err(signal),
    };
    let removed = folder.remove();
    let (secrets, commands) = tested?;
    removed?;
    let findings = captured.search(&secrets);
    report(out, &captured, &findings, commands)?;
    if findings.is_empty() {
        return Ok(());
    }
    let message = format!("{} secrets are where none may be; keep this output and report it", findings.len());
    Err(CliError::found(Fault::Leak, message))
}

/// Performs the script, and returns the secrets that were in play and the number of commands.
async fn act(folder: &Folder, captured: &mut Captured) -> Result<(Secrets, usize), CliError> {
    let mut secrets = Secrets::known();
    let mut stage = Stage::set(folder.path()).await?;
    let commands = script::perform(&mut stage, &mut secrets, captured).await?;
    stage.clear(captured).await?;
    Ok((secrets, commands))
}

fn report(out: Output, captured: &Captured, findings: &[Finding], commands: usize) -> Result<(), CliError> {
    if out.is_json() {
        let found: Vec<_> = findings
            .iter()
            .map(|finding| json!({ "secret": finding.secret, "encoding": finding.encoding, "where": finding.place }))
            .collect();
        return out.object(&json!({
            "leaks": found,
            "commands": commands,
            "places": captured.places(),
            "bytes": captured.bytes(),
        }));
    }
    for Finding { secret, encoding, place } in findings {
        out.line(format!("{secret} ({encoding}) is in {place}"))?;
    }
    out.line(format!(
        "{commands} commands, {} places with {} bytes searched: {} leaks",
        captured.places(),
        captured.bytes(),
        findings.len()
    ))
}
