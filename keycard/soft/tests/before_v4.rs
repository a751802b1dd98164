//! Cards before 4.0, through a client of their own: the channel byte by byte, and what SELECT shows over a card's life.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::v1::{CREDENTIALS, Client, SECRET, hash};
use common::{KEYCARD, LOAD_ABANDON, dice};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proto::TestDice;
use sha2::{Digest, Sha256};
use softcard::{Model, SoftCard};
use tempfile::TempDir;

/// LOAD KEY with the private key 1, without chain code.
const LOAD_ONE: &str = "80d0010024a12281200000000000000000000000000000000000000000000000000000000000000001";
const BEFORE_V4: [Model; 4] = [Model::V2_2, Model::V3_0, Model::V3_1, Model::V3_2];

fn bytes(start: u8, count: u8) -> Vec<u8> {
    (start..start + count).collect()
}

/// A session computed from the protocol's description, host's key 01 x 32, card's key 02 x 32, all random numbers counted up.
/// Its default pairing secret is that of the password "KeycardDefaultPairing".
#[test]
fn a_session_is_what_the_description_computes() {
    // The card's own keys, then what an earlier session takes to load a key.
    let mut given = [[3; 32], [7; 32], [2; 32]].concat();
    given.extend([5; 16]);
    given.extend([2; 32]);
    given.extend([0x77; 32 + 32 + 48 + 32]);
    for (start, count) in [(0x20, 32), (0x40, 32), (0x60, 32), (0x80, 16), (0xb0, 32)] {
        given.extend(bytes(start, count));
    }
    let mut client = Client::new(SoftCard::in_memory(Model::V3_1, Box::new(TestDice::playing(&given))));
    client.select();
    let send = |client: &mut Client, command: &str| {
        let (sw, data) = client.plain(&hex::decode(command).unwrap());
        format!("{}{sw:04x}", hex::encode(data))
    };
    let init = "80fe00009241041b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f70beaf8f588b541507fed6a642c5ab42dfdf8120a7f639de5122d47a69a8e8d1000102030405060708090a0b0c0d0e0f1d5dc97ff3a58ddd56c57a747c0c82c3e23a1d550c4c9014e1b9623e61f5c57f5a3d12c0b19414da95a438ccb881f4fc8048018c75f40e13f4b4acfb812ab578";
    assert_eq!(send(&mut client, init), "9000");
    let mut secret = [0; 32];
    let digits = "675deabb0d7c724b4a36caad0e280826159e89886f7082535d431e924848bcf1";
    hex::decode_to_slice(digits, &mut secret).unwrap();
    client.select();
    let slot = client.pair(&secret, [0; 32]);
    client.open(slot, [0; 32]);
    client.ok("8020000006303030303030");
    client.ok(LOAD_ABANDON);
    client.ok("80130000");
    client.select();
    for (command, answer) in [
        (
            "8012000020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "4e0f93ff64c29434ff7ffe95746350063971bdd9c37a248f82a794294edd4c76202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f9000",
        ),
        (
            "80120100206c879c063841865dafa03133c48aaa9e66dda4dcac8162fd8461fee232904ff5",
            "00404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f9000",
        ),
        (
            "8010000041041b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f70beaf8f588b541507fed6a642c5ab42dfdf8120a7f639de5122d47a69a8e8d1",
            "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f9000",
        ),
        (
            "8011000040f5f77e86af97a20dd37ef0f1f419880f93594bb1a285edba60fe95b97e402ed790d86f937ffe6bf0adad96b2d023299b2f4f53ff0b04f1e92ccc93707cddf73d",
            "6f7553146bc1b612088db6e642bba839d0e56f650fb789331a206f922ee9ee3a0a1ea0b26464f5e6be0188ea4100b83c8c4a8b62968455f597488b7c1f5b2a809000",
        ),
        (
            "80f200002012526f5ce5d4048f3595f8d0ead9945e2cd08434ce1fafbe726997738e94ecbd",
            "af153065a34a6215aeaaa60731c547e614d07c82983fe4dec0cc6b4afa3103929000",
        ),
        (
            "8020000020056ec6839389d4c6d34951d421cc9d03695acbae18d0a6b447369ffec87348df",
            "f603894415cc965899dbe389a76ce7b7ed9ace06298565829a58a421bd5c4a209000",
        ),
        (
            "80c2010030c99e617628f6d0bc5908e704dc3885b546eb71fba2d0c6b0b4b32a5a72ce9ab64847d5b298a6662af38e664187c72306",
            "a7f4605871d9ff3b0a659241584127b5a7515902f150d6f119c3bdead9d1cecfcd82c21c1a64b32338cca78311d96f4bb1a1930ed9e15dbc3d8e203ab2a9e04b9000",
        ),
    ] {
        assert_eq!(send(&mut client, command), answer, "{command}");
    }
}

