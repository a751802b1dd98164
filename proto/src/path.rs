//! BIP-32 key paths, and the ones whose private key a card lets go (EIP-1581).

use std::fmt;
use std::str::FromStr;

/// The hardened bit of a component (BIP-32).
const HARDENED: u32 = 0x8000_0000;
/// `m/43'/60'/1581'`, the subtree of EIP-1581.
const EIP_1581: [u32; 3] = [HARDENED | 43, HARDENED | 60, HARDENED | 1581];
/// The applet derives no deeper (reference/keycard section 8.4).
const MAX_DEPTH: usize = 10;

/// Why a text or a list of components is not the path that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Not `m/43'/60'/...` with numbers below 2^31.
    #[error("a key path looks like m/43'/60'/1581'/0'/0")]
    Malformed,
    /// More than ten components.
    #[error("a key path has at most 10 components")]
    TooDeep,
    /// Not below `m/43'/60'/1581'/k'`.
    #[error("only keys below m/43'/60'/1581'/k' (EIP-1581) may leave a card")]
    OutsideExportableRange,
    /// The key type, or an inner component, is not hardened: its private key would reveal its siblings' parent.
    #[error("the key type and every inner component must be hardened (EIP-1581)")]
    NotHardened,
}

/// A path from the master key `m`, at most ten components deep.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<u32>);

impl KeyPath {
    /// Returns the path of the master key, `m`.
    #[must_use]
    pub const fn master() -> Self {
        Self(Vec::new())
    }

    /// Returns the path with these components, the hardened bit included.
    ///
    /// # Errors
    /// [`PathError::TooDeep`] for more than ten.
    pub fn new(components: &[u32]) -> Result<Self, PathError> {
        if components.len() > MAX_DEPTH {
            return Err(PathError::TooDeep);
        }
        Ok(Self(components.to_vec()))
    }

    /// Returns the components, the hardened bit included.
    #[must_use]
    pub fn components(&self) -> &[u32] {
        &self.0
    }

    /// Returns the form that card commands carry: 4 bytes a component, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|c| c.to_be_bytes()).collect()
    }

    /// Returns the path that a card command carries.
    ///
    /// # Errors
    /// [`PathError::Malformed`] when the length is no multiple of four, [`PathError::TooDeep`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        let (components, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(PathError::Malformed);
        }
        let components: Vec<u32> = components.iter().map(|c| u32::from_be_bytes(*c)).collect();
        Self::new(&components)
    }

    /// Returns whether this is `m/43'/60'/1581'` itself or lies below it.
    #[must_use]
    pub fn is_in_eip_1581(&self) -> bool {
        self.0.starts_with(&EIP_1581)
    }

    /// Returns whether this is `m`.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for KeyPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut parts = text.split('/');
        if parts.next() != Some("m") {
            return Err(PathError::Malformed);
        }
        let mut components = Vec::new();
        for part in parts {
            let (digits, hardened) = match part.strip_suffix(['\'', 'h', 'H']) {
                Some(digits) => (digits, HARDENED),
                None => (part, 0),
            };
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(PathError::Malformed);
            }
            let index: u32 = digits.parse().map_err(|_| PathError::Malformed)?;
            if index >= HARDENED {
                return Err(PathError::Malformed);
            }
            components.push(index | hardened);
            if components.len() > MAX_DEPTH {
                return Err(PathError::TooDeep);
            }
        }
        Ok(Self(components))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("m")?;
        for component in &self.0 {
            write!(f, "/{}{}", component & !HARDENED, if component & HARDENED == 0 { "" } else { "'" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPath({self})")
    }
}

/// A path whose private key may be asked of a card: `m/43'/60'/1581'/key_type'/…/index`, everything but the last
/// component hardened (EIP-1581). No other value of this type exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportPath(KeyPath);

impl ExportPath {
    /// Returns the path of the chat ("whisper") key, `m/43'/60'/1581'/0'/0`.
    #[must_use]
    pub fn chat() -> Self {
        Self::reserved(0)
    }

    /// Returns the path of the database key, `m/43'/60'/1581'/1'/0`.
    #[must_use]
    pub fn database() -> Self {
        Self::reserved(1)
    }

    /// Returns the path as any other.
    #[must_use]
    pub const fn as_path(&self) -> &KeyPath {
        &self.0
    }

    fn reserved(key_type: u32) -> Self {
        let [a, b, c] = EIP_1581;
        Self(KeyPath(vec![a, b, c, HARDENED | key_type, 0]))
    }
}

impl TryFrom<KeyPath> for ExportPath {
    type Error = PathError;

    fn try_from(path: KeyPath) -> Result<Self, PathError> {
        let below = path.0.strip_prefix(&EIP_1581).ok_or(PathError::OutsideExportableRange)?;
        let Some((_, inner @ [_, ..])) = below.split_last() else {
            return Err(PathError::OutsideExportableRange);
        };
        if inner.iter().any(|c| c & HARDENED == 0) {
            return Err(PathError::NotHardened);
        }
        Ok(Self(path))
    }
}

impl fmt::Display for ExportPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{ExportPath, KeyPath, PathError};

    fn export(text: &str) -> Result<ExportPath, PathError> {
        ExportPath::try_from(text.parse::<KeyPath>()?)
    }

    #[test]
    fn a_path_reads_back_what_it_prints() {
        for text in ["m", "m/0", "m/43'/60'/1581'/0'/0", "m/44'/60'/0'/0/2147483647"] {
            assert_eq!(text.parse::<KeyPath>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in ["", "43'", "m/", "m//0", "m/x", "m/2147483648", "m/-1", "m/+1", "M/0", "m/0''"] {
            assert_eq!(text.parse::<KeyPath>(), Err(PathError::Malformed), "{text}");
        }
        assert_eq!("m/0/0/0/0/0/0/0/0/0/0/0".parse::<KeyPath>(), Err(PathError::TooDeep));
        assert_eq!(KeyPath::from_bytes(&[0; 5]), Err(PathError::Malformed));
    }

    #[test]
    fn the_two_reserved_paths_are_exportable() {
        assert_eq!(export("m/43'/60'/1581'/0'/0"), Ok(ExportPath::chat()));
        assert_eq!(export("m/43'/60'/1581'/1'/0"), Ok(ExportPath::database()));
    }

    /// EIP1581-02: the private key of a non-hardened key type would reveal the subtree together with one extended key.
    #[test]
    fn nothing_else_can_be_named_for_a_private_export() {
        for text in [
            "m",
            "m/43'/60'/1581'",
            "m/43'/60'/1581'/0'",
            "m/44'/60'/0'/0/0",
            "m/43'/60'/1580'/0'/0",
            "m/43/60'/1581'/0'/0",
        ] {
            assert_eq!(export(text), Err(PathError::OutsideExportableRange), "{text}");
        }
        for text in ["m/43'/60'/1581'/0/0", "m/43'/60'/1581'/5/6", "m/43'/60'/1581'/0'/1/0"] {
            assert_eq!(export(text), Err(PathError::NotHardened), "{text}");
        }
        assert!(export("m/43'/60'/1581'/0'/1'/0").is_ok());
    }

    #[test]
    fn a_path_survives_the_form_of_card_commands() {
        let path = ExportPath::database();
        let bytes = path.as_path().to_bytes();
        assert_eq!(bytes.len(), 20);
        assert_eq!(KeyPath::from_bytes(&bytes).as_ref(), Ok(path.as_path()));
    }
}
