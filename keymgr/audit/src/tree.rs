//! The Merkle tree over the lines of a log (RFC 6962, section 2.1), kept by its peaks.
//!
//! ```text
//! leaf = SHA-256(0x00 || hash of the line)      node = SHA-256(0x01 || left || right)
//! ```
//! The tree of no line at all has the root SHA-256(""). A tree of `n` lines has a peak for each bit of `n` that is set, so
//! a log that is continued in another file carries 64 hashes at most, and its tree goes on without the older lines.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::line::LineHash;
use crate::text;

/// The hash of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Root(#[serde(with = "text::hex_fixed")] [u8; 32]);

impl Root {
    /// Returns the leaf of a line.
    #[must_use]
    pub fn leaf(line: &LineHash) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(line.as_bytes()).finalize().into())
    }

    /// Returns the node above two others.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Root {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({}…)", hex::encode(self.0.get(..4).unwrap_or(&[])))
    }
}

/// A tree that grows by a line at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    lines: u64,
    /// The roots of the whole subtrees, the largest first.
    peaks: Vec<Root>,
}

/// Peaks that are not those of a tree with so many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many peaks as no tree of that size has")]
pub struct NotATree;

impl Tree {
    /// Returns the tree of `lines` lines that has these peaks.
    ///
    /// # Errors
    /// [`NotATree`] when there is not one peak for each bit of `lines`.
    pub fn of(lines: u64, peaks: Vec<Root>) -> Result<Self, NotATree> {
        let bits = usize::try_from(lines.count_ones()).map_err(|_| NotATree)?;
        if peaks.len() == bits { Ok(Self { lines, peaks }) } else { Err(NotATree) }
    }

    /// Adds a line.
    pub fn push(&mut self, line: &LineHash) {
        let mut root = Root::leaf(line);
        // As many peaks join as the number of lines ends in set bits.
        for _ in 0..self.lines.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            root = Root::node(&left, &root);
        }
        self.peaks.push(root);
        self.lines = self.lines.saturating_add(1);
    }

    /// Returns how many lines there are.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns the peaks, the largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Root] {
        &self.peaks
    }

    /// Returns the root of all.
    #[must_use]
    pub fn root(&self) -> Root {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Root(Sha256::digest([]).into()) };
        peaks.fold(*last, |right, left| Root::node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, as it is written there.
    fn recursive(lines: &[LineHash]) -> Root {
        match lines {
            [] => Root(Sha256::digest([]).into()),
            [line] => Root::leaf(line),
            _ => {
                let split = lines.len().next_power_of_two() / 2;
                Root::node(&recursive(&lines[..split]), &recursive(&lines[split..]))
            }
        }
    }

    #[test]
    fn the_peaks_give_the_root_of_rfc_6962_and_carry_the_tree_on() {
        let lines: Vec<LineHash> = (0u8..70).map(|n| LineHash::of(&[n])).collect();
        let mut tree = Tree::default();
        for n in 0..lines.len() {
            assert_eq!(tree.root(), recursive(&lines[..n]), "{n}");
            let carried = Tree::of(n as u64, tree.peaks().to_vec()).unwrap();
            assert_eq!(carried, tree);
            tree.push(&lines[n]);
        }
    }

    #[test]
    fn a_wrong_number_of_peaks_is_no_tree() {
        let peak = Root::leaf(&LineHash::ZERO);
        assert_eq!(Tree::of(3, vec![peak]), Err(NotATree));
        assert_eq!(Tree::of(0, vec![peak]), Err(NotATree));
        assert!(Tree::of(4, vec![peak]).is_ok());
    }
}
