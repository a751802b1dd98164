//! `cardinal audit verify`: the verdict, all findings with what to do about each, and what left.

use std::path::{Path, PathBuf};

use audit::closure::History;
use audit::evidence::Authorities;
use audit::verify::{Anchor, Auditor, Kept, Repeat, SignedBy, Tail};
use audit::{Event, Line, LogId, Report};
use proto::rpc::Fault;
use proto::shell::clock;
use serde_json::{Value, json};

use super::args::{LogArgs, TrustArgs, VerifyArgs};
use super::closure::in_words;
use super::file::LogFiles;
use super::judgement::{self, Judgement, Tone};
use super::trust::Trust;
use crate::error::CliError;
use crate::output::{self, Output, shown};

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
    /// Verifies the log that a command line means.
    ///
    /// # Errors
    /// [`Fault::StateMissing`], [`Fault::BadInput`] for files that are none; what is wrong with the log is in the report.
    pub(super) fn of(
        log: &LogArgs,
        trust: &TrustArgs,
        card: Option<Anchor>,
        before: History,
    ) -> Result<Self, CliError> {
        Self::with(LogFiles::of(log)?, trust, card, before)
    }

    /// Verifies a log against what is trusted, what a card remembers, and what left before it.
    ///
    /// # Errors
    /// [`Fault::BadInput`] for files that are none; [`CliError::File`].
    pub(super) fn with(
        files: LogFiles,
        trust: &TrustArgs,
        card: Option<Anchor>,
        before: History,
    ) -> Result<Self, CliError> {
        let Trust { authorities, anchors } = Trust::of(trust, id_of(&files)?)?;
        let mut against = vec![("Authority", trust.ca.clone())];
        for path in &trust.anchor {
            against.push(("Anchor", path.display().to_string()));
        }
        if let Some(anchor) = &card {
            against.push(("The card remembers", anchor.head.to_string()));
        }
        let beside = files.remembered()?.map(|head| Anchor { head, kept: Kept::Beside });
        let anchors = anchors.into_iter().chain(card).chain(beside);
        let auditor = Auditor::new(authorities).with_anchors(anchors).with_now(clock::unix()).with_history(before);
        let report = files.audited(auditor)?;
        let judgement = Judgement::of(&report);
        Ok(Self { files, report, judgement, against })
    }

    /// Shows every line that can be read, also those after a bad one, which the findings name.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(super) fn each(&self, mut see: impl FnMut(&Line)) -> Result<(), CliError> {
        let mut auditor = Auditor::new(Authorities::default());
        for (path, file) in self.files.opened()? {
            auditor.read(file, |line, _| see(line)).map_err(CliError::file(path))?;
        }
        Ok(())
    }
}

/// Verifies a log of software cards against heads that were kept elsewhere.
///
/// # Errors
/// As [`Examined::with`].
pub(crate) fn verified(log: &Path, anchors: &[PathBuf]) -> Result<Report, CliError> {
    let trust = TrustArgs { ca: "test".to_owned(), anchor: anchors.to_vec() };
    Ok(Examined::with(LogFiles::beside(log)?, &trust, None, History::default())?.report)
}

/// Returns the name of a log, if its first line has one.
///
/// # Errors
/// When it cannot be read.
pub(super) fn id_of(files: &LogFiles) -> Result<Option<LogId>, CliError> {
    Ok(files.first()?.and_then(|line| match line.event {
        Event::LogCreated { log, .. } => Some(log),
        Event::LogContinued { previous, .. } => Some(previous.log),
        _ => None,
    }))
}

/// Verifies a log and prints what was found.
///
/// # Errors
/// A fault for each verdict but the best; those of [`Examined::of`].
pub(super) async fn run(out: Output, args: &VerifyArgs) -> Result<(), CliError> {
    let card = if args.card { Some(super::proof::remembered(&args.log.profile).await?) } else { None };
    let examined = Examined::of(&args.log, &args.trust, card, History::default())?;
    let printed = if out.is_json() { out.object(&as_json(&examined)) } else { people(out, &examined) };
    // The verdict stands whether or not anybody could read it.
    verdict(&examined).and(printed)
}

fn verdict(examined: &Examined) -> Result<(), CliError> {
    let Some(fault) = judgement::fault(examined.report.verdict()) else { return Ok(()) };
    let path = examined.files.newest().display();
    Err(CliError::found(fault, format!("{path}: {}", examined.judgement.headline)))
}

