//! Paths through the tree (RFC 6962, section 2.1): which subtrees they need, and where they lead.
//!
//! Lines are counted from 0 here. All subtrees of one path lie beside each other, so one pass over the lines gives all their
//! roots, and no more than their peaks are kept of them.

use std::ops::Range;

use crate::line::LineHash;
use crate::tree::{Root, Tree};

/// Returns the subtrees of `PATH(line, D[lines])`, from the line to the root.
pub(super) fn to_line(line: u64, lines: u64) -> Vec<Range<u64>> {
    let (mut inside, mut path) = (0..lines, Vec::new());
    while let Some(split) = split(&inside) {
        if line < split {
            path.push(split..inside.end);
            inside.end = split;
        } else {
            path.push(inside.start..split);
            inside.start = split;
        }
    }
    path.reverse();
    path
}

/// Returns the subtrees of `PROOF(old, D[lines])`, from the end of the old tree to the root.
pub(super) fn to_head(old: u64, lines: u64) -> Vec<Range<u64>> {
    let (mut inside, mut path) = (0..lines, Vec::new());
    while let Some(split) = split(&inside).filter(|_| inside.end != old) {
        if old <= split {
            path.push(split..inside.end);
            inside.end = split;
        } else {
            path.push(inside.start..split);
            inside.start = split;
        }
    }
    // The whole old tree is known to who checks.
    if inside.start > 0 {
        path.push(inside);
    }
    path.reverse();
    path
}

/// Returns where the right half of a subtree begins, which has more than one line.
fn split(inside: &Range<u64>) -> Option<u64> {
    let length = inside.end.saturating_sub(inside.start);
    let largest = length.checked_sub(1)?.checked_ilog2()?;
    Some(inside.start.saturating_add(1 << largest))
}

/// Returns the root to which a path leads from a line (RFC 9162, section 2.1.3.2).
pub(super) fn root_from_line(leaf: Root, line: u64, lines: u64, path: &[Root]) -> Option<Root> {
    let mut climb = Climb::from(line, lines.checked_sub(1).filter(|last| line <= *last)?);
    let mut root = leaf;
    for step in path {
        root = if climb.joins_from_left()? { Root::node(step, &root) } else { Root::node(&root, step) };
    }
    climb.is_at_the_root().then_some(root)
}

/// Returns whether a path leads from the old root to the new one (RFC 9162, section 2.1.4.2).
pub(super) fn goes_on((old, old_lines): (Root, u64), (new, lines): (Root, u64), path: &[Root]) -> bool {
    if old_lines == lines {
        return path.is_empty() && old == new;
    }
    if old_lines == 0 || old_lines > lines {
        return false;
    }
    let (from, path) = match path {
        // A whole subtree is its own beginning.
        _ if old_lines.is_power_of_two() => (old, path),
        [from, path @ ..] => (*from, path),
        [] => return false,
    };
    let mut climb = Climb::from(old_lines.saturating_sub(1), lines.saturating_sub(1));
    climb.skip_right();
    let (mut before, mut after) = (from, from);
    for step in path {
        match climb.joins_from_left() {
            None => return false,
            Some(true) => (before, after) = (Root::node(step, &before), Root::node(step, &after)),
            Some(false) => after = Root::node(&after, step),
        }
    }
    climb.is_at_the_root() && (before, after) == (old, new)
}

/// The way up from a node to the root, beside the last node of each level.
struct Climb {
    at: u64,
    last: u64,
}

impl Climb {
    const fn from(at: u64, last: u64) -> Self {
        Self { at, last }
    }

    /// Takes a step, and returns whether the other node stands to the left; nothing above the root.
    fn joins_from_left(&mut self) -> Option<bool> {
        if self.last == 0 {
            return None;
        }
        let from_left = self.at & 1 == 1 || self.at == self.last;
        if from_left {
            // The last node of a level may have none beside it on the next ones.
            while self.at & 1 == 0 && self.at != 0 {
                self.up();
            }
        }
        self.up();
        Some(from_left)
    }

    /// Goes up while the node is the right one of two.
    fn skip_right(&mut self) {
        while self.at & 1 == 1 {
            self.up();
        }
    }

    const fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }

    const fn is_at_the_root(&self) -> bool {
        self.last == 0
    }
}

