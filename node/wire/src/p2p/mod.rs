//! The base protocol of devp2p: who we are, which protocols we share, and how a connection ends (devp2p `rlpx.md`).

#[cfg(test)]
pub(crate) mod test_dice;
