//! The keys of a LEE seed (applet 4.0): a chain of secret spending keys, each with a nullifier and a viewing key.
//!
//! ```text
//! SSK(32) || chain(32) = HMAC-SHA512("LEE_master_priv", seed), or of a child: HMAC-SHA512(chain, "LEE_seed_priv" ||
//!                        SHA-256("LEE/keys" || NSK || VSK) || index(4))
//! NSK(32) = SHA-256("LEE/keys" || SSK || 01 || index(4) || 00 x 19)             index 0 for the root
//! VSK(64) = HMAC-SHA512("LEE_viewing_seed", "LEE/keys" || SSK || 02 || index(4) || 00 x 19)
//! ```

use proto::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::file::hexadecimal;
use crate::key::hmac_sha512;

/// The secret spending key of the root, and its chain code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lee {
    #[serde(with = "hexadecimal")]
    spending: Secret<32>,
    #[serde(with = "hexadecimal")]
    chain: Secret<32>,
}

/// What EXPORT LEE shows of one node.
pub(crate) struct LeeKeys {
    pub(crate) nullifier: Zeroizing<[u8; 32]>,
    pub(crate) viewing: Zeroizing<[u8; 64]>,
}

impl Lee {
    pub(crate) fn from_seed(seed: &[u8]) -> Option<Self> {
        Self::from_digest(&hmac_sha512(b"LEE_master_priv", &[seed]))
    }

    fn from_digest(digest: &[u8; 64]) -> Option<Self> {
        let (spending, chain) = digest.split_at(32);
        Some(Self { spending: Secret::copy_from(spending)?, chain: Secret::copy_from(chain)? })
    }

    /// Returns the keys at a path, walked from this chain code instead of the root's own if there is one.
    pub(crate) fn derive(&self, path: &[u32], chain: Option<Secret<32>>) -> Option<LeeKeys> {
        let mut node = self.duplicate();
        if let Some(chain) = chain {
            node.chain = chain;
        }
        let mut keys = node.keys(0);
        for index in path {
            let mut parent = Sha256::new()
                .chain_update(LABEL)
                .chain_update(keys.nullifier.as_slice())
                .chain_update(keys.viewing.as_slice())
                .finalize();
            let digest = hmac_sha512(node.chain.expose(), &[b"LEE_seed_priv", &parent, &index.to_be_bytes()]);
            parent.as_mut_slice().zeroize();
            node = Self::from_digest(&digest)?;
            keys = node.keys(*index);
        }
        Some(keys)
    }

    fn keys(&self, index: u32) -> LeeKeys {
        let index = index.to_be_bytes();
        let mut digest = Sha256::new()
            .chain_update(LABEL)
            .chain_update(self.spending.expose())
            .chain_update([0x01])
            .chain_update(index)
            .chain_update([0; 19])
            .finalize();
        let nullifier = Zeroizing::new(digest.into());
        digest.as_mut_slice().zeroize();
        let parts: [&[u8]; 5] = [LABEL, self.spending.expose(), &[0x02], &index, &[0; 19]];
        LeeKeys { nullifier, viewing: hmac_sha512(b"LEE_viewing_seed", &parts) }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            spending: Secret::fill(|room| *room = *self.spending.expose()),
            chain: Secret::fill(|room| *room = *self.chain.expose()),
        }
    }
}

const LABEL: &[u8] = b"LEE/keys";
