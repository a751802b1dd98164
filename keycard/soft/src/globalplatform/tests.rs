//! The security domain as a card in a reader, with the other side of SCP02 written out here.

use proptest::prelude::*;
use proto::{Secret, TestDice};

use super::des::{Block, DoubleKey};
use super::domain::{AppletName, MAX_FAILURES};
use crate::key::draw;
use crate::{Model, SoftCard};

const DEFAULT: [u8; 16] =
    [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f];
const PACKAGE: [u8; 7] = [0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01];
const MATH: [u8; 7] = [0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x02];

fn bare(model: Model) -> SoftCard {
    SoftCard::bare_in_memory(model, Box::new(TestDice::seeded(3)))
}

fn key(bytes: [u8; 16]) -> Secret<16> {
    Secret::fill(|room| *room = bytes)
}

fn lv(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn send(card: &mut SoftCard, command: &[u8]) -> (Vec<u8>, String) {
    let mut answer = card.transmit(command);
    let status = answer.split_off(answer.len() - 2);
    (answer, hex::encode(status))
}

fn select(card: &mut SoftCard, aid: &[u8]) -> String {
    send(card, &[&[0x00, 0xa4, 0x04, 0x00], lv(aid).as_slice()].concat()).1
}

/// The host's end of an open channel.
struct Host {
    mac: DoubleKey,
    data: DoubleKey,
    last: Block,
}

impl Host {
    /// Proves this key, with `wrong` bits flipped in what is sent.
    fn prove(card: &mut SoftCard, static_key: [u8; 16], wrong: [u8; 16]) -> Result<Self, String> {
        assert_eq!(select(card, super::INSTANCE), "9000");
        let challenge = [7; 8];
        let (answer, status) = send(card, &[&[0x80, 0x50, 0x00, 0x00, 0x08][..], &challenge].concat());
        if status != "9000" {
            return Err(status);
        }
        assert_eq!((answer.len(), answer[11]), (28, 0x02));
        let card_challenge: Block = answer[12..20].try_into().unwrap();
        let sequence = u16::from_be_bytes([answer[12], answer[13]]);
        let double = DoubleKey::new(&key(static_key));
        let session = |purpose| DoubleKey::new(&double.session(purpose, sequence));
        let (encryption, mac, data) = (session([1, 0x82]), session([1, 1]), session([1, 0x81]));
        let header = [0x84, 0x82, 0x01, 0x00, 0x10];
        let cryptogram = encryption.cryptogram(&card_challenge, &challenge);
        let last = mac.mac(Block::default(), &[&header[..], &cryptogram].concat());
        let mut proof = [cryptogram, last].concat();
        proof.iter_mut().zip(wrong).for_each(|(byte, flips)| *byte ^= flips);
        let (_, status) = send(card, &[&header[..], &proof].concat());
        if status == "9000" { Ok(Self { mac, data, last }) } else { Err(status) }
    }

    fn open(card: &mut SoftCard, static_key: [u8; 16]) -> Self {
        Self::prove(card, static_key, [0; 16]).unwrap()
    }

    fn order(&mut self, card: &mut SoftCard, [ins, p1, p2]: [u8; 3], data: &[u8]) -> (Vec<u8>, String) {
        let command = [&[0x84, ins, p1, p2, data.len() as u8 + 8], data].concat();
        self.last = self.mac.mac(self.mac.encrypt_single(self.last), &command);
        send(card, &[command, self.last.to_vec()].concat())
    }

    fn announce(&mut self, card: &mut SoftCard, package: &[u8]) -> String {
        self.order(card, [0xe6, 0x02, 0x00], &[lv(package), vec![0; 4]].concat()).1
    }

    fn load(&mut self, card: &mut SoftCard, file: &[u8]) -> String {
        let blocks: Vec<_> = file.chunks(100).collect();
        let mut status = String::new();
        for (number, block) in blocks.iter().enumerate() {
            let last = if number + 1 == blocks.len() { 0x80 } else { 0 };
            status = self.order(card, [0xe8, last, number as u8], block).1;
        }
        status
    }

    fn install(&mut self, card: &mut SoftCard, applet: AppletName, parameters: &[u8]) -> String {
        let names = [lv(&PACKAGE), lv(applet.class()), lv(applet.instance())].concat();
        self.order(card, [0xe6, 0x0c, 0x00], &[names, vec![1, 0], lv(parameters), vec![0]].concat()).1
    }

    fn delete(&mut self, card: &mut SoftCard, aid: &[u8]) -> String {
        self.order(card, [0xe4, 0x00, 0x80], &[vec![0x4f], lv(aid)].concat()).1
    }
}

/// The load file of a package, with some code.
fn file(package: &[u8], applets: &[AppletName], imports: &[&[u8]]) -> Vec<u8> {
    let component = |tag: u8, info: Vec<u8>| [vec![tag], (info.len() as u16).to_be_bytes().to_vec(), info].concat();
    let header = [&[0xde, 0xca, 0xff, 0xed, 1, 2, 0, 0, 1], lv(package).as_slice()].concat();
    let imports = imports.iter().fold(vec![imports.len() as u8], |list, aid| [list, vec![0, 1], lv(aid)].concat());
    let applets =
        applets.iter().fold(vec![applets.len() as u8], |list, applet| [list, lv(applet.class()), vec![0, 9]].concat());
    let parts = [component(1, header), component(4, imports), component(3, applets), component(7, vec![5; 300])];
    let content = parts.concat();
    [vec![0xc4, 0x82], (content.len() as u16).to_be_bytes().to_vec(), content].concat()
}

/// A card of this model with all of its applets, but without an identity.
fn installed(model: Model) -> (SoftCard, Host) {
    let mut card = bare(model);
    let mut host = Host::open(&mut card, DEFAULT);
    let applets: Vec<_> = AppletName::ALL.into_iter().filter(|applet| applet.is_in(model)).collect();
    assert_eq!(host.announce(&mut card, &MATH), "9000");
    assert_eq!(host.load(&mut card, &file(&MATH, &[], &[])), "9000");
    assert_eq!(host.announce(&mut card, &PACKAGE), "9000");
    assert_eq!(host.load(&mut card, &file(&PACKAGE, &applets, &[&MATH])), "9000");
    for applet in applets {
        assert_eq!(host.install(&mut card, applet, &[0xc9, 0x00]), "9000");
    }
    (card, host)
}

#[test]
fn an_applet_answers_once_it_is_loaded_and_installed() {
    for model in Model::ALL {
        let mut card = bare(model);
        for applet in AppletName::ALL {
            assert_eq!(select(&mut card, applet.instance()), "6a82", "{model}");
        }
        let (mut card, _) = installed(model);
        for applet in AppletName::ALL {
            let expected = match applet {
                // Applet 4.0 answers nothing before it has an identity.
                AppletName::Keycard if model == Model::V4_0 => "6985",
                applet if applet.is_in(model) => "9000",
                _ => "6a82",
            };
            assert_eq!(select(&mut card, applet.instance()), expected, "{model} {applet:?}");
        }
        assert_eq!(select(&mut card, &[]), "9000", "no name is that of the security domain");
    }
}

#[test]
fn applet_4_0_answers_once_it_has_an_identity_and_takes_it_once() {
    let (mut card, _) = installed(Model::V4_0);
    let keycard = AppletName::Keycard.instance();
    assert_eq!(select(&mut card, keycard), "6985");
    assert_eq!(send(&mut card, &[0x80, 0xf2, 0x00, 0x00]).1, "6985");
    let identity = crate::identity::Identity::draw(&mut TestDice::seeded(9));
    let store = |length: u8| {
        let mut data = [identity.certificate().as_slice(), &[1; 32]].concat();
        data.resize(usize::from(length), 0);
        [&[0x80, 0xe2, 0x00, 0x00, length], data.as_slice()].concat()
    };
    assert_eq!(select(&mut card, AppletName::Ident.instance()), "9000");
    assert_eq!(send(&mut card, &store(129)).1, "6a80");
    assert_eq!(send(&mut card, &store(130)).1, "9000");
    assert_eq!(send(&mut card, &store(130)).1, "6985");
    assert_eq!(select(&mut card, keycard), "9000");
    assert_eq!(card.identity(), Some(identity.public()));
}

#[test]
fn ten_wrong_proofs_in_a_row_lock_the_domain_for_good() {
    let mut card = bare(Model::V4_0);
    let wrong = |at: usize| std::array::from_fn(|i| u8::from(i == at));
    for round in 0..2 {
        for _ in 1..MAX_FAILURES {
            assert_eq!(Host::prove(&mut card, DEFAULT, wrong(0)).err().unwrap(), "6300");
        }
        if round == 0 {
            Host::open(&mut card, DEFAULT);
        }
    }
    assert_eq!(Host::prove(&mut card, DEFAULT, wrong(15)).err().unwrap(), "6982", "a wrong MAC counts too");
    for _ in 0..3 {
        card.power_cycle();
        assert_eq!(Host::prove(&mut card, DEFAULT, [0; 16]).err().unwrap(), "6983");
    }
}

/// What was counted, loaded and replaced outlives the power, and the program.
#[test]
fn the_domain_is_kept_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.json");
    let mut card = SoftCard::create_bare(&path, Model::V3_2, Box::new(TestDice::seeded(3))).unwrap();
    let load = |card| {
        drop(card);
        SoftCard::load(&path, Box::new(TestDice::seeded(4))).unwrap()
    };
    let mut host = Host::open(&mut card, DEFAULT);
    assert_eq!(host.announce(&mut card, &PACKAGE), "9000");
    assert_eq!(host.load(&mut card, &file(&PACKAGE, &AppletName::ALL, &[])), "9000");
    assert_eq!(host.install(&mut card, AppletName::Keycard, &[0xc9, 0]), "9000");
    let mut card = load(card);
    assert_eq!(select(&mut card, AppletName::Keycard.instance()), "9000");
    assert_eq!(select(&mut card, AppletName::Cash.instance()), "6a82");
    for _ in 0..MAX_FAILURES {
        assert_eq!(Host::prove(&mut card, [9; 16], [0; 16]).err().unwrap(), "6300");
        card = load(card);
    }
    assert_eq!(Host::prove(&mut card, DEFAULT, [0; 16]).err().unwrap(), "6983");
}

