//! What follows from what left: the closure of past exports under BIP-32.
//!
//! An extended public key lets anyone compute the public keys and chain codes of all its non-hardened descendants. One
//! private key among these gives, step by step upwards, the private key of the extended one itself, and with its chain
//! code everything below it (reference/keycard section 6.1). The manager refuses every export that could complete such a
//! pair inside `m/43'/60'/1581'`; this finds it in any log.

use proto::{KeyPath, KeyUid};

use crate::verify::{Form, Key};

/// A key that nobody exported, and that follows from what was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implied {
    /// The account.
    pub key_uid: Option<KeyUid>,
    /// The key; with [`Self::subtree`] also everything below it.
    pub path: KeyPath,
    /// What follows of it.
    pub form: Form,
    /// Whether it follows for all descendants: the non-hardened ones of a public key, all of a private one.
    pub subtree: bool,
}

/// Returns what follows from these keys, without what is in the list itself.
pub(crate) fn of<'a>(keys: impl Iterator<Item = &'a Key> + Clone) -> Vec<Implied> {
    let mut implied = Vec::new();
    for key in keys.clone() {
        match key.form {
            // LEE children need the chain code too, which never leaves; bytes of BIP-85 are the end of a one-way road.
            Form::Public | Form::Lee | Form::Entropy => {}
            Form::Private => implied.push(follows(key, Form::Public, false)),
            Form::ExtendedPublic => {
                let betrayed = keys.clone().any(|other| {
                    other.form == Form::Private
                        && other.key_uid == key.key_uid
                        && descends_openly(&key.path, &other.path)
                });
                let form = if betrayed { Form::Private } else { Form::Public };
                implied.push(follows(key, form, true));
            }
        }
    }
    implied
}

fn follows(key: &Key, form: Form, subtree: bool) -> Implied {
    Implied { key_uid: key.key_uid, path: key.path.clone(), form, subtree }
}

/// Returns whether `path` is `ancestor` or lies below it with no hardened step between.
fn descends_openly(ancestor: &KeyPath, path: &KeyPath) -> bool {
    path.components().strip_prefix(ancestor.components()).is_some_and(|below| below.iter().all(|c| c & HARDENED == 0))
}

const HARDENED: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, form: Form) -> Key {
        Key { key_uid: None, path: path.parse().unwrap(), form }
    }

    #[test]
    fn one_extended_ancestor_and_one_open_descendant_give_the_ancestors_private_key() {
        let keys = [key("m/43'/60'/1581'", Form::ExtendedPublic), key("m/43'/60'/1581'/5/6", Form::Private)];
        let implied = of(keys.iter());
        assert!(implied.iter().any(|i| i.path == keys[0].path && i.form == Form::Private && i.subtree));
    }

    #[test]
    fn a_hardened_step_between_keeps_the_ancestor() {
        let keys = [key("m/43'/60'/1581'", Form::ExtendedPublic), key("m/43'/60'/1581'/0'/0", Form::Private)];
        assert!(of(keys.iter()).iter().all(|i| i.form != Form::Private));
    }

    #[test]
    fn another_account_completes_nothing() {
        let mut keys = [key("m/43'/60'/1581'/0'", Form::ExtendedPublic), key("m/43'/60'/1581'/0'/0", Form::Private)];
        assert!(of(keys.iter()).iter().any(|i| i.form == Form::Private));
        keys[1].key_uid = Some(KeyUid::from([1; 32]));
        assert!(of(keys.iter()).iter().all(|i| i.form != Form::Private));
    }
}
