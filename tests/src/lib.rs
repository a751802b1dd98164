//! What the scenarios share: dice that can be foreseen, the replay of recordings of real peers, and live ones.

pub mod dice;
pub mod peer;
pub mod replay;