#[test]
fn nothing_is_done_for_whom_has_not_proven_the_keys() {
    let (mut card, mut host) = installed(Model::V3_2);
    let delete = [&[0x80, 0xe4, 0x00, 0x80, 0x09, 0x4f], lv(&PACKAGE).as_slice()].concat();
    assert_eq!(send(&mut card, &delete).1, "6982", "without a MAC");
    assert_eq!(host.delete(&mut card, &PACKAGE), "6982", "the channel has ended with the first refusal");
    let mut host = Host::open(&mut card, DEFAULT);
    host.last[0] ^= 1;
    assert_eq!(host.delete(&mut card, &PACKAGE), "6982", "with a wrong MAC");
    let mut host = Host::open(&mut card, DEFAULT);
    assert_eq!(select(&mut card, super::INSTANCE), "9000");
    assert_eq!(host.delete(&mut card, &PACKAGE), "6982", "a SELECT ends the channel");
    assert_eq!(select(&mut card, AppletName::Keycard.instance()), "9000", "all is still there");
    assert_eq!(send(&mut card, &[0x84, 0x82, 0x01, 0x00]).1, "6d00", "the applet knows none of it");
}

#[test]
fn a_deleted_applet_is_forgotten_with_all_that_it_held() {
    let mut card = SoftCard::in_memory(Model::V4_0, Box::new(TestDice::seeded(3)));
    let development = hex::decode("c212e073ff8b4bbfaff4de8ab655221f").unwrap().try_into().unwrap();
    let identity = card.identity().unwrap();
    let mut host = Host::open(&mut card, development);
    assert_eq!(host.delete(&mut card, &MATH), "6985", "the Keycard package builds upon it");
    assert_eq!(host.order(&mut card, [0xe4, 0, 0], &[vec![0x4f], lv(&PACKAGE)].concat()).1, "6985", "with instances");
    assert_eq!(host.delete(&mut card, AppletName::Ndef.instance()), "9000");
    assert_eq!(host.delete(&mut card, AppletName::Ndef.instance()), "6a88");
    assert_eq!(host.delete(&mut card, &PACKAGE), "9000");
    assert_eq!(host.delete(&mut card, &PACKAGE), "6a88");
    assert_eq!(host.delete(&mut card, &MATH), "9000");
    assert_eq!(card.identity(), None);
    assert!(AppletName::ALL.iter().all(|applet| select(&mut card, applet.instance()) == "6a82"));
    let (other, _) = installed(Model::V4_0);
    assert_ne!(other.identity(), Some(identity));
}

