//! The two secure channels, each as the card keeps it.

pub(crate) mod cbc;
pub(crate) mod v1;
pub(crate) mod v2;
