//! The closed list: every command that `keycard` can send is classified here, and of those that can carry a secret or change
//! who may use one, none reaches a card without an intent of its own on disk.
//!
//! The reader of all tests of this package looks at the log at each command ([`is_recorded`]), so each of them holds the
//! manager to it. The test below sends every one of them by the public verbs.

use std::collections::BTreeSet;
use std::path::Path;

use audit::{Event, Intent, Line, Operation};
use keycard::{ExtendedSecret, Seed};
use proto::{Digest, Secret};
use softcard::Model;
use zeroize::Zeroizing;

use super::*;
use crate::cards::access::Access;
use crate::cards::change::{Change, Unblocking};
use crate::cards::init::Initialising;
use crate::cards::key::Source;
use crate::cards::pair::{Pairing, Which};
use crate::cards::seat::Target;
use crate::cards::slot::Content;
use crate::cards::uses::Signing;
use crate::cards::vouch::Contact;

/// What a command is.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// It can carry a secret or change who may use one: recorded, and by such an operation.
    Recorded(fn(&Operation) -> bool),
    /// It can do neither. The reason is for readers.
    Harmless(&'static str),
}

use Class::{Harmless, Recorded};

/// Class byte, instruction, and what that is. In the order of the instructions.
const COMMANDS: &[(u8, u8, Class)] = &[
    (0x80, 0x10, Harmless("OPEN SECURE CHANNEL: one-time keys")),
    (0x80, 0x11, Harmless("MUTUALLY AUTHENTICATE: a challenge")),
    (0x80, 0x12, Recorded(|it| matches!(it, Operation::Pair))),
    (0x80, 0x13, Recorded(|it| matches!(it, Operation::Unpair(_)))),
    (0x80, 0x14, Harmless("IDENTIFY CARD: a signature over a challenge of ours")),
    (0x80, 0x18, Harmless("what is inside is looked at")),
    (0x80, 0x20, Harmless("VERIFY PIN: a wrong one is a refusal in the log, a right one the exports that follow it")),
    (
        0x80,
        0x21,
        Recorded(|it| matches!(it, Operation::ChangePin | Operation::ChangePuk | Operation::ChangePairingSecret)),
    ),
    (0x80, 0x22, Recorded(|it| matches!(it, Operation::UnblockPin))),
    (0x80, 0x50, Harmless("INITIALIZE UPDATE: a challenge")),
    (0x80, 0x82, Harmless("EXTERNAL AUTHENTICATE: the answer to one")),
    (0x80, 0x84, Harmless("GET CHALLENGE: random bytes of no key")),
    (0x00, 0xA4, Harmless("SELECT")),
    (0x00, 0xB0, Harmless("READ BINARY: what a phone may read")),
    (0x00, 0xC0, Harmless("GET RESPONSE: the rest of an answer")),
    (0x80, 0xC0, Recorded(|it| matches!(it, Operation::Sign(_) | Operation::CashSign(_)))),
    (0x80, 0xC1, Recorded(|it| matches!(it, Operation::SetPinlessPath(_) | Operation::ClearPinlessPath))),
    (0x80, 0xC2, Recorded(exports)),
    (0x80, 0xC3, Recorded(|it| matches!(it, Operation::ExportLee(_)))),
    (0x80, 0xC4, Recorded(|it| matches!(it, Operation::ExportBip85(_)))),
    (0x80, 0xC5, Recorded(|it| matches!(it, Operation::Ecdh(_)))),
    (0x80, 0xCA, Harmless("GET DATA: what anybody may read")),
    (0x80, 0xD0, Recorded(loads)),
    (0x80, 0xD1, Recorded(|it| matches!(it, Operation::DeriveKey(_)))),
    (0x80, 0xD2, Recorded(|it| matches!(it, Operation::GenerateMnemonic(_)))),
    (0x80, 0xD3, Recorded(|it| matches!(it, Operation::RemoveKey))),
    (0x80, 0xD4, Recorded(|it| matches!(it, Operation::GenerateKey))),
    (0x80, 0xE2, Recorded(|it| matches!(it, Operation::StoreData(_) | Operation::Personalise(_)))),
    (0x80, 0xE4, Recorded(|it| matches!(it, Operation::InstallApplet(_)))),
    (0x80, 0xE6, Recorded(|it| matches!(it, Operation::InstallApplet(_)))),
    (0x80, 0xE8, Recorded(|it| matches!(it, Operation::InstallApplet(_)))),
    (0x80, 0xF2, Harmless("GET STATUS: tries, and the path of the current key")),
    (0x80, 0xFD, Recorded(|it| matches!(it, Operation::FactoryReset))),
    (0x80, 0xFE, Recorded(|it| matches!(it, Operation::Init))),
];

/// EXPORT KEY; what follows a loaded key are the public keys by which the host, which had the seed, checks the card.
fn exports(operation: &Operation) -> bool {
    loads(operation)
        || matches!(
            operation,
            Operation::ExportPrivate(_) | Operation::ExportPublic(_) | Operation::ExportExtendedPublic(_)
        )
}

