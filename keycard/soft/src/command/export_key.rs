//! EXPORT KEY (`80 C2 P1 P2 path`). Needs the PIN.
//!
//! ```text
//! P2 00 private           A1 22 { 81 20 key(32) }
//! P2 01 public            A1 43 { 80 41 key(65) }
//! P2 02 extended public   A1 65 { 80 41 key(65) | 82 20 chain code(32) }       from 3.1 on
//! ```
//!
//! 4.0 takes every path from the master key and ignores P1. Before, P1's low bits say 00 the current path, 01 a path, 02 a
//! path that becomes the current one, its high bits where the path starts. 2.2, and 3.0 for the current path, put the public
//! key before the private one. 3.0 gives the key derived last for an empty path with 01.
//!
//! The rule: a path is exportable if it starts with m/43'/60'/1581' and has five components or more, hardened or not. Only
//! exportable paths give their private key, and none of them an extended public key. Nor does `m` on 4.0; before, it comes
//! with whatever chain code was derived last.

use proto::KeyPath;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::model::Model;
use crate::path::{LOW_BITS, Source, absolute, is_exportable, resolve};
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc2;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let key = applet.unlocked_key()?;
    let model = applet.memory.model();
    let form = Form::of(command.p2, model)?;
    let (path, becomes_current) = match model {
        Model::V4_0 => (absolute(command.data, key.is_extended())?, false),
        _ => {
            let (source, becomes_current) = match command.p1 & LOW_BITS {
                0x00 => (Source::Current, false),
                0x01 => (Source::of_high_bits(command.p1, model), false),
                0x02 => (Source::of_high_bits(command.p1, model), true),
                _ => return Err(StatusWord::WRONG_P1_P2),
            };
            (resolve(applet.owner()?, source, command.data)?, becomes_current)
        }
    };
    // 3.0 looks at the path that a relative one starts from.
    let is_relative = model == Model::V3_0 && Source::of_high_bits(command.p1, model) != Source::Master;
    let ruled = if is_relative { &applet.owner()?.current } else { &path };
    if !form.allows(ruled, model) {
        return Err(StatusWord::CONDITIONS);
    }
    // 3.0 derives nothing for an empty path that does not become the current one.
    let is_stale = model == Model::V3_0 && command.p1 & LOW_BITS == 0x01 && command.data.is_empty();
    let node = if is_stale { applet.last_derived()? } else { applet.derive(&path)? };
    let mut answer = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    match form {
        Form::Private => {
            let both = model == Model::V2_2 || model == Model::V3_0 && command.p1 & LOW_BITS == 0;
            if both {
                answer.extend_from_slice(&[0xa1, 0x65, 0x80, 0x41]);
                answer.extend_from_slice(&node.public());
            } else {
                answer.extend_from_slice(&[0xa1, 0x22]);
            }
            answer.extend_from_slice(&[0x81, 0x20]);
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
            answer.extend_from_slice(node.chain().unwrap_or(&applet.leftover.chain).expose());
        }
    }
    if becomes_current {
        applet.memory.update(|owner| owner.current = path)?;
    }
    Ok(answer)
}

enum Form {
    Private,
    Public,
    ExtendedPublic,
}

impl Form {
    fn of(p2: u8, model: Model) -> Result<Self, StatusWord> {
        match p2 {
            0x00 => Ok(Self::Private),
            0x01 => Ok(Self::Public),
            0x02 if model >= Model::V3_1 => Ok(Self::ExtendedPublic),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    fn allows(&self, path: &KeyPath, model: Model) -> bool {
        match self {
            Self::Private => is_exportable(path),
            Self::Public => true,
            Self::ExtendedPublic => !is_exportable(path) && (model < Model::V4_0 || !path.is_master()),
        }
    }
}

const MAX_ANSWER: usize = 2 + 2 + 65 + 2 + 32;
