//! The applet's rules, one test a rule: selection, channel, INIT, PINs, keys, exports.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Client, DURESS, INIT, KEYCARD, LOAD_ABANDON, PIN, Place, dice};
use sha2::{Digest, Sha256};
use softcard::{Model, SoftCard};

/// LOAD KEY with the private key 1, without chain code.
const LOAD_ONE: &str = "80d0010024a12281200000000000000000000000000000000000000000000000000000000000000001";
const GET_STATUS: &str = "80f20000";

#[test]
fn an_applet_is_found_by_its_name_or_the_beginning_of_it() {
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, dice(1)));
    for aid in [&KEYCARD[..1], &KEYCARD[..4], &[0xa0, 0, 0, 8, 4, 0, 1, 1, 2], &[&KEYCARD[..], &[1]].concat()] {
        assert_eq!(client.select(aid).sw, 0x6a82, "{aid:02x?}");
    }
    assert_eq!(client.select(&[]).data[..4], [0x6f, 0x10, 0x84, 0x08], "no name is that of the security domain");
    let whole = client.select(&KEYCARD);
    assert_eq!(whole.sw, 0x9000);
    for length in 5..KEYCARD.len() {
        assert_eq!(client.select(&KEYCARD[..length]).data, whole.data, "{length} bytes of it");
    }
    let mut with_le = vec![0x00, 0xa4, 0x04, 0x00, 9];
    with_le.extend_from_slice(&KEYCARD);
    with_le.push(0);
    assert_eq!(client.plain(&with_le).sw, 0x9000);
}

#[test]
fn the_template_of_a_blank_card_has_the_length_byte_that_cards_have() {
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, dice(1)));
    let template = client.select(&KEYCARD).data;
    assert_eq!(template.len(), 0x72);
    assert_eq!(hex::encode(&template[..16]), "a46f020204008c01008e008d011f8a62");
}

#[test]
fn without_power_or_selection_nothing_is_answered() {
    let mut client = Client::loaded(1);
    client.power();
    assert_eq!(client.plain(&[0x80, 0xf2, 0, 0]).sw, 0x6d00);
    assert_eq!(client.plain(&[0x80, 0xfd, 0xaa, 0x55]).sw, 0x6d00, "not even a reset");
    client.select(&KEYCARD);
    client.open();
    assert_eq!(client.ok(GET_STATUS), hex::decode("a3090201030201050101ff").unwrap());
}

#[test]
fn selecting_another_applet_ends_channel_and_validation() {
    let mut client = Client::loaded(1);
    assert_eq!(client.select(&[1, 2, 3]).sw, 0x6a82);
    assert_eq!(client.send(GET_STATUS).sw, 0x6d00);
    client.select(&KEYCARD);
    client.open();
    assert_eq!(client.export(0, "m/43'/60'/1581'/0'/0").sw, 0x6985);
}

#[test]
fn lying_lengths_are_answered_6700_and_the_channel_survives() {
    let mut client = Client::loaded(1);
    for bytes in [&[][..], &[0x80], &[0x80, 0x18, 0], &[0x80, 0x18, 0, 0, 9, 1], &[0x80, 0x18, 0, 0, 1, 1, 1, 1]] {
        assert_eq!(client.card.transmit(bytes), [0x67, 0x00], "{bytes:02x?}");
    }
    client.ok(GET_STATUS);
}

#[test]
fn a_blank_card_ignores_all_but_init_with_9000() {
    let mut client = Client::open_blank(1);
    for command in [GET_STATUS, LOAD_ABANDON, "80c20100", "8020000006303030303030", "80990000", "80c00000"] {
        assert!(client.ok(command).is_empty(), "{command}");
    }
    assert_eq!(client.ok("80840800").len(), 8, "GET CHALLENGE works");
    client.ok(INIT);
    assert_eq!(client.send(INIT).sw, 0x6d00, "once only");
    assert_eq!(client.ok(GET_STATUS), hex::decode("a309020103020105010100").unwrap());
}

