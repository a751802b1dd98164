//! The two local APIs: gRPC over Unix sockets whose peers the kernel names, with every secret sealed.

pub mod fault;
pub mod seal;
pub mod socket;
pub mod trust;

pub use fault::Fault;
pub use seal::SealingKey;

/// Generated from `schema/local/*.proto`.
pub mod api {
    #![allow(missing_docs, reason = "generated; the schema describes every field")]
    #![allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        unreachable_pub,
        unused_qualifications,
        reason = "generated"
    )]

    include!(concat!(env!("OUT_DIR"), "/cardinal.local.v1.rs"));
}
