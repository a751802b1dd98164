//! What we print: plain lines or JSON, colours only on a terminal, and never a control character that somebody else
//! chose. A terminal obeys what is written to it, so text of peers and services passes [`shown`] or [`json_line`].

use std::io::{self, IsTerminal as _, Write as _};

use proto::rpc::Fault;
use serde::Serialize;
use serde_json::Value;

use crate::error::CliError;

/// Standard output in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
}

/// How a piece of text stands out on a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    /// A heading.
    Strong,
    /// It went as it should.
    Good,
    /// Refused, or something to look at.
    Bad,
    /// Less important.
    Faint,
}

impl Output {
    /// Returns the output of this process: coloured on a terminal unless `NO_COLOR` is set.
    pub(crate) fn new(json: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { json, colour: !json && !no_colour && io::stdout().is_terminal() }
    }

    /// Returns whether JSON was asked for.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints one line. Callers pass foreign text through [`shown`] first.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`] when nobody reads, [`Fault::DiskFull`] when it cannot be written.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush()).map_err(|error| unwritten(&error))
    }

    /// Prints one JSON object on a line of its own.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`] when nobody reads, [`Fault::DiskFull`] when it cannot be written.
    pub(crate) fn object(self, object: &impl Serialize) -> Result<(), CliError> {
        self.line(json_line(object)?)
    }

    /// Prints a report: one JSON object, or a line for each field.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`] when nobody reads, [`Fault::DiskFull`] when it cannot be written.
    pub(crate) fn report(self, fields: Vec<(&'static str, Value)>) -> Result<(), CliError> {
        if self.json {
            let object: serde_json::Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            return self.object(&object);
        }
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            let name = name.replace('_', " ");
            match value {
                Value::Array(items) if items.is_empty() => self.line(format!("{name:width$}  none"))?,
                Value::Array(items) => {
                    for item in items {
                        self.line(format!("{name:width$}  {}", plain(&item)))?;
                    }
                }
                other => self.line(format!("{name:width$}  {}", plain(&other)))?,
            }
        }
        Ok(())
    }

    /// Returns `text` in this tone where colours are on, unchanged elsewhere.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "33",
            Tone::Faint => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Returns why something could not be printed. Only a reader that has left is no fault of the place we write to.
pub(crate) fn unwritten(error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return CliError::BrokenPipe;
    }
    CliError::found(Fault::DiskFull, format!("the output cannot be written ({error}); send it elsewhere and try again"))
}

/// Lets work go on that must reach its end, or its verdict, also when the reader of the output has left.
///
/// # Errors
/// Every other reason why something was not printed.
pub(crate) fn read_or_not(printed: Result<(), CliError>) -> Result<(), CliError> {
    match printed {
        Err(CliError::BrokenPipe) => Ok(()),
        other => other,
    }
}

/// Returns a value as one short text for people.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => shown(text),
        Value::Object(fields) => {
            let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
            parts.join(", ")
        }
        other => shown(&other.to_string()),
    }
}

/// Returns one JSON text without line breaks, in which no character can steer a terminal.
///
/// # Errors
/// [`CliError::Other`] when the value has no JSON form.
pub(crate) fn json_line(object: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string(object).map_err(|error| CliError::Other(error.to_string()))?;
    if !text.chars().any(steers) {
        return Ok(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            // Such a character stands inside a JSON string, where this escape means the same.
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    Ok(safe)
}

/// Returns foreign text as one harmless line: a line break becomes `⏎`, other control characters become pictures.
pub(crate) fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push('⏎'),
            '\t' => safe.push(' '),
            '\u{7f}' => safe.push('\u{2421}'),
            c if u32::from(c) < 0x20 => {
                // U+2400 and following are pictures of the C0 controls.
                safe.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            c if steers(c) => safe.push(char::REPLACEMENT_CHARACTER),
            c => safe.push(c),
        }
    }
    safe
}

/// Whether a character can move the cursor, start an escape sequence, or reorder what stands around it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_of_a_peer_never_reaches_the_terminal() {
        let hostile = "hi\x1b]0;owned\x07\x1b[2J\u{9b}31m\x7f\r";
        let safe = shown(hostile);
        assert!(!safe.chars().any(char::is_control), "{safe:?}");
        assert!(safe.starts_with("hi␛]0;owned␇␛[2J"));
    }

    #[test]
    fn a_line_break_of_a_peer_cannot_forge_another_line() {
        assert_eq!(shown("a\n12:00:00 bob: b"), "a⏎12:00:00 bob: b");
    }

    #[test]
    fn text_that_would_reorder_a_line_is_replaced() {
        assert_eq!(shown("a\u{202e}b\u{2066}c"), "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn honest_text_is_shown_as_it_is() {
        let honest = "Grüße, 你好, שלום 👋🏽 — 1 < 2";
        assert_eq!(shown(honest), honest);
    }

    #[test]
    fn json_keeps_the_text_and_still_cannot_steer() {
        let hostile = "\x1b\u{9b}\u{202e}\u{e0041}\n\u{7f}é👋";
        let line = json_line(&hostile).unwrap();
        assert!(!line.chars().any(steers), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }
}
