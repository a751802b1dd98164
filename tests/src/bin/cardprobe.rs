//! `cardprobe`: our own way to a card in a PC/SC reader, driven by JSON lines, so that scenarios can name the service by
//! its environment and end it as a crash would.
//!
//! ```text
//! {"cmd": "readers"}                                   -> [{"name", "slot": empty|mute|free|shared|held|ours, "events", "atr"?}]
//! {"cmd": "open", "reader"?: NAME, "limit_ms"?: N}     the reader that the next commands are about; the one with a card
//! {"cmd": "transmit", "apdu": HEX}                     -> {"answer": HEX, "us": N}
//! {"cmd": "select"}                                    -> {"card", "us"}, with our own client
//! {"cmd": "reset"}, {"cmd": "there"}                   -> true or false
//! {"cmd": "watch"}                                     from here on {"event": "readers", "readers": [..]} or "trouble"
//! ```

use std::io::{BufRead as _, Write as _};
use std::time::{Duration, Instant};

use keycard::{CardTransport as _, Selection};
use readers::{Choice, PcscReader, ReaderState, Readers, Slot, Use, Watch};
use serde_json::{Value, json};

fn main() {
    let mut probe = Probe { readers: Readers::default(), reader: None, watch: None };
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(command) = serde_json::from_str::<Value>(&line) else { continue };
        let (id, name) = (command.get("id"), text(&command, "cmd"));
        say(&match probe.carry_out(name, &command) {
            Ok(result) => json!({"id": id, "cmd": name, "ok": true, "result": result}),
            Err(error) => json!({"id": id, "cmd": name, "ok": false, "error": error.to_string()}),
        });
    }
}

type Failure = Box<dyn std::error::Error>;

struct Probe {
    readers: Readers,
    reader: Option<PcscReader>,
    watch: Option<Watch>,
}

impl Probe {
    fn carry_out(&mut self, name: &str, command: &Value) -> Result<Value, Failure> {
        match name {
            "readers" => Ok(described(&self.readers.list()?)),
            "open" => {
                self.reader = None;
                if let Some(limit) = command.get("limit_ms").and_then(Value::as_u64) {
                    self.readers = Readers::with_limit(Duration::from_millis(limit));
                }
                let named = command.get("reader").and_then(Value::as_str).map(|name| Choice::Named(name.to_owned()));
                self.reader = Some(self.readers.reader(named.unwrap_or(Choice::OnlyWithCard)));
                Ok(Value::Null)
            }
            "transmit" => {
                let apdu = hex::decode(text(command, "apdu")).map_err(|error| error.to_string())?;
                let begin = Instant::now();
                let answer = self.reader()?.transmit(&apdu)?;
                Ok(json!({"answer": hex::encode(answer), "us": micros(begin)}))
            }
            "select" => {
                let begin = Instant::now();
                let card = match keycard::select(self.reader()?).map_err(|failed| failed.error)? {
                    Selection::Blank(card) => card.id().to_string(),
                    Selection::Initialised(card) => card.id().to_string(),
                };
                Ok(json!({"card": card, "us": micros(begin)}))
            }
            "reset" => Ok(self.reader()?.reset().map(|()| Value::Null)?),
            "there" => Ok(self.reader()?.is_there().into()),
            "watch" => {
                self.watch = Some(self.readers.watch(|seen| {
                    say(&match seen {
                        Ok(readers) => json!({"event": "readers", "readers": described(&readers)}),
                        Err(error) => json!({"event": "trouble", "error": error.to_string()}),
                    });
                    true
                })?);
                Ok(Value::Null)
            }
            other => Err(format!("no command is called {other}").into()),
        }
    }

    fn reader(&mut self) -> Result<Borrowed<'_>, Failure> {
        self.reader.as_mut().map(Borrowed).ok_or_else(|| "open a reader first".into())
    }
}

/// The reader, lent to a session that takes its transport.
struct Borrowed<'a>(&'a mut PcscReader);

impl keycard::CardTransport for Borrowed<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, keycard::TransportError> {
        self.0.transmit(command)
    }

    fn reset(&mut self) -> Result<(), keycard::TransportError> {
        self.0.reset()
    }

    fn is_there(&mut self) -> bool {
        self.0.is_there()
    }
}

fn described(readers: &[ReaderState]) -> Value {
    let one = |ReaderState { name, slot, events }: &ReaderState| {
        let (slot, atr) = match slot {
            Slot::Empty => ("empty", None),
            Slot::Mute => ("mute", None),
            Slot::Card { atr, used: Use::Free } => ("free", Some(hex::encode(atr))),
            Slot::Card { atr, used: Use::Shared } => ("shared", Some(hex::encode(atr))),
            Slot::Card { atr, used: Use::Held } => ("held", Some(hex::encode(atr))),
            Slot::Card { atr, used: Use::Ours } => ("ours", Some(hex::encode(atr))),
            Slot::Card { atr, used: Use::Lent } => ("lent", Some(hex::encode(atr))),
        };
        json!({"name": name, "slot": slot, "events": events, "atr": atr})
    };
    readers.iter().map(one).collect()
}

fn text<'a>(command: &'a Value, field: &str) -> &'a str {
    command.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn micros(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever does not listen any more closes our input too.
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}