/// KC-16: the key UID in SELECT is SHA-256 of the master public key, and the answer of GENERATE KEY.
#[test]
fn the_key_uid_is_the_hash_of_the_master_public_key() {
    for model in BEFORE_V4 {
        let mut client = Client::unlocked(SoftCard::in_memory(model, dice(1)));
        let uid = client.ok("80d40000");
        let master = client.ok("80c20201");
        assert_eq!(uid, Sha256::digest(&master[4..]).to_vec());
        let template = client.select();
        let place = template.len() - 35;
        assert_eq!(template[place - 2..place], [0x8e, 0x20]);
        assert_eq!(template[place..place + 32], uid);
    }
}

#[test]
fn channel_key_and_instance_uid_change_at_init_and_reset_only() {
    for model in [Model::V3_1, Model::V3_2] {
        let mut client = Client::new(SoftCard::in_memory(model, dice(1)));
        let blank = client.card_key();
        client.card.power_cycle();
        assert_eq!(client.card_key(), blank);
        assert_eq!(client.init(&[CREDENTIALS, &SECRET].concat()), 0x9000);
        let key = client.card_key();
        assert_ne!(key, blank, "INIT draws a new channel key");
        client.log_in();
        let uid = client.select()[5..21].to_vec();
        client.log_in();
        for command in [LOAD_ABANDON, "80d40000", "80210102"] {
            client.send(command);
        }
        client.ok("80d30000");
        client.card.power_cycle();
        assert_eq!(client.card_key(), key);
        assert_eq!(client.select()[5..21], uid);

        assert_eq!(client.plain(&[0x80, 0xfd, 0xaa, 0x55]).0, 0x9000);
        let reset = client.card_key();
        assert_ne!(reset, key, "so does FACTORY RESET");
        assert_eq!(client.init(&[CREDENTIALS, &SECRET].concat()), 0x9000);
        assert_ne!(client.card_key(), reset);
        assert_ne!(client.select()[4..20], uid, "and a new instance UID");
    }
}

#[test]
fn the_certificate_is_the_one_of_the_ident_applet_for_ever() {
    let ident = hex::decode("00a4040009a00000080400010401").unwrap();
    let challenge = [&[0x80, 0x14, 0, 0, 32], &[9u8; 32][..]].concat();
    for model in [Model::V3_1, Model::V3_2] {
        let mut client = Client::new(SoftCard::in_memory(model, dice(1)));
        let certificate = client.plain(&ident).1;
        assert_eq!(certificate.len(), 98);
        assert_eq!(client.card.identity().unwrap(), certificate[..33]);
        client.select();
        assert_eq!(client.plain(&challenge).1[5..103], certificate);
        assert_eq!(client.init(&[CREDENTIALS, &SECRET].concat()), 0x9000);
        client.log_in();
        assert_eq!(client.secured(&challenge).1[5..103], certificate);
        assert_eq!(client.plain(&[0x80, 0xfd, 0xaa, 0x55]).0, 0x9000);
        assert_eq!(client.plain(&challenge).1[5..103], certificate);
        assert_eq!(client.plain(&ident).1, certificate);
    }
}

