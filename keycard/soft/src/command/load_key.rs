//! LOAD KEY (`80 D0 P1 00`): a key becomes the master key, whatever was there. Needs the PIN. The answer is the key UID (32).
//!
//! ```text
//! P1 01, 02   A1 len { 80 41 public key(65), optional | 81 20 private key(32) | 82 20 chain code(32), optional }
//! P1 03       BIP-39 seed: 64 bytes, from 3.2 on 16 to 64
//! P1 04       LEE seed of 16 to 64 bytes (4.0)
//! ```
//!
//! Of the template only the tags, their order and their lengths matter: not the outer length, nor whether it is long enough.
//! Beyond it the applet reads on in old ciphertext, which is no tag 255 times out of 256; here it never is one.

use proto::Secret;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::key::MasterKey;
use crate::model::Model;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xd0;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    applet.unlocked()?;
    let model = applet.memory.model();
    let is_seed = model.seed_lengths().contains(&command.data.len());
    match command.p1 {
        0x01 | 0x02 => {
            let key = Template(command.data).key()?;
            keep(applet, Some(key))
        }
        0x03 if is_seed => keep(applet, MasterKey::from_seed(command.data)),
        0x04 if model == Model::V4_0 && is_seed => keep(applet, MasterKey::from_lee_seed(command.data)),
        0x03 => Err(StatusWord::WRONG_DATA),
        0x04 if model == Model::V4_0 => Err(StatusWord::WRONG_DATA),
        _ => Err(StatusWord::WRONG_P1_P2),
    }
}

/// Makes `key` the wallet and returns its key UID. GENERATE KEY comes this way too.
///
/// # Errors
/// 6F00 for none: what makes no private key.
pub(super) fn keep(applet: &mut Applet, key: Option<MasterKey>) -> Answer {
    let key = key.ok_or(StatusWord::INTERNAL)?;
    let uid = key.uid();
    applet.memory.update(|owner| owner.replace_key(Some(key)))?;
    Ok(Zeroizing::new(uid.to_vec()))
}

/// The key template, read as the applet reads its buffer.
struct Template<'a>(&'a [u8]);

impl Template<'_> {
    fn key(&self) -> Result<MasterKey, StatusWord> {
        let first = if self.byte(1)? == 0x81 { 3 } else { 2 };
        let second = self.next(first)?;
        let third = self.next(second)?;
        let (public, private, chain) =
            if self.byte(first)? == PUBLIC { (Some(first), second, third) } else { (None, first, second) };
        if self.byte(0)? != TEMPLATE || self.byte(private)? != PRIVATE {
            return Err(StatusWord::WRONG_DATA);
        }
        let chain = match self.byte(chain)? {
            CHAIN if self.byte(chain + 1)? != CHAIN_LENGTH => return Err(StatusWord::WRONG_DATA),
            // What is missing of it the applet takes from its buffer; here that is zeros.
            CHAIN => Some(Secret::fill(|room| {
                room.iter_mut().zip(self.value(chain)).for_each(|(room, byte)| *room = *byte);
            })),
            _ => None,
        };
        let private = Secret::copy_from(self.value(private)).ok_or(StatusWord::INTERNAL)?;
        let Some(public) = public else {
            return MasterKey::new(private, None, chain).ok_or(StatusWord::INTERNAL);
        };
        let public: [u8; 65] = self.value(public).try_into().map_err(|_| StatusWord::WRONG_DATA)?;
        MasterKey::new(private, Some(public), chain).ok_or(StatusWord::WRONG_DATA)
    }

    /// Returns where the element after this one starts. Length bytes are signed.
    fn next(&self, element: isize) -> Result<isize, StatusWord> {
        let length = self.byte(element + 1)?.cast_signed();
        Ok(element + 2 + isize::from(length))
    }

    fn byte(&self, at: isize) -> Result<u8, StatusWord> {
        if !(-HEADER..BUFFER - HEADER).contains(&at) {
            return Err(StatusWord::INTERNAL);
        }
        Ok(usize::try_from(at).ok().and_then(|at| self.0.get(at)).copied().unwrap_or(0))
    }

    /// Returns the value of an element, as far as it is there.
    fn value(&self, element: isize) -> &[u8] {
        let element = usize::try_from(element).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        match element {
            [_, length, rest @ ..] => rest.split_at_checked(usize::from(*length)).map_or(rest, |(value, _)| value),
            _ => &[],
        }
    }
}

const TEMPLATE: u8 = 0xa1;
const PUBLIC: u8 = 0x80;
const PRIVATE: u8 = 0x81;
const CHAIN: u8 = 0x82;
const CHAIN_LENGTH: u8 = 32;
/// The applet's buffer, and what of it the command's header takes.
const BUFFER: isize = 261;
const HEADER: isize = 5;
