//! Bytes that must not be printed, cloned, compared with `==`, serialised or left in a freed buffer.

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// `N` secret bytes on the heap, wiped when dropped.
///
/// The bytes are written in place and read only through [`Secret::expose`], the word that a reviewer searches for.
#[derive(ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Returns a secret whose bytes `write` fills in place; they start as zeros.
    pub fn fill(write: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        write(&mut secret.0);
        secret
    }

    /// Returns a secret that `write` fills in place.
    ///
    /// # Errors
    /// The error of `write`; what it had written is wiped.
    pub fn try_fill<E>(write: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; N]));
        write(&mut secret.0)?;
        Ok(secret)
    }

    /// Returns a copy of `bytes` as a secret, or nothing when there are not exactly `N`. The caller wipes its own copy.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; N] = bytes.try_into().ok()?;
        Some(Self::fill(|room| room.copy_from_slice(bytes)))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Compares in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_of_another_length_is_no_secret() {
        assert!(Secret::<4>::copy_from(&[1, 2, 3]).is_none());
        assert_eq!(Secret::<3>::copy_from(&[1, 2, 3]).unwrap().expose(), &[1, 2, 3]);
    }

    #[test]
    fn secrets_compare_by_content() {
        let one = Secret::<2>::copy_from(&[1, 2]).unwrap();
        assert!(one.is_same(&Secret::fill(|b| *b = [1, 2])));
        assert!(!one.is_same(&Secret::fill(|b| *b = [1, 3])));
    }

    #[test]
    fn a_failed_filling_gives_the_error() {
        assert_eq!(Secret::<2>::try_fill(|_| Err("no dice")).err(), Some("no dice"));
    }
}
