//! Applets from CAP files onto a Java Card: the client's GlobalPlatform against the software card's security domain.
//!
//! The CAP files are made up here: right in form, with bytes for code that no machine could run. What the software card does
//! once they are installed, it knows by itself.

use audit::{Operation, Recorded};
use keycard::globalplatform::{AuthorityKey, Cap, Existing, InstallError, Installed, Plan, Progress, SecurityDomain};
use keycard::{CardTransport, Failed, TransportError, Trust, Version};
use proto::CardId;
use softcard::{Faults, Faulty, Model, SoftCard};

use crate::cards::{Owned, dice, pin, recorded, secrets, trust};

const KEYCARD: [u8; 7] = [0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01];
const MATH: [u8; 7] = [0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x02];

/// A software card in a reader from which it can be pulled, and the instructions that came.
struct Reader {
    card: Box<Faulty>,
    sent: Vec<u8>,
    /// The instruction of which a bit is flipped, and on which way.
    flipped: Option<(u8, Way)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Command,
    Answer,
}

impl Reader {
    fn new(card: SoftCard, faults: &str) -> Self {
        let faults = if faults.is_empty() { Faults::default() } else { faults.parse().unwrap() };
        Self { card: Box::new(Faulty::new(card, faults, Box::new(dice(5)))), sent: Vec::new(), flipped: None }
    }

    fn bare(model: Model) -> Self {
        Self::new(SoftCard::bare_in_memory(model, Box::new(dice(6))), "")
    }

    fn count(&self, instruction: u8) -> usize {
        self.sent.iter().filter(|sent| **sent == instruction).count()
    }
}

impl CardTransport for Reader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut command = command.to_vec();
        self.sent.push(command[1]);
        let flipped = self.flipped.filter(|(instruction, _)| *instruction == command[1]).map(|(_, way)| way);
        if flipped == Some(Way::Command) {
            command[5] ^= 1;
        }
        let mut answer = self.card.transmit(&command).answer.ok_or(TransportError::NoCard)?.to_vec();
        if flipped == Some(Way::Answer) {
            answer[20] ^= 1;
        }
        Ok(answer)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.card.power_cycle();
        Ok(())
    }
}