#[test]
fn init_takes_three_forms_and_checks_them() {
    for (plain, sw) in [
        ("303030303030313233343536373839303132", 0x9000),
        ("3030303030303132333435363738393031320305", 0x9000),
        ("3030303030303132333435363738393031320305303234363830", 0x9000),
        ("3030303030303132333435363738393031320305616263646566", 0x9000),
        ("303030303030313233343536373839303132020c", 0x9000),
        ("3030303030303132333435363738393031320603", 0x9000),
        ("", 0x6a80),
        ("30303030303031323334353637383930313203", 0x6a80),
        ("30303030303031323334353637383930313203053032343638", 0x6a80),
        ("303030303030313233343536373839303132030530323436383030", 0x6a80),
        ("613030303030313233343536373839303132", 0x6a80),
        ("303030303030613233343536373839303132", 0x6a80),
        ("3030303030303132333435363738393031320105", 0x6a80),
        ("3030303030303132333435363738393031320b05", 0x6a80),
        ("3030303030303132333435363738393031320302", 0x6a80),
        ("303030303030313233343536373839303132030d", 0x6a80),
        ("3030303030303132333435363738393031320705", 0x6f00),
        ("3030303030303132333435363738393031320a05", 0x6f00),
    ] {
        let mut client = Client::open_blank(1);
        let reply = client.send(&format!("80fe0000{:02x}{plain}", plain.len() / 2));
        assert_eq!((reply.sw, reply.place), (sw, Place::Inner), "{plain}");
        let status = client.select(&KEYCARD).data[8];
        assert_eq!(status == 0, sw != 0x9000, "{plain}: blank unless 9000");
    }
}

#[test]
fn without_a_duress_pin_the_pin_itself_opens_the_duress_tree() {
    let mut client = Client::open_blank(1);
    client.ok("80fe000012303030303030313233343536373839303132");
    client.verify(PIN);
    client.ok(LOAD_ABANDON);
    let chat = client.export(0, "m/43'/60'/1581'/0'/0").data;
    assert_eq!(hex::encode(&chat[4..]), "a92d6fdea4b5326a7cf8f524fcd193059e63a13b770c8082f164764c66a01e15");
}

/// KC-08: VERIFY PIN says how many tries are left.
#[test]
fn wrong_pins_count_down_to_a_blocked_card() {
    let mut client = Client::loaded(1);
    for sw in [0x63c2, 0x63c1, 0x63c0, 0x63c0] {
        assert_eq!(client.try_pin(b"999999"), sw);
    }
    assert_eq!(client.try_pin(PIN), 0x63c0, "blocked for the right PIN");
    assert_eq!(client.try_pin(DURESS), 0x63c0, "and for the duress PIN");
    assert_eq!(client.ok(GET_STATUS), hex::decode("a3090201000201050101ff").unwrap());
    client.power();
    assert_eq!(client.select(&KEYCARD).data[9], 0x10, "for good");
}

#[test]
fn a_malformed_pin_costs_no_try_and_a_wrong_one_ends_validation() {
    let mut client = Client::loaded(1);
    for pin in [&b""[..], b"00000", b"0000000", b"00000a"] {
        assert_eq!(client.try_pin(pin), 0x6a80);
    }
    assert_eq!(client.export(1, "m").sw, 0x9000, "validation is kept");
    assert_eq!(client.ok(GET_STATUS)[4], 3);
    assert_eq!(client.try_pin(b"999999"), 0x63c2);
    assert_eq!(client.export(1, "m").sw, 0x6985);
}

/// The recorded example with two PINs and three tries, up to the point where only UNBLOCK PIN would help.
#[test]
fn alternating_wrong_and_duress_tries_exhaust_the_main_pin() {
    let mut client = Client::loaded(1);
    assert_eq!(client.try_pin(b"999999"), 0x63c2);
    assert_eq!(client.try_pin(DURESS), 0x9000);
    assert_eq!(client.try_pin(b"999999"), 0x63c2, "duress 2, main 1");
    assert_eq!(client.try_pin(b"999999"), 0x63c1, "duress 1, main 0");
    assert_eq!(client.try_pin(PIN), 0x63c0, "the right main PIN is blocked, and took the last duress try");
}

#[test]
fn the_main_pin_gives_both_pins_their_tries_back_and_the_duress_pin_only_its_own() {
    let mut client = Client::loaded(1);
    client.try_pin(b"999999");
    client.verify(PIN);
    client.verify(DURESS);
    assert_eq!(client.ok(GET_STATUS)[4], 3);
    client.try_pin(b"999999");
    client.verify(DURESS);
    client.try_pin(b"999999");
    client.verify(DURESS);
    client.try_pin(b"999999");
    client.verify(DURESS);
    assert_eq!(client.try_pin(PIN), 0x63c2, "three wrong tries were paid by the main PIN, though duress came between");
}

#[test]
fn the_pin_last_used_outlives_power_and_its_validation_does_not() {
    let mut client = Client::loaded(1);
    client.verify(DURESS);
    client.try_pin(b"999999");
    client.verify(DURESS);
    client.power();
    assert_eq!(client.select(&KEYCARD).data[9], 0x13, "the duress PIN's tries; the main PIN has two");
    client.open();
    assert_eq!(client.export(1, "m").sw, 0x6985);
    client.verify(PIN);
    client.open();
    assert_eq!(client.export(1, "m").sw, 0x9000, "a new channel keeps the validation");
}

