//! The applet's instructions by the names that its specification gives them.

/// The instruction of every secured command on applet 4.0: the true one is inside.
pub(crate) const SECURED: u8 = 0x18;

/// Returns the name of an instruction; `other` for one that no Keycard has.
pub(crate) const fn name(ins: u8) -> &'static str {
    match ins {
        0xA4 => "SELECT",
        0xC0 => "SIGN",
        0xC1 => "SET PINLESS PATH",
        0xC2 => "EXPORT KEY",
        0xC3 => "EXPORT LEE",
        0xC4 => "EXPORT BIP85",
        0xC5 => "ECDH",
        0xCA => "GET DATA",
        0xD0 => "LOAD KEY",
        0xD1 => "DERIVE KEY",
        0xD2 => "GENERATE MNEMONIC",
        0xD3 => "REMOVE KEY",
        0xD4 => "GENERATE KEY",
        0xE2 => "STORE DATA",
        0xF2 => "GET STATUS",
        0xFD => "FACTORY RESET",
        0xFE => "INIT",
        0x10 => "OPEN SECURE CHANNEL",
        0x11 => "MUTUALLY AUTHENTICATE",
        0x12 => "PAIR",
        0x13 => "UNPAIR",
        0x14 => "IDENTIFY CARD",
        0x20 => "VERIFY PIN",
        0x21 => "CHANGE PIN",
        0x22 => "UNBLOCK PIN",
        0x84 => "GET CHALLENGE",
        0xB0 => "READ BINARY",
        SECURED => "SECURED COMMAND",
        _ => "other",
    }
}

/// Returns the instruction of a command; 0 for one that is too short to have one.
pub(crate) fn of(command: &[u8]) -> u8 {
    command.get(1).copied().unwrap_or_default()
}
