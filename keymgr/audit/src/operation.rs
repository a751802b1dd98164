//! The operations that need a record before a card is asked: all that make, load, export, use or change keys, or change
//! who may use them.

use std::fmt;

use proto::{Digest, ExportPath, Fingerprint, KeyPath, KeyPlace};
use serde::{Deserialize, Serialize};

use crate::head::STATEMENT_PATH;
use crate::text::{self, Blob};

/// What a card is asked to do: a closed list. It displays as what follows "asks the card".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// INIT: PIN and PUK are set.
    Init,
    /// LOAD KEY, P1 = 03: a seed that the host has seen goes in.
    LoadKey,
    /// LOAD KEY, P1 = 01: a private key without a chain code, which the host has seen, goes in.
    LoadKeyPair,
    /// LOAD KEY, P1 = 02: a private key and its chain code, which the host has seen, go in.
    LoadExtendedKey,
    /// LOAD KEY, P1 = 04: a LEE seed that the host has seen goes in.
    LoadLeeSeed,
    /// GENERATE KEY: the card draws its own.
    GenerateKey,
    /// GENERATE MNEMONIC: this many words, drawn by the card and kept nowhere, come out.
    GenerateMnemonic(u8),
    /// REMOVE KEY: the card forgets its key.
    RemoveKey,
    /// DERIVE KEY: another key is the current one.
    DeriveKey(#[serde(with = "text::shown")] KeyPlace),
    /// SET PINLESS PATH: whoever has the card signs with this key without a PIN.
    SetPinlessPath(#[serde(with = "text::shown")] KeyPath),
    /// SET PINLESS PATH without a path: nothing is signed without a PIN.
    ClearPinlessPath,
    /// EXPORT KEY, P2 = 00: a private key comes out.
    ExportPrivate(#[serde(with = "text::export_path")] ExportPath),
    /// EXPORT KEY, P2 = 01: a public key comes out.
    ExportPublic(#[serde(with = "text::shown")] KeyPath),
    /// EXPORT KEY, P2 = 02: a public key and its chain code come out.
    ExportExtendedPublic(#[serde(with = "text::shown")] KeyPath),
    /// EXPORT LEE: a nullifier key and a viewing key, both secret, come out.
    ExportLee(#[serde(with = "text::shown")] KeyPath),
    /// EXPORT BIP85: secret bytes that follow from a private key come out.
    ExportBip85(Bip85),
    /// SIGN: a signature comes out.
    Sign(Signing),
    /// SIGN of the Cash applet: a signature by the key of that applet comes out.
    CashSign(#[serde(with = "text::hex_fixed")] Digest),
    /// ECDH: a secret shared with another key comes out.
    Ecdh(Agreement),
    /// CHANGE PIN, P1 = 00.
    ChangePin,
    /// CHANGE PIN, P1 = 01.
    ChangePuk,
    /// CHANGE PIN, P1 = 02: later pairings need another secret.
    ChangePairingSecret,
    /// UNBLOCK PIN: the PUK sets a new PIN.
    UnblockPin,
    /// PAIR: a host may open channels from then on.
    Pair,
    /// UNPAIR of this slot: a host may open no more channels.
    Unpair(u8),
    /// STORE DATA into this slot.
    StoreData(DataSlot),
    /// FACTORY RESET: everything is erased.
    FactoryReset,
    /// DELETE, LOAD and INSTALL: the applets of a package, and all that they hold, are replaced by those of a file.
    InstallApplet(LoadFile),
    /// STORE DATA of the Ident applet: an identity key that the host has drawn, and its certificate, go in.
    Personalise(#[serde(with = "text::hex_fixed")] [u8; 33]),
}

/// A package of applets, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadFile {
    /// The package's application identifier.
    pub package: Blob<16>,
    /// SHA-256 of what is loaded.
    #[serde(with = "text::hex_fixed")]
    pub sha256: Digest,
}

/// What a card is asked to sign, with which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Where the key is.
    #[serde(with = "text::shown")]
    pub key: KeyPlace,
    /// Whether that key is the card's current one afterwards.
    pub makes_current: bool,
    /// The kind of signature.
    pub scheme: Scheme,
    /// The hash that is signed; of what, the card cannot know.
    #[serde(with = "text::hex_fixed")]
    pub digest: Digest,
}

/// The kind of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// ECDSA over secp256k1.
    Ecdsa,
    /// BIP-340.
    Schnorr,
    /// BIP-340 with a key to which a tweak is added. The tweak is not recorded.
    TweakedSchnorr,
}

/// Secret bytes that follow from the private key at a path of BIP-85.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bip85 {
    /// The path.
    #[serde(with = "text::shown")]
    pub path: KeyPath,
    /// How many bytes come out.
    pub bytes: u8,
}

/// The two keys that agree on a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// The path of the card's key.
    #[serde(with = "text::shown")]
    pub path: KeyPath,
    /// Of the other public key.
    #[serde(with = "text::shown")]
    pub peer: Fingerprint,
}

/// One of the three public memories of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSlot {
    /// For any program; Status keeps its metadata here.
    Public,
    /// What a phone reads when it touches the card.
    Ndef,
    /// What the Cash applet shows when it is selected.
    Cash,
}

impl Operation {
    /// Returns whether the card is the same afterwards, so that when it refuses, nothing happened.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        match self {
            Self::Sign(Signing { makes_current, .. }) => !*makes_current,
            Self::GenerateMnemonic(_)
            | Self::ExportPrivate(_)
            | Self::ExportPublic(_)
            | Self::ExportExtendedPublic(_)
            | Self::ExportLee(_)
            | Self::ExportBip85(_)
            | Self::CashSign(_)
            | Self::Ecdh(_) => true,
            Self::Init
            | Self::LoadKey
            | Self::LoadKeyPair
            | Self::LoadExtendedKey
            | Self::LoadLeeSeed
            | Self::GenerateKey
            | Self::RemoveKey
            | Self::DeriveKey(_)
            | Self::SetPinlessPath(_)
            | Self::ClearPinlessPath
            | Self::ChangePin
            | Self::ChangePuk
            | Self::ChangePairingSecret
            | Self::UnblockPin
            | Self::Pair
            | Self::Unpair(_)
            | Self::StoreData(_)
            | Self::FactoryReset
            | Self::InstallApplet(_)
            | Self::Personalise(_) => false,
        }
    }
}