#[test]
fn keys_are_loaded_and_generated_behind_the_pin_only() {
    let mut client = Client::open_blank(1);
    client.ok(INIT);
    for command in [LOAD_ABANDON, "80d40000", "80c20101"] {
        assert_eq!(client.send(command).sw, 0x6985, "{command}");
    }
    client.verify(PIN);
    assert_eq!(client.export(1, "m").sw, 0x6985, "no key yet");
    for length in [0, 1, 15, 65, 200] {
        let seed = "00".repeat(length);
        assert_eq!(client.send(&format!("80d00300{length:02x}{seed}")).sw, 0x6a80);
    }
    assert_eq!(client.send("80d000001000112233445566778899aabbccddeeff").sw, 0x6a86);
    assert_eq!(client.export(1, "m").sw, 0x6985, "a failing LOAD KEY leaves nothing behind");
    let one = client.ok("80d40000");
    let two = client.ok("80d40000");
    assert_ne!(one, two, "each generated key is a new one");
    let master = client.export(1, "m").data;
    assert_eq!(two, Sha256::digest(&master[4..]).to_vec());
    assert_eq!(client.select(&KEYCARD).data[12..44], two);
}

#[test]
fn exports_follow_the_rule_of_five_components() {
    let mut client = Client::loaded(1);
    // path, private, public, extended public
    for (path, want) in [
        ("m", [0x6985, 0x9000, 0x6985]),
        ("m/44'/60'/0'/0", [0x6985, 0x9000, 0x9000]),
        ("m/44'/60'/0'/0/0", [0x6985, 0x9000, 0x9000]),
        ("m/43'/60'/1581'", [0x6985, 0x9000, 0x9000]),
        ("m/43'/60'/1581'/0'", [0x6985, 0x9000, 0x9000]),
        ("m/43'/60'/1581'/0'/0", [0x9000, 0x9000, 0x6985]),
        ("m/43'/60'/1581'/5/6", [0x9000, 0x9000, 0x6985]),
        ("m/43'/60'/1581'/0'/0/1/2/3/4/5", [0x9000, 0x9000, 0x6985]),
        ("m/43'/60'/1580'/0'/0", [0x6985, 0x9000, 0x9000]),
        ("m/43/60'/1581'/0'/0", [0x6985, 0x9000, 0x9000]),
    ] {
        for (form, sw) in (0..).zip(want) {
            assert_eq!(client.export(form, path).sw, sw, "{path} P2={form}");
        }
    }
}

/// Two extended public keys and one child's private key give the private key above them: the card allows all three.
#[test]
fn the_hole_in_the_export_rule_is_there_as_on_real_cards() {
    let mut client = Client::loaded(1);
    for (form, path) in [(2, "m/43'/60'/1581'"), (2, "m/43'/60'/1581'/5"), (0, "m/43'/60'/1581'/5/6")] {
        assert_eq!(client.export(form, path).sw, 0x9000, "{path}");
    }
}

#[test]
fn exports_check_pin_and_key_then_p2_then_the_path_then_the_rule() {
    let mut client = Client::loaded(1);
    let bad_path = "00".repeat(3);
    let long_path = |length: usize| format!("{length:02x}{}", "00".repeat(length));
    assert_eq!(client.send(&format!("80c2010303{bad_path}")).sw, 0x6a86, "P2 before the path");
    assert_eq!(client.send(&format!("80c2010003{bad_path}")).sw, 0x6a80, "the path before the rule");
    assert_eq!(client.send(&format!("80c20100{}", long_path(44))).sw, 0x6a80);
    assert_eq!(client.send(&format!("80c20100{}", long_path(124))).sw, 0x6a80);
    assert_eq!(client.send(&format!("80c20100{}", long_path(128))).sw, 0x6f00, "a signed length byte");
    assert_eq!(client.send(&format!("80c20100{}", long_path(129))).sw, 0x6a80);
    assert_eq!(client.send(&format!("80c20100{}", long_path(240))).sw, 0x6f00);
    assert_eq!(client.send("80c2ff01").sw, 0x9000, "P1 means nothing");
    client.try_pin(b"999999");
    assert_eq!(client.send(&format!("80c2010303{bad_path}")).sw, 0x6985, "the PIN before P2");
}

