//! The key manager as a service of the system: what a service manager gives it and hears from it, what it took from itself,
//! and what clients can do to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "what fails here fails the test")]

mod activation;
mod hardening;
mod limits;
mod packaging;
mod watched;
mod world;
