//! The export log as evidence: what it shows, that it verifies, and that one flipped bit does not go unnoticed.

use audit::verify::{Form, Verdict};
use audit::{Event, Operation, Outcome};
use proto::ExportPath;
use proto::shell::file;

use crate::audit::{LogFiles, verified};
use crate::error::CliError;

use super::hold;
use super::scribe::Scribe;
use super::story::Person;

/// Shows the private exports that a person's log records, and checks that they are the two that a node needs.
///
/// # Errors
/// When the log shows something else.
pub(crate) fn exports(scribe: &Scribe, person: &Person) -> Result<(), CliError> {
    let mut open = std::collections::BTreeMap::new();
    let mut exported = Vec::new();
    LogFiles::beside(&person.profile.log())?.each(|line, _| {
        match &line.event {
            Event::Intent(intent) => {
                if let Operation::ExportPrivate(path) = &intent.request.operation {
                    open.insert(line.seq, (path.clone(), intent.purpose.as_str().to_owned()));
                }
            }
            Event::Outcome { intent, outcome: Outcome::Done { fingerprint: Some(fingerprint), .. } } => {
                if let Some((path, purpose)) = open.remove(intent) {
                    let lines = format!("lines {intent} and {}", line.seq);
                    scribe.say(format!("  private key {path}, for {purpose}, public half {fingerprint} ({lines})"))?;
                    exported.push(path);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    exported.sort();
    let needed = [ExportPath::chat(), ExportPath::database()];
    hold(
        exported == needed,
        format!("{}'s log does not show the chat key and the database key, once each", person.name),
    )
}

/// Verifies a person's log and checks what it says.
///
/// # Errors
/// When it does not verify, or says something else than what happened.
pub(crate) fn verify(scribe: &Scribe, person: &Person) -> Result<(), CliError> {
    let report = verified(&person.profile.log(), &[person.profile.spool()])?;
    hold(report.verdict() == Verdict::Complete, format!("{}'s log does not verify: {report}", person.name))?;
    let private = report.left.keys().filter(|key| key.form == Form::Private).count();
    hold(private == 2, format!("{}'s log shows {private} private keys", person.name))?;
    let extended = report.left.keys().any(|key| key.form == Form::ExtendedPublic);
    hold(!extended, format!("{}'s log shows an extended public key", person.name))?;
    hold(report.unknown.is_empty(), format!("{}'s log has an open intent", person.name))?;
    let refused = if person.name == "Alice" { 3 } else { 0 };
    hold(report.refusals == refused, format!("{}'s log shows {} refusals", person.name, report.refusals))?;
    scribe.good(format!(
        "{}: {report}; 2 private keys left the card, {} request(s) refused.",
        person.name, report.refusals
    ))
}

/// Flips one bit in the middle of a copy of a person's log, and checks that the verifier names that line.
///
/// # Errors
/// When the verifier is content, or names another line.
pub(crate) fn tamper(scribe: &Scribe, person: &Person) -> Result<(), CliError> {
    let log = person.profile.log();
    let mut bytes = std::fs::read(&log).map_err(CliError::file(&log))?;
    let middle = bytes.len() / 2;
    let line = bytes.iter().take(middle).filter(|byte| **byte == b'\n').count() + 1;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    let copy = person.profile.dir.join("altered.log");
    file::write_whole(&copy, &bytes).map_err(CliError::file(&copy))?;
    scribe.say(format!("Byte {} of {}, in line {line}.", middle + 1, bytes.len()))?;
    let report = verified(&copy, &[])?;
    let Some(bad) = report.bad else {
        return Err(CliError::Other("the verifier did not notice the altered log".to_owned()));
    };
    let named = u64::try_from(line).unwrap_or(u64::MAX);
    hold(bad.line == named, format!("the verifier names line {} instead of line {line}", bad.line))?;
    scribe.refused(format!("The verifier says: {bad}."))
}
