//! TCP: who connects to us, whom we dial, and one task for each connection.

mod backoff;
pub(crate) mod connection;
pub(crate) mod dialer;
mod handshakes;
pub(crate) mod listener;
pub(crate) mod outbox;
mod pending;
