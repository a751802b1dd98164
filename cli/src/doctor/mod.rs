//! `cardinal doctor`: why no card answers, and the command that mends it.
//!
//! [`look`] gathers facts: from the system, and from the key manager, which alone speaks to cards. [`findings`] decides from
//! them, as a pure function. Nothing is changed, and no card that somebody uses is spoken to.

pub(crate) mod facts;
mod findings;
mod holders;
mod look;
mod usb;

pub(crate) use look::naming_holders;

use proto::rpc::Fault;
use serde_json::{Value, json};

use self::facts::{Facts, ReaderFact};
use self::findings::{Finding, findings, has_usable};
use crate::error::CliError;
use crate::output::{Output, Tone, shown};

/// Looks, and says what there is and what is wrong. Whoever uses a software card can do without readers.
///
/// # Errors
/// The first cause that keeps every card from answering.
pub(crate) async fn run(out: Output) -> Result<(), CliError> {
    let facts = look::facts().await?;
    let found = findings(&facts);
    let usable = has_usable(&facts);
    if out.is_json() {
        out.object(&json!({
            "usable": usable,
            "readers": facts.view.readers.iter().map(described).collect::<Vec<_>>(),
            "findings": found.iter().map(told).collect::<Vec<_>>(),
            "notes": notes(&facts),
        }))?;
    } else {
        print(out, &facts, &found)?;
    }
    match found.first() {
        Some(finding) if !usable => {
            Err(CliError::found(finding.cause, format!("no card can be used: {}", finding.what)))
        }
        _ => Ok(()),
    }
}

/// `cardinal readers`: which readers there are, and what card is in each.
///
/// # Errors
/// Why there is no list of readers.
pub(crate) async fn list(out: Output) -> Result<(), CliError> {
    let facts = look::facts().await?;
    if out.is_json() {
        for reader in &facts.view.readers {
            out.object(&described(reader))?;
        }
    } else {
        for reader in &facts.view.readers {
            out.line(line(reader))?;
        }
        for note in notes(&facts) {
            out.line(shown(&note))?;
        }
    }
    match Fault::ALL.iter().copied().find(|fault| fault.name() == facts.view.fault) {
        Some(fault) => {
            Err(CliError::found(fault, format!("{}; `cardinal doctor` says how to mend it", facts.view.trouble)))
        }
        None if facts.view.readers.is_empty() && !out.is_json() => out.line("there is no card reader"),
        None => Ok(()),
    }
}

fn print(out: Output, facts: &Facts, found: &[Finding]) -> Result<(), CliError> {
    for reader in &facts.view.readers {
        out.line(line(reader))?;
    }
    for note in notes(facts) {
        out.line(shown(&note))?;
    }
    for finding in found {
        out.line(out.tone(Tone::Bad, &format!("✗ {}", shown(&finding.what))))?;
        for way in &finding.mend {
            out.line(format!("    {}", shown(way)))?;
        }
    }
    if found.is_empty() {
        out.line(out.tone(Tone::Good, "✓ nothing is wrong"))?;
    }
    Ok(())
}

/// Returns what is worth knowing and is nobody's fault.
fn notes(facts: &Facts) -> Vec<String> {
    let blank = facts.view.readers.iter().filter(|reader| reader.card.as_ref().is_some_and(|card| !card.initialised));
    let blank = blank.map(|reader| {
        format!(
            "the card in {0} is blank, which is fine: `cardinal card init --reader '{0}'` gives it a PIN",
            reader.name
        )
    });
    let soft = facts.managers.iter().filter(|manager| manager.has_soft_card());
    let soft = soft
        .map(|manager| format!("profile {} uses the card {}, which needs no reader", manager.profile, manager.reader));
    blank.chain(soft).collect()
}

fn line(reader: &ReaderFact) -> String {
    let card = match &reader.card {
        Some(card) if card.applet.is_empty() => format!("Keycard {}", card.card),
        Some(card) => format!("Keycard {}, applet {}", card.card, card.applet),
        None if reader.trouble.is_empty() => String::new(),
        None => reader.trouble.clone(),
    };
    shown(format!("{}  {}  {card}", reader.name, reader.state).trim_end())
}

fn described(reader: &ReaderFact) -> Value {
    json!({
        "name": reader.name,
        "state": reader.state,
        "atr": reader.atr,
        "card": reader.card.as_ref().map(|card| json!({
            "card": card.card,
            "applet": card.applet,
            "initialised": card.initialised,
            "key_uid": card.key_uid,
        })),
        "pin_tries": reader.pin_tries,
        "cause": reader.fault,
    })
}

fn told(finding: &Finding) -> Value {
    json!({
        "cause": finding.cause.name(),
        "code": finding.cause.exit_code(),
        "what": finding.what,
        "mend": finding.mend,
    })
}
