//! The verbs of the program, one file each.

pub(crate) mod create;
pub(crate) mod replay;
pub(crate) mod serve;
