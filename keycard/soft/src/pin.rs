//! A PIN object as Java Card's `OwnerPIN` keeps it: value, limit, tries left.
//!
//! The invariant: nothing but [`OwnerPin::restore_tries`] and a new value raise the counter, and never above the limit.

use proto::Secret;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::file::hexadecimal;

/// A PIN of `N` bytes. The duress PIN need not be digits, so these are bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnerPin<const N: usize> {
    #[serde(with = "hexadecimal")]
    value: Secret<N>,
    limit: u8,
    tries: u8,
}

impl<const N: usize> OwnerPin<N> {
    pub(crate) fn new(value: Secret<N>, limit: u8) -> Self {
        Self { value, limit, tries: limit }
    }

    pub(crate) fn tries(&self) -> u8 {
        self.tries
    }

    /// Takes one try away.
    pub(crate) fn pay_try(&mut self) {
        self.tries = self.tries.saturating_sub(1);
    }

    /// Gives all tries back.
    pub(crate) fn restore_tries(&mut self) {
        self.tries = self.limit;
    }

    /// Takes a new value, with all its tries.
    pub(crate) fn change(&mut self, value: &[u8; N]) {
        *self = Self::new(Secret::fill(|room| *room = *value), self.limit);
    }

    /// Compares in constant time, whatever the tries left. A value of another length is another value.
    pub(crate) fn is(&self, candidate: &[u8]) -> bool {
        self.value.expose().ct_eq(candidate).into()
    }

    /// Returns whether the counter can be one that the applet wrote.
    pub(crate) fn is_sound(&self) -> bool {
        self.limit > 0 && self.limit <= 12 && self.tries <= self.limit
    }

    pub(crate) fn duplicate(&self) -> Self {
        let value = Secret::fill(|room| *room = *self.value.expose());
        Self { value, limit: self.limit, tries: self.tries }
    }
}
