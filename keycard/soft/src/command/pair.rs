//! PAIR (`80 12 step P2 20 ...`), before 4.0, plain: two steps by which card and host show each other the pairing secret.
//!
//! P2 (3.2 only): 00 any slot, 01 one that lives as long as the selection, 02 a persistent one or none.

use proto::Secret;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::pairing::Slot;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x12;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if applet.v1.is_open() {
        return Err(StatusWord::CONDITIONS);
    }
    let data: &[u8; 32] = command.data.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    match (command.p1, applet.memory.pairings()?.reserved()) {
        (0x00, _) => first(applet, command.p2, data),
        (0x01, Some(slot)) => second(applet, slot, data),
        _ => Err(StatusWord::WRONG_P1_P2),
    }
}

/// Of the dice it takes 32 bytes for the challenge.
fn first(applet: &mut Applet, p2: u8, challenge: &[u8; 32]) -> Answer {
    let has_ephemeral = applet.memory.model().has_ephemeral_pairing();
    let free = applet.memory.pairings()?.first_free();
    let slot = match p2 {
        0x01 if has_ephemeral => Some(Slot::Ephemeral),
        0x02 => free,
        _ => free.or(has_ephemeral.then_some(Slot::Ephemeral)),
    };
    applet.memory.update_pairings(|pairings| pairings.reserve(slot))?;
    slot.ok_or(StatusWord::FULL)?;
    let cryptogram = applet.memory.pairings()?.cryptogram(challenge);
    let mut ours = [0; 32];
    applet.rng.fill_bytes(&mut ours);
    applet.v1.set_challenge(&ours);
    Ok(Zeroizing::new([*cryptogram, ours].concat()))
}

/// Of the dice it takes 32 bytes for the salt.
fn second(applet: &mut Applet, slot: Slot, theirs: &[u8; 32]) -> Answer {
    let expected = applet.memory.pairings()?.cryptogram(applet.v1.challenge());
    applet.v1.set_challenge(&expected);
    if !bool::from(expected.as_slice().ct_eq(theirs)) {
        applet.memory.update_pairings(|pairings| pairings.reserve(None))?;
        return Err(StatusWord::SECURITY_STATUS);
    }
    let mut salt = [0; 32];
    applet.rng.fill_bytes(&mut salt);
    let key = applet.memory.pairings()?.cryptogram(&salt);
    let key = Secret::fill(|room| *room = *key);
    match slot {
        Slot::Persistent(index) => applet.memory.update_pairings(|pairings| {
            pairings.set(index, Some(key));
            pairings.reserve(None);
        })?,
        Slot::Ephemeral => {
            applet.memory.update_pairings(|pairings| pairings.reserve(None))?;
            applet.v1.ephemeral = Some(key);
        }
    }
    Ok(Zeroizing::new([&[slot.index()], salt.as_slice()].concat()))
}
