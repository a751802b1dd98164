//! The broker: the one process with authority over a card.
//!
//! - [`policy`] decides, as a pure function, who may have which key;
//! - [`broker`] owns the card: [`opening`], [`unlock`], [`provision`], [`export`] are what it does with it, and `journal`
//!   is the order of record, command and outcome that all of them keep;
//! - [`seats`] are the readers that are looked after, each with its own session, and [`lend`] gives one to other programs;
//! - [`cards`] is what its owner does with any card in any reader;
//! - [`drill`] performs histories with software cards, to see whether a verifier finds what is wrong with them;
//! - [`worker`] is the one thread on which a broker lives, behind a `queue`; [`service`] is the local API in front of it, and
//!   [`daemon`] puts both together from the files of a [`profile`];
//! - [`activation`] and [`notify`] are what a service manager says and hears, [`hardening`] what this process takes from
//!   itself.

pub mod activation;
pub mod approval;
pub mod archive;
pub mod broker;
pub mod caller;
pub mod cards;
pub mod clock;
pub mod daemon;
pub mod derive;
pub mod desk;
pub mod disk;
pub mod drill;
pub mod error;
pub mod export;
pub mod files;
pub mod front;
mod guard;
pub mod hardening;
pub mod incoming;
mod journal;
mod leases;
pub mod lend;
pub mod log_files;
mod logbook;
pub mod manifest;
pub mod metrics;
pub mod mirror;
pub mod notify;
pub mod opening;
mod owner_service;
pub mod pause;
pub mod pins;
pub mod policy;
pub mod profile;
mod proof_service;
pub mod provision;
pub mod reader;
mod refusals;
pub mod roles;
mod rules;
pub mod sealing;
pub mod seats;
pub mod service;
mod signing;
pub mod spool;
pub mod statement;
pub mod store;
mod tail;
pub mod trusted;
pub mod unlock;
pub mod witness;
pub mod worker;

pub use broker::{Broker, Enrolment, Rules};
pub use error::BrokerError;
pub use journal::Why;

#[cfg(test)]
mod tests;
