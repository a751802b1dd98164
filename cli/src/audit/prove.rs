//! `cardinal audit prove`: shows somebody one line of a log, or that a log goes on from an older head, without the other lines;
//! and checks such a proof, for which no log is needed.

use std::path::Path;

use audit::evidence::Authorities;
use audit::line::Line;
use audit::proof::{Ask, CannotProve, NotProven, Of, Proof, Proven, Prover, Standing, Survey, TreeHead};
use proto::CardId;
use proto::rpc::Fault;
use proto::shell::file;
use serde_json::{Value, json};

use super::args::ProveArgs;
use super::file::LogFiles;
use super::heads;
use super::trust::Trust;
use crate::clock::Moment;
use crate::error::CliError;
use crate::output::{Output, Tone, shown};

/// Prints the proofs that are asked for, a line each, or checks those of a file.
///
/// # Errors
/// [`Fault::LogAltered`] for a log that is not whole and for what is no proof, [`Fault::LogRolledBack`] for a head of another
/// log, [`Fault::LogUnsignedCard`] for a proof for which nobody vouches, [`Fault::StateMissing`], [`Fault::BadInput`].
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
    let cannot = |why: CannotProve| refused(files.newest(), why);
    let mut survey = Survey::default();
    for (path, file) in files.opened()? {
        survey.read(file).map_err(|why| refused(path, why))?;
    }
    let Standing { head: newest, signed } = survey.finish().map_err(cannot)?;
    let head = args.head.as_deref().map(|path| heads::newest(path, newest.log)).transpose()?;
    let since = args.since.as_deref().map(|path| heads::newest(path, newest.log)).transpose()?;
    let mut asks: Vec<Ask> = args.line.iter().map(|line| Ask::Line(*line)).collect();
    asks.extend(since.map(|since| Ask::Since(since.into())));
    // A head that a card signed is worth more than one line more that nobody vouches for.
    let last = args.line.iter().copied().chain(since.map(|since| since.entries)).max().unwrap_or(0);
    let chosen = if signed >= last { signed } else { newest.entries };
    let entries = head.map_or(chosen, |head| head.entries);
    let mut prover = Prover::of(&asks, entries).map_err(cannot)?;
    for (path, file) in files.opened()? {
        prover.read(file).map_err(|why| refused(path, why))?;
    }
    let proofs = prover.finish().map_err(cannot)?;
    if head.is_some_and(|head| proofs.iter().any(|proof| proof.head != TreeHead::from(head))) {
        return Err(cannot(CannotProve::OtherHead { entries }));
    }
    proofs.iter().try_for_each(|proof| out.object(proof))
}

fn refused(path: &Path, why: CannotProve) -> CliError {
    let fault = match &why {
        CannotProve::Read(_) | CannotProve::OlderFile { .. } => Fault::StateMissing,
        CannotProve::Bad { .. } => Fault::LogAltered,
        CannotProve::OtherHead { .. } => Fault::LogRolledBack,
        CannotProve::Empty => Fault::LogTruncated,
        _ => Fault::BadInput,
    };
    CliError::found(fault, format!("{}: {why}", path.display()))
}

/// A proof that holds, and who vouches for it.
struct Held {
    proof: Proof,
    proven: Proven,
    /// Whether the card that signed the head is taken for genuine.
    is_signed: bool,
    /// The head that was kept elsewhere, if one of the proof was.
    kept: Option<TreeHead>,
}

impl Held {
    const fn is_vouched_for(&self) -> bool {
        self.is_signed || self.kept.is_some()
    }
}

fn check(out: Output, path: &Path, args: &ProveArgs) -> Result<(), CliError> {
    let Trust { authorities, anchors } = Trust::of(&args.trust, None)?;
    let kept: Vec<TreeHead> = anchors.into_iter().map(|anchor| anchor.head.into()).collect();
    let bad = |fault, why: String| CliError::found(fault, format!("{}: {why}", path.display()));
    let bytes = file::read_bounded(path, MAX_PROOFS).map_err(CliError::file(path))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| bad(Fault::BadInput, "it is no text".to_owned()))?;
    let mut count = 0;
    let mut result = Ok(());
    for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let proof: Proof = serde_json::from_str(text)
            .map_err(|why| bad(Fault::BadInput, format!("line {number} is no proof: {why}")))?;
        let proven = proof.check().map_err(|why| bad(fault_of(why), format!("proof in line {number}: {why}")))?;
        let held = judge(proof, proven, &authorities, &kept);
        count += 1;
        if out.is_json() { out.object(&as_json(&held)) } else { people(out, &held) }?;
        if !held.is_vouched_for() {
            let message = format!("proof in line {number}: nobody who is taken vouches for its head; {ADVICE}");
            result = Err(bad(Fault::LogUnsignedCard, message));
        }
    }
    if count == 0 { Err(bad(Fault::BadInput, "there is no proof in it".to_owned())) } else { result }
}

const fn fault_of(why: NotProven) -> Fault {
    match why {
        NotProven::UnknownFormat => Fault::BadInput,
        _ => Fault::LogAltered,
    }
}

fn judge(proof: Proof, proven: Proven, taken: &Authorities, kept: &[TreeHead]) -> Held {
    let authority = proven.signed.as_ref().and_then(|signed| signed.authority);
    let is_signed = authority.is_some_and(|authority| taken.take(&authority));
    let older = match &proof.of {
        Of::Head(old) => Some(*old),
        Of::Line { .. } => None,
    };
    let kept = [Some(proof.head), older].into_iter().flatten().find(|head| kept.contains(head));
    Held { proof, proven, is_signed, kept }
}

fn people(out: Output, held: &Held) -> Result<(), CliError> {
    let Held { proof, proven, is_signed, kept } = held;
    let TreeHead { log, entries, .. } = proof.head;
    let says = match &proof.of {
        Of::Line { number, .. } => format!("line {number} is in the log {log} as it stood with {entries} entries"),
        Of::Head(old) => {
            format!("the log {log} with {entries} entries begins with all {} entries of the older head", old.entries)
        }
    };
    out.line(out.tone(if held.is_vouched_for() { Tone::Good } else { Tone::Bad }, &says))?;
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
    if let Some(kept) = kept {
        out.line(format!("  the head with {} entries was kept elsewhere", kept.entries))?;
    }
    Ok(())
}

fn as_json(held: &Held) -> Value {
    let Held { proof, proven, is_signed, kept } = held;
    json!({
        "holds": true,
        "head": proof.head,
        "older": match &proof.of { Of::Head(old) => Some(*old), Of::Line { .. } => None },
        "line": proven.line,
        "signed_by": proven.signed.as_ref().map(|signed| json!({
            "card": signed.card.to_string(),
            "identity": hex::encode(signed.identity),
            "authority": signed.authority.map(|authority| authority.to_string()),
            "taken": is_signed,
            "unix_ms": signed.unix_ms,
        })),
        "kept_elsewhere": kept,
        "vouched_for": held.is_vouched_for(),
    })
}

const ADVICE: &str = "compare it with a head that you kept, --anchor, or name the authority of its card, --ca";
/// Some hundred proofs.
const MAX_PROOFS: usize = 4 << 20;
