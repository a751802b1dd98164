//! `cardinal audit prove`: shows somebody one line of a log, or that a log goes on from an older head, without the other lines;
//! and checks such a proof, for which no log is needed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use audit::evidence::Authorities;
use audit::line::{Head, Line};
use audit::proof::{Ask, CannotProve, NotProven, Of, Proof, Proven, Prover, Standing, Survey, TreeHead};
use proto::CardId;
use proto::rpc::Fault;
use proto::shell::file;
use serde_json::{Value, json};

use super::args::ProveArgs;
use super::file::LogFiles;
use super::heads::{self, KeptHeads, Known};
use super::trust;
use super::verify::id_of;
use crate::clock::Moment;
use crate::error::CliError;
use crate::output::{Output, Tone, read_or_not, shown};

/// Prints the proofs that are asked for, a line each, or checks those of a file.
///
/// # Errors
/// [`Fault::LogAltered`] for a log that is not whole and for what is no proof, [`Fault::LogTruncated`] for a log that lost its
/// end, [`Fault::LogRolledBack`] for a head of another log, or one that contradicts, [`Fault::LogUnsignedCard`] for a proof for
/// which nobody vouches, [`Fault::StateMissing`], [`Fault::BadInput`].
pub(super) fn run(out: Output, args: &ProveArgs) -> Result<(), CliError> {
    match &args.check {
        Some(path) => check(out, path, args),
        None => prove(out, args),
    }
}

fn prove(out: Output, args: &ProveArgs) -> Result<(), CliError> {
    if args.line.is_empty() && args.since.is_none() {
        let message = "say what is to be proven: --line N, or --since FILE with an older head";
        return Err(CliError::found(Fault::BadInput, message));
    }
    let files = LogFiles::of(&args.log)?;
    let log = id_of(&files)?;
    let named = |path: &Option<PathBuf>| match (path, log) {
        (Some(path), Some(log)) => heads::newest(path, log).map(Some),
        // A log without a name is not whole.
        _ => Ok(None),
    };
    let (since, head, beside) = (named(&args.since)?, named(&args.head)?, files.remembered()?);
    let mut known: Vec<Head> = [since, head, beside].into_iter().flatten().collect();
    known.extend(trust::anchors(&args.trust.anchor, log)?.into_iter().map(|anchor| anchor.head));
    if let Some(other) = known.iter().find(|head| log.is_some_and(|log| log != head.log)) {
        let (path, other) = (files.newest().display(), other.log);
        let message =
            format!("{path}: a head of the log {other} is known, and this is another; name the heads of this log");
        return Err(CliError::found(Fault::LogRolledBack, message));
    }
    let refused = |path: &Path, why| refused(path, why, beside);
    let mut survey = Survey::against(known.into_iter().map(TreeHead::from));
    for (path, file) in files.opened()? {
        survey.read(file).map_err(|why| refused(path, why))?;
    }
    let cannot = |why| refused(files.newest(), why);
    let Standing { head: newest, signed } = survey.finish().map_err(cannot)?;
    let mut asks: Vec<Ask> = args.line.iter().map(|line| Ask::Line(*line)).collect();
    asks.extend(since.map(|since| Ask::Since(since.into())));
    // A head that a card signed is worth more than one line more that nobody vouches for.
    let last = args.line.iter().copied().chain(since.map(|since| since.entries)).max().unwrap_or(0);
    let chosen = if signed >= last { signed } else { newest.entries };
    let mut prover = Prover::of(&asks, head.map_or(chosen, |head| head.entries)).map_err(cannot)?;
    for (path, file) in files.opened()? {
        prover.read(file).map_err(|why| refused(path, why))?;
    }
    let proofs = prover.finish().map_err(cannot)?;
    proofs.iter().try_for_each(|proof| out.object(proof))
}

fn refused(path: &Path, why: CannotProve, beside: Option<Head>) -> CliError {
    let fault = match &why {
        CannotProve::Read(_) | CannotProve::OlderFile { .. } => Fault::StateMissing,
        CannotProve::Bad { .. } => Fault::LogAltered,
        // What stands beside the log is as old as the log: both were set back together.
        CannotProve::Lost { lines } if beside.is_some_and(|head| head.entries.checked_add(1) == Some(lines.first)) => {
            Fault::LogRolledBack
        }
        CannotProve::OtherHead { .. } => Fault::LogRolledBack,
        CannotProve::Empty | CannotProve::Lost { .. } => Fault::LogTruncated,
        _ => Fault::BadInput,
    };
    CliError::found(fault, format!("{}: {why}", path.display()))
}

