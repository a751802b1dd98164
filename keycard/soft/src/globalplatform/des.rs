//! DES and triple DES with two keys, as SCP02 uses them.

use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2};
use proto::Secret;

/// A block, a MAC, a cryptogram, a challenge.
pub(crate) type Block = [u8; 8];

/// Two DES keys.
pub(crate) struct DoubleKey {
    single: Des,
    triple: TdesEde2,
}

impl DoubleKey {
    pub(crate) fn new(key: &Secret<16>) -> Self {
        let (first, _) = key.expose().split_at(8);
        let single = Des::new_from_slice(first).expect("half of 16 bytes are 8");
        Self { single, triple: TdesEde2::new(key.expose().into()) }
    }

    /// Returns the key of one session that is derived from this static one.
    pub(crate) fn session(&self, purpose: [u8; 2], sequence: u16) -> Secret<16> {
        let [high, low] = sequence.to_be_bytes();
        let [one, two] = purpose;
        let first = self.encrypt([one, two, high, low, 0, 0, 0, 0]);
        let second = self.encrypt(first);
        Secret::fill(|room| room.copy_from_slice(&[first, second].concat()))
    }

    /// Returns the cryptogram over two challenges, and a block of padding.
    pub(crate) fn cryptogram(&self, first: &Block, second: &Block) -> Block {
        let state = self.encrypt(*first);
        let state = self.encrypt(xor(state, second));
        self.encrypt(xor(state, &PADDING))
    }

    /// Returns the MAC of a command: CBC in single DES, with triple DES at the end.
    pub(crate) fn mac(&self, start: Block, command: &[u8]) -> Block {
        let mut padded = command.to_vec();
        padded.push(0x80);
        padded.resize(padded.len().next_multiple_of(8), 0);
        let (blocks, _) = padded.as_chunks::<8>();
        let Some((last, before)) = blocks.split_last() else { return start };
        let state = before.iter().fold(start, |state, block| self.encrypt_single(xor(state, block)));
        self.encrypt(xor(state, last))
    }

    pub(crate) fn encrypt_single(&self, block: Block) -> Block {
        let mut block = block.into();
        self.single.encrypt_block(&mut block);
        block.into()
    }

    pub(crate) fn encrypt(&self, block: Block) -> Block {
        let mut block = block.into();
        self.triple.encrypt_block(&mut block);
        block.into()
    }

    pub(crate) fn decrypt(&self, block: Block) -> Block {
        let mut block = block.into();
        self.triple.decrypt_block(&mut block);
        block.into()
    }
}

fn xor(mut a: Block, b: &Block) -> Block {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

const PADDING: Block = [0x80, 0, 0, 0, 0, 0, 0, 0];
