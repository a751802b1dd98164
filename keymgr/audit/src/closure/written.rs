//! History from before the log, written down by hand: nobody verified it.
//!
//! ```text
//! account 16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1
//! m/43'/60'/1581'/0'/0  private          3.1  Status on the old phone
//! m/44'/60'/0'          extended-public  4.0
//! m                     seed             -    on paper
//! ```
//! Each line is a path, a form (`private`, `public`, `extended-public`, `signature`, `ecdh`, `lee`, `bip85`, `seed`), the
//! version of the applet (`-` when it is not known) and a note. An account counts for the lines below it; lines above count
//! to every account. Empty lines and those that begin with `#` do not count. The order is that of the events: on 3.1 and 3.2 the
//! extended public key of `m` carries the chain code of what its card used before. One seed may be on several cards, and no line
//! names one, so it may be that of any node of its account in a line above.

use std::collections::{BTreeMap, BTreeSet};

use proto::{KeyPath, KeyUid};

use super::facts::{Part, Source};
use super::gathered::UNNAMED;
use super::history::{Account, Full, History, Node, Wallet, Written};
use super::memory::Version;
use super::side::{Sight, Way};

/// A line that is none of the above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct NotAHistory {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong, and what would be right.
    pub what: &'static str,
}

impl History {
    /// Takes a whole list, in which lines are numbered from 1.
    ///
    /// # Errors
    /// [`NotAHistory`], which names the first line that cannot be read; what is before it was taken.
    pub fn take_written(&mut self, list: &str) -> Result<(), NotAHistory> {
        let mut account = None;
        for (line, text) in (1..).zip(list.lines()) {
            let bad = |what| NotAHistory { line, what };
            let mut words = text.split_whitespace();
            match words.next() {
                None => {}
                Some(note) if note.starts_with('#') => {}
                Some("account") => account = Some(key_uid(words.next()).ok_or(bad(NO_ACCOUNT))?),
                Some(path) => {
                    let path =
                        path.parse::<KeyPath>().map_err(|_| bad("a line begins with a path, like m/44'/60'/0'"))?;
                    let form = words.next().ok_or(bad(NO_FORM))?;
                    let leaks = may_leak(words.next()).ok_or(bad("the third word is the applet's version, or -"))?;
                    self.take_key(line, account, path, form, leaks).map_err(bad)?;
                }
            }
        }
        Ok(())
    }

    fn take_key(
        &mut self,
        line: u64,
        account: Option<KeyUid>,
        path: KeyPath,
        form: &str,
        leaks: bool,
    ) -> Result<(), &'static str> {
        let (parts, side_door): (&[Part], _) = match form {
            "private" => (&[Part::Private], None),
            "public" | "signature" => (&[Part::Public], None),
            "extended-public" => (&[Part::Public, Part::Chain], None),
            "ecdh" => (&[Part::Public], Some(Way::Ecdh)),
            "lee" => (&[], Some(Way::Lee)),
            "bip85" => (&[], Some(Way::Bip85)),
            "seed" if path.is_master() => {
                self.write_down_sight(line, (account, Sight::Seed, None, None), Source::Written(line));
                return Ok(());
            }
            "seed" => return Err("a seed stands at m"),
            _ => return Err(NO_FORM),
        };
        let wallet = Wallet { account: account.map_or(Account::Unnamed, Account::KeyUid), decoy: false };
        self.write_down(line, &Written { wallet, path, parts, side_door, leaks });
        Ok(())
    }
}

fn key_uid(digits: Option<&str>) -> Option<KeyUid> {
    KeyUid::try_from(hex::decode(digits?).ok()?.as_slice()).ok()
}

/// Returns whether the extended public key of `m` may carry another node's chain code.
fn may_leak(version: Option<&str>) -> Option<bool> {
    match version? {
        "-" => Some(true),
        version => Version::parse(version).map(Version::leaks),
    }
}

/// What lines used on cards that may leak it: what left is one of these, nobody knows which, so each counts.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenUses {
    used: BTreeMap<Wallet, BTreeSet<KeyPath>>,
    leaked: usize,
}

impl WrittenUses {
    /// Takes a node that was used.
    pub(super) fn add(&mut self, (wallet, path): Node) {
        self.used.entry(wallet).or_default().insert(path);
    }

    /// Returns the nodes whose chain code may be in the extended public key of `m` of a tree, but for those that were returned
    /// before.
    pub(super) fn leak(&mut self, wallet: &Wallet, leaks: bool) -> Result<Vec<Node>, Full> {
        let mut leaked = Vec::new();
        if !leaks {
            return Ok(leaked);
        }
        if *wallet == UNNAMED {
            let all = std::mem::take(&mut self.used);
            leaked
                .extend(all.into_iter().flat_map(|(wallet, paths)| paths.into_iter().map(move |path| (wallet, path))));
        } else {
            let own = self.used.remove(wallet).into_iter().flatten();
            let unnamed = self.used.get(&UNNAMED).into_iter().flatten().cloned();
            leaked.extend(own.chain(unnamed).take(MOST_LEAKED.saturating_add(1)).map(|path| (*wallet, path)));
        }
        self.leaked = self.leaked.saturating_add(leaked.len());
        if self.leaked > MOST_LEAKED { Err(Full) } else { Ok(leaked) }
    }
}

/// Chain codes that leak, counted anew for each line with the extended public key of a named account's `m`.
const MOST_LEAKED: usize = 1 << 16;
const NO_ACCOUNT: &str = "an account is the 64 hexadecimal digits of a key UID";
const NO_FORM: &str = "the second word is private, public, extended-public, signature, ecdh, lee, bip85 or seed";
