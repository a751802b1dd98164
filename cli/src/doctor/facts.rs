//! What was seen, before anybody decides what it means.

use serde::Deserialize;

/// Everything that the decision needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// pcscd.
    pub(crate) service: ServiceFact,
    /// Card readers on the USB bus.
    pub(crate) usb: Vec<UsbFact>,
    /// What the key manager sees.
    pub(crate) view: View,
    /// Who has a connection to pcscd, ourselves not.
    pub(crate) clients: Vec<ClientFact>,
    /// The user who asks.
    pub(crate) user: String,
    /// The key managers that run.
    pub(crate) managers: Vec<ManagerFact>,
}

/// pcscd, as files and processes show it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceFact {
    /// Its program is there.
    pub(crate) installed: bool,
    /// Its socket's path.
    pub(crate) path: String,
    /// What its socket does.
    pub(crate) socket: SocketFact,
    /// systemd runs this computer and knows pcscd.
    pub(crate) unit: bool,
}

/// What a socket does when somebody connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SocketFact {
    /// It is not there.
    #[default]
    Absent,
    /// Nobody listens.
    Dead,
    /// The file system does not let us.
    Denied,
    /// Somebody listens.
    Alive,
}

/// A card reader on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsbFact {
    /// What it calls itself.
    pub(crate) name: String,
    /// Vendor and product, as `lsusb` prints them.
    pub(crate) id: String,
    /// The package with its driver.
    pub(crate) package: &'static str,
    /// A driver for it is there.
    pub(crate) driver: bool,
    /// pcscd may open its device; nothing when that cannot be told.
    pub(crate) open: Option<bool>,
}

/// A program with a connection to pcscd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFact {
    /// Its process.
    pub(crate) pid: u32,
    /// Its name.
    pub(crate) name: String,
}

/// A key manager that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagerFact {
    /// Its profile.
    pub(crate) profile: String,
    /// Its reader.
    pub(crate) reader: String,
    /// Its process.
    pub(crate) pid: u32,
}

impl ManagerFact {
    /// Returns whether its card is a software card, which it has had since it began.
    pub(crate) fn has_soft_card(&self) -> bool {
        self.reader.starts_with("soft:")
    }
}

/// What `cardinal-keymgr probe` prints.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct View {
    /// The readers.
    pub(crate) readers: Vec<ReaderFact>,
    /// Why there is no list of them, as the name of a cause.
    pub(crate) fault: String,
    /// The same in words.
    pub(crate) trouble: String,
}

/// A reader, as the key manager sees it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ReaderFact {
    /// Its name, as `--reader` takes it.
    pub(crate) name: String,
    /// empty, card, mute, shared, held, ours or hung.
    pub(crate) state: String,
    /// Hexadecimal.
    pub(crate) atr: String,
    /// The Keycard in it.
    pub(crate) card: Option<CardFact>,
    /// What is wrong with the card, as the name of a cause.
    pub(crate) fault: String,
    /// The same in words.
    pub(crate) trouble: String,
    /// The PIN tries, where the card tells them to everybody.
    pub(crate) pin_tries: Option<u32>,
}

/// A Keycard, as it calls itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct CardFact {
    /// Its id.
    pub(crate) card: String,
    /// Its applet's version, if it says so.
    pub(crate) applet: String,
    /// Its account.
    pub(crate) key_uid: String,
    /// It has a PIN.
    pub(crate) initialised: bool,
}
