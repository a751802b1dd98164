//! How long a card may take for a command before its reader counts as hung: whoever waits holds up the other cards.

use std::time::Duration;

/// Returns the time that a card has for a command of this instruction.
pub(crate) const fn time_for(instruction: u8) -> Duration {
    match instruction {
        // DELETE, INSTALL and LOAD of GlobalPlatform write whole programs.
        0xE4 | 0xE6 | 0xE8 => Duration::from_secs(30),
        // INIT, FACTORY RESET, LOAD KEY, GENERATE KEY; SIGN, EXPORT KEY, EXPORT LEE, EXPORT BIP85, ECDH and DERIVE KEY walk
        // down a path, of up to ten steps.
        0xFE | 0xFD | 0xD0 | 0xD4 | 0xC0 | 0xC2..=0xC5 | 0xD1 => Duration::from_secs(15),
        _ => ORDINARY,
    }
}

/// For everything else. The slowest, an opening of the secure channel, takes a card about a second.
pub(crate) const ORDINARY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_keys_or_writes_programs_has_more_time_than_the_rest() {
        let (select, generate, install) = (time_for(0xA4), time_for(0xD4), time_for(0xE6));
        assert!(select < generate && generate < install);
        assert_eq!(select, ORDINARY);
    }
}