fn loads(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::LoadKey | Operation::LoadKeyPair | Operation::LoadExtendedKey | Operation::LoadLeeSeed
    )
}

fn class_of(cla: u8, ins: u8) -> Option<Class> {
    // With secure messaging of GlobalPlatform or without.
    let cla = if cla == 0x84 { 0x80 } else { cla };
    COMMANDS.iter().find(|(of, at, _)| (*of, *at) == (cla, ins)).map(|(_, _, class)| *class)
}

/// Checks that a command may reach a card: an intent for such an operation is on disk, and nothing is said of its end.
pub(crate) fn is_recorded(command: &[u8], inside: Option<u8>, log: &[u8]) -> bool {
    let [cla, outside, ..] = command else { return false };
    let ins = if *outside == 0x18 { inside.unwrap_or(*outside) } else { *outside };
    let fits = match class_of(*cla, ins) {
        Some(Recorded(fits)) => fits,
        Some(Harmless(_)) => return true,
        None => panic!("the command {cla:02X} {ins:02X} is not in the closed list"),
    };
    // Of several that are one to their owner, the first is not the last.
    let lines = log.split_inclusive(|byte| *byte == b'\n').rev().take(SEVERAL).map(|line| Line::decode(line).unwrap());
    let mut ended = BTreeSet::new();
    for line in lines {
        match line.event {
            Event::Outcome { intent, .. } => drop(ended.insert(intent)),
            Event::Intent(Intent { request, .. }) if !ended.contains(&line.seq) && fits(&request.operation) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// So far back an intent stands whose command comes: a package's for each file, and a personalisation.
const SEVERAL: usize = 6;

/// The headers of commands in the source of `keycard`, tests aside.
fn commands_in_source() -> BTreeSet<(u8, u8)> {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../keycard/src"), &mut paths);
    let of_tests = ["fake", "faults", "attacks", "transcript", "tests", "surface", "hostile"];
    paths.retain(|path| {
        let name = path.to_string_lossy();
        let name = name.rsplit_once("keycard/src/").map_or(name.as_ref(), |(_, name)| name).to_owned();
        !of_tests.iter().any(|word| name.contains(word))
    });
    let mut headers = BTreeSet::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let source = text.split("#[cfg(test)]").next().unwrap();
        for (at, _) in source.match_indices("[0x") {
            let before = &source[..at];
            let sends = ["Command::new(", "Command::with_body(", "self.call(", "self.wrap("]
                .iter()
                .any(|it| before.ends_with(it));
            let header: Vec<&str> = source[at + 1..].split([',', ']']).take(2).map(str::trim).collect();
            if let ([cla, ins], true) = (header.as_slice(), sends) {
                let byte = |digits: &str| u8::from_str_radix(digits.trim_start_matches("0x"), 16).unwrap();
                headers.insert((byte(cla), byte(ins)));
            }
        }
        // A header that is not written out could be any command.
        let constructors = source.matches("Command::new(").count() + source.matches("Command::with_body(").count();
        let written = source.matches("Command::new([0x").count() + source.matches("Command::with_body([0x").count();
        let sealed = ["channel/v1.rs", "channel/v2.rs", "globalplatform/scp02.rs", "apdu.rs"];
        assert!(constructors == written || sealed.iter().any(|it| path.ends_with(it)), "{}", path.display());
    }
    headers
}

#[test]
fn every_command_that_keycard_can_send_is_in_the_closed_list() {
    let sent = commands_in_source();
    assert!(sent.len() >= 30, "{sent:?}");
    for (cla, ins) in &sent {
        assert!(
            class_of(*cla, *ins).is_some(),
            "classify {cla:02X} {ins:02X} here: can it carry a secret, or change who may use one?"
        );
    }
    for (cla, ins, class) in COMMANDS {
        assert!(!matches!(class, Harmless("")), "say why {ins:02X} is harmless");
        assert!(sent.contains(&(*cla, *ins)), "{cla:02X} {ins:02X} is sent by nobody");
    }
}

fn access(digits: &str) -> Access {
    Access { target: Target::default(), contact: Contact::default(), pin: Some(pin(digits)), last_try: false }
}

/// All that an owner can do with a card of this model, once.
fn everything(world: &World, v4: bool) {
    let mut allowed = vec![("m/44'/60'/0'/0/0", "sign"), ("m/44'/60'/0'/0/0", "pinless")];
    if v4 {
        allowed.extend([(CHAT, "ecdh"), ("m/83696968'/39'/0'/12'/0'", "bip85"), ("m/44'", "lee")]);
    }
    for (path, operation) in allowed {
        allow(world, path, operation);
    }
    let mut broker = world.broker();
    let (_, caller) = one_time();
    let x = why("x");
    let confirm = Some(broker.describe(&Target::default()).unwrap().fingerprint);
    let initialising = Initialising {
        target: Target::default(),
        contact: Contact { confirm, first_pairing: false },
        pin: pin(PIN),
        puk: Puk::try_from(PUK.as_bytes()).unwrap(),
        duress: None,
        tries: (0, 0),
        pairing_password: Some(Zeroizing::new("correct horse".to_owned())),
    };
    broker.card_init(initialising, &x).unwrap();
    let seed = || Seed::from_slice(&[7; 64]).unwrap();
    let secret = |byte| Secret::fill(|room: &mut [u8; 32]| room.fill(byte));
    for source in [
        Source::Generate,
        Source::Lee(seed()),
        Source::KeyPair(secret(3)),
        Source::Extended(ExtendedSecret { key: secret(3), chain_code: secret(4) }),
        Source::Seed(seed()),
    ] {
        match (source, v4) {
            (Source::Lee(_), false) => {}
            (source @ Source::Lee(_), true) => {
                broker.card_load_key(access(PIN), source, &x).unwrap();
                broker.card_lee(access(PIN), path("m/44'"), &caller, &x).unwrap();
            }
            (source, _) => drop(broker.card_load_key(access(PIN), source, &x).unwrap()),
        }
    }
    let hash = Digest::from([7; 32]);
    let statement = broker.state(access(PIN), &x).unwrap();
    assert!(statement.entry > 0);
    let wallet = path("m/44'/60'/0'/0/0");
    let signing = Signing { path: wallet.clone(), hash, schnorr: false, tweak: None };
    broker.card_sign(access(PIN), signing, &x).unwrap();
    if v4 {
        broker.card_ecdh(access(PIN), path(CHAT), &caller, &caller, &x).unwrap();
        broker.card_bip85(access(PIN), path("m/83696968'/39'/0'/12'/0'"), 16, &caller, &x).unwrap();
    } else {
        broker.card_pinless(access(PIN), Some(wallet), &x).unwrap();
        broker.card_pinless(access(PIN), None, &x).unwrap();
        broker.card_change(access(PIN), Change::PairingSecret(None), &x).unwrap();
    }
    let (contact, target) = (Contact::default(), Target::default());
    broker.card_mnemonic(&target, &contact, 12, &caller, &x).unwrap();
    broker.card_set_data(access(PIN), DataSlot::Ndef, Content::Bytes(vec![1]), &x).unwrap();
    broker.card_data(&target, &contact, DataSlot::Ndef).unwrap();
    broker.card_cash(&target, Some(hash), &x).unwrap();
    broker.verify_identity(&target).unwrap();
    broker.card_change(access(PIN), Change::Puk(Puk::try_from(PUK.as_bytes()).unwrap()), &x).unwrap();
    broker.card_change(access(PIN), Change::Pin(pin(PIN)), &x).unwrap();
    broker.settle();
    for _ in 0..3 {
        world.clock.pass(3600);
        let wrong = Access { last_try: true, ..access(WRONG) };
        broker.card_remove_key(wrong, &x).unwrap_err();
    }
    let unblocking = Unblocking {
        target: target.clone(),
        contact: contact.clone(),
        puk: Puk::try_from(PUK.as_bytes()).unwrap(),
        new_pin: pin(PIN),
        last_try: false,
    };
    broker.card_unblock(unblocking, &x).unwrap();
    broker.card_remove_key(access(PIN), &x).unwrap();
    if !v4 {
        broker.card_unpair(access(PIN), Which::Ours, &x).unwrap();
        // The pairing secret is a random one since.
        let password = Some(Zeroizing::new("correct horse".to_owned()));
        let pairing = Pairing { target: target.clone(), contact, password };
        broker.card_pair(pairing, &x).unwrap_err();
    }
    let card = broker.describe(&target).unwrap().card;
    broker.card_reset(&target, &card, &x).unwrap();
}

#[test]
fn attack_no_command_that_carries_a_secret_or_authority_reaches_a_card_unrecorded() {
    let mut sent = BTreeSet::new();
    for model in [Model::V4_0, Model::V3_2] {
        let world = World { mirror: Some(DataSlot::Cash), ..World::with(model) };
        everything(&world, model == Model::V4_0);
        assert!(world.log.report().unknown.is_empty(), "each has its outcome");
        sent.extend(world.reader.seen().instructions.iter().copied());
    }
    // The applets of a bare card are installed in `install`, under the same reader; nothing public moves the current key.
    let elsewhere = [0xE4, 0xE6, 0xE8, 0xD1];
    for (_, ins, class) in COMMANDS {
        let recorded = matches!(class, Recorded(_));
        assert!(!recorded || sent.contains(ins) || elsewhere.contains(ins), "{ins:02X} was not sent: add its verb");
    }
}

/// The reader itself can fail: a command without its record is found out.
#[test]
fn a_command_without_its_record_is_found_out() {
    let world = World::new();
    drop(world.unlocked());
    let log = world.log.bytes();
    assert!(is_recorded(&[0x80, 0xF2, 0, 0], None, &log));
    assert!(!is_recorded(&[0x80, 0xC2, 0, 0], None, &log), "every intent has its outcome");
    assert!(!is_recorded(&[0x80, 0x18, 0, 0], Some(0xC0), &log));
    assert!(std::panic::catch_unwind(|| is_recorded(&[0x80, 0x77, 0, 0], None, &[])).is_err());
}
