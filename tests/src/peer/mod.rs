//! Programs that nobody here wrote, and our own, beside each other: driven over their standard streams and over TCP.
//!
//! A [`Program`] is one process that speaks JSON lines; a [`Connection`] is our RLPx session machine on a TCP stream, for
//! what a whole node would not show. A [`Scenario`] uses both and is run by [`run`](scenario::run) with a deadline.
//! The invariant: whatever becomes of a scenario, no process that it started outlives it.

pub mod connection;
pub mod error;
pub mod leash;
pub mod place;
pub mod program;
pub mod said;
pub mod scenario;
pub mod transcript;
pub mod virtual_reader;
pub mod world;

pub use connection::Connection;
pub use error::{Outcome, PeerError};
pub use leash::Leash;
pub use place::{Place, Tool};
pub use program::Program;
pub use scenario::Scenario;
pub use virtual_reader::VirtualReader;
pub use world::{Relay, World};
