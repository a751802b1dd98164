//! A load file: what comes in the blocks of LOAD, and what it says of itself
//! (Java Card Virtual Machine Specification 2.2.2, chapter 6).
//!
//! ```text
//! C4 || BER length || components       component = tag(1) || size(2) || info(size)
//! 1 Header: DECAFFED || minor || major || flags || minor || major || AID length || AID ..
//! 3 Applet: count || count x { AID length || AID || method(2) }
//! 4 Import: count || count x { minor || major || AID length || AID }
//! ```

use super::domain::{AppletName, Package, PackageName};
use crate::model::Model;

/// A package that is being loaded.
pub(super) struct Loading {
    name: PackageName,
    bytes: Vec<u8>,
    next: u8,
}

impl Loading {
    /// Returns the beginning of this package.
    pub(super) fn of(name: PackageName) -> Self {
        Self { name, bytes: Vec::new(), next: 0 }
    }

    /// Takes the next block; whether it is the next one, its number says. There are at most 256, of 247 bytes.
    pub(super) fn take(&mut self, number: u8, block: &[u8]) -> bool {
        let expected = number == self.next && (self.next != 0 || self.bytes.is_empty());
        if expected {
            self.bytes.extend_from_slice(block);
            self.next = self.next.wrapping_add(1);
        }
        expected
    }

    /// Returns the package, if the load file is whole and is the one that was announced.
    pub(super) fn package(&self, model: Model) -> Option<Package> {
        let content = content(&self.bytes)?;
        let header = component(content, 1)?.strip_prefix(&MAGIC)?.get(5..)?;
        let (own, _) = prefixed(header)?;
        if own != self.name.aid() {
            return None;
        }
        let imports = list(component(content, 4).unwrap_or(&[0]), |rest| prefixed(rest.get(2..)?))?;
        let applets = list(component(content, 3).unwrap_or(&[0]), |rest| {
            let (aid, rest) = prefixed(rest)?;
            Some((aid, rest.get(2..)?))
        })?;
        let known =
            AppletName::ALL.into_iter().filter(|applet| applet.is_in(model) && applets.contains(&applet.class()));
        Some(Package {
            name: self.name,
            imports: PackageName::ALL.into_iter().filter(|name| imports.contains(&name.aid())).collect(),
            applets: known.collect(),
            instances: Vec::new(),
        })
    }
}

/// Returns the components, if they are as many bytes as the file says.
fn content(file: &[u8]) -> Option<&[u8]> {
    let (length, content) = match file.strip_prefix(&[0xc4])? {
        [0x82, high, low, content @ ..] => (u16::from_be_bytes([*high, *low]), content),
        [0x81, length, content @ ..] => (u16::from(*length), content),
        [length @ ..=0x7f, content @ ..] => (u16::from(*length), content),
        _ => return None,
    };
    (content.len() == usize::from(length)).then_some(content)
}

/// Returns what is in the first component of this tag. Every component before it must be whole.
fn component(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    while let Some(([tag, high, low], behind)) = rest.split_first_chunk() {
        let (info, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *tag == wanted {
            return Some(info);
        }
        rest = behind;
    }
    None
}

fn list<'a>(info: &'a [u8], next: impl Fn(&'a [u8]) -> Option<(&'a [u8], &'a [u8])>) -> Option<Vec<&'a [u8]>> {
    let (count, mut rest) = info.split_first()?;
    let mut names = Vec::new();
    for _ in 0..*count {
        let (name, behind) = next(rest)?;
        names.push(name);
        rest = behind;
    }
    Some(names)
}

/// Returns as many bytes as the first one says, and what is behind them.
pub(super) fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

const MAGIC: [u8; 4] = [0xde, 0xca, 0xff, 0xed];
