//! One manager's folder with a software card in its reader, and what its owner does there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::DataSlot;
use keycard::Mnemonic;
use proto::shell::{dice, file};
use proto::{ChatKey, ExportPath, KeyPath, Pin, Puk, purpose};
use readers::Readers;
use softcard::Model;
use zeroize::Zeroizing;

use super::DrillError;
use super::clock::LentClock;
use crate::broker::Broker;
use crate::caller::ourselves;
use crate::cards::access::Access;
use crate::cards::init::Initialising;
use crate::cards::key::Source;
use crate::cards::known::Duress;
use crate::cards::label::Remember;
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::daemon::{self, Config};
use crate::error::BrokerError;
use crate::files;
use crate::journal::Why;
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::reader::{AnyReader, ReaderName, SoftName, SoftReader};
use crate::store::FileStore;
use crate::trusted::Trusted;
use crate::unlock::Unlocking;

/// A manager in this process.
pub(super) type Manager = Broker<AnyReader, FileStore>;

/// A manager's folder, which no manager holds between two sessions.
pub(super) struct Site {
    dir: PathBuf,
    card: SoftName,
    /// The card's duress PIN, where its applet has one.
    duress: Option<&'static [u8]>,
    clock: LentClock,
    /// At how many bytes the log goes on in another file.
    longest_log: u64,
}

impl Site {
    /// Makes a folder with a blank card in it.
    pub(super) fn with_blank_card(dir: PathBuf, model: Model, clock: LentClock) -> Result<Self, DrillError> {
        let site = Self::without_card(dir, clock)?;
        SoftReader::create(&site.card, model, &site.dir)?;
        let duress = (model != Model::V3_0).then_some(DURESS);
        Ok(Self { duress, ..site })
    }

    /// Makes a folder for a card that is brought there.
    pub(super) fn without_card(dir: PathBuf, clock: LentClock) -> Result<Self, DrillError> {
        files::make_private_dir(&dir)?;
        files::make_private_dir(&dir.join("cards"))?;
        files::write_whole(&dir.join("manifest.toml"), b"")?;
        let card = "card".parse().map_err(|_| BrokerError::bad_input("no name of a card"))?;
        Ok(Self { dir, card, duress: None, clock, longest_log: u64::MAX })
    }

    /// Lets the log go on in another file when one is so long.
    pub(super) fn with_short_files(self) -> Self {
        Self { longest_log: SHORT, ..self }
    }

    /// Returns the computer's clock.
    pub(super) const fn clock(&self) -> &LentClock {
        &self.clock
    }

