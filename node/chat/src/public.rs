//! Public chats: topic and key from the name (10/WAKU-USAGE "Topics", 3/WHISPER-USAGE).
//!
//! Everybody who knows the name has the key: it hides a message from relays that do not, and from nobody else.

use pbkdf2::pbkdf2_hmac;
use proto::{Secret, Topic, keccak256};
use sha2::Sha256;

/// Returns the topic of the public chat `name`: the first 4 bytes of keccak-256 of the name.
#[must_use]
pub fn topic(name: impl AsRef<[u8]>) -> Topic {
    let [a, b, c, d, ..] = keccak256(&[name.as_ref()]);
    Topic::from([a, b, c, d])
}

/// Returns the symmetric key of the public chat `name`: PBKDF2-HMAC-SHA256, [`ROUNDS`] rounds, empty salt.
///
/// This takes tens of milliseconds; the caller keeps the key.
#[must_use]
pub fn sym_key(name: impl AsRef<[u8]>) -> Secret<32> {
    derive(name.as_ref())
}

/// Not generic, so that the rounds are compiled here, where debug builds optimise them.
fn derive(name: &[u8]) -> Secret<32> {
    Secret::fill(|key| pbkdf2_hmac::<Sha256>(name, &[], ROUNDS, key))
}

/// Rounds of PBKDF2: 65356, which is status-go's number (2^16 with two digits swapped), not 65536.
pub const ROUNDS: u32 = 65_356;

#[cfg(test)]
mod tests {
    use super::{sym_key, topic};

    /// The vectors of "Topics, keys, names", made by status-go 0.62.18.
    ///
    /// PAY-37, WU3-21, WU10-23: a public chat is its name.
    #[test]
    fn topic_and_key_of_a_public_chat_come_from_its_name() {
        for (name, topic_hex, key_hex) in [
            ("status", "cd423760", "36224048e42c49e5c59c57bba5024fbb8822d6b4ee6ac5fbefd8b77f5323ecc4"),
            ("test-chat", "a4abdf64", "dee7b737053e45bef823c98fe6eda80495b5c2346b5d2f43638e46c0a4f1496d"),
            ("status-offline-inbox", "957bc003", "765df27c0765526f920ba742ff4b9452bb0064e016435ffccd81186aa6feaae8"),
        ] {
            assert_eq!(topic(name).to_string(), topic_hex, "{name}");
            assert_eq!(hex::encode(sym_key(name).expose()), key_hex, "{name}");
        }
    }
}