#[test]
fn sign_and_ecdh_check_length_then_pin_and_key_then_the_path_of_any_length() {
    let mut client = Client::loaded(1);
    let g = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f8179848\
             3ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
    let command = |header: &str, first: &str, path: usize| {
        format!("{header}{:02x}{first}{}", first.len() / 2 + path, "00".repeat(path))
    };
    let sign = |path| command("80c00100", &"11".repeat(32), path);
    let ecdh = |path| command("80c50100", g, path);
    for path in [41, 44, 95, 96, 100, 128, 160] {
        assert_eq!(client.send(&sign(path)).sw, 0x6a80, "{path}");
        assert_eq!(client.send(&ecdh(path)).sw, 0x6a80, "{path}");
    }
    client.try_pin(b"999999");
    assert_eq!(client.send(&sign(128)).sw, 0x6985);
    assert_eq!(client.send(&ecdh(128)).sw, 0x6985);
    assert_eq!(client.send("80c001001f11111111111111111111111111111111111111111111111111111111111111").sw, 0x6a80);
    client.verify(PIN);
    client.ok(LOAD_ONE);
    assert_eq!(client.send(&sign(128)).sw, 0x6985, "no chain code");
    assert_eq!(client.send(&ecdh(128)).sw, 0x6985);
    client.ok(&sign(0));
}

/// Only `82 20` is looked at, not what is behind it.
#[test]
fn a_chain_code_that_is_cut_off_is_one_that_ends_with_zeros() {
    let public = |client: &mut Client, rest: &str| {
        let private = "00".repeat(31) + "01";
        let template = format!("8120{private}{rest}");
        let length = template.len() / 2;
        let sw = client.send(&format!("80d00100{:02x}a1{length:02x}{template}", length + 2)).sw;
        (sw, client.export(1, "m/1'").data)
    };
    let mut client = Client::loaded(1);
    let whole = public(&mut client, &format!("822077{}", "00".repeat(31)));
    assert_eq!((whole.0, whole.1.len()), (0x9000, 69));
    assert_eq!(public(&mut client, "822077"), whole);
    for wrong in ["82", "821f77", "8221"] {
        assert_eq!(public(&mut client, wrong), (0x6a80, whole.1.clone()), "{wrong}");
    }
}

const READ: [u8; 4] = [0x00, 0xb0, 0, 0];

/// The length that the file begins with is a signed number once two are added.
#[test]
fn an_ndef_file_of_an_impossible_length_is_read_as_the_applet_counts() {
    let read = |client: &mut Client, offset: u16, le: u8| {
        client.select(&hex::decode("d2760000850101").unwrap());
        assert_eq!(client.plain(&[0, 0xa4, 0, 0x0c, 2, 0xe1, 4]).sw, 0x9000);
        let [high, low] = offset.to_be_bytes();
        let reply = client.plain(&[READ[0], READ[1], high, low, le]);
        (reply.sw, reply.data.len())
    };
    for (length, get, first, end) in [
        ("01fe", (0x9000, 244), (0x9000, 255), (0x9000, 12)),
        ("01ff", (0x9000, 244), (0x9000, 255), (0x6f00, 0)),
        ("7ffd", (0x9000, 244), (0x9000, 255), (0x6f00, 0)),
        ("7ffe", (0x6a86, 0), (0x6a86, 0), (0x6a86, 0)),
        ("fffe", (0x6a86, 0), (0x6a86, 0), (0x6a86, 0)),
        ("ffff", (0x9000, 1), (0x9000, 1), (0x6a86, 0)),
    ] {
        let mut client = Client::loaded(1);
        client.ok(&format!("80e2010002{length}"));
        let reply = client.send("80ca0100");
        assert_eq!((reply.sw, reply.data.len()), get, "{length}");
        assert_eq!(read(&mut client, 0, 0), first, "{length}");
        assert_eq!(read(&mut client, 500, 13), end, "{length}");
    }
    let mut client = Client::loaded(1);
    client.ok("80e201000201ff");
    assert_eq!(client.send("80ca017f").sw, 0x6f00, "past byte 512");
}

#[test]
fn the_cash_applet_takes_a_short_hash_for_one_that_ends_with_zeros() {
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, dice(1)));
    client.select(&hex::decode("a00000080400010301").unwrap());
    for command in ["80c00000", "80c0000001aa", "80c0000321ff"] {
        let mut command = hex::decode(command).unwrap();
        if command.len() > 4 {
            command.resize(5 + usize::from(command[4]), 0);
        }
        assert_eq!(client.plain(&command).sw, 0x9000);
    }
    assert_eq!(client.plain(&[0x80, 0xc0, 0, 1]).sw, 0x6a81, "whatever the length");
}

