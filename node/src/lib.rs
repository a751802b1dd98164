//! The shell of a Status node: sockets, tasks, the store, and the local API around the machines of `wire` and `chat`.
//!
//! One task, the [`engine`], owns every protocol machine. Whatever else runs here carries bytes to it and away from it,
//! over channels that have a bound. The node knows two keys (chat and database), asks the key manager for them once,
//! and has never heard of a seed, a card or a derivation.

pub mod clock;
pub mod config;
pub mod counters;
mod engine;
pub mod error;
pub mod identity;
pub mod keys;
mod network;
pub mod node;
pub mod nodekey;
pub mod profile;
mod rooms;
mod service;
mod stop;
pub mod store;

pub use config::{Config, Interest, Limits, Role, Waku};
pub use error::NodeError;
pub use node::Node;
