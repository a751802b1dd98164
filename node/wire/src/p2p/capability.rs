//! The subprotocols of a connection, and where their message codes begin.

use std::collections::BTreeMap;
use std::fmt;

use super::BASE_LENGTH;

/// A subprotocol that this node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: u32,
    /// How many message codes it takes.
    pub length: u64,
}

impl Capability {
    /// Waku version 1.
    pub const WAKU_1: Self = Self { name: "waku", version: 1, length: 128 };
    /// Waku version 0.
    pub const WAKU_0: Self = Self { name: "waku", version: 0, length: 128 };
    /// Whisper version 6.
    pub const SHH_6: Self = Self { name: "shh", version: 6, length: 128 };
}

/// `name/version`.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// A subprotocol that the other side named in its hello. Any bytes pass as a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name, as received.
    pub name: Vec<u8>,
    /// Its version.
    pub version: u64,
}

/// `name/version`, with everything but printable ASCII escaped.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name.escape_ascii(), self.version)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({self})")
    }
}

/// A subprotocol that both sides speak, and its first message code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Which.
    pub capability: Capability,
    /// The absolute code of its message 0.
    pub offset: u64,
}

impl Shared {
    /// Returns the code within the capability, or nothing when the absolute code belongs elsewhere.
    #[must_use]
    pub fn relative(&self, code: u64) -> Option<u64> {
        code.checked_sub(self.offset).filter(|relative| *relative < self.capability.length)
    }
}

/// Returns what both sides speak: the highest shared version of each name, in the order of the names, code ranges one
/// behind the other from [`BASE_LENGTH`]. The room of a lower version is not kept.
#[must_use]
pub fn negotiate(ours: &[Capability], theirs: &[Offer]) -> Vec<Shared> {
    let mut best: BTreeMap<&str, Capability> = BTreeMap::new();
    for capability in ours {
        let offered = |o: &Offer| o.name == capability.name.as_bytes() && o.version == u64::from(capability.version);
        if theirs.iter().any(offered) {
            let chosen = best.entry(capability.name).or_insert(*capability);
            if capability.version > chosen.version {
                *chosen = *capability;
            }
        }
    }
    let mut offset = BASE_LENGTH;
    best.into_values()
        .map(|capability| {
            let shared = Shared { capability, offset };
            offset = offset.saturating_add(capability.length);
            shared
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Capability, Offer, Shared, negotiate};

    fn offers(list: &[(&str, u64)]) -> Vec<Offer> {
        list.iter().map(|(name, version)| Offer { name: name.as_bytes().to_vec(), version: *version }).collect()
    }

    const ALL: [Capability; 3] = [Capability::WAKU_0, Capability::WAKU_1, Capability::SHH_6];

    /// Reference section 1.3: shh begins at 0x10 and waku at 0x90 when both are spoken.
    #[test]
    fn ranges_follow_the_order_of_the_names() {
        let shared = negotiate(&ALL, &offers(&[("waku", 1), ("shh", 6), ("les", 3)]));
        let expected = [
            Shared { capability: Capability::SHH_6, offset: 0x10 },
            Shared { capability: Capability::WAKU_1, offset: 0x90 },
        ];
        assert_eq!(shared, expected);
    }

    /// WAKU1-72: the highest common version is used.
    #[test]
    fn only_the_highest_shared_version_is_active() {
        let shared = negotiate(&ALL, &offers(&[("waku", 0), ("waku", 1), ("waku", 1), ("waku", 2)]));
        assert_eq!(shared, [Shared { capability: Capability::WAKU_1, offset: 0x10 }]);
        let shared = negotiate(&[Capability::WAKU_1, Capability::WAKU_0], &offers(&[("waku", 0)]));
        assert_eq!(shared, [Shared { capability: Capability::WAKU_0, offset: 0x10 }]);
        assert_eq!(negotiate(&ALL, &offers(&[("waku", 1 << 32), ("Waku", 1), ("", 1)])), []);
    }

    #[test]
    fn a_code_belongs_to_one_range() {
        let shared = Shared { capability: Capability::WAKU_1, offset: 0x90 };
        assert_eq!(shared.relative(0x8f), None);
        assert_eq!(shared.relative(0x90), Some(0));
        assert_eq!(shared.relative(0x10f), Some(127));
        assert_eq!(shared.relative(0x110), None);
    }

    #[test]
    fn a_name_of_odd_bytes_prints_escaped() {
        assert_eq!(Offer { name: b"wa\x1b\xff".to_vec(), version: 1 }.to_string(), r"wa\x1b\xff/1");
        assert_eq!(Capability::WAKU_1.to_string(), "waku/1");
    }
}
