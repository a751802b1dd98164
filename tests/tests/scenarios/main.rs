//! Scenarios: recordings of real peers, worlds in virtual time, and the table of what is shown where.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is a test from end to end: what goes wrong here fails it"
)]

mod cards;
mod conformance;
mod recordings;
mod world;

mod card_attacks;
mod card_commands;
mod card_faults;
mod card_in_between;
mod card_install;
mod card_session;
mod card_tries;
mod hostile_peers;
mod public_chat;
