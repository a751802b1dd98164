//! BIP-340 verification, with the tweak that applet 4.0 adds to its key.
//!
//! ```text
//! lift(P)   = the point with P's X and an even Y
//! key       = lift(lift(P) + tweak·G)                          tweak absent or 0: lift(P)
//! e         = SHA-256(tag || tag || R.x || key.x || message) mod n
//! valid     iff R = s·G - e·key has an even Y and the X that the signature names
//! ```

use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::point::AffineCoordinates as _;
use k256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};
use proto::{ChatKey, Digest};
use sha2::{Digest as _, Sha256};

/// A signature `R.x(32) || s(32)`.
pub type SchnorrSignature = [u8; 64];

/// Returns the x-only key that signs for `key`, with `tweak` added to it. Nothing for a tweak that is no number below the
/// order, or that cancels the key.
pub(crate) fn tweaked(key: &ChatKey, tweak: Option<&[u8; 32]>) -> Option<AffinePoint> {
    let even = lift(*key.as_point().as_affine());
    let Some(tweak) = tweak else { return Some(even) };
    let tweak: Scalar = Scalar::from_repr((*tweak).into()).into_option()?;
    let sum = ProjectivePoint::from(even) + ProjectivePoint::GENERATOR * tweak;
    (sum != ProjectivePoint::IDENTITY).then(|| lift(sum.to_affine()))
}

/// Returns whether `signature` is that of `key`, which [`tweaked`] returned, over `digest`.
pub(crate) fn verifies(signature: &SchnorrSignature, digest: &Digest, key: &AffinePoint) -> bool {
    let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
    let Some(s) = FieldBytes::try_from(s).ok().and_then(|s| Scalar::from_repr(s).into_option()) else { return false };
    let e = <Scalar as Reduce<FieldBytes>>::reduce(&challenge(r, &key.x(), digest));
    let nonce = ProjectivePoint::GENERATOR * s - ProjectivePoint::from(*key) * e;
    let affine = nonce.to_affine();
    // X of the point at infinity reads as zero, which no point has: `r` of zero would pass without this.
    nonce != ProjectivePoint::IDENTITY && !bool::from(affine.y_is_odd()) && affine.x().as_slice() == r
}

fn lift(point: AffinePoint) -> AffinePoint {
    if bool::from(point.y_is_odd()) { -point } else { point }
}

fn challenge(r: &[u8; 32], key: &FieldBytes, digest: &Digest) -> FieldBytes {
    let tag = Sha256::digest(b"BIP0340/challenge");
    let mut hasher = Sha256::new();
    for part in [tag.as_slice(), tag.as_slice(), r, key.as_slice(), digest.as_bytes()] {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP-340, `test-vectors.csv`, those whose message has 32 bytes: number, public key, message, signature, valid.
    const VECTORS: [(u8, &str, &str, &str, bool); 15] = [
        (
            0,
            "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA821525F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0",
            true,
        ),
        (
            1,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE33418906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A",
            true,
        ),
        (
            2,
            "DD308AFEC5777E13121FA72B9CC1B7CC0139715309B086C960E18FD969774EB8",
            "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
            "5831AAEED7B44BB74E5EAB94BA9D4294C49BCF2A60728D8B4C200F50DD313C1BAB745879A5AD954A72C45A91C3A51D3C7ADEA98D82F8481E0E1E03674A6F3FB7",
            true,
        ),
        (
            3,
            "25D1DFF95105F5253C4022F628A996AD3A0D95FBF21D468A1B33F8C160D8F517",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
            "7EB0509757E246F19449885651611CB965ECC1A187DD51B64FDA1EDC9637D5EC97582B9CB13DB3933705B32BA982AF5AF25FD78881EBB32771FC5922EFC66EA3",
            true,
        ),
        (
            4,
            "D69C3509BB99E412E68B0FE8544E72837DFA30746D8BE2AA65975F29D22DC7B9",
            "4DF3C3F68FCC83B27E9D42C90431A72499F17875C81A599B566C9889B9696703",
            "00000000000000000000003B78CE563F89A0ED9414F5AA28AD0D96D6795F9C6376AFB1548AF603B3EB45C9F8207DEE1060CB71C04E80F593060B07D28308D7F4",
            true,
        ),
        (
            5,
            "EEFDEA4CDB677750A420FEE807EACF21EB9898AE79B9768766E4FAA04A2D4A34",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E17776969E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
            false,
        ),
        (
            6,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "FFF97BD5755EEEA420453A14355235D382F6472F8568A18B2F057A14602975563CC27944640AC607CD107AE10923D9EF7A73C643E166BE5EBEAFA34B1AC553E2",
            false,
        ),
        (
            7,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "1FA62E331EDBC21C394792D2AB1100A7B432B013DF3F6FF4F99FCB33E0E1515F28890B3EDB6E7189B630448B515CE4F8622A954CFE545735AAEA5134FCCDB2BD",
            false,
        ),
        (
            8,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769961764B3AA9B2FFCB6EF947B6887A226E8D7C93E00C5ED0C1834FF0D0C2E6DA6",
            false,
        ),
        (
            9,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "0000000000000000000000000000000000000000000000000000000000000000123DDA8328AF9C23A94C1FEECFD123BA4FB73476F0D594DCB65C6425BD186051",
            false,
        ),
        (
            10,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "00000000000000000000000000000000000000000000000000000000000000017615FBAF5AE28864013C099742DEADB4DBA87F11AC6754F93780D5A1837CF197",
            false,
        ),
        (
            11,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "4A298DACAE57395A15D0795DDBFD1DCB564DA82B0F269BC70A74F8220429BA1D69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
            false,
        ),
        (
            12,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
            false,
        ),
        (
            13,
            "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141",
            false,
        ),
        (
            14,
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC30",
            "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
            "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E17776969E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
            false,
        ),
    ];

    fn key(x: &str) -> Option<ChatKey> {
        ChatKey::try_from(hex::decode(format!("02{x}")).unwrap().as_slice()).ok()
    }

    #[test]
    fn the_vectors_of_bip_340_hold_or_do_not_as_they_say() {
        for (number, x, message, signature, valid) in VECTORS {
            let digest = Digest::from(<[u8; 32]>::try_from(hex::decode(message).unwrap()).unwrap());
            let signature = hex::decode(signature).unwrap().try_into().unwrap();
            let found = key(x).is_some_and(|key| verifies(&signature, &digest, &tweaked(&key, None).unwrap()));
            assert_eq!(found, valid, "vector {number}");
        }
    }

    /// BIP-341, `wallet-test-vectors.json`, the first: internal key, tweak, output key.
    #[test]
    fn the_tweaked_key_is_that_of_bip_341() {
        let internal = key("d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d").unwrap();
        let tweak = hex::decode("b86e7be8f39bab32a6f2c0443abbc210f0edac0e2c53d501b36b64437d9c6c70").unwrap();
        let output = tweaked(&internal, Some(&tweak.try_into().unwrap())).unwrap();
        assert_eq!(hex::encode(output.x()), "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343");
    }

    #[test]
    fn a_tweak_that_cancels_the_key_or_is_no_number_gives_none() {
        let one = key("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
        let n_minus_1 = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140").unwrap();
        assert!(tweaked(&one, Some(&n_minus_1.try_into().unwrap())).is_none(), "G - G");
        assert!(tweaked(&one, Some(&[0xff; 32])).is_none());
        assert_eq!(tweaked(&one, Some(&[0; 32])), tweaked(&one, None));
    }
}