#[test]
fn what_an_instance_left_in_ram_goes_with_it_and_not_with_another() {
    let (mut card, mut host) = installed(Model::V3_1);
    card.applet.leftover.key = Some(draw(&mut TestDice::seeded(4)));
    assert_eq!(host.delete(&mut card, AppletName::Cash.instance()), "9000");
    assert!(card.applet.leftover.key.is_some());
    assert_eq!(host.delete(&mut card, AppletName::Keycard.instance()), "9000");
    assert!(card.applet.leftover.key.is_none());
}

#[test]
fn a_load_file_that_is_not_whole_or_not_the_announced_one_is_refused() {
    let mut card = bare(Model::V4_0);
    let mut host = Host::open(&mut card, DEFAULT);
    let keycard = file(&PACKAGE, &AppletName::ALL, &[&MATH]);
    assert_eq!(host.announce(&mut card, &[0xa0, 0, 0, 0, 9]), "6a84", "a package that the card does not model");
    assert_eq!(host.load(&mut card, &keycard), "6985", "nothing is announced");
    assert_eq!(host.announce(&mut card, &PACKAGE), "9000");
    assert_eq!(host.load(&mut card, &keycard), "6985", "the package of arithmetic is not there");
    assert_eq!(host.announce(&mut card, &PACKAGE), "9000");
    assert_eq!(host.load(&mut card, &file(&PACKAGE, &AppletName::ALL, &[])), "6985", "whatever the file says");
    for wrong in
        [&keycard[..keycard.len() - 1], &[&keycard[..], &[0]].concat(), &keycard[1..], &file(&PACKAGE, &[], &[])]
    {
        assert_eq!(host.announce(&mut card, &MATH), "9000");
        assert_eq!(host.load(&mut card, wrong), "6a80");
    }
    assert_eq!(host.announce(&mut card, &MATH), "9000");
    assert_eq!(host.order(&mut card, [0xe8, 0x00, 0x01], &[0xc4]).1, "6a86", "the first block is number 0");
    assert_eq!(host.order(&mut card, [0xe8, 0x80, 0x00], &[0xc4]).1, "6985", "and the load has ended");
    assert_eq!(host.install(&mut card, AppletName::Keycard, &[]), "6a88");
}