fn people(out: Output, examined: &Examined) -> Result<(), CliError> {
    let Examined { files, report, judgement, .. } = examined;
    let tone = match judgement.tone {
        Tone::Good => output::Tone::Good,
        Tone::Warn | Tone::Bad => output::Tone::Bad,
    };
    let path = shown(&files.newest().display().to_string());
    out.line(format!("{path}: {}", out.tone(tone, &shown(&judgement.headline))))?;
    out.line(format!("  {}", judgement.meaning))?;
    for finding in &judgement.findings {
        out.line(out.tone(output::Tone::Bad, &format!("  {}", shown(&finding.says))))?;
        out.line(format!("    {}", finding.todo))?;
    }
    for span in &report.coverage.spans {
        let taken = if span.taken { "" } else { ", which is not taken" };
        let (covers, card, authority) = (span.covers, span.card, &span.authority);
        let text = format!("{covers} signed {} time(s) by {card} ({authority} authority{taken})", span.signatures);
        out.line(format!("  {}", shown(&text)))?;
    }
    if let Some(more) = &report.coverage.more {
        out.line(format!(
            "  {} signed {} time(s) more, by cards that are not told one by one",
            more.covers, more.signatures
        ))?;
    }
    if report.coverage.tail.lines.is_some() {
        out.line(format!("  signed by no card: {}", report.coverage.tail))?;
    }
    for stated in &report.statements {
        out.line(format!(
            "  lines 1-{} stated by a key of {} under PIN (line {})",
            stated.covers, stated.card, stated.line
        ))?;
    }
    for (key, left) in &report.left {
        let fingerprints: Vec<String> = left.fingerprints.iter().map(ToString::to_string).collect();
        let unknown = if left.unknown == 0 { String::new() } else { format!(", {} more unknown", left.unknown) };
        let fingerprints = fingerprints.join(" ");
        let (form, path, times, last) = (key.form, &key.path, left.times, left.last);
        out.line(format!(
            "  left the card: {form} {path} {fingerprints}, {times} time(s){unknown}, last at line {last}"
        ))?;
    }
    for implied in report.closure.computable.iter().filter(|implied| implied.what.follows) {
        out.line(format!("  follows from that: {}", in_words(implied)))?;
    }
    // Those of two keys are open questions.
    for repeat in report.repeated_nonces.iter().filter(|repeat| repeat.is_of_one_key()) {
        let Repeat { first, second, .. } = repeat;
        let (wallet, path) = &first.key;
        let (one, other) = (first.line, second.line);
        let text = format!(
            "  the signatures of lines {one} and {other} have one nonce: the private key {path} of {wallet} follows"
        );
        out.line(out.tone(output::Tone::Bad, &shown(&text)))?;
    }
    for question in &judgement.questions {
        out.line(format!("  not known: {}", shown(question)))?;
    }
    out.line(format!("  {} refused, {} card(s) enrolled", report.refusals, report.provisionings))
}

/// Returns everything that was found, for programs.
pub(super) fn as_json(examined: &Examined) -> Value {
    let Examined { files, report, judgement, .. } = examined;
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
                "users": left.users,
                "programs": left.programs,
                "purposes": left.purposes,
                "times": left.times,
                "unknown": left.unknown,
                "first": left.first,
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
    let findings: Vec<Value> = report
        .findings
        .iter()
        .zip(&judgement.findings)
        .map(|(finding, told)| {
            json!({
                "verdict": finding.verdict.name(),
                "first_line": finding.lines.first,
                "last_line": finding.lines.last,
                "what": finding.why.to_string(),
                "todo": told.todo,
            })
        })
        .collect();
    let signed: Vec<Value> = report
        .coverage
        .spans
        .iter()
        .map(|span| {
            json!({
                "first_line": span.covers.first,
                "last_line": span.covers.last,
                "signatures": span.signatures,
                "card": span.card.to_string(),
                "identity": hex::encode(span.identity),
                "authority": span.authority,
                "taken": span.taken,
            })
        })
        .collect();
    let signature =
        |by: &SignedBy| json!({ "line": by.line, "wallet": by.key.0.to_string(), "path": by.key.1.to_string() });
    let tail = report.coverage.tail.lines.map(|lines| {
        let Tail { lines: _, intents, outcomes, deeds, decoys, others } = report.coverage.tail;
        json!({
            "first_line": lines.first,
            "last_line": lines.last,
            "intents": intents,
            "outcomes": outcomes,
            "owner": deeds,
            "decoys": decoys,
            "others": others,
        })
    });
    let verdict = report.verdict();
    json!({
        "file": files.newest().display().to_string(),
        "files": files.all().iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "verdict": verdict.name(),
        "exit_code": judgement::fault(verdict).map_or(0, Fault::exit_code),
        "summary": judgement.headline,
        "meaning": judgement.meaning,
        "findings": findings,
        "more_findings": report.more_findings,
        "questions": judgement.questions,
        "end_proven": report.end_proven,
        "signed_to": report.coverage.signed_to,
        "signed": signed,
        "more_signatures": report.coverage.more.map_or(0, |more| more.signatures),
        "signed_by_no_card": tail,
        "statements": report.statements.iter().map(|stated| json!({
            "line": stated.line,
            "covers": stated.covers,
            "card": stated.card.to_string(),
            "key": hex::encode(stated.key),
        })).collect::<Vec<_>>(),
        "repeated_nonces": report.repeated_nonces.iter().map(|repeat| json!({
            "first": signature(&repeat.first),
            "second": signature(&repeat.second),
            "one_key": repeat.is_of_one_key(),
        })).collect::<Vec<_>>(),
        "more_repeated_nonces": report.more_repeated_nonces,
        "consistent": report.is_consistent(),
        "entries": report.entries(),
        "head": report.head.map(|head| head.to_string()),
        "log": report.head.map(|head| head.log.to_string()),
        "left": left,
        "implied": implied,
        "unknown": report.unknown,
        "refusals": report.refusals,
        "provisionings": report.provisionings,
    })
}
