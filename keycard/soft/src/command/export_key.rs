//! EXPORT KEY (`80 C2 P1 P2 path`), the path always from the master key; P1 means nothing.
//!
//! ```text
//! P2 00 private           A1 22 { 81 20 key(32) }
//! P2 01 public            A1 43 { 80 41 key(65) }
//! P2 02 extended public   A1 65 { 80 41 key(65) | 82 20 chain code(32) }
//! ```
//!
//! The rule: a path is exportable if it starts with m/43'/60'/1581' and has five components or more, hardened or not. Only
//! exportable paths give their private key; neither they nor `m` give an extended public key.

use proto::KeyPath;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc2;

pub(crate) fn handle(applet: &Applet, command: &Command<'_>) -> Answer {
    let owner = applet.unlocked()?;
    let key = owner.key.as_ref().ok_or(StatusWord::CONDITIONS)?;
    let form = Form::of(command.p2)?;
    let path = path(command.data)?;
    if !form.allows(&path) {
        return Err(StatusWord::CONDITIONS);
    }
    let node = key.derive(&path, owner.tree())?;
    let mut answer = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    match form {
        Form::Private => {
            answer.extend_from_slice(&[0xa1, 0x22, 0x81, 0x20]);
            answer.extend_from_slice(node.private().as_slice());
        }
        Form::Public => {
            answer.extend_from_slice(&[0xa1, 0x43, 0x80, 0x41]);
            answer.extend_from_slice(&node.public());
        }
        Form::ExtendedPublic => {
            answer.extend_from_slice(&[0xa1, 0x65, 0x80, 0x41]);
            answer.extend_from_slice(&node.public());
            answer.extend_from_slice(&[0x82, 0x20]);
            answer.extend_from_slice(node.chain());
        }
    }
    Ok(answer)
}

enum Form {
    Private,
    Public,
    ExtendedPublic,
}

impl Form {
    fn of(p2: u8) -> Result<Self, StatusWord> {
        match p2 {
            0x00 => Ok(Self::Private),
            0x01 => Ok(Self::Public),
            0x02 => Ok(Self::ExtendedPublic),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    fn allows(&self, path: &KeyPath) -> bool {
        let exportable = path.is_in_eip_1581() && path.components().len() >= 5;
        match self {
            Self::Private => exportable,
            Self::Public => true,
            Self::ExtendedPublic => !exportable && !path.is_master(),
        }
    }
}

/// Reads a path of at most ten components.
fn path(bytes: &[u8]) -> Result<KeyPath, StatusWord> {
    // The applet keeps the length in a signed byte: from 128 on it runs into an exception instead of its own check.
    if bytes.len() >= 128 && bytes.len().is_multiple_of(4) {
        return Err(StatusWord::INTERNAL);
    }
    KeyPath::from_bytes(bytes).map_err(|_| StatusWord::WRONG_DATA)
}

const MAX_ANSWER: usize = 2 + 2 + 65 + 2 + 32;