#[test]
fn what_is_on_the_card_is_listed() {
    let (mut card, mut host) = installed(Model::V4_0);
    let mut list = |p1, p2| hex::encode(host.order(&mut card, [0xf2, p1, p2], &[0x4f, 0x00]).0);
    assert_eq!(list(0x80, 0x00), "08a000000151000000019e");
    assert_eq!(list(0x80, 0x02), "e3114f08a0000001510000009f700101c5019e");
    assert_eq!(list(0x20, 0x00), "07a000000804000201000 7a00000080400010100".replace(' ', ""));
    let applets = list(0x40, 0x00);
    assert!(AppletName::ALL.iter().all(|applet| applets.contains(&hex::encode(applet.instance()))));
    let modules = list(0x10, 0x02);
    assert!(AppletName::ALL.iter().all(|applet| modules.contains(&hex::encode(applet.class()))));
    let mut card = bare(Model::V4_0);
    let mut host = Host::open(&mut card, DEFAULT);
    assert_eq!(host.order(&mut card, [0xf2, 0x40, 0x00], &[0x4f, 0x00]).1, "6a88", "nothing there");
}

#[test]
fn new_keys_take_the_place_of_the_old_ones() {
    let mut card = bare(Model::V4_0);
    let mut host = Host::open(&mut card, DEFAULT);
    let new = [0x5a; 16];
    let encrypted: Vec<u8> = new.as_chunks().0.iter().flat_map(|block| host.data.encrypt(*block)).collect();
    let check = &DoubleKey::new(&key(new)).encrypt(Block::default())[..3];
    let field = [&[0x80, 0x10], encrypted.as_slice(), &[0x03], check].concat();
    let wrong = [&field[..19], &[0, 0, 0]].concat();
    let (_, status) =
        host.order(&mut card, [0xd8, 0x00, 0x81], &[&[0x01], [wrong.as_slice(); 3].concat().as_slice()].concat());
    assert_eq!(status, "6a80", "a check value that is wrong");
    let (answer, status) =
        host.order(&mut card, [0xd8, 0x00, 0x81], &[&[0x01], [field.as_slice(); 3].concat().as_slice()].concat());
    assert_eq!((answer, status.as_str()), ([&[0x01], [check; 3].concat().as_slice()].concat(), "9000"));
    assert_eq!(Host::prove(&mut card, DEFAULT, [0; 16]).err().unwrap(), "6300");
    Host::open(&mut card, new);
}

