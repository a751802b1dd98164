//! What the security domain keeps: its keys, how often they were guessed wrong, and what is loaded and installed.

use proto::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::des::{Block, DoubleKey};
use crate::file::hexadecimal;
use crate::model::Model;

/// The state of the security domain.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Domain {
    /// What names the chip among those of its maker.
    #[serde(with = "hexadecimal::plain")]
    pub(super) chip: [u8; 10],
    pub(super) key_version: u8,
    #[serde(with = "hexadecimal")]
    pub(super) encryption: Secret<16>,
    #[serde(with = "hexadecimal")]
    pub(super) mac: Secret<16>,
    #[serde(with = "hexadecimal")]
    pub(super) data: Secret<16>,
    /// Counts the sessions.
    pub(super) sequence: u16,
    /// Counts the wrong proofs since the last right one.
    pub(super) failures: u8,
    pub(super) packages: Vec<Package>,
}

/// A package that is loaded.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Package {
    pub(super) name: PackageName,
    /// The packages that it builds upon.
    pub(super) imports: Vec<PackageName>,
    /// The applets in it.
    pub(super) applets: Vec<AppletName>,
    /// Those of which there is an instance, in the order of their installation.
    pub(super) instances: Vec<AppletName>,
}

/// The packages of which the card knows what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PackageName {
    Math,
    Keycard,
}

/// The applets of the Keycard package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AppletName {
    Keycard,
    Ndef,
    Cash,
    Ident,
}

impl Domain {
    /// Returns the security domain of a card as it comes from a Keycard factory: all applets installed, and the key of
    /// Keycard's developers. `chip` is hashed to a name.
    pub(crate) fn factory(model: Model, chip: &[u8]) -> Self {
        let applets: Vec<_> = AppletName::ALL.into_iter().filter(|applet| applet.is_in(model)).collect();
        let mut packages = Vec::new();
        let mut imports = Vec::new();
        if model == Model::V4_0 {
            let name = PackageName::Math;
            packages.push(Package { name, imports: Vec::new(), applets: Vec::new(), instances: Vec::new() });
            imports.push(name);
        }
        packages.push(Package { name: PackageName::Keycard, imports, instances: applets.clone(), applets });
        Self::with(DEVELOPMENT, chip, packages)
    }

    /// Returns the security domain of a Java Card that nobody has put anything on.
    pub(crate) fn bare(chip: &[u8]) -> Self {
        Self::with(DEFAULT, chip, Vec::new())
    }

    fn with(key: [u8; 16], chip: &[u8], packages: Vec<Package>) -> Self {
        let key = || Secret::fill(|room| *room = key);
        let mut name = [0; 10];
        for (to, from) in name.iter_mut().zip(Sha256::digest([b"chip", chip].concat())) {
            *to = from;
        }
        Self {
            chip: name,
            key_version: FIRST_VERSION,
            encryption: key(),
            mac: key(),
            data: key(),
            sequence: 0,
            failures: 0,
            packages,
        }
    }

    /// Returns the instances, in the order of their installation.
    pub(crate) fn instances(&self) -> impl Iterator<Item = AppletName> {
        self.packages.iter().flat_map(|package| package.instances.iter().copied())
    }

    pub(super) fn is_locked(&self) -> bool {
        self.failures >= MAX_FAILURES
    }

    pub(super) fn package(&self, name: PackageName) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    pub(crate) fn is_sound(&self, model: Model) -> bool {
        let once = |name| self.packages.iter().filter(|package| package.name == name).count() <= 1;
        let packages = self.packages.iter().all(|package| {
            let built_upon = package.imports.iter().all(|name| self.package(*name).is_some());
            let known = package.applets.iter().all(|applet| applet.is_in(model));
            let named = package.name == PackageName::Keycard || package.applets.is_empty();
            let installed = package.instances.iter().all(|applet| package.applets.contains(applet));
            let twice = |applet: &AppletName| package.instances.iter().filter(|it| *it == applet).count() > 1;
            built_upon && known && named && installed && !package.instances.iter().any(twice)
        });
        packages && once(PackageName::Math) && once(PackageName::Keycard)
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            chip: self.chip,
            key_version: self.key_version,
            encryption: copy(&self.encryption),
            mac: copy(&self.mac),
            data: copy(&self.data),
            sequence: self.sequence,
            failures: self.failures,
            packages: self.packages.clone(),
        }
    }
}

impl PackageName {
    pub(super) const ALL: [Self; 2] = [Self::Math, Self::Keycard];

    pub(super) fn aid(self) -> &'static [u8] {
        match self {
            Self::Math => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x02],
            Self::Keycard => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01],
        }
    }

    pub(super) fn of(aid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.aid() == aid)
    }
}

impl AppletName {
    pub(crate) const ALL: [Self; 4] = [Self::Keycard, Self::Ndef, Self::Cash, Self::Ident];

    /// Returns the name of the applet in its package.
    pub(super) fn class(self) -> &'static [u8] {
        match self {
            Self::Keycard => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01],
            Self::Ndef => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x02],
            Self::Cash => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x03],
            Self::Ident => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x04],
        }
    }

    /// Returns the name under which it is selected: that of its first instance; of NDEF, the one of the NFC Forum.
    pub(crate) fn instance(self) -> &'static [u8] {
        match self {
            Self::Keycard => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01],
            Self::Ndef => &[0xd2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01],
            Self::Cash => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x03, 0x01],
            Self::Ident => &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x04, 0x01],
        }
    }

    /// Returns whether the release of the applet has it.
    pub(super) fn is_in(self, model: Model) -> bool {
        match self {
            Self::Keycard | Self::Ndef => true,
            Self::Cash => model.has_data(),
            Self::Ident => model.has_identity(),
        }
    }
}

/// Returns the first three bytes of a block of zeros under the key: they show that a key has arrived whole.
pub(super) fn check_value(key: &Secret<16>) -> [u8; 3] {
    let [a, b, c, ..] = DoubleKey::new(key).encrypt(Block::default());
    [a, b, c]
}

fn copy(key: &Secret<16>) -> Secret<16> {
    Secret::fill(|room| *room = *key.expose())
}

/// How many wrong proofs in a row lock the security domain for good. Real cards take about as many.
pub(crate) const MAX_FAILURES: u8 = 10;
/// The version of a key that was never replaced (GlobalPlatform Card Specification 2.1.1, section 4.3.2.1).
const FIRST_VERSION: u8 = 0xff;
/// The key with which Java Cards are sold.
const DEFAULT: [u8; 16] =
    [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f];
/// The key that Keycard's developers put in its place. Cards on sale have keys that nobody knows.
const DEVELOPMENT: [u8; 16] =
    [0xc2, 0x12, 0xe0, 0x73, 0xff, 0x8b, 0x4b, 0xbf, 0xaf, 0xf4, 0xde, 0x8a, 0xb6, 0x55, 0x22, 0x1f];
