//! Messages of the Status protocols, generated from `schema/status.proto`.
//!
//! A `pb` type does not leave the file that decodes it: unknown enum numbers are kept as `i32` until they are checked.
//! None of them has `Debug`, because all of them carry what people wrote.

#![allow(missing_docs, reason = "generated; the schema cites the specification of every field")]
#![allow(clippy::all, unreachable_pub, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/status.rs"));
