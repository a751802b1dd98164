//! The applets of a Keycard on a bare card, and the Cash applet of one. The CAP files are made up: right in form, with bytes
//! for code that no machine could run.

use proto::rpc::Fault;
use softcard::Model;

use super::*;
use crate::cards::init::Initialising;
use crate::cards::install::{Installation, Issuer};
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;

const KEYCARD: [u8; 7] = [0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01];
const MATH: [u8; 7] = [0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x02];

fn lv(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A CAP file (a ZIP archive with nothing compressed in it) of a package with so many applets.
fn cap(package: &[u8], applets: u8, imports: &[&[u8]]) -> Vec<u8> {
    let header = [&[0xDE, 0xCA, 0xFF, 0xED, 1, 2, 0, 0, 4], lv(package).as_slice()].concat();
    let classes = (1..=applets).map(|number| [lv(&[package, &[number]].concat()), vec![0, 9]].concat());
    let imported = imports.iter().map(|name| [vec![0, 1], lv(name)].concat());
    let parts = [
        ("Header", 1, header),
        ("Import", 4, [vec![imports.len() as u8], imported.collect::<Vec<_>>().concat()].concat()),
        ("Applet", 3, [vec![applets], classes.collect::<Vec<_>>().concat()].concat()),
        ("Method", 7, vec![0x5a; 300]),
    ];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, tag, info) in parts {
        let name = format!("im/status/keycard/javacard/{name}.cap");
        let content = [vec![tag], (info.len() as u16).to_be_bytes().to_vec(), info].concat();
        let size = (content.len() as u32).to_le_bytes();
        let about = [&[0; 8][..], &crc32(&content).to_le_bytes(), &size, &size, &[name.len() as u8, 0]].concat();
        directory.extend([b"PK\x01\x02", &[20, 0, 20, 0][..], &about, &[0; 12]].concat());
        directory.extend([&(file.len() as u32).to_le_bytes(), name.as_bytes()].concat());
        file.extend([b"PK\x03\x04", &[20, 0][..], &about, &[0, 0], name.as_bytes(), &content].concat());
    }
    let (length, start) = ((directory.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    [&file, &directory, &b"PK\x05\x06\0\0\0\0\x04\0\x04\0"[..], &length, &start, &[0, 0]].concat()
}

fn installation(issuer: Issuer) -> Installation {
    let files = vec![cap(&KEYCARD, 4, &[&MATH]), cap(&MATH, 0, &[])];
    Installation { target: Target::default(), files, issuer, erase_owned: None }
}

fn initialising() -> Initialising {
    Initialising {
        target: Target::default(),
        contact: Contact::default(),
        pin: pin(PIN),
        puk: Puk::try_from(PUK.as_bytes()).unwrap(),
        duress: None,
        tries: (0, 0),
        pairing_password: None,
    }
}

/// A card that was made here needs nobody else to vouch for it; what it held before is erased only on demand.
#[test]
fn a_bare_card_becomes_a_keycard_of_4_0_that_its_maker_knows() {
    let mut world = World::with(Model::V4_0);
    world.reader = Reader::of(SoftCard::bare_in_memory(Model::V4_0, Box::new(dice())));
    let mut broker = world.broker();
    let error = broker.describe(&Target::default()).err().unwrap();
    assert_eq!(error.fault(), Fault::NoApplet);
    let commands = world.reader.commands();
    let without = broker.card_install(installation(Issuer::Nobody), &why("install")).unwrap_err();
    assert!(without.fault() == Fault::BadInput && without.to_string().contains("--test-ca"), "{without}");
    let garbage = Installation { files: vec![vec![7; 100]], ..installation(Issuer::Test) };
    assert_eq!(broker.card_install(garbage, &why("install")).unwrap_err().fault(), Fault::BadInput);
    assert_eq!(world.reader.commands(), commands, "no card was asked");

    let issued = broker.card_install(installation(Issuer::Test), &why("install")).unwrap();
    assert_eq!(issued.authority.as_deref(), Some("test"));
    let described = broker.describe(&Target::default()).unwrap();
    assert_eq!((described.card, described.vouched_by.as_str()), (issued.card.to_string(), "acquaintance"));
    broker.card_init(initialising(), &why("init")).unwrap();

    let again = broker.card_install(installation(Issuer::Test), &why("install")).unwrap_err();
    assert_eq!(again.fault(), Fault::NotBlank);
    let erase = |typed: String| Installation { erase_owned: Some(typed), ..installation(Issuer::Test) };
    let entries = world.log.report().entries();
    let mistaken = broker.card_install(erase("identity:00".to_owned()), &why("install")).unwrap_err();
    assert_eq!((mistaken.fault(), world.log.report().entries()), (Fault::BadInput, entries), "{mistaken}");
    assert!(broker.describe(&Target::default()).unwrap().initialised);
    let other = broker.card_install(erase(issued.card.to_string()), &why("install")).unwrap();
    assert!(broker.cards.known.find(&issued.card).is_none(), "it is not there any more");
    assert_ne!(other.card, issued.card, "another identity");
    assert!(!broker.describe(&Target::default()).unwrap().initialised);
    assert_eq!(world.log.report().bad, None);
    let story = world.log.story().join("\n");
    assert!(story.contains("a0000008040002") && story.contains("is done"), "{story}");
}

/// Until something was erased the card is what it was, and so is what is remembered of it.
#[test]
fn a_card_whose_erasing_was_cut_off_is_forgotten_if_it_is_gone() {
    let mut world = World::with(Model::V4_0);
    world.reader = Reader::of(SoftCard::bare_in_memory(Model::V4_0, Box::new(dice())));
    let mut broker = world.broker();
    let (mut kept, mut forgotten) = (0, 0);
    broker.card_install(installation(Issuer::Test), &why("install")).unwrap();
    for after in (0..24).step_by(2) {
        let confirm = Some(broker.describe(&Target::default()).unwrap().fingerprint);
        let contact = Contact { confirm, first_pairing: false };
        let before = broker.card_init(Initialising { contact, ..initialising() }, &why("init")).unwrap().card;
        assert!(broker.cards.known.find(&before).is_some());
        let erase = Installation { erase_owned: Some(before.to_string()), ..installation(Issuer::Test) };
        world.reader.tamper(after, Tamper::Gone);
        let cut_off = broker.card_install(erase, &why("install"));
        world.reader.seen().tampers.clear();
        let is_there = broker.describe(&Target::default()).is_ok_and(|card| card.card == before.to_string());
        assert_eq!(broker.cards.known.find(&before).is_some(), is_there, "after {after} commands: {cut_off:?}");
        if is_there {
            kept += 1;
            broker.card_reset(&Target::default(), &before.to_string(), &why("reset")).unwrap();
        } else {
            forgotten += 1;
        }
        if let Ok(card) = broker.describe(&Target::default())
            && !card.initialised
        {
            continue;
        }
        broker.card_install(installation(Issuer::Test), &why("install")).unwrap();
    }
    assert!(kept > 0 && forgotten > 0, "{kept} and {forgotten}");
}

#[test]
fn the_cash_applet_signs_for_whoever_holds_the_card_and_that_is_recorded() {
    let world = World::new();
    let mut broker = world.enrolled();
    let said = broker.card_cash(&Target::default(), None, &why("cash")).unwrap();
    assert_eq!(said.signed, None);
    let entries = world.log.report().entries();
    let signed = broker.card_cash(&Target::default(), Some([7; 32].into()), &why("cash")).unwrap();
    assert_eq!(signed.info, said.info);
    assert_eq!(signed.signed.unwrap().0.recover(&[7; 32].into()), Some(said.info.key));
    assert_eq!(world.log.report().entries(), entries + 2, "intent and outcome");
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
}
