//! RLPx and the base protocol, beside go-ethereum and `@ethereumjs/devp2p`.

pub(crate) mod ethereumjs;
pub(crate) mod hostile;
pub(crate) mod node;
pub(crate) mod session;
