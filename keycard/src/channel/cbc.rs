//! AES-256-CBC, CBC-MAC and the padding of secure channel v1 and of INIT's one-shot encryption.
//!
//! Everything works on whole blocks in place; bytes beyond the last whole block are left alone, so callers check first.

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _};
use zeroize::Zeroizing;

/// One block, or an IV, or a MAC.
pub(crate) type Block = [u8; BLOCK];

/// The length of a block of AES.
pub(crate) const BLOCK: usize = 16;

/// Returns `reserved` zero bytes, then `plaintext` padded to whole blocks: `80`, then zeros, at least one byte.
pub(crate) fn padded(reserved: usize, plaintext: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = plaintext.iter().map(|part| part.len()).sum();
    let whole = reserved + (length / BLOCK + 1) * BLOCK;
    let mut bytes = Zeroizing::new(Vec::with_capacity(whole));
    bytes.resize(reserved, 0);
    for part in plaintext {
        bytes.extend_from_slice(part);
    }
    bytes.push(0x80);
    bytes.resize(whole, 0);
    bytes
}

/// Returns how long the plaintext is that was padded to `bytes`; nothing when this is no padding.
pub(crate) fn unpadded(bytes: &[u8]) -> Option<usize> {
    let last = bytes.iter().rposition(|byte| *byte != 0)?;
    (bytes.get(last) == Some(&0x80) && bytes.len() - last <= BLOCK).then_some(last)
}

/// Encrypts whole blocks.
pub(crate) fn encrypt(cipher: &Aes256, iv: &Block, bytes: &mut [u8]) {
    let mut chain = *iv;
    for block in bytes.as_chunks_mut::<BLOCK>().0 {
        xor(block, &chain);
        cipher.encrypt_block(block.into());
        chain = *block;
    }
}

/// Decrypts whole blocks.
pub(crate) fn decrypt(cipher: &Aes256, iv: &Block, bytes: &mut [u8]) {
    let mut chain = *iv;
    for block in bytes.as_chunks_mut::<BLOCK>().0 {
        let sealed = *block;
        cipher.decrypt_block(block.into());
        xor(block, &chain);
        chain = sealed;
    }
}

/// Returns the CBC-MAC of `first` and the whole blocks of `rest`.
pub(crate) fn mac(cipher: &Aes256, first: &Block, rest: &[u8]) -> Block {
    let mut state = *first;
    cipher.encrypt_block((&mut state).into());
    for block in rest.as_chunks::<BLOCK>().0 {
        xor(&mut state, block);
        cipher.encrypt_block((&mut state).into());
    }
    state
}

fn xor(block: &mut Block, with: &Block) {
    for (byte, other) in block.iter_mut().zip(with) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::KeyInit as _;
    use proptest::prelude::*;

    use super::*;

    fn cipher(key: &str) -> Aes256 {
        Aes256::new_from_slice(&hex::decode(key).unwrap()).unwrap()
    }

    fn block(text: &str) -> Block {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// keycard-go `crypto/crypto_test.go`.
    #[test]
    fn keycard_gos_encryption_is_ours() {
        let cipher = cipher("44D689AB4B18206F7EEE5439FB9A71A8A617406BA5259728D1EBC2786D24896C");
        let data = hex::decode("A8A686D0E3290459BCB36088A8FD04A76BF13283BE4B1EAE2E1248EF609F94DC").unwrap();
        let mut bytes = padded(0, &[&data]);
        encrypt(&cipher, &block("9D3EF41EF1D221DD98A54AD5470F58F2"), &mut bytes);
        assert_eq!(
            hex::encode_upper(&*bytes),
            "FFB41FED5F71A2B57A6AE62D5D5ECD1C12616F6464637DD0A7A930920ACBA55867A7E12CC4F06B089AF34FF4ED4BAB08"
        );
    }

    /// keycard-go `crypto/crypto_test.go`.
    #[test]
    fn keycard_gos_decryption_is_ours() {
        let cipher = cipher("D93D8E6164196D5C5B5F84F10E4B90D98F8D282ED145513ED666AA55C9871E79");
        let mut bytes = hex::decode(
            "73B58B66372E3446E14A9F54BA59666DB432E9DD87D24F9B0525180EE52DA2106E0C70EED7CD42B5B313E4443D6AC90D",
        )
        .unwrap();
        decrypt(&cipher, &block("F959B1220333046D3C47D61B1E1B891B"), &mut bytes);
        bytes.truncate(unpadded(&bytes).unwrap());
        assert_eq!(hex::encode_upper(bytes), "2E21F9F2B2C2CC9038D518A5C6B490613E7955BD19D19108B77786986B7ABFE69000");
    }

    #[test]
    fn only_80_and_fewer_than_sixteen_zeros_is_padding() {
        assert_eq!(unpadded(&[1, 0x80]), Some(1));
        assert_eq!(unpadded(&[0x80; 1]), Some(0));
        assert_eq!(unpadded(&[[0x80; 1].as_slice(), &[0; 15]].concat()), Some(0));
        for none in [&[][..], &[0; 16], &[1; 16], &[0x80, 1], &[[0x80; 1].as_slice(), &[0; 16]].concat()] {
            assert_eq!(unpadded(none), None, "{none:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_padded_and_encrypted_comes_back(
            data in proptest::collection::vec(any::<u8>(), 0..80), key: [u8; 32], iv: [u8; 16]
        ) {
            let cipher = Aes256::new_from_slice(&key).unwrap();
            let mut bytes = padded(0, &[&data]);
            prop_assert_eq!(bytes.len() % BLOCK, 0);
            encrypt(&cipher, &iv, &mut bytes);
            decrypt(&cipher, &iv, &mut bytes);
            let length = unpadded(&bytes).unwrap();
            prop_assert_eq!(&bytes[..length], data);
        }
    }
}