impl Operation {
    /// Returns whether the key at [`STATEMENT_PATH`] is to sign.
    pub(crate) fn is_statement(&self) -> bool {
        let Self::Sign(Signing { key, .. }) = self else { return false };
        key.absolute().is_some_and(|path| path.to_string() == STATEMENT_PATH)
    }

    /// Returns what comes out of the card that says something of a key.
    #[must_use]
    pub const fn gives(&self) -> Given<'_> {
        match self {
            Self::ExportPrivate(path) => Given::Private(path.as_path()),
            Self::ExportPublic(path) => Given::Public(path),
            Self::ExportExtendedPublic(path) => Given::ExtendedPublic(path),
            Self::ExportLee(path) => Given::Lee(path),
            Self::ExportBip85(Bip85 { path, .. }) => Given::Bip85(path),
            Self::Sign(Signing { key, .. }) => Given::Signature(key),
            Self::Ecdh(Agreement { path, .. }) => Given::Agreement(path),
            Self::Init
            | Self::LoadKey
            | Self::LoadKeyPair
            | Self::LoadExtendedKey
            | Self::LoadLeeSeed
            | Self::GenerateKey
            // The words of a mnemonic are no card's key yet.
            | Self::GenerateMnemonic(_)
            | Self::RemoveKey
            | Self::DeriveKey(_)
            | Self::SetPinlessPath(_)
            | Self::ClearPinlessPath
            // The key of the Cash applet stands in no tree.
            | Self::CashSign(_)
            | Self::ChangePin
            | Self::ChangePuk
            | Self::ChangePairingSecret
            | Self::UnblockPin
            | Self::Pair
            | Self::Unpair(_)
            | Self::StoreData(_)
            | Self::FactoryReset
            | Self::InstallApplet(_)
            | Self::Personalise(_) => Given::Nothing,
        }
    }

    /// Returns the place of the key that it concerns, if it concerns one.
    #[must_use]
    pub fn place(&self) -> Option<KeyPlace> {
        match (self, self.gives()) {
            (Self::DeriveKey(place), _) | (_, Given::Signature(place)) => Some(place.clone()),
            (Self::SetPinlessPath(path), _)
            | (_, Given::Private(path) | Given::Public(path) | Given::ExtendedPublic(path))
            | (_, Given::Lee(path) | Given::Bip85(path) | Given::Agreement(path)) => Some(path.clone().into()),
            (_, Given::Nothing) => None,
        }
    }
}

