//! EXPORT LEE (`80 C3 00 00 path`), applet 4.0: `A1 64 { 83 20 NSK(32) | 84 40 VSK(64) }`. Needs the PIN and a LEE key.

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::key::Tree;
use crate::path::absolute;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc3;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let key = applet.unlocked_key()?;
    let lee = key.lee().ok_or(StatusWord::CONDITIONS)?;
    let path = absolute(command.data, true)?;
    // Under duress the chain code is that of the ordinary keys.
    let chain = (applet.memory.tree() == Tree::Duress).then(|| key.chain(Tree::Duress)).flatten();
    let keys = lee.derive(path.components(), chain).ok_or(StatusWord::INTERNAL)?;
    let mut answer = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    answer.extend_from_slice(&[0xa1, 0x64, 0x83, 0x20]);
    answer.extend_from_slice(keys.nullifier.as_slice());
    answer.extend_from_slice(&[0x84, 0x40]);
    answer.extend_from_slice(keys.viewing.as_slice());
    Ok(answer)
}

const MAX_ANSWER: usize = 2 + 2 + 32 + 2 + 64;
