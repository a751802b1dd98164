//! SIGN (`80 C0 P1 P2 hash(32) ...`): with the key at a path. Needs the PIN, unless the path is the PIN-less one.
//!
//! ```text
//! 4.0      P1 01, P2 00 ECDSA: hash(32) path       P2 03 BIP-340: hash(32) tweak(32) path
//! before   P1 low bits: 00 current path, 01 a path, 02 a path that becomes the current one, 03 the PIN-less path
//!          P1 high bits: where the path starts; P2 means nothing: hash(32) path, always ECDSA
//! ```
//!
//! Before 4.0, P1 03 needs no channel either, and answers in clear without one.

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::path::{LOW_BITS, Source, from_master, resolve};
use crate::signature::{ecdsa, schnorr};
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc0;

pub(crate) fn from_v4(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if command.p1 != 0x01 {
        return Err(StatusWord::WRONG_SOURCE);
    }
    let (hash, rest) = command.data.split_first_chunk::<32>().ok_or(StatusWord::WRONG_DATA)?;
    let tweaked = match command.p2 {
        SCHNORR => Some(rest.split_first_chunk::<32>().ok_or(StatusWord::WRONG_DATA)?),
        _ => None,
    };
    let path = from_master(tweaked.map_or(rest, |(_, path)| path), applet.unlocked_key()?.is_extended())?;
    let node = applet.derive(&path)?;
    match (command.p2, tweaked) {
        (SCHNORR, Some((tweak, _))) => schnorr(node.key(), hash, tweak, &mut *applet.rng),
        (ECDSA, _) => ecdsa(node.key(), hash),
        _ => Err(StatusWord::NOT_SUPPORTED),
    }
}

pub(crate) fn before_v4(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let model = applet.memory.model();
    let (source, becomes_current) = match command.p1 & LOW_BITS {
        0x00 => (Source::Current, false),
        0x01 => (Source::of_high_bits(command.p1, model), false),
        0x02 => (Source::of_high_bits(command.p1, model), true),
        PINLESS => (Source::Pinless, false),
        _ => return Err(StatusWord::WRONG_SOURCE),
    };
    let is_pinless = command.p1 & LOW_BITS == PINLESS;
    let opened;
    let data = if is_pinless && !applet.v1.is_open() {
        command.data
    } else {
        opened = applet.v1.open(command)?;
        opened.as_slice()
    };
    let owner = applet.owner()?;
    if is_pinless && owner.pinless.is_master() {
        return Err(StatusWord::NO_PINLESS_PATH);
    }
    let (hash, path) = data.split_first_chunk::<32>().ok_or(StatusWord::WRONG_DATA)?;
    let path = resolve(owner, source, path)?;
    // The PIN-less path of a key without chain code is the master key, and asks for no PIN either.
    if !applet.validated && !is_pinless && (path.is_master() || path != owner.pinless) {
        return Err(StatusWord::CONDITIONS);
    }
    let node = applet.derive(&path)?;
    if becomes_current {
        applet.memory.update(|owner| owner.current = path)?;
    }
    ecdsa(node.key(), hash)
}

const ECDSA: u8 = 0x00;
const SCHNORR: u8 = 0x03;
const PINLESS: u8 = 0x03;
