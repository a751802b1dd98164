//! AES-256-CBC, its MAC, and the padding of ISO 9797-1 method 2: what secure channel v1 and the one-shot INIT are made of.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};
use zeroize::{Zeroize, Zeroizing};

pub(crate) type Iv = [u8; BLOCK];

/// Pads and encrypts.
pub(crate) fn encrypt(key: &[u8; 32], iv: &Iv, plain: &[u8]) -> Vec<u8> {
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + BLOCK));
    text.extend_from_slice(plain);
    text.push(0x80);
    let whole = text.len().next_multiple_of(BLOCK);
    text.resize(whole, 0);
    encrypt_blocks(key, iv, &text)
}

/// Encrypts whole blocks; a rest that is none is left out.
pub(crate) fn encrypt_blocks(key: &[u8; 32], iv: &Iv, text: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new(key.into());
    let mut previous = *iv;
    let mut sealed = Vec::with_capacity(text.len());
    for block in text.as_chunks::<BLOCK>().0 {
        let mut room = Block::from(*block);
        room.iter_mut().zip(previous).for_each(|(byte, mask)| *byte ^= mask);
        cipher.encrypt_block(&mut room);
        previous = room.into();
        sealed.extend_from_slice(&previous);
    }
    sealed
}

/// Decrypts and takes the padding away; nothing when the padding is wrong or these are no whole blocks.
pub(crate) fn decrypt(key: &[u8; 32], iv: &Iv, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (blocks, rest) = sealed.as_chunks::<BLOCK>();
    if !rest.is_empty() {
        return None;
    }
    let cipher = Aes256::new(key.into());
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let mut previous = *iv;
    for block in blocks {
        let mut room = Block::from(*block);
        cipher.decrypt_block(&mut room);
        room.iter_mut().zip(previous).for_each(|(byte, mask)| *byte ^= mask);
        plain.extend_from_slice(&room);
        room.as_mut_slice().zeroize();
        previous = *block;
    }
    let end = plain.iter().rposition(|byte| *byte != 0)?;
    if plain.get(end) != Some(&0x80) {
        return None;
    }
    plain.truncate(end);
    Some(plain)
}

/// Returns the MAC over a first block and the sealed ones after it: the last block of CBC with a zero IV.
pub(crate) fn mac(key: &[u8; 32], first: &[u8; BLOCK], sealed: &[u8]) -> Iv {
    let chained = encrypt_blocks(key, &[0; BLOCK], &[first.as_slice(), sealed].concat());
    chained.last_chunk().copied().unwrap_or_default()
}

pub(crate) const BLOCK: usize = 16;

#[cfg(test)]
mod tests {
    use super::{decrypt, encrypt, mac};

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    /// keycard-go, `crypto/crypto_test.go`.
    #[test]
    fn encryption_has_its_known_answer() {
        let key = bytes("44D689AB4B18206F7EEE5439FB9A71A8A617406BA5259728D1EBC2786D24896C");
        let iv = bytes("9D3EF41EF1D221DD98A54AD5470F58F2");
        let data: [u8; 32] = bytes("A8A686D0E3290459BCB36088A8FD04A76BF13283BE4B1EAE2E1248EF609F94DC");
        let sealed = encrypt(&key, &iv, &data);
        assert_eq!(
            hex::encode_upper(&sealed),
            "FFB41FED5F71A2B57A6AE62D5D5ECD1C12616F6464637DD0A7A930920ACBA55867A7E12CC4F06B089AF34FF4ED4BAB08"
        );
        assert_eq!(decrypt(&key, &iv, &sealed).unwrap().as_slice(), data);
        assert!(decrypt(&key, &iv, &sealed[..47]).is_none());
        assert!(decrypt(&key, &iv, &sealed[..32]).is_none(), "no padding");
        assert!(decrypt(&key, &iv, &[]).is_none());
    }

    /// keycard-go, `secure_channel_test.go`.
    #[test]
    fn the_mac_has_its_known_answer() {
        let key = bytes("2FB70219E6635EE0958AB3F7A428BA87E8CD6E6F873A5725A55F25B102D0F1F7");
        let sealed: [u8; 48] =
            bytes("3EF8903AE926EAD8A204F961B8A0EDAEE7CCCFE7F7F6380CE2C6F188E598E4468B7DEDD0E807C18CCBDA71A55F3E1F9A");
        let header = bytes("80110000400000000000000000000000");
        assert_eq!(hex::encode_upper(mac(&key, &header, &sealed)), "BA796BF8FAD1FD50407B87127B94F502");
    }
}