/// KC-05: a card that was paired before takes the pairing again.
#[test]
fn a_card_comes_back_from_its_file_with_pairings_keys_and_paths() {
    for model in BEFORE_V4 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("card.json");
        let mut client = Client::unlocked(SoftCard::create(&path, model, dice(1)).unwrap());
        client.ok(LOAD_ABANDON);
        client.ok("80d10000088000002c8000003c");
        let before = client.select();
        drop(client.card);

        client.card = SoftCard::load(&path, dice(2)).unwrap();
        assert_eq!(client.select(), before);
        client.open(0, [0x44; 32]);
        assert_eq!(client.ok("80f20100"), hex::decode("8000002c8000003c").unwrap());
        assert_eq!(client.send("80c20101").0, 0x6985, "validation does not outlive the process");
    }
}

/// A reservation is on disk, the challenge it goes with is not: step 2 is then expected for zeros.
#[test]
fn a_reserved_slot_outlives_power_and_its_challenge_does_not() {
    let mut client = Client::unlocked(SoftCard::in_memory(Model::V3_2, dice(1)));
    client.select();
    assert_eq!(client.plain(&[&[0x80, 0x12, 0, 0, 32], &[9u8; 32][..]].concat()).0, 0x9000);
    client.card.power_cycle();
    client.select();
    let second = [&[0x80, 0x12, 1, 0, 32], &hash(&SECRET, &[0; 32])[..]].concat();
    let (sw, answer) = client.plain(&second);
    assert_eq!((sw, answer[0]), (0x9000, 1));
    assert_eq!(client.plain(&second).0, 0x6a86);
}

#[test]
fn a_pairing_between_open_and_authentication_spoils_the_channel() {
    let mut client = Client::unlocked(SoftCard::in_memory(Model::V3_1, dice(1)));
    let command = client.wrap(&hex::decode("80f20000").unwrap());
    let point = client.card_key();
    let open = [&[0x80, 0x10, 0, 0, 65], &point[..]].concat();
    assert_eq!(client.plain(&open).0, 0x9000);
    assert_eq!(client.plain(&[&[0x80, 0x12, 0, 0, 32], &[9u8; 32][..]].concat()).0, 0x9000, "not open yet");
    assert_eq!(client.plain(&[&[0x80, 0x11, 0, 0, 32], &[9u8; 32][..]].concat()).0, 0x6982);
    assert_eq!(client.plain(&command).0, 0x6985, "and the keys are gone");
}

#[test]
fn answers_of_222_bytes_are_the_longest() {
    let mut client = Client::unlocked(SoftCard::in_memory(Model::V3_1, dice(1)));
    client.ok(&format!("80e20100de{}", "5a".repeat(222)));
    assert_eq!(client.ok("80ca0100").len(), 222, "256 bytes on the wire, which the MAC takes for none");
    client.ok(&format!("80e20100df{}", "5a".repeat(223)));
    assert_eq!(client.send("80ca0100").0, 0x6f00);
    client.ok("80f20000");
}

#[test]
fn authentication_before_any_open_is_refused_and_does_not_get_in_the_way_of_pairing() {
    let mut client = Client::new(SoftCard::in_memory(Model::V3_1, dice(1)));
    assert_eq!(client.init(&[CREDENTIALS, &SECRET].concat()), 0x9000);
    assert_eq!(client.plain(&[&[0x80, 0x11, 0, 0, 32], &[9u8; 32][..]].concat()).0, 0x6985);
    assert_eq!(client.pair(&SECRET, [0x11; 32]), 0);
}