/// The roots of the subtrees of one path, as the lines go by.
#[derive(Debug)]
pub(super) struct Gathering {
    /// In the order of the path.
    parts: Vec<(Range<u64>, Tree)>,
}

impl Gathering {
    /// Returns that nothing was gathered of these subtrees.
    pub(super) fn of(path: Vec<Range<u64>>) -> Self {
        Self { parts: path.into_iter().map(|range| (range, Tree::default())).collect() }
    }

    /// Takes the peaks of all lines before the first that is there to be read.
    pub(super) fn carry_on(&mut self, before: &Tree) {
        let mut first = 0;
        let mut peaks = Vec::new();
        for (bit, peak) in (0..u64::BITS).rev().filter(|bit| before.lines() >> bit & 1 == 1).zip(before.peaks()) {
            let length = 1 << bit;
            peaks.push((first..first + length, *peak));
            first += length;
        }
        for (range, tree) in &mut self.parts {
            let inside = peaks.iter().filter(|(peak, _)| range.start <= peak.start && peak.end <= range.end);
            let inside: Vec<Root> = inside.map(|(_, root)| *root).collect();
            let lines = before.lines().min(range.end).saturating_sub(range.start);
            if let Ok(carried) = Tree::of(lines, inside) {
                *tree = carried;
            }
        }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: u64, hash: &LineHash) {
        let part = self.parts.iter_mut().find(|(range, _)| range.contains(&line));
        // What began without its first lines never gets whole.
        let next = part.filter(|(range, tree)| range.start.checked_add(tree.lines()) == Some(line));
        next.into_iter().for_each(|(_, tree)| tree.push(hash));
    }

    /// Returns the path, or the first line that is missing for it.
    pub(super) fn path(&self) -> Result<Vec<Root>, u64> {
        let missing = |(range, tree): &(Range<u64>, Tree)| {
            let next = range.start.saturating_add(tree.lines());
            if next == range.end { Ok(tree.root()) } else { Err(next) }
        };
        self.parts.iter().map(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// RFC 6962, section 2.1, as it is written there.
    fn mth(leaves: &[Root]) -> Root {
        match leaves {
            [] => Root::from(<[u8; 32]>::from(Sha256::digest([]))),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                Root::node(&mth(left), &mth(right))
            }
        }
    }

    /// Section 2.1.1.
    fn path(m: usize, leaves: &[Root]) -> Vec<Root> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        if m < left.len() {
            [path(m, left), vec![mth(right)]].concat()
        } else {
            [path(m - left.len(), right), vec![mth(left)]].concat()
        }
    }

