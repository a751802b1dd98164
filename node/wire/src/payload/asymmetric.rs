//! ECIES over the plaintext, to the public key of one recipient (7/WAKU-DATA; reference section 2.10).
//!
//! The shared data s2 is empty. What is encrypted is [`super::plaintext`], the same as in the symmetric way.

use k256::SecretKey;

use super::{OpenError, Opened};
use crate::ecies;
use crate::waku::Envelope;

/// Opens an envelope with a private key.
///
/// # Errors
/// [`OpenError::Decrypt`] when it is not for this key, [`OpenError::Malformed`] when what is inside has not the format.
pub fn open_asymmetric(envelope: &Envelope, key: &SecretKey) -> Result<Opened, OpenError> {
    Opened::parse(ecies::open(key, &[], envelope.data()).map_err(|_| OpenError::Decrypt)?)
}

#[cfg(test)]
mod tests {
    use proto::ChatKey;

    use super::*;

    /// WDATA-14, WAKU1-64: reference section 10.6, an envelope that status-go 0.62.18 sealed to B and signed as A.
    #[test]
    fn the_recorded_envelope_opens() {
        let raw = "f8d5845f5e100f0f8459cbac69b8c704d541fb0b90f2a3dee5f90e3c99d5d3fef0d7aa03c2fc2413075df582e75aa0022b78564ce0b54777\
             ce7bf83881373fe5f870ef50a19a7488ec037b40f51241f2490141642c2f73dee2cd0231eeceb2b51aa390f167e2d1f12a0efe265b0e42319694\
             cadf9b9a00b227df56adff7b8eb003ba1d694051a4b40df63f698f9209f0850c68ab31797e081b2b042fa4debc312cfbcd1a7c8a46ad0da4008f\
             3999a672f71b9c47381ec819d3175ac24adb641868a3a3916d5c12322e54d3a0e81a140be7bafaeba82e18";
        let envelope = Envelope::decode(&hex::decode(raw).unwrap()).unwrap();
        assert_eq!(envelope.hash().to_string(), "c03ffdeb04195c0d4bbbebcaa6295ae35dea51cb1ec9131961a104cedf4486de");
        let key = |text: &str| SecretKey::from_slice(&hex::decode(text).unwrap()).unwrap();
        let a = key("c6cbd7d76bc5baca530c875663711b947efa6a86a900a9e8645ce32e5821484e");
        let b = key("d51dd64ad19ea84968a308dca246012c00d2b2101d41bce740acd1c650acc509");
        let opened = open_asymmetric(&envelope, &b).unwrap();
        assert_eq!((opened.payload(), opened.padding()), (b"hello status".as_slice(), [0xaa; 7].as_slice()));
        assert_eq!(opened.signer(), Some(ChatKey::from(a.public_key())));
        assert_eq!(open_asymmetric(&envelope, &a).err(), Some(OpenError::Decrypt));
    }
}
