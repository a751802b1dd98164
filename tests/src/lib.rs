//! What the scenarios share: dice that can be foreseen, and the replay of recordings of real peers.

pub mod dice;
pub mod replay;
