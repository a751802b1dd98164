//! The lines of a recording: sequences of steps, each an action and the outcome it had.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::outcome::Expected;
use super::verify::Verify;
use crate::model::Model;

/// A sequence of steps on a card that was blank before.
pub(super) struct Sequence {
    pub(super) id: String,
    pub(super) applet: Model,
    /// Whether the factory stored a certificate.
    pub(super) has_identity: bool,
    pub(super) steps: Vec<Step>,
}

/// One step.
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) expected: Expected,
    /// Whether the outcome may be the recording's simulator's and not the applet's.
    pub(super) is_simulator: bool,
}

/// What a step does.
pub(super) enum Action {
    Power,
    Select { aid: Vec<u8> },
    Open { index: Option<u8> },
    Pair { password: String, p2: u8 },
    Unpair { index: u8 },
    Init { plain: Vec<u8>, form: Form },
    Apdu { send: Vec<u8>, is_secured: bool },
    Tamper { send: Vec<u8>, kind: Tamper },
}

/// How the one-shot data of INIT is spoiled.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    BadPoint,
    BadPadding,
    #[serde(skip)]
    Sound,
}

/// How a secured command is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tamper {
    BadMac,
    BadBody,
    BadHeader,
    BadCla,
    Truncated,
    Replayed,
    WrongCounter,
    WrongIv,
    BadPadding,
    InnerLc,
    InnerShort,
    PlainWhileOpen,
}

impl Sequence {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let steps = line.steps.into_iter().enumerate();
        let steps = steps.map(|(number, step)| step.read().map_err(|what| format!("step {number}: {what}")));
        Ok(Self {
            id: line.id,
            applet: line.applet,
            has_identity: line.identity,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Deserialize)]
struct Line {
    id: String,
    applet: Model,
    #[serde(default = "yes")]
    identity: bool,
    steps: Vec<RawStep>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct RawStep {
    op: String,
    #[serde(default)]
    tags: Vec<String>,
    aid: Option<String>,
    index: Option<u8>,
    password: Option<String>,
    p2: Option<String>,
    plain: Option<String>,
    form: Option<Form>,
    secure: Option<bool>,
    send: Option<String>,
    kind: Option<Tamper>,
    sw: Option<String>,
    #[serde(rename = "where")]
    place: Option<String>,
    iv: Option<String>,
    stage: Option<Value>,
    slot: Option<u8>,
    card_ok: Option<bool>,
    survives: Option<bool>,
    probe: Option<String>,
    /// Absent, or null, or digits.
    #[serde(default, deserialize_with = "present")]
    data: Option<Option<String>>,
    len: Option<usize>,
    verify: Option<Verify>,
}

/// Tells a null from a field that is not there.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl RawStep {
    fn read(self) -> Result<Step, String> {
        let action = match self.op.as_str() {
            "power" => Action::Power,
            "select" => {
                let aid = bytes("aid", self.aid)?;
                if aid.len() > 255 {
                    return Err("aid is too long".to_owned());
                }
                Action::Select { aid }
            }
            "open" => Action::Open { index: self.index },
            "pair" => {
                let p2 = match self.p2 {
                    Some(digits) => u8::from_str_radix(&digits, 16).map_err(|_| "p2 is no byte")?,
                    None => 0,
                };
                Action::Pair { password: self.password.ok_or("password is missing")?, p2 }
            }
            "unpair" => Action::Unpair { index: self.index.ok_or("index is missing")? },
            "init" => {
                let plain = bytes("plain", self.plain)?;
                if plain.len() > 160 {
                    return Err("plain does not fit into a command".to_owned());
                }
                Action::Init { plain, form: self.form.unwrap_or(Form::Sound) }
            }
            "apdu" => {
                let is_secured = self.secure.ok_or("secure is missing")?;
                Action::Apdu { send: command(self.send)?, is_secured }
            }
            "tamper" => Action::Tamper { send: command(self.send)?, kind: self.kind.ok_or("kind is missing")? },
            other => return Err(format!("there is no op {other:?}")),
        };
        let data = match self.data {
            Some(Some(digits)) => Some(Some(pattern(&digits)?)),
            Some(None) => Some(None),
            None => None,
        };
        let stage = self.stage.map(|stage| stage.as_str().map_or_else(|| stage.to_string(), str::to_owned));
        let expected = Expected {
            sw: self.sw,
            place: self.place,
            iv: self.iv,
            stage,
            slot: self.slot,
            card_ok: self.card_ok,
            survives: self.survives,
            probe: self.probe,
            data,
            len: self.len,
            verify: self.verify,
        };
        Ok(Step { action, expected, is_simulator: self.tags.iter().any(|tag| tag == "sim") })
    }
}

fn bytes(name: &str, digits: Option<String>) -> Result<Vec<u8>, String> {
    let digits = digits.ok_or_else(|| format!("{name} is missing"))?;
    hex::decode(digits).map_err(|_| format!("{name} is no hexadecimal"))
}

/// Reads a command: a header, and perhaps a length byte with data.
fn command(digits: Option<String>) -> Result<Vec<u8>, String> {
    let bytes = bytes("send", digits)?;
    if !(4..=260).contains(&bytes.len()) {
        return Err("send is no short command".to_owned());
    }
    Ok(bytes)
}

/// Reads digits of which a `..` stands for any byte.
fn pattern(digits: &str) -> Result<Vec<Option<u8>>, String> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| match pair {
        b".." => Ok(None),
        _ => {
            let mut room = [0];
            hex::decode_to_slice(pair, &mut room).map(|()| Some(room[0]))
        }
    };
    let bytes = pairs.iter().map(byte).collect::<Result<_, _>>();
    bytes.ok().filter(|_| rest.is_empty()).ok_or_else(|| "data is no hexadecimal".to_owned())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power => write!(f, "power"),
            Self::Select { aid } => write!(f, "select {}", hex::encode(aid)),
            Self::Open { index: Some(index) } => write!(f, "open {index}"),
            Self::Open { index: None } => write!(f, "open"),
            Self::Pair { password: _, p2 } => write!(f, "pair p2={p2:02x}"),
            Self::Unpair { index } => write!(f, "unpair {index}"),
            Self::Init { plain, form: _ } => write!(f, "init {}", hex::encode(plain)),
            Self::Apdu { send, is_secured: true } => write!(f, "secured {}", hex::encode(send)),
            Self::Apdu { send, is_secured: false } => write!(f, "plain {}", hex::encode(send)),
            Self::Tamper { send, kind } => write!(f, "tamper {kind:?} {}", hex::encode(send)),
        }
    }
}
