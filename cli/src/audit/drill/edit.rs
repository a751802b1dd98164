//! What a forger does to the lines of a log who has no card: every edit that leaves the chain and the checksums right.

use audit::{Event, Line, LineHash, Purpose};
use proto::rpc::Fault;

use crate::error::CliError;

/// The lines of a log.
pub(super) type Lines = Vec<Line>;

/// Reads lines.
///
/// # Errors
/// [`CliError`] for what is no line: the drill's own logs are made of nothing else.
pub(super) fn decode(bytes: &[u8]) -> Result<Lines, CliError> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(Line::decode);
    lines.collect::<Result<_, _>>().map_err(|why| CliError::found(Fault::LogBad, format!("the drill's own log: {why}")))
}

/// Writes lines as they are.
///
/// # Errors
/// [`CliError`] for a line that is too long.
pub(super) fn encode(lines: &[Line]) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(line.encode().map_err(|why| CliError::Other(why.to_string()))?);
    }
    Ok(bytes)
}

/// Writes lines with their numbers, the chain and the checksums made anew, as if they had been written so.
///
/// # Errors
/// [`CliError`] for a line that is too long.
pub(super) fn rechained(mut lines: Lines) -> Result<Vec<u8>, CliError> {
    let mut prev = LineHash::ZERO;
    for (seq, line) in (1..).zip(lines.iter_mut()) {
        (line.seq, line.prev) = (seq, prev);
        let bytes = line.encode().map_err(|why| CliError::Other(why.to_string()))?;
        prev = LineHash::of(&bytes);
    }
    encode(&lines)
}

/// Returns the places of the lines with a card's signature.
pub(super) fn signatures(lines: &[Line]) -> Vec<usize> {
    let is_one = |line: &Line| matches!(line.event, Event::ChannelOpened(_) | Event::HeadSigned(_));
    lines.iter().enumerate().filter(|(_, line)| is_one(line)).map(|(at, _)| at).collect()
}

/// Returns the place of an intent whose purpose is this.
pub(super) fn intent_for(lines: &[Line], purpose: &str) -> Option<usize> {
    lines.iter().position(|line| matches!(&line.event, Event::Intent(intent) if intent.purpose.as_str() == purpose))
}

/// Gives an intent another purpose.
pub(super) fn set_purpose(line: &mut Line, purpose: Purpose) {
    if let Event::Intent(intent) = &mut line.event {
        intent.purpose = purpose;
    }
}

/// Changes a bit in the middle of a card's signature.
pub(super) fn spoil_signature(line: &mut Line) {
    let spoilt = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        audit::Blob::try_from(bytes.as_slice()).ok()
    };
    match &mut line.event {
        Event::ChannelOpened(opened) => {
            if let Some(signature) = spoilt(opened.signature.as_bytes()) {
                opened.signature = signature;
            }
        }
        Event::HeadSigned(head) => {
            if let Some(signature) = spoilt(head.signed.signature.as_bytes()) {
                head.signed.signature = signature;
            }
        }
        _ => {}
    }
}

/// Appends what was asked last once more: an export that never was.
pub(super) fn repeat_last_operation(lines: &mut Lines) {
    let intent = lines.iter().rposition(|line| matches!(line.event, Event::Intent(_)));
    let Some(intent) = intent.and_then(|at| lines.get(at)).cloned() else { return };
    let ended = |line: &&Line| matches!(line.event, Event::Outcome { intent: of, .. } if of == intent.seq);
    let Some(mut outcome) = lines.iter().find(ended).cloned() else { return };
    let Some(last) = lines.last() else { return };
    let (seq, unix_ms, mono_ms) = (last.seq.saturating_add(1), last.unix_ms, last.mono_ms);
    if let Event::Outcome { intent, .. } = &mut outcome.event {
        *intent = seq;
    }
    for (n, mut line) in [intent, outcome].into_iter().enumerate() {
        let later = u64::try_from(n).unwrap_or(0).saturating_add(1) * 10;
        (line.unix_ms, line.mono_ms) = (unix_ms.saturating_add(later), mono_ms.saturating_add(later));
        lines.push(line);
    }
}
