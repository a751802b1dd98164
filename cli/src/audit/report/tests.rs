//! The page and the table of a log whose every text is hostile.

use std::collections::BTreeMap;

use super::*;
use audit::{Asked, Caller, Event, Line, LineHash, Refusal, Text};

const HOSTILE: &str = "</td><script>alert(1)</script><img src=x onerror=alert(1)>=cmd|' /C calc'!A0\"'&amp;<!--";

/// Reads a page as strictly as XML, and returns all its text and the names of its elements.
fn parse(page: &str) -> Result<(String, Vec<String>), String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").ok_or("no beginning")?;
    let (mut open, mut text, mut names): (Vec<String>, String, Vec<String>) = Default::default();
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        text.push_str(&plain(before)?);
        let end = tag.find('>').ok_or("a tag without end")?;
        let (tag, after) = (&tag[1..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let expected = open.pop().ok_or("an end without beginning")?;
            if name != expected {
                return Err(format!("{name} ends {expected}"));
            }
            continue;
        }
        let alone = tag.ends_with('/');
        let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) || name.is_empty() {
            return Err(format!("no name of an element: {name}"));
        }
        let quotes = attributes.matches('"').count();
        if quotes % 2 == 1 || (quotes == 0) != attributes.is_empty() {
            return Err(format!("attributes without quotes: {attributes}"));
        }
        names.push(name.to_owned());
        if !alone {
            open.push(name.to_owned());
        }
    }
    if open.is_empty() && rest.trim().is_empty() { Ok((text, names)) } else { Err(format!("never ended: {open:?}")) }
}

/// Undoes the five escapes; there is no other `&`.
fn plain(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let (name, after) = rest[at + 1..].split_once(';').ok_or("an escape without end")?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => return Err(format!("an unknown escape {other}")),
        });
        rest = after;
    }
    plain.push_str(rest);
    if text.contains('>') { Err("a bare >".to_owned()) } else { Ok(plain) }
}

/// A log whose texts are hostile wherever the format allows any.
fn log() -> Vec<u8> {
    let caller =
        Caller { uid: 1000, pid: None, binary: Some(Text::lossy(HOSTILE)), binary_hash: None, one_time_key: None };
    let refusal = Refusal {
        card: None,
        key_uid: None,
        asked: Asked::Unlock,
        purpose: Some("chat identity".parse().unwrap()),
        caller,
        reason: Text::lossy(HOSTILE),
        policy: [0; 32],
    };
    let opened =
        audit::LogOpened { version: Text::lossy("=1+1<b>"), binary: None, policy: [0; 32], test_authority: true };
    let events = [Event::created([7; 16].into()), Event::LogOpened(opened), Event::Refusal(refusal)];
    let (mut prev, mut log) = (LineHash::ZERO, Vec::new());
    for (seq, event) in (1..).zip(events) {
        let bytes = Line { seq, unix_ms: seq * 1000, mono_ms: seq * 1000, prev, event }.encode().unwrap();
        prev = LineHash::of(&bytes);
        log.extend(bytes);
    }
    log
}

fn written(name: &str) -> (tempfile::TempDir, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at(name), log()).unwrap();
    let args = ReportArgs {
        log: crate::audit::args::LogArgs { profile: crate::args::ProfileArg { profile: None }, files: vec![at(name)] },
        trust: crate::audit::args::TrustArgs { ca: "production".to_owned(), anchor: Vec::new() },
        history: None,
        html: Some(at("page.html")),
        csv: Some(at("table.csv")),
    };
    run(Output::new(false), &args).unwrap();
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    let (page, table) = (read("page.html"), read("table.csv"));
    (dir, page, table)
}

#[test]
fn a_page_of_hostile_text_is_well_formed_and_says_what_was_written() {
    let (_dir, page, _) = written("<b onload=x>&.log");
    let (text, names) = parse(&page).unwrap_or_else(|why| panic!("{why}\n{page}"));
    assert!(text.contains(HOSTILE) && text.contains("=1+1<b>") && text.contains("<b onload=x>&.log"), "{text}");
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &names {
        *count.entry(name).or_default() += 1;
    }
    for never in ["script", "img", "b", "iframe", "link", "object", "a", "form", "svg"] {
        assert_eq!(count.get(never), None, "{never}");
    }
    for never in ["http://", "https://", "url(", "@import", "javascript:"] {
        assert!(!BEGIN_OF_PAGE.contains(never), "{never}");
    }
    assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none';"));
}

const BEGIN_OF_PAGE: &str = html::BEGIN;

#[test]
fn the_strict_parser_finds_what_a_page_must_not_have() {
    for bad in [
        "<!DOCTYPE html>\n<p>",
        "<!DOCTYPE html>\n<p></b>",
        "<!DOCTYPE html>\n<p a=b></p>",
        "<!DOCTYPE html>\n<p>a & b</p>",
        "<!DOCTYPE html>\n<p>a > b</p>",
        "<!DOCTYPE html>\n<p>a <!-- b</p>",
        "<p></p>",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_table_of_hostile_text_has_no_formula_and_no_more_cells_than_headings() {
    let (_dir, _, table) = written("export.log");
    for line in table.split_terminator("\r\n") {
        let cells: Vec<&str> = line.strip_prefix('"').unwrap().strip_suffix('"').unwrap().split("\",\"").collect();
        assert_eq!(cells.len(), 13, "{line}");
        assert!(cells.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{line}");
        assert!(!line.contains('\n'));
    }
    assert!(table.contains("onerror"));
}
