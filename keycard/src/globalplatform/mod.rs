//! GlobalPlatform: loading the applets of a Keycard onto a Java Card (GlobalPlatform Card Specification 2.1.1, SCP02).
//!
//! ```text
//! Cap::parse ─▶ Plan::new ─▶ SecurityDomain::open ─▶ install ─▶ Installed ── personalise (4.0) ─▶ select
//! ```
//! A [`Cap`] is one file of applets, a [`Plan`] the files that make a Keycard, in their order. [`SecurityDomain::open`]
//! makes sure that the card's keys are known *before* it spends one of the few tries that a card grants. What is on the
//! card already is erased by [`SecurityDomain::install`]: it is refused where an owner has set a PIN, unless told to.
//!
//! The invariant: EXTERNAL AUTHENTICATE is never sent to a card whose own cryptogram is not the one that a known key gives.

mod aid;
mod cap;
mod des;
mod domain;
mod error;
mod identity;
mod plan;
pub(crate) mod scp02;
mod zip;

pub use aid::Aid;
pub use cap::{Cap, CapError};
pub use domain::{Existing, Progress, SecurityDomain};
pub use error::InstallError;
pub use identity::{AuthorityKey, Installed, IssuedIdentity, NotAnAuthority};
pub use plan::{Plan, PlanError};