#[test]
fn what_the_installer_gives_an_applet_is_there_if_it_fits() {
    let (mut card, mut host) = installed(Model::V4_0);
    assert_eq!(host.delete(&mut card, AppletName::Cash.instance()), "9000");
    assert_eq!(host.install(&mut card, AppletName::Cash, &[0xc9, 3, 2, 0xca, 0xfe]), "9000");
    assert_eq!(host.install(&mut card, AppletName::Cash, &[0xc9, 0]), "6a80", "there is an instance already");
    let cash = [&[0x00, 0xa4, 0x04, 0x00], lv(AppletName::Cash.instance()).as_slice()].concat();
    assert!(send(&mut card, &cash).0.ends_with(&[0x82, 2, 0xca, 0xfe]));
    let mut host = Host::open(&mut card, DEFAULT);
    assert_eq!(host.delete(&mut card, AppletName::Ndef.instance()), "9000");
    assert_eq!(host.install(&mut card, AppletName::Ndef, &[0xc9, 4, 0, 2, 0xbe, 0xef]), "9000");
    assert_eq!(select(&mut card, AppletName::Ndef.instance()), "9000");
    assert_eq!(send(&mut card, &[0x00, 0xa4, 0x00, 0x0c, 2, 0xe1, 0x04]).1, "9000");
    assert_eq!(send(&mut card, &[0x00, 0xb0, 0, 0, 4]).0, [0, 2, 0xbe, 0xef]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Orders of anybody and of who has proven the keys, and load files of any content: an answer, and no panic.
    #[test]
    fn any_order_is_answered(
        orders in proptest::collection::vec(
            (prop_oneof![Just(0x50), Just(0x82), Just(0xe4), Just(0xe6), Just(0xe8), Just(0xf2), Just(0xd8), any::<u8>()],
                prop_oneof![Just(0x00), Just(0x02), Just(0x0c), Just(0x80), any::<u8>()],
                prop_oneof![Just(0x00), Just(0x80), Just(0x81), any::<u8>()],
                proptest::collection::vec(any::<u8>(), 0..247), any::<bool>()),
            1..12,
        ),
        harm in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut card = bare(Model::V4_0);
        let mut host = Host::open(&mut card, DEFAULT);
        for (ins, p1, p2, data, proven) in orders {
            if proven {
                prop_assert!(host.order(&mut card, [ins, p1, p2], &data).1.len() == 4);
            } else {
                let command = [&[0x80, ins, p1, p2, data.len() as u8], data.as_slice()].concat();
                prop_assert!(card.transmit(&command).len() >= 2);
            }
        }
        let mut host = Host::open(&mut card, DEFAULT);
        let mut harmed = file(&MATH, &[], &[]);
        for (at, value) in harm {
            let at = at.index(harmed.len());
            harmed[at] = value;
        }
        if host.announce(&mut card, &MATH) == "9000" {
            let status = host.load(&mut card, &harmed);
            prop_assert!(status == "9000" || status == "6a80", "{status}");
        }
    }
}
