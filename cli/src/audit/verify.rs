//! `cardinal audit verify`.

use std::path::Path;

use audit::{Line, Report, verify};
use proto::rpc::Fault;
use serde_json::{Value, json};

use super::args::{LogArgs, TrustArgs, VerifyArgs};
use super::file::LogFiles;
use super::judgement::Judgement;
use crate::error::CliError;
use crate::output::{Output, shown};

/// A log that was verified.
#[derive(Debug)]
pub(super) struct Examined {
    /// Its files.
    pub(super) files: LogFiles,
    /// What was found.
    pub(super) report: Report,
    /// What is to be thought of that.
    pub(super) judgement: Judgement,
    /// Against what it was verified: a name and a value each.
    pub(super) against: Vec<(&'static str, String)>,
}

impl Examined {
    /// Verifies a log.
    ///
    /// # Errors
    /// [`Fault::StateMissing`], [`Fault::BadInput`] for files that are none; what is wrong with the log is in the report.
    pub(super) fn of(log: &LogArgs, trust: &TrustArgs) -> Result<Self, CliError> {
        let files = LogFiles::of(log)?;
        let report = check(&files)?;
        let judgement = Judgement::of(&report);
        let against = vec![("Authority", trust.ca.clone())];
        Ok(Self { files, report, judgement, against })
    }

    /// Shows every line up to the first that is bad.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(super) fn each(&self, see: impl FnMut(&Line)) -> Result<(), CliError> {
        audit::read(self.files.lines()?, see).map(drop).map_err(CliError::file(self.files.newest()))
    }
}

pub(super) fn run(out: Output, args: &VerifyArgs) -> Result<(), CliError> {
    let examined = Examined::of(&args.log, &args.trust)?;
    let (path, report) = (examined.files.newest(), &examined.report);
    let printed = if out.is_json() { out.object(&as_json(&examined)) } else { people(out, path, report) };
    // The verdict stands whether or not anybody could read it.
    verdict(path, report).and(printed)
}

/// Reads and checks a whole log.
///
/// # Errors
/// [`Fault::StateMissing`] when the file is missing, [`CliError::File`] when it cannot be read.
pub(crate) fn check(files: &LogFiles) -> Result<Report, CliError> {
    verify(files.lines()?, files.remembered()).map_err(CliError::file(files.newest()))
}

fn verdict(path: &Path, report: &Report) -> Result<(), CliError> {
    match (&report.bad, report.is_consistent()) {
        (_, true) => Ok(()),
        (Some(bad), _) => {
            let message = format!(
                "{} does not verify at {bad}; keep the file as evidence and compare it with a copy",
                path.display()
            );
            Err(CliError::found(Fault::LogBad, message))
        }
        (None, _) => Err(CliError::found(Fault::LogBad, format!("{} is empty: every line is missing", path.display()))),
    }
}

fn people(out: Output, path: &Path, report: &Report) -> Result<(), CliError> {
    out.line(format!("{}: {report}", shown(&path.display().to_string())))?;
    for (key, left) in &report.left {
        let fingerprints: Vec<String> = left.fingerprints.iter().map(ToString::to_string).collect();
        let unknown = if left.unknown == 0 { String::new() } else { format!(", {} more unknown", left.unknown) };
        out.line(format!(
            "  left the card: {} {} {}, {} time(s){unknown}, last at line {}",
            key.form,
            key.path,
            fingerprints.join(" "),
            left.times,
            left.last
        ))?;
    }
    for implied in report.closure.computable.iter().filter(|implied| implied.what.follows) {
        out.line(format!("  follows from that: {} of {}", implied.what.extent, implied.what.path))?;
    }
    for line in &report.unknown {
        out.line(format!("  line {line}: outcome unknown, treat as exported"))?;
    }
    out.line(format!("  {} refused, {} card(s) enrolled", report.refusals, report.provisionings))
}

pub(super) fn as_json(examined: &Examined) -> Value {
    let (path, report) = (examined.files.newest(), &examined.report);
    let uid = |uid: &Option<proto::KeyUid>| uid.as_ref().map(ToString::to_string);
    let left: Vec<Value> = report
        .left
        .iter()
        .map(|(key, left)| {
            json!({
                "key_uid": uid(&key.key_uid),
                "path": key.path.to_string(),
                "form": key.form.to_string(),
                "cards": left.cards.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "fingerprints": left.fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "times": left.times,
                "unknown": left.unknown,
                "last": left.last,
            })
        })
        .collect();
    let implied: Vec<Value> = report
        .closure
        .computable
        .iter()
        .filter(|implied| implied.what.follows)
        .map(|implied| {
            json!({
                "wallet": implied.wallet.to_string(),
                "path": implied.what.path.to_string(),
                "what": implied.what.extent.to_string(),
            })
        })
        .collect();
    json!({
        "file": path.display().to_string(),
        "consistent": report.is_consistent(),
        "verdict": report.to_string(),
        "entries": report.entries(),
        "head": report.head.map(|head| head.hash.to_string()),
        "log": report.head.map(|head| head.log.to_string()),
        "bad_line": report.bad.map(|bad| bad.line),
        "bad": report.bad.map(|bad| bad.what.to_string()),
        "left": left,
        "implied": implied,
        "unknown": report.unknown,
        "refusals": report.refusals,
        "provisionings": report.provisionings,
    })
}
