//! `cardinal audit closure`: the keys that follow from what left.

use std::path::Path;

use audit::closure::{Bond, Closure, Filter, History, Implied, Source};
use audit::evidence::Authorities;
use audit::verify::{Anchor, Auditor, Kept};
use proto::rpc::Fault;
use proto::shell::file;
use serde_json::{Value, json};

use super::args::ClosureArgs;
use super::file::LogFiles;
use super::judgement::{self, Judgement};
use crate::error::CliError;
use crate::output::{Output, Tone, shown};

/// Prints the closure of a log and of what was written down before it. Of a log that is not whole it is that of what can be
/// read, and the exit code says so.
///
/// # Errors
/// The fault of the verdict for a log that is not whole; [`Fault::BadInput`] for a list that is none.
pub(super) fn run(out: Output, args: &ClosureArgs) -> Result<(), CliError> {
    let files = LogFiles::of(&args.log)?;
    let beside = files.remembered()?.map(|head| Anchor { head, kept: Kept::Beside });
    let before = written(args.history.as_deref())?;
    let auditor = Auditor::new(Authorities::default()).with_anchors(beside).with_history(before);
    let report = files.audited(auditor)?;
    let closure = Closure::of(&report.history, &Filter { holder: args.uid, account: None });
    let questions = Judgement::of(&report).questions;
    let printed = if out.is_json() {
        let mut object = to_json(&closure);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("consistent".to_owned(), json!(report.is_consistent()));
            fields.insert("questions".to_owned(), json!(questions));
        }
        out.object(&object)
    } else {
        people(out, &closure, &questions)
    };
    if report.is_consistent() {
        return printed;
    }
    let fault = judgement::fault(report.verdict()).unwrap_or(Fault::LogBad);
    Err(CliError::found(fault, format!("{}: {report}; what it lost may have left too", files.newest().display())))
}

/// Returns the history of a list that was written by hand; an empty one without a list.
///
/// # Errors
/// [`Fault::BadInput`] with the line that cannot be read.
pub(super) fn written(list: Option<&Path>) -> Result<History, CliError> {
    let mut history = History::default();
    if let Some(path) = list {
        let bytes = file::read_bounded(path, MAX_LIST).map_err(CliError::file(path))?;
        let bad = |why: String| CliError::found(Fault::BadInput, format!("{}: {why}", path.display()));
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is no text".to_owned()))?;
        let help = "`cardinal audit closure --help` shows the form";
        history.take_written(text).map_err(|why| bad(format!("{why}; {help}")))?;
    }
    Ok(history)
}

fn people(out: Output, closure: &Closure, questions: &[String]) -> Result<(), CliError> {
    out.line(out.tone(Tone::Strong, &format!("{}.", closure.count())))?;
    let mut wallet = None;
    for implied in &closure.computable {
        if wallet != Some(implied.wallet) {
            wallet = Some(implied.wallet);
            out.line(format!("{}:", implied.wallet))?;
        }
        let tone = if implied.what.extent.is_private() { Tone::Bad } else { Tone::Faint };
        out.line(out.tone(tone, &format!("  {}", in_words(implied))))?;
    }
    for door in &closure.side_doors {
        out.line(format!("  {} of {} {} ({})", door.way, door.wallet, door.path, sources(door.lines.iter().copied())))?;
    }
    for seen in &closure.seen_by_host {
        let whose = seen.key_uid.map_or_else(|| "an account not named".to_owned(), |uid| format!("account {uid}"));
        let from = sources(seen.lines.iter().copied());
        out.line(out.tone(Tone::Bad, &format!("  a host has seen the {} of {whose} ({from})", seen.sight)))?;
    }
    for bond in &closure.bonds {
        out.line(out.tone(Tone::Bad, &format!("  {}", tied(bond))))?;
    }
    questions.iter().try_for_each(|question| out.line(format!("  not known: {}", shown(question))))
}

/// Returns keys that follow from signatures, and from which.
fn tied(bond: &Bond) -> String {
    let keys: Vec<String> = bond.keys.iter().map(|(wallet, path)| format!("{path} of {wallet}")).collect();
    let (keys, from) = (keys.join(" and "), sources(bond.from.iter().copied()));
    if bond.solved {
        return format!("from published signatures, to everybody: the private key {keys} ({from})");
    }
    let perhaps = if bond.may_be_solved() { "; if two of these are names of one key, all may follow" } else { "" };
    format!("one private key gives the others: {keys} share nonces{perhaps} ({from})")
}

/// Returns one key and where it comes from: `private key of m/... (line 7), follows from line 7 and line 9`.
pub(super) fn in_words(implied: &Implied) -> String {
    let Implied { wallet, what } = implied;
    let how = if what.follows { "follows from" } else { "left in" };
    // The m of what is no tree is not that of the account.
    let of = if wallet.account.is_tree() { String::new() } else { format!(" of {wallet}") };
    shown(&format!("{} {}{of}: {how} {}", what.path, what.extent, sources(what.from.iter().copied())))
}

