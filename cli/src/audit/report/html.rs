//! A page that cannot be made to say or do anything but what we write: markup comes only from our own source, and everything
//! else is text. The page is also well-formed XML, so that a strict parser can check it.

use std::io::{self, Write};

use crate::output::shown;

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Page<W> {
    to: W,
}

impl<W: Write> Page<W> {
    /// Begins a page.
    pub(super) const fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes markup, which stands in our source and comes from nowhere else.
    pub(super) fn markup(&mut self, markup: &'static str) -> io::Result<()> {
        self.to.write_all(markup.as_bytes())
    }

    /// Writes text, whoever chose it.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        for c in shown(text).chars() {
            match c {
                '&' => self.to.write_all(b"&amp;")?,
                '<' => self.to.write_all(b"&lt;")?,
                '>' => self.to.write_all(b"&gt;")?,
                '"' => self.to.write_all(b"&quot;")?,
                '\'' => self.to.write_all(b"&#39;")?,
                // Not a character of XML, and no browser shows it.
                '\u{fffe}' | '\u{ffff}' => self.to.write_all("\u{fffd}".as_bytes())?,
                c => self.to.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?,
            }
        }
        Ok(())
    }

    /// Writes text between two pieces of markup, and a line break.
    pub(super) fn element(&mut self, begin: &'static str, text: &str, end: &'static str) -> io::Result<()> {
        self.markup(begin)?;
        self.text(text)?;
        self.markup(end)?;
        self.markup("\n")
    }

    /// Writes the rest of what was begun.
    pub(super) fn flush(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// How the page begins. It may load nothing and run nothing, whatever stands in it.
pub(super) const BEGIN: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>What left the card</title>
<style>
:root { --ink: #1b1d21; --faint: #5d6470; --rule: #d4d8de; --paper: #ffffff; --shade: #f4f6f8;
  --good: #0b6b3a; --warn: #8a5300; --bad: #a3161f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e9ec; --faint: #9aa3af; --rule: #3a4048; --paper: #15181c; --shade: #1e2329;
    --good: #5fd39a; --warn: #f0b35a; --bad: #ff8a8f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--rule); padding-bottom: .2rem; }
p { margin: .4rem 0; }
.faint { color: var(--faint); }
.verdict { border: 2px solid; border-radius: .5rem; padding: .8rem 1rem; margin: 1rem 0; background: var(--shade); }
.verdict strong { display: block; font-size: 1.25rem; }
.good { border-color: var(--good); } .good strong { color: var(--good); }
.warn { border-color: var(--warn); } .warn strong { color: var(--warn); }
.bad { border-color: var(--bad); } .bad strong { color: var(--bad); }
ul { margin: .4rem 0; padding-left: 1.2rem; }
li { margin: .25rem 0; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .87rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; border-bottom: 1px solid var(--rule);
  overflow-wrap: anywhere; }
th { color: var(--faint); font-weight: 600; overflow-wrap: normal; }
td.who { min-width: 9rem; } td.why { min-width: 5rem; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.refused td, tr.unknown td { background: var(--shade); }
tr.unknown td:last-child, tr.refused td:last-child { color: var(--bad); font-weight: 600; }
code { font-family: ui-monospace, monospace; font-size: .92em; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
@media print {
  :root { --ink: #000000; --faint: #444444; --rule: #999999; --paper: #ffffff; --shade: #ffffff;
    --good: #000000; --warn: #000000; --bad: #000000; }
  @page { margin: 15mm; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  table { font-size: 8pt; }
  thead { display: table-header-group; }
  tr, li { break-inside: avoid; }
  h2, .verdict strong { break-after: avoid; }
}
</style>
</head>
<body>
"#;

/// How it ends.
pub(super) const END: &str = "</body>\n</html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let mut bytes = Vec::new();
        let mut page = Page::new(&mut bytes);
        page.element("<p>", "</p><script>alert('1')</script>&\u{0}\u{202e}\"\n", "</p>").unwrap();
        page.flush().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "<p>&lt;/p&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;␀\u{fffd}&quot;⏎</p>\n");
    }
}
