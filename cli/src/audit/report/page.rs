//! The report as a page: the verdict first, then what left, what follows from it, what is not known, and everything that was
//! asked.

use std::io::{self, Write};

use audit::Report;
use audit::closure::Closure;

use super::html::{BEGIN, END, Page};
use crate::audit::closure::in_words;
use crate::audit::judgement::{Judgement, Tone};
use crate::audit::row::{Row, What};
use crate::clock::Moment;

/// What stands above the rows.
#[derive(Debug)]
pub(super) struct Cover<'a> {
    /// What was verified, and against what: a name and a value each.
    pub(super) facts: &'a [(&'static str, String)],
    /// What is to be thought of it.
    pub(super) judgement: &'a Judgement,
    /// What left.
    pub(super) report: &'a Report,
    /// What follows from that and from what was written by hand.
    pub(super) closure: &'a Closure,
}

/// Writes all that stands before the rows.
pub(super) fn begin<W: Write>(page: &mut Page<W>, cover: &Cover<'_>) -> io::Result<()> {
    page.markup(BEGIN)?;
    page.markup("<h1>What left the card</h1>\n")?;
    verdict(page, cover.judgement)?;
    page.markup("<h2>What was verified</h2>\n<dl>\n")?;
    for (name, value) in cover.facts {
        page.element("<dt>", name, "</dt>")?;
        page.element("<dd>", value, "</dd>")?;
    }
    page.markup("</dl>\n")?;
    left(page, cover.report)?;
    follows(page, cover.closure)?;
    questions(page, cover.judgement)?;
    page.markup(concat!(
        "<h2>Everything that was asked</h2>\n",
        "<table>\n<thead><tr><th>Line</th><th>When (UTC)</th><th>Who</th><th>What</th><th>What for</th>",
        "<th>What came of it</th></tr></thead>\n<tbody>\n"
    ))
}

/// Writes one row.
pub(super) fn row<W: Write>(page: &mut Page<W>, row: &Row) -> io::Result<()> {
    page.markup(match &row.what {
        What::Refused { .. } => "<tr class=\"refused\">",
        What::Asked { outcome: None | Some(audit::Outcome::Failed { .. }), .. } => "<tr class=\"unknown\">",
        What::Asked { .. } | What::Told => "<tr>",
    })?;
    let lines = row.ended.map_or_else(|| row.seq.to_string(), |ended| format!("{}, {ended}", row.seq));
    page.element("<td class=\"n\">", &lines, "</td>")?;
    page.element("<td class=\"n\">", &moment(row.unix_ms), "</td>")?;
    page.element("<td class=\"who\">", &row.caller.as_ref().map(ToString::to_string).unwrap_or_default(), "</td>")?;
    page.element("<td>", &what(row), "</td>")?;
    page.element("<td class=\"why\">", row.purpose.as_ref().map_or("", |purpose| purpose.as_str()), "</td>")?;
    page.element("<td>", &row.came(), "</td></tr>")
}

/// Writes all that stands after the rows.
pub(super) fn end<W: Write>(mut page: Page<W>) -> io::Result<()> {
    page.markup("</tbody>\n</table>\n")?;
    page.markup(concat!(
        "<p class=\"faint\">Lines are those of the log. Times are those of the computer that wrote it, whose clock nobody ",
        "vouches for. A signature of a card says that the log stood so when it signed: complete as to this key manager, not ",
        "all that any program ever asked of the card.</p>\n"
    ))?;
    page.markup(END)?;
    page.flush()
}

/// Returns what was asked, in words.
pub(super) fn what(row: &Row) -> String {
    match &row.what {
        What::Asked { operation, .. } => format!("asks the card {operation}"),
        What::Refused { asked, .. } => format!("asks {asked}"),
        What::Told => row.told.clone(),
    }
}

/// Returns `2026-11-21 12:03:45`.
pub(super) fn moment(unix_ms: u64) -> String {
    let moment = Moment::from_millis(unix_ms);
    format!("{} {}", moment.date(), moment.time())
}

