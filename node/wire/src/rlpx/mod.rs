//! RLPx version 5: the encrypted and authenticated transport of devp2p (devp2p `rlpx.md`, EIP-8, EIP-706).
