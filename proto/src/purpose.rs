//! What a node says that it wants a key for: words that the key manager's policy names and its log keeps.

/// The chat key: to sign as the identity.
pub const CHAT: &str = "chat identity";
/// The database key: to open the store.
pub const DATABASE: &str = "database";
