//! What a chat looks like: `12:03:45 fingerprint: text`, or one JSON object a line.

use proto::rpc::api::{ChatLine, PostReply};
use proto::shell::clock;
use serde_json::{Value, json};

use crate::clock::Moment;
use crate::error::CliError;
use crate::output::{Output, Tone, shown};

/// Prints a chat and leaves out, on a terminal, what the person has just typed.
pub(crate) struct Printer {
    out: Output,
    interactive: bool,
    date: String,
    /// Ids of our last posts that the stream has not shown yet.
    posted: Vec<String>,
    /// Lines of ours that came while a post was under way: they may be that post.
    held: Vec<ChatLine>,
}

impl Printer {
    /// Returns the printer of one chat.
    pub(crate) const fn new(out: Output, interactive: bool) -> Self {
        Self { out, interactive, date: String::new(), posted: Vec::new(), held: Vec::new() }
    }

    /// Shows a message. `undecided` says that it is ours and may be the post that is under way.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn message(&mut self, line: ChatLine, live: bool, undecided: bool) -> Result<(), CliError> {
        if self.out.is_json() {
            return self.out.object(&as_json(&line, live));
        }
        if undecided && self.held.len() < HELD {
            self.held.push(line);
            return Ok(());
        }
        if live && line.own && self.forget(&line.id) {
            return Ok(());
        }
        self.print(&line)
    }

    /// Marks the end of the history.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn live(&self) -> Result<(), CliError> {
        if self.out.is_json() { self.out.object(&json!({ "type": "live" })) } else { Ok(()) }
    }

    /// Shows that a peer has acknowledged our line.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn posted(&mut self, text: &str, reply: &PostReply) -> Result<(), CliError> {
        if self.out.is_json() {
            return self.out.object(&json!({
                "type": "posted",
                "id": reply.id,
                "envelope": reply.envelope,
                "acknowledged_after_ms": reply.acknowledged_after_ms,
            }));
        }
        if self.posted.len() == HELD {
            self.posted.remove(0);
        }
        self.posted.push(reply.id.clone());
        self.flush()?;
        if self.interactive {
            return Ok(());
        }
        let moment = Moment::from_millis(clock::unix().get());
        self.day(moment)?;
        let after = self.out.tone(Tone::Faint, &format!("(acknowledged after {} ms)", reply.acknowledged_after_ms));
        self.out.line(format!("{} you: {} {after}", moment.time(), shown(text)))
    }

    /// Shows the lines of ours that were held back and that somebody else posted.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        for line in std::mem::take(&mut self.held) {
            if !self.forget(&line.id) {
                self.print(&line)?;
            }
        }
        Ok(())
    }

    fn forget(&mut self, id: &str) -> bool {
        let known = self.posted.iter().position(|posted| posted == id);
        known.map(|at| self.posted.remove(at)).is_some()
    }

    fn print(&mut self, line: &ChatLine) -> Result<(), CliError> {
        // Our own clock: a sender may claim any time.
        let moment = Moment::from_millis(if line.received_ms == 0 { line.timestamp_ms } else { line.received_ms });
        self.day(moment)?;
        self.out.line(as_line(self.out, moment, line))
    }

    fn day(&mut self, moment: Moment) -> Result<(), CliError> {
        let date = moment.date();
        if self.date == date {
            return Ok(());
        }
        self.date.clone_from(&date);
        self.out.line(self.out.tone(Tone::Faint, &format!("-- {date} --")))
    }
}

fn as_line(out: Output, moment: Moment, line: &ChatLine) -> String {
    let who = if line.own { format!("{} (you)", shown(&line.fingerprint)) } else { shown(&line.fingerprint) };
    format!("{} {}: {}", moment.time(), out.tone(Tone::Strong, &who), shown(&line.text))
}

fn as_json(line: &ChatLine, live: bool) -> Value {
    json!({
        "type": "message",
        "chat": line.chat,
        "id": line.id,
        "from": line.from,
        "fingerprint": line.fingerprint,
        "text": line.text,
        "clock": line.clock,
        "timestamp_ms": line.timestamp_ms,
        "received_ms": line.received_ms,
        "own": line.own,
        "history": !live,
    })
}

/// How many lines of ours are remembered at most.
const HELD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_time_fingerprint_and_harmless_text() {
        let line = ChatLine {
            fingerprint: "0011-2233-4455-6677".to_owned(),
            text: "hi\x1b[2J\n12:00:00 bob: forged".to_owned(),
            received_ms: 43_425_000,
            ..Default::default()
        };
        let text = as_line(Output::new(true), Moment::from_millis(line.received_ms), &line);
        assert_eq!(text, "12:03:45 0011-2233-4455-6677: hi␛[2J⏎12:00:00 bob: forged");
    }

    #[test]
    fn our_own_post_is_recognised_once_by_its_id() {
        let mut printer = Printer::new(Output::new(false), true);
        printer.posted("hi", &PostReply { id: "0x1".to_owned(), ..Default::default() }).unwrap();
        assert!(printer.forget("0x1"));
        assert!(!printer.forget("0x1"));
    }
}