/// A proof whose path leads to its head, and what is known of that.
struct Held {
    proof: Proof,
    proven: Proven,
    /// Whether the card that signed the head is taken for genuine.
    is_signed: bool,
    /// What is known of the head from what was kept elsewhere.
    head: Known,
    /// The older head, where the proof is of one, and what is known of that. It says nothing of what came after.
    older: Option<(TreeHead, Known)>,
}

impl Held {
    fn of(proof: Proof, proven: Proven, taken: &Authorities, kept: &KeptHeads) -> Self {
        let authority = proven.signed.as_ref().and_then(|signed| signed.authority);
        let is_signed = authority.is_some_and(|authority| taken.take(&authority));
        let older = match &proof.of {
            Of::Head(old) => Some((*old, kept.know(old))),
            Of::Line { .. } => None,
        };
        Self { is_signed, head: kept.know(&proof.head), older, proof, proven }
    }

    /// Returns the head of the proof that another one contradicts, which was kept elsewhere.
    fn contradicted(&self) -> Option<TreeHead> {
        let heads = [Some((self.proof.head, self.head)), self.older];
        heads.into_iter().flatten().find(|(_, known)| *known == Known::Other).map(|(head, _)| head)
    }

    fn is_vouched_for(&self) -> bool {
        (self.is_signed || self.head == Known::Same) && self.contradicted().is_none()
    }

    /// Returns why the proof is not to be relied on; nothing when it is.
    fn fault(&self) -> Option<(Fault, String)> {
        if let Some(TreeHead { entries, .. }) = self.contradicted() {
            let message = format!(
                "a head with {entries} entries was kept elsewhere and has another root: the log was written anew; keep the \
                 proof as evidence, and find out who could write the log"
            );
            return Some((Fault::LogRolledBack, message));
        }
        if self.is_vouched_for() {
            return None;
        }
        let message = match self.older {
            Some((_, Known::Same)) => format!(
                "the older head was kept elsewhere, but nobody who is taken vouches for its head, the newer one: whoever knows \
                 the older one can make such a proof up, so nothing is proven of what came after; {ADVICE}"
            ),
            _ => format!("nobody who is taken vouches for its head; {ADVICE}"),
        };
        Some((Fault::LogUnsignedCard, message))
    }
}

fn check(out: Output, path: &Path, args: &ProveArgs) -> Result<(), CliError> {
    let authorities = trust::authorities(&args.trust.ca)?;
    let kept = KeptHeads::of(&args.trust.anchor)?;
    let bad = |fault, why: String| CliError::found(fault, format!("{}: {why}", path.display()));
    let (mut contradicted, mut unvouched) = (None, None);
    let read = each_proof(path, |number, proof| {
        let proven = proof.check().map_err(|why| bad(fault_of(why), format!("proof in line {number}: {why}")))?;
        let held = Held::of(proof, proven, &authorities, &kept);
        // What is found stands whether or not anybody could read it.
        read_or_not(if out.is_json() { out.object(&as_json(&held)) } else { people(out, &held, &kept) })?;
        if let Some((fault, why)) = held.fault() {
            let first = if fault == Fault::LogRolledBack { &mut contradicted } else { &mut unvouched };
            first.get_or_insert_with(|| bad(fault, format!("proof in line {number}: {why}")));
        }
        Ok(())
    });
    contradicted.map_or(Ok(()), Err)?;
    read?;
    unvouched.map_or(Ok(()), Err)
}

