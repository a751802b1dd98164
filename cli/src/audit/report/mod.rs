//! `cardinal audit report`: the verdict and everything behind it, as a page, a table, or JSON.
//!
//! The log is read twice, and no more of it is kept than the verifier keeps. Its text was chosen by others: on the page it
//! is only ever text, in the table no cell is a formula.

mod csv;
mod html;
mod page;
mod place;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use audit::Report;
use audit::verify::Manager;
use proto::rpc::Fault;

use super::args::ReportArgs;
use super::closure::{to_json, written};
use super::file::LogFiles;
use super::judgement::Judgement;
use super::row::{Row, Rows, What};
use super::trust;
use super::verify::{Examined, as_json};
use crate::error::CliError;
use crate::output::{Output, read_or_not, shown};
use html::Page;
use page::Cover;

/// Writes the report that was asked for. What is wrong with the log is in it, so only what keeps it from being written is an
/// error.
///
/// # Errors
/// [`Fault::StateMissing`]; [`Fault::BadInput`], also for a place of what the report is made of; [`Fault::DiskFull`].
pub(super) fn run(out: Output, args: &ReportArgs) -> Result<(), CliError> {
    if args.html.is_none() && args.csv.is_none() && !out.is_json() {
        let message = "choose a form: --html FILE, --csv FILE, or --json";
        return Err(CliError::found(Fault::BadInput, message));
    }
    let files = LogFiles::of(&args.log)?;
    let places: Vec<&Path> = [&args.html, &args.csv].into_iter().flatten().map(PathBuf::as_path).collect();
    let read: Vec<PathBuf> =
        files.all().iter().cloned().chain([files.head()]).chain(trust::files(&args.trust)).collect();
    place::check(&places, &[read, args.history.clone().into_iter().collect()].concat())?;
    let before = written(args.history.as_deref())?;
    let examined = Examined::with(files, &args.trust, None, before)?;
    let Examined { files, report, judgement, against } = &examined;
    let closure = &report.closure;
    if let Some(path) = &args.html {
        let facts = facts(files, report, against);
        let cover = Cover { facts: &facts, judgement, report, closure };
        place::whole(path, |to| {
            let at = |done: io::Result<()>| done.map_err(CliError::file(path));
            let mut page = Page::new(to);
            at(page::begin(&mut page, &cover))?;
            rows(&examined, |row| if is_told(row) { at(page::row(&mut page, row)) } else { Ok(()) })?;
            at(page::end(page))
        })?;
    }
    if let Some(path) = &args.csv {
        place::whole(path, |to| {
            let at = |done: io::Result<()>| done.map_err(CliError::file(path));
            at(csv::row(to, HEADINGS))?;
            rows(&examined, |row| at(table_row(to, row)))
        })?;
    }
    let printed = if out.is_json() {
        let mut object = as_json(&examined);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("closure".to_owned(), to_json(closure));
        }
        out.object(&object)
    } else {
        told(out, args, judgement)
    };
    read_or_not(printed)
}

fn told(out: Output, args: &ReportArgs, judgement: &Judgement) -> Result<(), CliError> {
    for path in [&args.html, &args.csv].into_iter().flatten() {
        out.line(shown(&format!("{}: {}", path.display(), judgement.headline)))?;
    }
    Ok(())
}

fn facts(files: &LogFiles, report: &Report, against: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let head = |tell: fn(&audit::Head) -> String| report.head.as_ref().map_or_else(|| "none".to_owned(), tell);
    let mut facts = vec![
        ("Files", names(files.all())),
        ("Log", head(|head| head.log.to_string())),
        ("Entries", report.entries().to_string()),
        ("Head", head(|head| head.hash.to_string())),
        ("Refusals", report.refusals.to_string()),
    ];
    if let Some((from, to)) = report.written {
        facts.push((
            "Written",
            format!("{}Z to {}Z, by the clock of that computer", page::moment(from), page::moment(to)),
        ));
    }
    facts.extend(against.iter().cloned());
    for span in &report.coverage.spans {
        let taken = if span.taken { "" } else { ", which is not taken" };
        let (covers, card, authority) = (span.covers, span.card, &span.authority);
        facts.push((
            "Signed",
            format!("{covers} by {card} ({authority} authority{taken}), {} time(s)", span.signatures),
        ));
    }
    if let Some(more) = &report.coverage.more {
        facts.push((
            "Signed",
            format!("{} by cards that are not told one by one, {} time(s)", more.covers, more.signatures),
        ));
    }
    if report.coverage.tail.lines.is_some() {
        facts.push(("Not signed", report.coverage.tail.to_string()));
    }
    for stated in &report.statements {
        facts.push(("Stated", format!("lines 1-{} under PIN, by a key of {}", stated.covers, stated.card)));
    }
    for manager in different(&report.managers) {
        let version = manager.version.as_deref().unwrap_or("other rules");
        let binary = manager.binary.map_or_else(|| "not known".to_owned(), hex::encode);
        let policy = hex::encode(manager.policy);
        facts.push(("Manager", format!("{version} from line {} on, binary {binary}, policy {policy}", manager.line)));
    }
    facts
}

/// Returns the managers that differ from the one before.
fn different(managers: &[Manager]) -> impl Iterator<Item = &Manager> {
    let before = std::iter::once(None).chain(managers.iter().map(Some));
    let same = |a: &Manager, b: &Manager| (&a.version, a.binary, a.policy) == (&b.version, b.binary, b.policy);
    managers
        .iter()
        .zip(before)
        .filter(move |(this, before)| before.is_none_or(|before| !same(this, before)))
        .map(|(it, _)| it)
}

/// Whether a row belongs on the page: openings of channels are told by their signatures, which are verified above.
fn is_told(row: &Row) -> bool {
    row.is_event
}

/// Shows every row, those without an outcome last.
fn rows(examined: &Examined, mut see: impl FnMut(&Row) -> Result<(), CliError>) -> Result<(), CliError> {
    let mut rows = Rows::default();
    let mut result = Ok(());
    examined.each(|line| {
        if let Some(row) = rows.take(line).filter(|_| result.is_ok()) {
            result = see(&row);
        }
    })?;
    result?;
    rows.left().try_for_each(|row| see(&row))
}

fn table_row(to: &mut impl Write, row: &Row) -> io::Result<()> {
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    let caller = row.caller.as_ref();
    let ending = match &row.what {
        What::Asked { .. } => row.ending().map_or("", |ending| ending.name()),
        What::Refused { .. } => "refused",
        What::Told => "",
    };
    csv::row(
        to,
        [
            &row.seq.to_string(),
            &or_empty(row.ended.map(|line| line.to_string())),
            &format!("{}Z", page::moment(row.unix_ms)),
            &or_empty(row.uid().map(|uid| uid.to_string())),
            &or_empty(caller.and_then(|caller| caller.binary.as_ref().map(ToString::to_string))),
            &or_empty(caller.and_then(|caller| caller.binary_hash.map(hex::encode))),
            &or_empty(row.card.map(|card| card.to_string())),
            &or_empty(row.key_uid.map(|uid| uid.to_string())),
            &or_empty(row.path.as_ref().map(ToString::to_string)),
            &page::what(row),
            row.purpose.as_ref().map_or("", |purpose| purpose.as_str()),
            ending,
            &row.came(),
        ],
    )
}

const HEADINGS: [&str; 13] = [
    "line",
    "outcome_line",
    "time",
    "uid",
    "binary",
    "binary_sha256",
    "card",
    "key_uid",
    "path",
    "what",
    "purpose",
    "outcome",
    "told",
];

#[cfg(test)]
mod tests;