/// What comes out of a card of which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// Nothing of a key in the card's tree.
    Nothing,
    /// The private key.
    Private(&'a KeyPath),
    /// The public key.
    Public(&'a KeyPath),
    /// The public key and a chain code: its own, but for `m` on 3.1 and 3.2.
    ExtendedPublic(&'a KeyPath),
    /// Two secrets that follow from the LEE key.
    Lee(&'a KeyPath),
    /// Secret bytes that follow from the private key.
    Bip85(&'a KeyPath),
    /// A signature, with the public key of the signer.
    Signature(&'a KeyPlace),
    /// A secret shared with another key.
    Agreement(&'a KeyPath),
}

/// Follows "asks the card".
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "to take PIN and PUK",
            Self::LoadKey => "to take a seed",
            Self::LoadKeyPair => "to take a key without a chain code",
            Self::LoadExtendedKey => "to take a key and its chain code",
            Self::LoadLeeSeed => "to take a LEE seed",
            Self::GenerateKey => "to generate a key",
            Self::GenerateMnemonic(words) => return write!(f, "for {words} words of a new seed"),
            Self::RemoveKey => "to forget its key",
            Self::DeriveKey(place) => return write!(f, "to make {place} its current key"),
            Self::SetPinlessPath(path) => return write!(f, "to sign with {path} without a PIN"),
            Self::ClearPinlessPath => "to sign nothing without a PIN",
            Self::ExportPrivate(path) => return write!(f, "for the private key of {path}"),
            Self::ExportPublic(path) => return write!(f, "for the public key of {path}"),
            Self::ExportExtendedPublic(path) => return write!(f, "for the extended public key of {path}"),
            Self::ExportLee(path) => return write!(f, "for the LEE nullifier and viewing keys of {path}"),
            Self::ExportBip85(Bip85 { path, bytes }) => {
                return write!(f, "for {bytes} bytes of BIP-85 entropy of {path}");
            }
            Self::Sign(signing) => return signing.fmt(f),
            Self::CashSign(digest) => return write!(f, "to sign {digest} with the key of its Cash applet"),
            Self::Ecdh(Agreement { path, peer }) => {
                return write!(f, "for the secret that {path} shares with the key {peer}");
            }
            Self::ChangePin => "to take a new PIN",
            Self::ChangePuk => "to take a new PUK",
            Self::ChangePairingSecret => "to take a new pairing secret",
            Self::UnblockPin => "to take a new PIN on the word of the PUK",
            Self::Pair => "for a pairing",
            Self::Unpair(slot) => return write!(f, "to forget the pairing of slot {slot}"),
            Self::StoreData(slot) => return write!(f, "to store data in its {slot} slot"),
            Self::FactoryReset => "to erase everything",
            Self::InstallApplet(LoadFile { package, sha256 }) => {
                return write!(f, "to replace the package {package} by the file {sha256}");
            }
            Self::Personalise(identity) => return write!(f, "to take the identity key {}", hex::encode(identity)),
        })
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, makes_current, scheme, digest } = self;
        write!(f, "to sign {digest} with {key} ({scheme})")?;
        f.write_str(if *makes_current { ", which becomes its current key" } else { "" })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ECDSA",
            Self::Schnorr => "Schnorr",
            Self::TweakedSchnorr => "Schnorr, tweaked",
        })
    }
}

