//! Waku version 1 (6/WAKU1): envelopes and the node that relays them.