fn lv(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A CAP file with nothing compressed in it.
fn cap(package: &[u8], applets: u8, imports: &[&[u8]], code: usize) -> Vec<u8> {
    let header = [&[0xDE, 0xCA, 0xFF, 0xED, 1, 2, 0, 0, 4], lv(package).as_slice()].concat();
    let classes = (1..=applets).map(|number| [lv(&[package, &[number]].concat()), vec![0, 9]].concat());
    let imported = imports.iter().map(|name| [vec![0, 1], lv(name)].concat());
    let parts = [
        ("Header", 1, header),
        ("Import", 4, [vec![imports.len() as u8], imported.collect::<Vec<_>>().concat()].concat()),
        ("Applet", 3, [vec![applets], classes.collect::<Vec<_>>().concat()].concat()),
        ("Method", 7, (0..code).map(|at| at as u8).collect()),
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

/// The files of a Keycard of this model, the one that others build upon last, with so many bytes of code.
fn files(model: Model, code: usize) -> Vec<Cap> {
    let parse = |file: Vec<u8>| Cap::parse(&file).unwrap();
    match model {
        Model::V4_0 => vec![parse(cap(&KEYCARD, 4, &[&MATH], code)), parse(cap(&MATH, 0, &[], code))],
        Model::V3_1 | Model::V3_2 => vec![parse(cap(&KEYCARD, 4, &[], code))],
        Model::V3_0 => vec![parse(cap(&KEYCARD, 3, &[], code))],
        Model::V2_2 => vec![parse(cap(&KEYCARD, 2, &[], code))],
    }
}

fn receipts(domain: &SecurityDomain<Reader>, plan: &Plan) -> Vec<Recorded> {
    domain.requests(plan).into_iter().map(recorded).collect()
}

/// Everything that an owner does with files and a card. The card is given back with what stopped it.
fn install(reader: Reader, plan: &Plan) -> Result<Installed<Reader>, Failed<Reader, InstallError>> {
    let domain = SecurityDomain::open(reader, &mut dice(8))?;
    let mut receipts = receipts(&domain, plan);
    let installed = domain.install(plan, false, &mut receipts, &mut |_| {})?;
    if !plan.needs_identity() {
        return Ok(installed);
    }
    let identity = AuthorityKey::test().issue(&mut dice(9)).unwrap();
    let mut receipt = recorded(installed.request(&identity));
    installed.personalise(&identity, &mut receipt)
}

#[test]
fn a_bare_card_of_every_generation_becomes_a_keycard() {
    for model in Model::ALL {
        let plan = Plan::new(files(model, 3000)).unwrap();
        let card = install(Reader::bare(model), &plan).unwrap().select().unwrap();
        let mut receipt = recorded(card.request(Operation::Init));
        let card = card.init(&trust(), &secrets(), &mut receipt, &mut dice(1)).unwrap();
        assert_eq!(card.info().version, Some(Version::new(model.version())), "{model}");
    }
}

/// From an empty chip to a channel whose certificate was signed a moment ago.
#[test]
fn a_fresh_keycard_is_initialised_and_opened_with_the_identity_that_it_was_given() {
    let plan = Plan::new(files(Model::V4_0, 3000)).unwrap();
    let domain = SecurityDomain::open(Reader::bare(Model::V4_0), &mut dice(8)).unwrap();
    assert_eq!((domain.existing(), domain.key()), (Existing::Nothing, "the GlobalPlatform default key"));
    assert!(matches!(domain.id(), CardId::Chip(_)));
    let mut receipts = receipts(&domain, &plan);
    let mut told = Vec::new();
    let installed = domain
        .install(&plan, false, &mut receipts, &mut |progress| {
            told.push(match progress {
                Progress::Deleting { package } => format!("delete {package}"),
                Progress::Loading { package, sent, blocks } if sent == blocks => format!("loaded {package}"),
                Progress::Installing { applet } => format!("install {applet}"),
                _ => return,
            });
        })
        .unwrap();
    assert!(receipts.iter().all(Recorded::is_spent));
    let expected = [
        "delete a0000008040001",
        "delete a0000008040002",
        "loaded a0000008040002",
        "loaded a0000008040001",
        "install a000000804000101",
        "install a000000804000102",
        "install a000000804000103",
        "install a000000804000104",
    ];
    assert_eq!(told, expected);

    let authority = AuthorityKey::parse(&[7; 32]).unwrap();
    let identity = authority.issue(&mut dice(9)).unwrap();
    let mut receipt = recorded(installed.request(&identity));
    let card = installed.personalise(&identity, &mut receipt).unwrap().select().unwrap();
    assert_eq!(card.id(), CardId::Identity(identity.certificate().identity().to_compressed()));

    let trust = Trust::nobody().with_authority(authority.authority());
    let mut receipt = recorded(card.request(Operation::Init));
    let card = card.init(&trust, &secrets(), &mut receipt, &mut dice(1)).unwrap();
    let card = card.open(&Owned::access(None, &trust), &mut dice(3)).unwrap();
    assert_eq!(card.opening().certificate(), Some(identity.certificate()));
    let mut card = card.verify_pin(&pin(), false).unwrap();
    let mut receipt = recorded(card.request(Operation::GenerateKey));
    card.generate_key(&mut receipt).unwrap();
}

/// A card pulled at any moment takes the installation from its beginning, and ends up the same.
#[test]
fn an_installation_that_was_cut_off_anywhere_can_be_run_again() {
    let plan = Plan::new(files(Model::V4_0, 600)).unwrap();
    let whole = install(Reader::bare(Model::V4_0), &plan).unwrap().select().unwrap().into_transport().sent.len();
    assert!(whole > 20);
    for cut in 1..whole {
        let card = SoftCard::bare_in_memory(Model::V4_0, Box::new(dice(6)));
        let failed = match install(Reader::new(card, &format!("remove@{cut}")), &plan) {
            Ok(installed) => installed.select().err().unwrap(),
            Err(failed) => failed,
        };
        assert!(failed.to_string().contains("no card answers"), "{cut}: {failed}");
        let mut reader = failed.transport;
        reader.card.insert();
        let card = install(reader, &plan).unwrap_or_else(|failed| panic!("{cut}: {failed}")).select().unwrap();
        assert_eq!(card.into_transport().card.card().model(), Model::V4_0);
    }
}

/// A card refuses for good after ten wrong proofs: one with other keys is sent none.
#[test]
fn a_card_with_other_keys_loses_no_try() {
    let mut reader = Reader::bare(Model::V4_0);
    reader.flipped = Some((0x50, Way::Answer));
    for _ in 0..30 {
        let failed = SecurityDomain::open(reader, &mut dice(8)).err().unwrap();
        assert!(matches!(failed.error, InstallError::OtherKeys));
        reader = failed.transport;
    }
    assert_eq!((reader.count(0x50), reader.count(0x82)), (30, 0), "INITIALIZE UPDATE, EXTERNAL AUTHENTICATE");
    reader.flipped = None;
    assert!(SecurityDomain::open(reader, &mut dice(8)).is_ok());
}

#[test]
fn a_locked_card_is_told_from_one_with_other_keys() {
    let mut reader = Reader::bare(Model::V4_0);
    reader.flipped = Some((0x82, Way::Command));
    for _ in 0..10 {
        let failed = SecurityDomain::open(reader, &mut dice(8)).err().unwrap();
        assert!(failed.to_string().contains("refused EXTERNAL AUTHENTICATE"), "{failed}");
        reader = failed.transport;
    }
    reader.flipped = None;
    let failed = SecurityDomain::open(reader, &mut dice(8)).err().unwrap();
    assert!(matches!(failed.error, InstallError::Locked));
}

#[test]
fn without_a_record_of_each_package_nothing_is_deleted() {
    let plan = Plan::new(files(Model::V4_0, 600)).unwrap();
    let other = Plan::new(files(Model::V4_0, 601)).unwrap();
    let domain = SecurityDomain::open(Reader::bare(Model::V4_0), &mut dice(8)).unwrap();
    let mut receipts = receipts(&domain, &other);
    let failed = domain.install(&plan, false, &mut receipts, &mut |_| {}).err().unwrap();
    assert!(failed.to_string().contains("another request"), "{failed}");
    assert_eq!(failed.transport.count(0xE4), 0);
    let domain = SecurityDomain::open(failed.transport, &mut dice(8)).unwrap();
    let failed = domain.install(&plan, false, &mut receipts[..1], &mut |_| {}).err().unwrap();
    assert!(failed.to_string().contains("a record of its own"), "{failed}");
    assert_eq!(failed.transport.count(0xE4), 0);
}

/// The reader holds a Keycard with an owner: his keys go only when somebody says so, and then the log names his account.
#[test]
fn a_keycard_with_an_owner_is_replaced_only_on_demand() {
    let plan = Plan::new(files(Model::V4_0, 600)).unwrap();
    let owned = Owned::new(Model::V4_0).reader.card;
    let domain = SecurityDomain::open(Reader::new(owned, ""), &mut dice(8)).unwrap();
    let Existing::Owned { key_uid: Some(uid) } = domain.existing() else { panic!("{:?}", domain.existing()) };
    assert!(domain.requests(&plan).iter().all(|request| request.key_uid == Some(uid)));
    assert_eq!(domain.key(), "the Keycard development key");
    let mut first = receipts(&domain, &plan);
    let failed = domain.install(&plan, false, &mut first, &mut |_| {}).err().unwrap();
    assert!(matches!(failed.error, InstallError::Occupied));
    assert!(first.iter().all(|receipt| !receipt.is_spent()));
    assert_eq!(failed.transport.count(0xE4), 0, "nothing is deleted");

    let domain = SecurityDomain::open(failed.transport, &mut dice(8)).unwrap();
    let mut second = receipts(&domain, &plan);
    let installed = domain.install(&plan, true, &mut second, &mut |_| {}).unwrap();
    let failed = installed.select().err().unwrap();
    assert!(failed.to_string().contains("no identity certificate"), "{failed}");
}
