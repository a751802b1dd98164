//! `cardinal audit`: reads an export log offline. No service, card or PIN is needed, and none is asked.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use audit::line::{Line, MAX_LINE};
use audit::{HEAD_SUFFIX, Head, Report, verify};
use proto::rpc::Fault;
use serde_json::{Value, json};

use crate::args::{AuditArgs, AuditVerb};
use crate::error::CliError;
use crate::output::{Output, shown};
use crate::paths::Layout;

/// Does what the verb says.
///
/// # Errors
/// [`Fault::LogBad`] when the log does not verify, [`Fault::StateMissing`] when there is none, [`Fault::BadInput`] when
/// a folder is named instead.
pub(crate) fn run(out: Output, verb: &AuditVerb) -> Result<(), CliError> {
    match verb {
        AuditVerb::Show(args) => show(out, &log_of(args)?),
        AuditVerb::Verify(args) => report(out, &log_of(args)?),
    }
}

/// Reads and checks a whole log.
///
/// # Errors
/// [`Fault::StateMissing`] when the file is missing, [`CliError::File`] when it cannot be read.
pub(crate) fn check(path: &Path) -> Result<Report, CliError> {
    verify(open(path)?, remembered(path)).map_err(CliError::file(path))
}

/// Returns how far the log went when its manager last wrote it, if that stands beside it.
fn remembered(path: &Path) -> Option<Head> {
    let mut name = path.as_os_str().to_owned();
    name.push(HEAD_SUFFIX);
    std::fs::read_to_string(name).ok()?.trim_end().parse().ok()
}

/// Shows each line of a log to `see`, up to the first that is none.
///
/// # Errors
/// [`Fault::LogBad`] at that line; what `see` says.
pub(crate) fn each_line(
    path: &Path,
    mut see: impl FnMut(&Line, &[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut log = open(path)?;
    let mut bytes = Vec::new();
    for number in 1u64.. {
        bytes.clear();
        let room = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
        log.by_ref().take(room).read_until(b'\n', &mut bytes).map_err(CliError::file(path))?;
        if bytes.is_empty() {
            break;
        }
        let line = Line::decode(&bytes).map_err(|why| {
            let message = format!("{}: line {number}: {why}; `cardinal audit verify` says more", path.display());
            CliError::found(Fault::LogBad, message)
        })?;
        see(&line, &bytes)?;
    }
    Ok(())
}

fn show(out: Output, path: &Path) -> Result<(), CliError> {
    let mut printed = None;
    each_line(path, |line, bytes| {
        let object: Value = serde_json::from_slice(bytes)
            .map_err(|error| CliError::found(Fault::LogBad, format!("line {}: {error}", line.seq)))?;
        // What cannot be printed does not end the reading: a bad line further down is worse.
        if !matches!(printed, Some(Err(_))) {
            printed = Some(entry(out, line, &object));
        }
        Ok(())
    })?;
    printed.unwrap_or_else(|| Err(empty(path)))
}

fn entry(out: Output, line: &Line, object: &Value) -> Result<(), CliError> {
    if out.is_json() {
        return out.object(object);
    }
    let when = crate::clock::Moment::from_millis(line.unix_ms);
    out.line(format!("{:>5}  {} {}Z  {}", line.seq, when.date(), when.time(), shown(&line.event.to_string())))
}

fn empty(path: &Path) -> CliError {
    CliError::found(Fault::LogBad, format!("{} is empty: every line is missing", path.display()))
}

fn report(out: Output, path: &Path) -> Result<(), CliError> {
    let report = check(path)?;
    let printed = if out.is_json() { out.object(&as_json(path, &report)) } else { people(out, path, &report) };
    // The verdict stands whether or not anybody could read it.
    verdict(path, &report).and(printed)
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
        (None, _) => Err(empty(path)),
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

fn as_json(path: &Path, report: &Report) -> Value {
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

fn log_of(args: &AuditArgs) -> Result<PathBuf, CliError> {
    match &args.file {
        Some(file) => Ok(file.clone()),
        None => Ok(Layout::of_user()?.choose(args.profile.profile.as_deref())?.log()),
    }
}

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_dir(), file)));
    match opened {
        Ok((false, file)) => Ok(BufReader::new(file)),
        Ok((true, _)) => {
            let log = path.join("export.log");
            let message = format!("{} is a folder; name the log itself, for example {}", path.display(), log.display());
            Err(CliError::found(Fault::BadInput, message))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("there is no export log at {}; name the file, or choose a --profile", path.display());
            Err(CliError::found(Fault::StateMissing, message))
        }
        Err(error) => Err(CliError::file(path)(error)),
    }
}
