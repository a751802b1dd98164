//! The two numbers that a card's owner knows: PIN (6 digits) and PUK (12 digits).

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Text that is not the right number of ASCII digits. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected exactly {digits} digits")]
pub struct NotDigits {
    /// How many digits there should be.
    pub digits: usize,
}

macro_rules! digits {
    ($name:ident, $len:expr, $doc:expr) => {
        #[doc = $doc]
        #[derive(ZeroizeOnDrop)]
        pub struct $name(Box<[u8; $len]>);

        impl $name {
            /// How many digits.
            pub const DIGITS: usize = $len;

            /// Returns the digits as ASCII.
            #[must_use]
            pub fn expose(&self) -> &[u8; $len] {
                &self.0
            }

            /// Returns one drawn from `rng`, every digit uniform.
            pub fn random(rng: &mut dyn rand_core::CryptoRng) -> Self {
                let mut digits = Box::new([0u8; $len]);
                for digit in digits.iter_mut() {
                    *digit = loop {
                        let mut byte = [0u8];
                        rng.fill_bytes(&mut byte);
                        // 250 is the largest multiple of ten in a byte: no digit is favoured.
                        if byte[0] < 250 {
                            break b'0' + byte[0] % 10;
                        }
                        byte.zeroize();
                    };
                }
                Self(digits)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = NotDigits;

            fn try_from(text: &[u8]) -> Result<Self, NotDigits> {
                let digits: &[u8; $len] = text.try_into().map_err(|_| NotDigits { digits: $len })?;
                if !digits.iter().all(u8::is_ascii_digit) {
                    return Err(NotDigits { digits: $len });
                }
                Ok(Self(Box::new(*digits)))
            }
        }
    };
}

digits!(Pin, 6, "The card's PIN: 6 ASCII digits (VERIFY PIN, keycard command 20).");
digits!(Puk, 12, "The card's PUK: 12 ASCII digits (UNBLOCK PIN, keycard command 22).");

#[cfg(test)]
mod tests {
    use super::{NotDigits, Pin, Puk};

    #[test]
    fn only_six_ascii_digits_are_a_pin() {
        assert!(Pin::try_from(b"123456".as_slice()).is_ok());
        for bad in ["12345", "1234567", "12345a", "", "１２３４５６"] {
            assert_eq!(Pin::try_from(bad.as_bytes()).err(), Some(NotDigits { digits: 6 }), "{bad}");
        }
        assert!(Puk::try_from(b"123456789012".as_slice()).is_ok());
    }
}