    /// Section 2.1.2.
    fn proof(m: usize, leaves: &[Root], whole: bool) -> Vec<Root> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![mth(leaves)] };
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        if m <= left.len() {
            [proof(m, left, whole), vec![mth(right)]].concat()
        } else {
            [proof(m - left.len(), right, false), vec![mth(left)]].concat()
        }
    }

    fn hash(line: usize) -> LineHash {
        LineHash::of(&[line as u8])
    }

    fn gathered(ranges: Vec<Range<u64>>, first: usize, lines: usize) -> Result<Vec<Root>, u64> {
        let mut gathering = Gathering::of(ranges);
        let mut before = Tree::default();
        (0..first).for_each(|line| before.push(&hash(line)));
        gathering.carry_on(&before);
        (first..lines).for_each(|line| gathering.take(line as u64, &hash(line)));
        gathering.path()
    }

    #[test]
    fn every_path_of_every_tree_up_to_70_lines_is_that_of_rfc_6962_and_leads_to_the_root() {
        let leaves: Vec<Root> = (0..70).map(|line| Root::leaf(&hash(line))).collect();
        for lines in 1..=70 {
            let (leaves, n) = (&leaves[..lines], lines as u64);
            let root = mth(leaves);
            for line in 0..lines {
                let made = gathered(to_line(line as u64, n), 0, lines).unwrap();
                assert_eq!(made, path(line, leaves), "{line} of {lines}");
                assert_eq!(root_from_line(leaves[line], line as u64, n, &made), Some(root));
                // No other line, size or path leads there.
                for other in (0..lines).filter(|other| *other != line) {
                    assert_ne!(root_from_line(leaves[line], other as u64, n, &made), Some(root), "{line} as {other}");
                }
                for cut in 0..made.len() {
                    assert_ne!(root_from_line(leaves[line], line as u64, n, &made[..cut]), Some(root));
                }
                let longer = [made.as_slice(), &[root]].concat();
                assert_eq!(root_from_line(leaves[line], line as u64, n, &longer), None);
            }
            assert_eq!(root_from_line(leaves[0], n, n, &[]), None);
        }
    }

    #[test]
    fn every_head_up_to_70_lines_goes_on_to_every_later_one_by_the_path_of_rfc_6962() {
        let leaves: Vec<Root> = (0..70).map(|line| Root::leaf(&hash(line))).collect();
        let root = |lines: usize| (mth(&leaves[..lines]), lines as u64);
        for lines in 1..=70 {
            for old in 1..=lines {
                let made = gathered(to_head(old as u64, lines as u64), 0, lines).unwrap();
                assert_eq!(made, proof(old, &leaves[..lines], true), "{old} of {lines}");
                assert!(goes_on(root(old), root(lines), &made));
                let other = (Root::leaf(&LineHash::ZERO), old as u64);
                assert!(!goes_on(other, root(lines), &made), "another old root");
                assert!(!goes_on(root(old), (other.0, lines as u64), &made), "another new root");
                for at in 0..made.len() {
                    let mut wrong = made.clone();
                    wrong[at] = other.0;
                    assert!(!goes_on(root(old), root(lines), &wrong));
                    assert!(!goes_on(root(old), root(lines), &made[..at]));
                }
                assert!(!goes_on(root(old), root(lines), &[made.as_slice(), &[other.0]].concat()));
            }
            assert!(!goes_on((root(lines).0, 0), root(lines), &[]));
            assert!(!goes_on((root(lines).0, lines as u64 + 1), root(lines), &[]));
        }
    }

    /// The peaks that a file carries stand for the lines before it.
    #[test]
    fn a_path_needs_the_file_with_its_line_and_the_later_ones_only() {
        for lines in 1..=40 {
            for first in 0..lines {
                for line in 0..lines {
                    let made = gathered(to_line(line as u64, lines as u64), first, lines);
                    if line >= first {
                        assert_eq!(made, gathered(to_line(line as u64, lines as u64), 0, lines));
                    } else if let Err(missing) = made {
                        assert!(missing < first as u64);
                    }
                }
                for old in 1..=lines {
                    let made = gathered(to_head(old as u64, lines as u64), first, lines);
                    if old >= first {
                        assert_eq!(made, gathered(to_head(old as u64, lines as u64), 0, lines));
                    } else if let Err(missing) = made {
                        assert!(missing < first as u64);
                    }
                }
            }
        }
    }

    /// The vectors of certificate-transparency: its leaves are other ones than ours, its nodes are the same.
    #[test]
    fn the_vectors_of_certificate_transparency_hold() {
        let inputs: [&str; 8] =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let root = |text: &str| Root::from(<[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap());
        let leaf = |input: &&str| {
            let data = [&[0][..], &hex::decode(input).unwrap()].concat();
            Root::from(<[u8; 32]>::from(Sha256::digest(data)))
        };
        let leaves: Vec<Root> = inputs.iter().map(leaf).collect();
        let [a, b, c, d, e, f, g, h] = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        ]
        .map(root);
        let roots = [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (6, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        let root_of = |lines: u64| root(roots.iter().find(|(of, _)| *of == lines).unwrap().1);
        for (lines, hash) in roots {
            assert_eq!(mth(&leaves[..lines as usize]), root(hash));
        }
        for (line, lines, path) in [(0, 8, vec![a, b, c]), (5, 8, vec![d, e, f]), (1, 5, vec![g, b, d])] {
            assert_eq!(root_from_line(leaves[line as usize], line, lines, &path), Some(root_of(lines)));
        }
        for (old, lines, path) in [(1, 1, vec![]), (1, 8, vec![a, b, c]), (6, 8, vec![h, e, f]), (2, 5, vec![b, d])] {
            assert!(goes_on((root_of(old), old), (root_of(lines), lines), &path), "{old} {lines}");
        }
    }
}