    /// Returns the file of the log.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("export.log")
    }

    /// Returns the card's file.
    pub(super) fn card(&self) -> PathBuf {
        self.card.path(&self.dir)
    }

    /// Starts a manager, lets it work, and stops it.
    pub(super) fn session(&self, work: impl FnOnce(&mut Manager) -> Result<(), BrokerError>) -> Result<(), DrillError> {
        let config = Config {
            dir: self.dir.clone(),
            socket: self.dir.join("none.sock"),
            reader: ReaderName::Soft(self.card.clone()),
            manifest: self.dir.join("manifest.toml"),
            trusted: Trusted { test_authority: true, ..Trusted::default() },
            pin_lifetime: None,
            mirror: Some(DataSlot::Public),
            longest_log: self.longest_log,
            metrics: Metrics::default(),
        };
        let profile = Profile::hold(&self.dir)?;
        let mut manager = daemon::broker(&config, &profile, &Readers::default(), self.clock.started())?;
        manager.announce(None)?;
        work(&mut manager)?;
        manager.lock();
        manager.settle();
        Ok(())
    }

    /// Initialises the card, gives it a key, and uses it for a day.
    pub(super) fn begin(&self) -> Result<(), DrillError> {
        self.session(|manager| {
            let confirm = manager.describe(&Target::default())?.fingerprint;
            let contact = Contact { confirm: Some(confirm), first_pairing: false };
            manager.card_init(
                Initialising {
                    target: Target::default(),
                    contact,
                    pin: pin(PIN)?,
                    puk: Puk::try_from(PUK).map_err(|_| BrokerError::bad_input("no PUK"))?,
                    duress: self.duress.map(pin).transpose()?,
                    tries: (0, 0),
                    pairing_password: Some(Zeroizing::new(PASSWORD.to_owned())),
                },
                &why("card init")?,
            )?;
            let words = Mnemonic::generate(12, &mut dice()).map_err(|_| BrokerError::bad_input("no words"))?;
            let access = Access {
                target: Target::default(),
                contact: Contact::default(),
                pin: Some(pin(PIN)?),
                last_try: false,
            };
            manager.card_load_key(access, Source::Words(words, Zeroizing::default()), &why("card key")?)?;
            Ok(())
        })?;
        self.day()
    }

    /// Takes a card that was initialised elsewhere.
    pub(super) fn adopt(&self) -> Result<(), DrillError> {
        self.session(|manager| {
            let confirm = manager.describe(&Target::default())?.fingerprint;
            let contact = Contact { confirm: Some(confirm), first_pairing: false };
            let label = Remember::Label(Some("found".to_owned()));
            manager.remember(&Target::default(), &contact, label, &why("settings")?).map(drop)
        })?;
        self.day()
    }

    /// A day like any other: the owner unlocks the card, a node gets its keys, something is refused.
    pub(super) fn day(&self) -> Result<(), DrillError> {
        self.day_with(PIN)
    }

    /// A day on which the owner is forced to enter the other PIN, and has it told.
    pub(super) fn day_under_duress(&self) -> Result<(), DrillError> {
        self.session(|manager| {
            let told = Remember::Duress(Duress::DecoyMarked);
            manager.remember(&Target::default(), &Contact::default(), told, &why("settings")?).map(drop)
        })?;
        self.day_with(DURESS)
    }

    fn day_with(&self, digits: &[u8]) -> Result<(), DrillError> {
        self.session(|manager| {
            unlock(manager, digits)?;
            self.clock.pass(Duration::from_secs(5));
            let caller = one_time_key()?;
            let chat = ExportPath::chat().as_path().clone();
            manager.export_private(chat, &caller, &why(purpose::CHAT)?)?;
            manager.settle();
            let database = ExportPath::database().as_path().clone();
            manager.export_private(database, &caller, &why(purpose::DATABASE)?)?;
            manager.settle();
            let wallet: KeyPath = WALLET.parse().map_err(|_| BrokerError::bad_input("no path"))?;
            if manager.export_private(wallet, &caller, &why(purpose::CHAT)?).is_ok() {
                return Err(BrokerError::bad_input("a wallet's key left the card"));
            }
            self.clock.pass(Duration::from_secs(8 * 3600));
            manager.lock();
            Ok(())
        })?;
        self.clock.pass(Duration::from_secs(16 * 3600));
        Ok(())
    }

    /// Copies the log to another name in the same folder.
    pub(super) fn keep_copy(&self, name: &str) -> Result<(), DrillError> {
        copy(&self.log(), &self.dir.join(name))
    }
}

/// Unlocks the card. Its owner goes on also where it speaks of another log: what that means is the verifier's to say.
fn unlock(manager: &mut Manager, digits: &[u8]) -> Result<(), BrokerError> {
    let unlock = |manager: &mut Manager| manager.unlock(Unlocking::with(pin(digits)?), &why("unlock")?);
    match unlock(manager) {
        Err(BrokerError::SecondWriter { .. }) => {
            manager.adopt(&Target::default(), &why("audit adopt")?)?;
            unlock(manager).map(drop)
        }
        other => other.map(drop),
    }
}

/// Copies one file.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), DrillError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DrillError::File { path, source }
    };
    let bytes = std::fs::read(from).map_err(failed(from))?;
    file::write_whole(to, &bytes).map_err(failed(to))
}

fn pin(digits: &[u8]) -> Result<Pin, BrokerError> {
    Pin::try_from(digits).map_err(|_| BrokerError::bad_input("no PIN"))
}

fn why(purpose: &str) -> Result<Why, BrokerError> {
    let purpose = purpose.parse().map_err(|_| BrokerError::bad_input("no purpose"))?;
    Ok(Why::new(ourselves(), purpose))
}

/// A caller's one-time key; nobody opens what is sealed to it.
fn one_time_key() -> Result<ChatKey, BrokerError> {
    let key = proto::rpc::SealingKey::generate(&mut dice());
    ChatKey::try_from(key.public().as_slice()).map_err(|_| BrokerError::bad_input("no key"))
}

// The secrets of cards that live as long as the drill.
const PIN: &[u8] = b"493817";
const DURESS: &[u8] = b"314159";
const PUK: &[u8] = b"201938475601";
const PASSWORD: &str = "only for the drill";
/// About a day of a log.
const SHORT: u64 = 8 * 1024;
/// What no policy of a drill allows.
const WALLET: &str = "m/44'/60'/0'/0/0";