impl fmt::Display for DataSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Ndef => "NDEF",
            Self::Cash => "cash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing(makes_current: bool) -> Signing {
        let key = "current/1".parse().unwrap();
        Signing { key, makes_current, scheme: Scheme::Ecdsa, digest: Digest::from([0xab; 32]) }
    }

    /// The form in a log, which old logs need for ever, and the sentence.
    #[test]
    fn every_operation_is_written_read_and_told() {
        let path: KeyPath = "m/44'/60'".parse().unwrap();
        let peer: Fingerprint = "0001-0203-0405-06ff".parse().unwrap();
        let ab = "ab".repeat(32);
        let signed =
            format!(r#"{{"sign":{{"key":"current/1","makes_current":true,"scheme":"ecdsa","digest":"{ab}"}}}}"#);
        let told = format!("to sign {ab} with current/1 (ECDSA), which becomes its current key");
        let cash = (format!(r#"{{"cash_sign":"{ab}"}}"#), format!("to sign {ab} with the key of its Cash applet"));
        let file = LoadFile { package: Blob::try_from(&[0xa0, 1][..]).unwrap(), sha256: Digest::from([0xab; 32]) };
        let install = (
            format!(r#"{{"install_applet":{{"package":"a001","sha256":"{ab}"}}}}"#),
            format!("to replace the package a001 by the file {ab}"),
        );
        let personalise = (format!(r#"{{"personalise":"{ab}ab"}}"#), format!("to take the identity key {ab}ab"));
        for (operation, form, sentence) in [
            (Operation::Init, r#""init""#, "to take PIN and PUK"),
            (Operation::LoadKey, r#""load_key""#, "to take a seed"),
            (Operation::LoadKeyPair, r#""load_key_pair""#, "to take a key without a chain code"),
            (Operation::LoadExtendedKey, r#""load_extended_key""#, "to take a key and its chain code"),
            (Operation::LoadLeeSeed, r#""load_lee_seed""#, "to take a LEE seed"),
            (Operation::GenerateKey, r#""generate_key""#, "to generate a key"),
            (Operation::GenerateMnemonic(24), r#"{"generate_mnemonic":24}"#, "for 24 words of a new seed"),
            (Operation::RemoveKey, r#""remove_key""#, "to forget its key"),
            (
                Operation::DeriveKey("parent/7".parse().unwrap()),
                r#"{"derive_key":"parent/7"}"#,
                "to make parent/7 its current key",
            ),
            (
                Operation::SetPinlessPath(path.clone()),
                r#"{"set_pinless_path":"m/44'/60'"}"#,
                "to sign with m/44'/60' without a PIN",
            ),
            (Operation::ClearPinlessPath, r#""clear_pinless_path""#, "to sign nothing without a PIN"),
            (
                Operation::ExportLee(path.clone()),
                r#"{"export_lee":"m/44'/60'"}"#,
                "for the LEE nullifier and viewing keys of m/44'/60'",
            ),
            (
                Operation::ExportBip85(Bip85 { path: path.clone(), bytes: 64 }),
                r#"{"export_bip85":{"path":"m/44'/60'","bytes":64}}"#,
                "for 64 bytes of BIP-85 entropy of m/44'/60'",
            ),
            (Operation::Sign(signing(true)), &signed, &told),
            (Operation::CashSign(Digest::from([0xab; 32])), &cash.0, &cash.1),
            (
                Operation::Ecdh(Agreement { path, peer }),
                r#"{"ecdh":{"path":"m/44'/60'","peer":"0001-0203-0405-06ff"}}"#,
                "for the secret that m/44'/60' shares with the key 0001-0203-0405-06ff",
            ),
            (Operation::ChangePin, r#""change_pin""#, "to take a new PIN"),
            (Operation::ChangePuk, r#""change_puk""#, "to take a new PUK"),
            (Operation::ChangePairingSecret, r#""change_pairing_secret""#, "to take a new pairing secret"),
            (Operation::UnblockPin, r#""unblock_pin""#, "to take a new PIN on the word of the PUK"),
            (Operation::Pair, r#""pair""#, "for a pairing"),
            (Operation::Unpair(255), r#"{"unpair":255}"#, "to forget the pairing of slot 255"),
            (Operation::StoreData(DataSlot::Ndef), r#"{"store_data":"ndef"}"#, "to store data in its NDEF slot"),
            (Operation::FactoryReset, r#""factory_reset""#, "to erase everything"),
            (Operation::InstallApplet(file), &install.0, &install.1),
            (Operation::Personalise([0xab; 33]), &personalise.0, &personalise.1),
        ] {
            assert_eq!(serde_json::to_string(&operation).unwrap(), form);
            assert_eq!(serde_json::from_str::<Operation>(form).unwrap(), operation);
            assert_eq!(operation.to_string(), sentence);
        }
    }

    #[test]
    fn signing_only_reads_unless_it_moves_the_current_key() {
        assert!(Operation::Sign(signing(false)).only_reads());
        assert!(!Operation::Sign(signing(true)).only_reads());
        assert!(!Operation::UnblockPin.only_reads());
    }
}