/// Returns lines as a person reads them.
fn sources(lines: impl Iterator<Item = Source>) -> String {
    let all: Vec<String> = lines.map(source).collect();
    match all.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "no line".to_owned(),
    }
}

fn source(source: Source) -> String {
    match source {
        Source::Line(line) => format!("line {line}"),
        Source::Written(line) => format!("line {line} of the list, unverified"),
    }
}

/// Returns a closure for programs.
pub(super) fn to_json(closure: &Closure) -> Value {
    let from = |sources: &mut dyn Iterator<Item = Source>| -> Vec<Value> {
        sources
            .map(|source| match source {
                Source::Line(line) => json!({ "line": line }),
                Source::Written(line) => json!({ "history_line": line, "unverified": true }),
            })
            .collect()
    };
    let computable: Vec<Value> = closure
        .computable
        .iter()
        .map(|Implied { wallet, what }| {
            json!({
                "wallet": wallet.to_string(),
                "path": what.path.to_string(),
                "what": what.extent.to_string(),
                "private": what.extent.is_private(),
                "follows": what.follows,
                "from": from(&mut what.from.iter().copied()),
            })
        })
        .collect();
    let side_doors: Vec<Value> = closure
        .side_doors
        .iter()
        .map(|door| {
            json!({
                "wallet": door.wallet.to_string(),
                "path": door.path.to_string(),
                "what": door.way.to_string(),
                "from": from(&mut door.lines.iter().copied()),
            })
        })
        .collect();
    let seen: Vec<Value> = closure
        .seen_by_host
        .iter()
        .map(|seen| {
            json!({
                "card": seen.card.map(|card| card.to_string()),
                "key_uid": seen.key_uid.map(|uid| uid.to_string()),
                "what": seen.sight.to_string(),
                "uid": seen.holder,
                "from": from(&mut seen.lines.iter().copied()),
            })
        })
        .collect();
    let bonds = |solved: bool| -> Vec<Value> {
        let bonds = closure.bonds.iter().filter(|bond| bond.solved == solved);
        bonds
            .map(|bond| {
                let keys = bond
                    .keys
                    .iter()
                    .map(|(wallet, path)| json!({ "wallet": wallet.to_string(), "path": path.to_string() }));
                json!({ "keys": keys.collect::<Vec<_>>(), "from": from(&mut bond.from.iter().copied()) })
            })
            .collect()
    };
    let count = closure.count();
    json!({
        "summary": count.to_string(),
        "exported": count.exported,
        "private_keys": count.private_keys,
        "private_subtrees": count.private_subtrees,
        "public_keys": count.public_keys,
        "public_subtrees": count.public_subtrees,
        "implied_private": count.implied_private,
        "computable": computable,
        "side_doors": side_doors,
        "seen_by_host": seen,
        "one_gives_the_others": bonds(false),
        "from_signatures_alone": bonds(true),
        "cut_off_at_line": closure.cut_off,
    })
}

const MAX_LIST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use audit::closure::{Account, Node, Wallet};
    use proto::{CardId, KeyPath, KeyUid};

    use super::*;

    fn told(keys: [Node; 2], holder: Option<u32>) -> (Vec<String>, Vec<String>) {
        let mut history = History::default();
        let [one, other] = keys;
        history.tie(one, other, [Source::Line(3), Source::Line(5)]);
        let closure = Closure::of(&history, &Filter { holder, account: None });
        (closure.computable.iter().map(in_words).collect(), closure.bonds.iter().map(tied).collect())
    }

    /// The key of the Cash applet is no master key, and signatures are everybody's.
    #[test]
    fn what_follows_from_signatures_is_told_of_its_key_and_as_anybodys() {
        let account = Account::Cash(CardId::Instance([1; 16]));
        let key = (Wallet { account, decoy: false }, KeyPath::master());
        let (keys, tied) = told([key.clone(), key], Some(999));
        assert_eq!(keys, [format!("m private key of {}: follows from line 3 and line 5", wallet_of(account))]);
        assert!(tied.first().unwrap().starts_with("from published signatures, to everybody: "), "{tied:?}");
    }

    #[test]
    fn two_names_that_may_be_of_one_key_are_told() {
        let path: KeyPath = "m/1".parse().unwrap();
        let named = |account| (Wallet { account, decoy: false }, path.clone());
        let card = named(Account::Card(CardId::Instance([1; 16]), 0));
        let (keys, tied) = told([named(Account::KeyUid(KeyUid::from([7; 32]))), card], None);
        assert!(keys.is_empty());
        assert!(tied.first().unwrap().contains("names of one key"), "{tied:?}");
    }

    fn wallet_of(account: Account) -> Wallet {
        Wallet { account, decoy: false }
    }
}