#[test]
fn spoiled_commands_end_the_channel_with_6982_in_clear() {
    for kind in ["bad-mac", "bad-body", "truncated", "replayed", "wrong-counter", "inner-lc", "inner-short"] {
        let mut client = Client::loaded(1);
        client.ok(GET_STATUS);
        let reply = client.tamper(kind, &[0x80, 0xf2, 0, 0]).unwrap();
        assert_eq!((reply.sw, reply.place), (0x6982, Place::Outer), "{kind}");
        assert_eq!(client.send(GET_STATUS).sw, 0x6985, "{kind}");
        client.open();
        assert_eq!(client.export(1, "m").sw, 0x9000, "{kind}: validation outlives the channel");
    }
    // Less than tag and header.
    let mut client = Client::loaded(1);
    assert_eq!(client.card.transmit(&[0x80, 0x18, 0, 0]), [0x69, 0x82]);
    let mut client = Client::loaded(1);
    assert_eq!(client.card.transmit(&[&[0x80, 0x18, 0, 0, 12][..], &[0; 12]].concat()), [0x69, 0x82]);
}

#[test]
fn the_outer_header_is_not_authenticated() {
    for kind in ["bad-header", "bad-cla"] {
        let mut client = Client::loaded(1);
        let reply = client.tamper(kind, &[0x80, 0xf2, 0, 0]).unwrap();
        assert_eq!((reply.sw, reply.place), (0x9000, Place::Inner), "{kind}");
    }
}

#[test]
fn plain_commands_are_answered_6985_inside_an_open_channel_that_survives() {
    let mut client = Client::loaded(1);
    for command in [&[0x80, 0xf2, 0, 0][..], &[0x80, 0x99, 0, 0], &[0x80, 0xfe, 0, 0], &[0x00, 0xa4, 0x00, 0x00]] {
        let reply = client.plain(command);
        assert_eq!((reply.sw, reply.place), (0x6985, Place::Inner));
    }
    let reply = client.plain(&[0x80, 0xfd, 0, 0]);
    assert_eq!((reply.sw, reply.place), (0x6a86, Place::Inner));
    let reply = client.plain(&[0x80, 0x10, 0, 0, 1, 4]);
    assert_eq!((reply.sw, reply.place), (0x6a80, Place::Inner), "a failing OPEN leaves the old channel");
    client.ok(GET_STATUS);
}

#[test]
fn without_a_channel_commands_are_answered_6985_in_clear() {
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, dice(1)));
    client.select(&KEYCARD);
    for command in [&[0x80, 0xf2, 0, 0][..], &[0x80, 0x18, 0, 0], &[0x80, 0x99, 0, 0], &[0x80, 0xfe, 0, 0]] {
        assert_eq!(client.card.transmit(command), [0x69, 0x85]);
    }
}

#[test]
fn open_checks_length_then_p1_p2_then_the_point() {
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, dice(1)));
    client.select(&KEYCARD);
    let open = |p1: u8, p2: u8, data: &[u8]| {
        let mut command = vec![0x80, 0x10, p1, p2, u8::try_from(data.len()).unwrap()];
        command.extend_from_slice(data);
        command
    };
    let mut off_curve = [0; 97];
    off_curve[32] = 4;
    assert_eq!(client.plain(&open(1, 0, &[4; 96])).sw, 0x6a80);
    assert_eq!(client.plain(&open(1, 0, &[0; 97])).sw, 0x6a86);
    assert_eq!(client.plain(&open(0, 1, &[0; 97])).sw, 0x6a86);
    assert_eq!(client.plain(&open(0, 0, &[2; 97])).sw, 0x6a80);
    assert_eq!(client.plain(&open(0, 0, &off_curve)).sw, 0x6a80);
}

#[test]
fn a_factory_reset_leaves_a_blank_card_with_the_same_identity() {
    let mut client = Client::loaded(1);
    let identity = client.card.identity();
    let reply = client.plain(&[0x80, 0xfd, 0xaa, 0x55]);
    assert_eq!((reply.sw, reply.place), (0x9000, Place::Outer), "the channel is gone");
    assert_eq!(client.plain(&[0x80, 0xfd, 0xaa, 0x55]).sw, 0x9000, "a blank card has nothing against it");
    let template = client.select(&KEYCARD).data;
    assert_eq!(template[8..12], [0x00, 0x8e, 0x00, 0x8d]);
    assert_eq!(client.card.identity(), identity);
    client.open();
    assert!(client.ok(GET_STATUS).is_empty());
}