#[test]
fn the_pinless_path_of_a_key_without_chain_code_signs_with_the_master_key() {
    let sign = [&[0x80, 0xc0, 0x03, 0, 32], &[9u8; 32][..]].concat();
    for model in BEFORE_V4 {
        let mut client = Client::unlocked(SoftCard::in_memory(model, dice(1)));
        client.ok(LOAD_ONE);
        client.ok("80c100000480000001");
        client.ok(&hex::encode(&sign));
        client.select();
        let (sw, answer) = client.plain(&sign);
        assert_eq!(sw, 0x9000, "{model}: without a PIN");
        assert_eq!(hex::encode(&answer[6..16]), "79be667ef9dcbbac55a0");
    }
}

#[test]
fn the_pinless_path_is_a_start_for_others_from_3_1_on() {
    for (model, sw) in [(Model::V2_2, 0x6a86), (Model::V3_0, 0x6a86), (Model::V3_1, 0x9000), (Model::V3_2, 0x9000)] {
        let mut client = Client::unlocked(SoftCard::in_memory(model, dice(1)));
        client.ok(LOAD_ABANDON);
        client.ok("80c100000480000001");
        assert_eq!(client.send("80d1c00000").0, sw, "{model}");
    }
}

#[test]
fn ndef_lengths_and_offsets_of_3_2_are_signed_numbers() {
    let mut client = Client::unlocked(SoftCard::in_memory(Model::V3_2, dice(1)));
    assert_eq!(client.send("80e2017f0101").0, 0x9000);
    assert_eq!(client.send("80e201800101").0, 0x6f00);
    for (length, answer) in [
        ("01fe", (0x9000, 223)),
        ("7ffe", (0x6f00, 0)),
        ("fffd", (0x6f00, 0)),
        ("fffe", (0x9000, 0)),
        ("ffff", (0x9000, 1)),
    ] {
        client.log_in();
        client.ok(&format!("80e2010002{length}"));
        client.select();
        let (sw, data) = client.plain(&[0x80, 0xca, 1, 0]);
        assert_eq!((sw, data.len()), answer, "{length}");
    }
}

#[test]
fn the_cash_applet_signs_whatever_the_length_of_the_hash() {
    for model in [Model::V3_0, Model::V3_1, Model::V3_2] {
        let mut client = Client::new(SoftCard::in_memory(model, dice(1)));
        client.plain(&hex::decode("00a4040009a00000080400010301").unwrap());
        assert_eq!(client.plain(&[0x80, 0xc0, 0, 0]).0, 0x9000, "{model}");
        assert_eq!(client.plain(&[0x80, 0xc0, 0, 9, 3, 1, 2, 3]).0, 0x9000, "{model}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(
        model in proptest::sample::select(BEFORE_V4.to_vec()),
        plain in vec(vec(any::<u8>(), 0..300), 1..6),
        inner in vec((any::<u8>(), any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..224)), 1..12),
    ) {
        let mut client = Client::new(SoftCard::in_memory(model, dice(3)));
        for command in &plain {
            prop_assert!((2..=258).contains(&client.card.transmit(command).len()));
        }
        client.select();
        prop_assert!(client.init(&[CREDENTIALS, &SECRET].concat()) == 0x9000);
        client.log_in();
        // UNPAIR of the only pairing would leave nothing to open a channel with.
        for (ins, p1, p2, data) in inner.iter().filter(|(ins, ..)| *ins != 0x13) {
            let command = client.wrap(&[&[0x80, *ins, *p1, *p2, u8::try_from(data.len()).unwrap()], &data[..]].concat());
            let answer = client.card.transmit(&command);
            prop_assert!((2..=258).contains(&answer.len()));
            // An instruction that is refused early, or resets the card, leaves the client's IV behind.
            client.select();
            client.open(0, [0x66; 32]);
            client.ok("8020000006303030303030");
        }
        for command in &plain {
            prop_assert!((2..=258).contains(&client.card.transmit(command).len()));
        }
        prop_assert!(client.plain(&[&[0x00, 0xa4, 0x04, 0x00, 9], &KEYCARD[..]].concat()).0 == 0x9000);
    }
}