fn verdict<W: Write>(page: &mut Page<W>, judgement: &Judgement) -> io::Result<()> {
    page.markup(match judgement.tone {
        Tone::Good => "<div class=\"verdict good\">\n",
        Tone::Warn => "<div class=\"verdict warn\">\n",
        Tone::Bad => "<div class=\"verdict bad\">\n",
    })?;
    page.element("<strong>", &judgement.headline, "</strong>")?;
    page.element("<p>", &judgement.meaning, "</p>")?;
    if !judgement.findings.is_empty() {
        page.markup("<ul>\n")?;
        for finding in &judgement.findings {
            page.element("<li>", &finding.says, "")?;
            page.element("<br/><span class=\"faint\">", &finding.todo, "</span></li>")?;
        }
        page.markup("</ul>\n")?;
    }
    page.markup("</div>\n")
}

fn left<W: Write>(page: &mut Page<W>, report: &Report) -> io::Result<()> {
    page.markup("<h2>What left</h2>\n")?;
    if report.left.is_empty() {
        return page.markup("<p>No key.</p>\n");
    }
    page.markup(concat!(
        "<table>\n<thead><tr><th>Key</th><th>Form</th><th>Public half</th><th>Times</th><th>Unknown</th>",
        "<th>Last line</th><th>Card</th></tr></thead>\n<tbody>\n"
    ))?;
    for (key, left) in &report.left {
        let list = |items: Vec<String>| items.join(" ");
        page.element("<tr><td><code>", &key.path.to_string(), "</code></td>")?;
        page.element("<td>", &key.form.to_string(), "</td>")?;
        page.element("<td><code>", &list(left.fingerprints.iter().map(ToString::to_string).collect()), "</code></td>")?;
        page.element("<td class=\"n\">", &left.times.to_string(), "</td>")?;
        page.element("<td class=\"n\">", &left.unknown.to_string(), "</td>")?;
        page.element("<td class=\"n\">", &left.last.to_string(), "</td>")?;
        page.element("<td><code>", &list(left.cards.iter().map(ToString::to_string).collect()), "</code></td></tr>")?;
    }
    page.markup("</tbody>\n</table>\n")
}

fn follows<W: Write>(page: &mut Page<W>, closure: &Closure) -> io::Result<()> {
    page.markup("<h2>What can be computed from it</h2>\n")?;
    page.element("<p>", &format!("{}.", closure.count()), "</p>")?;
    page.markup(match closure.cut_off {
        None => "<p class=\"faint\">Who holds all that left can compute these keys, and no others.</p>\n",
        Some(_) => {
            "<p>Who holds all that left can compute these keys, and others: not all was followed, see below.</p>\n"
        }
    })?;
    let mut wallet = None;
    for implied in &closure.computable {
        if wallet != Some(implied.wallet) {
            page.markup(if wallet.is_some() { "</ul>\n" } else { "" })?;
            wallet = Some(implied.wallet);
            page.element("<p>", &format!("{}:", implied.wallet), "</p>")?;
            page.markup("<ul>\n")?;
        }
        page.element("<li>", &in_words(implied), "</li>")?;
    }
    page.markup(if wallet.is_some() { "</ul>\n<ul>\n" } else { "<ul>\n" })?;
    for door in &closure.side_doors {
        page.element("<li>", &format!("{} {}: {} left", door.wallet, door.path, door.way), "</li>")?;
    }
    for seen in &closure.seen_by_host {
        let whose = seen.key_uid.map_or_else(|| "an account not named".to_owned(), |uid| format!("account {uid}"));
        page.element("<li>", &format!("a host has seen the {} of {whose}, and so every key", seen.sight), "</li>")?;
    }
    page.markup("</ul>\n")
}

fn questions<W: Write>(page: &mut Page<W>, judgement: &Judgement) -> io::Result<()> {
    page.markup("<h2>What this log cannot answer</h2>\n<ul>\n")?;
    for question in &judgement.questions {
        page.element("<li>", question, "</li>")?;
    }
    page.markup("</ul>\n")
}