/// Shows each proof of a file with the number of its line.
fn each_proof(path: &Path, mut see: impl FnMut(u64, Proof) -> Result<(), CliError>) -> Result<(), CliError> {
    let bad = |why: String| CliError::found(Fault::BadInput, format!("{}: {why}", path.display()));
    let mut file = BufReader::new(file::open(path).map_err(CliError::file(path))?);
    let mut is_empty = true;
    let mut bytes = Vec::new();
    for number in 1u64.. {
        bytes.clear();
        let read = file.by_ref().take(MAX_PROOF).read_until(b'\n', &mut bytes).map_err(CliError::file(path))?;
        if read == 0 {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let why = match serde_json::from_slice(&bytes) {
            Ok(proof) => {
                is_empty = false;
                see(number, proof)?;
                continue;
            }
            Err(_) if u64::try_from(read).is_ok_and(|read| read == MAX_PROOF) => "longer than one may be".to_owned(),
            Err(why) => why.to_string(),
        };
        return Err(bad(format!("line {number} is no proof: {why}")));
    }
    if is_empty { Err(bad("there is no proof in it".to_owned())) } else { Ok(()) }
}

const fn fault_of(why: NotProven) -> Fault {
    match why {
        NotProven::UnknownFormat => Fault::BadInput,
        _ => Fault::LogAltered,
    }
}

fn people(out: Output, held: &Held, kept: &KeptHeads) -> Result<(), CliError> {
    let Held { proof, proven, is_signed, head, older } = held;
    let TreeHead { log, entries, .. } = proof.head;
    let says = match &proof.of {
        Of::Line { number, .. } => format!("line {number} is in the log {log} as it stood with {entries} entries"),
        Of::Head(old) => {
            format!("the log {log} with {entries} entries begins with all {} entries of the older head", old.entries)
        }
    };
    out.line(match held.is_vouched_for() {
        true => out.tone(Tone::Good, &says),
        false => out.tone(Tone::Bad, &format!("so the proof says, and nobody vouches for it: {says}")),
    })?;
    if let Some(Line { unix_ms, event, .. }) = &proven.line {
        let when = Moment::from_millis(*unix_ms);
        out.line(format!("  {} {}Z  {}", when.date(), when.time(), shown(&event.to_string())))?;
    }
    if let Some(signed) = &proven.signed {
        let by = signed.authority.map_or_else(|| "nobody".to_owned(), |authority| authority.to_string());
        let taken = if *is_signed { "" } else { ", which is not taken" };
        let when = Moment::from_millis(signed.unix_ms);
        let (date, time) = (when.date(), when.time());
        out.line(format!("  that head was signed by {} ({by} authority{taken}), {date} {time}Z", signed.card))?;
        if !matches!(signed.card, CardId::Identity(_)) {
            out.line(format!("  the identity of that card is {}", hex::encode(signed.identity)))?;
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    let heads = [Some((proof.head, *head)), *older];
    heads.into_iter().flatten().try_for_each(|(head, known)| out.line(format!("  {}", told(head, known, kept))))
}

/// Returns what the heads that were kept elsewhere tell of one.
fn told(TreeHead { log, entries, .. }: TreeHead, known: Known, kept: &KeptHeads) -> String {
    match (known, kept.count(log)) {
        (Known::Same, _) => format!("the head with {entries} entries was kept elsewhere"),
        (Known::Other, _) => {
            format!("another head with {entries} entries was kept elsewhere: the log was written anew")
        }
        (Known::Nothing, 0) => {
            format!("no head of the log {log} was kept elsewhere: those that are named are of others")
        }
        (Known::Nothing, count) => {
            format!("of the {count} head(s) of this log that were kept elsewhere, none has {entries} entries")
        }
    }
}

fn as_json(held: &Held) -> Value {
    let Held { proof, proven, is_signed, head, older } = held;
    json!({
        "holds": true,
        "head": proof.head,
        "older": older.map(|(head, _)| head),
        "line": proven.line,
        "signed_by": proven.signed.as_ref().map(|signed| json!({
            "card": signed.card.to_string(),
            "identity": hex::encode(signed.identity),
            "authority": signed.authority.map(|authority| authority.to_string()),
            "taken": is_signed,
            "unix_ms": signed.unix_ms,
        })),
        "head_kept_elsewhere": *head == Known::Same,
        "older_kept_elsewhere": older.map(|(_, known)| known == Known::Same),
        "contradicted": held.contradicted(),
        "vouched_for": held.is_vouched_for(),
    })
}

const ADVICE: &str = "compare it with a head that you kept, --anchor, or name the authority of its card, --ca";
/// Twice as much as two lines and the longest path have in JSON.
const MAX_PROOF: u64 = 64 * 1024;
