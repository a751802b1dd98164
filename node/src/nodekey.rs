//! The node key: the static key of RLPx, and so the node's id. It has nothing to do with anyone's identity.
//!
//! `DIR/nodekey`, mode 0600: 64 hexadecimal digits and a line feed, the form go-ethereum writes.

use std::path::Path;

use k256::SecretKey;
use k256::elliptic_curve::Generate;
use proto::shell::file;
use rand_core::CryptoRng;
use wire::rlpx::NodeKey;
use zeroize::Zeroizing;

use crate::error::NodeError;

/// Draws a key and writes it to `path`.
///
/// # Errors
/// [`NodeError::Disk`].
pub fn create(path: &Path, rng: &mut dyn CryptoRng) -> Result<NodeKey, NodeError> {
    let key = SecretKey::generate_from_rng(rng);
    let mut line = Zeroizing::new([0u8; LINE]);
    let bytes = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
    if let Some((end, digits)) = line.split_last_mut() {
        *end = b'\n';
        // 32 bytes are 64 digits.
        let encoded = hex::encode_to_slice(bytes.as_slice(), digits);
        debug_assert!(encoded.is_ok());
    }
    file::write_whole(path, line.as_slice()).map_err(|source| NodeError::Disk { path: path.to_owned(), source })?;
    Ok(NodeKey::from(key))
}

/// Reads the key at `path`.
///
/// # Errors
/// [`NodeError::Missing`], [`NodeError::Damaged`], [`NodeError::Disk`].
pub fn load(path: &Path) -> Result<NodeKey, NodeError> {
    let damaged = || NodeError::Damaged { path: path.to_owned(), what: "a node key of 64 hexadecimal digits" };
    let line = file::read_bounded(path, LINE).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => NodeError::Missing { path: path.to_owned() },
        std::io::ErrorKind::InvalidData => damaged(),
        _ => NodeError::Disk { path: path.to_owned(), source },
    })?;
    let digits = line.strip_suffix(b"\n").unwrap_or(&line);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| damaged())?;
    SecretKey::from_slice(bytes.as_slice()).map(NodeKey::from).map_err(|_| damaged())
}

/// Bytes of the file.
const LINE: usize = 65;

#[cfg(test)]
mod tests {
    use proto::shell::dice;

    use super::*;

    #[test]
    fn a_node_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodekey");
        let id = *create(&path, &mut dice()).unwrap().id();
        assert_eq!(*load(&path).unwrap().id(), id);
    }

    #[test]
    fn a_damaged_key_is_named_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodekey");
        assert!(matches!(load(&path), Err(NodeError::Missing { .. })));
        let long = vec![b'a'; 4096];
        let zero = [b'0'; 64];
        for content in [&b""[..], b"abc", &zero, &long] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(load(&path), Err(NodeError::Damaged { .. })));
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
