//! The real programs and cards of several applets: the whole life of a card, as its owner types it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "what fails here fails the test")]
#![allow(dead_code, reason = "each test file uses its part of what they share")]

mod owner;
mod programs;
mod terminal;

use std::path::Path;

use proto::rpc::Fault;
use serde_json::Value;

use owner::{Owner, text};
use programs::cardinal;

const SIGNED: &str = "m/44'/60'/0'/0/0";
const HASH: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// KC-06, KC-16: the way of a card of each generation, from blank to blank, with every secret over a descriptor.
#[test]
fn an_owner_takes_a_card_of_each_generation_from_blank_to_blank() {
    for applet in ["3.2", "4.0"] {
        let mut owner = Owner::of(applet);
        owner.allow(SIGNED, "operations = [\"sign\"]");
        owner.stop();
        owner.start();
        let blank = owner.done("info");
        assert_eq!((&blank["initialised"], &blank["vouched_by"]), (&false.into(), &"nobody".into()));
        owner.init();
        let info = owner.done("info");
        assert_eq!(
            (&info["initialised"], &info["applet"], &info["pin_tries"]),
            (&true.into(), &applet.into(), &3.into())
        );
        assert_eq!(info["vouched_by"], "acquaintance");
        let card = info["card"].as_str().unwrap().to_owned();

        let loaded = owner.done("key load --words-fd 4 --pin-fd 3 3<pin 4<words");
        assert_eq!(loaded["key_uid"], "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1");
        let signed = owner.done(&format!("sign --path \"{SIGNED}\" {HASH} --pin-fd 3 3<pin"));
        assert_eq!(signed["signature"].as_str().unwrap().len(), 130);
        let refused = owner.fails(&format!("sign --path m/0 {HASH} --pin-fd 3 3<pin"), Fault::Refused);
        assert!(refused.contains("operations = [\"sign\"]"), "{refused}");
        owner.fails(&format!("key export-public \"{SIGNED}\" --pin-fd 3 3<pin"), Fault::Refused);
        let identity = owner.done("verify-identity");
        assert_eq!((&identity["test_card"], &identity["authority"]), (&true.into(), &"test".into()));

        owner.done("pin change --pin-fd 3 --new-pin-fd 4 3<pin 4<new");
        owner.done("puk change --pin-fd 3 --new-puk-fd 4 3<new 4<puk");
        owner.fails("key remove --pin-fd 3 3<pin", Fault::WrongPin);
        assert_eq!(owner.done("info")["pin_tries"], 2);
        owner.done("label work");
        assert_eq!(owner.done("info --card work")["card"], card);
        assert_eq!(owner.done("duress decoy-marked --card work")["duress"], "decoy-marked");
        assert_eq!((&owner.done("label ''")["label"], &owner.done("label")["label"]), (&"".into(), &"".into()));

        owner.stop();
        owner.start();
        owner.done("data set --name blue --accounts 0,1,5 --pin-fd 3 3<new");
        let data = owner.done("data get");
        assert_eq!((&data["name"], &data["accounts"][0]), (&"blue".into(), &"0-1".into()));
        owner.done("ndef set --uri https://example.org/a --pin-fd 3 3<new");
        assert_eq!(owner.done("ndef get")["records"][0]["uri"], "https://example.org/a");
        owner.done("mnemonic --words 15 --write-words-fd 7 7>drawn");
        assert_eq!(std::fs::read_to_string(owner.path("drawn")).unwrap().split_whitespace().count(), 15);

        if applet == "3.2" {
            let slots = owner.done("slots");
            assert_eq!((&slots["ours"], &slots["free_slots"]), (&"0".into(), &9.into()));
            owner.done("unpair --others --pin-fd 3 3<new");
            owner.done("pairings export --write-fd 7 7>exported");
            owner.done("unpair --ours --pin-fd 3 3<new");
            let lost = owner.fails("key remove --pin-fd 3 3<new", Fault::NotPaired);
            assert!(lost.contains("cardinal card recover"), "{lost}");
            let recover = owner.done("recover");
            assert!(recover["steps"].to_string().contains("card pair"), "{recover}");
            owner.fails("pair", Fault::WrongPairing);
            owner.done("pair --password-fd 3 3<password");
        } else {
            owner.fails("slots", Fault::Unsupported);
            assert_eq!(owner.done("challenge --length 9")["random"].as_str().unwrap().len(), 18);
        }
        owner.done("key remove --pin-fd 3 3<new");
        owner.done("key generate --pin-fd 3 3<new");

        owner.fails("reset", Fault::BadInput);
        owner.fails("reset --yes-wipe work", Fault::BadInput);
        let reset = owner.done(&format!("reset --yes-wipe {card}"));
        assert_eq!((&reset["card_before"], &reset["blank"]), (&card.into(), &true.into()));
        assert_eq!(owner.done("info")["initialised"], false);
        owner.stop();
        let log = owner.keymgr().join("export.log");
        let verify =
            owner.command(cardinal()).args(["--json", "audit", "verify", "--ca", "test"]).arg(log).output().unwrap();
        let verified: Value = serde_json::from_slice(&verify.stdout).unwrap();
        assert_eq!(verified["consistent"], true, "{}", text(&verify.stderr));
    }
}

/// What only fresh words have does not go with a seed that is given: it would be left undone without a word.
#[test]
fn nothing_is_asked_for_that_a_seed_has_not() {
    let owner = Owner::of("4.0");
    for source in ["--seed-fd 3", "--words-fd 3", "--private-key-fd 3", "--words"] {
        for extra in ["--read-back", "--write-words-fd 4"] {
            let output = owner.cardinal(&format!("card key load {source} {extra} --pin-fd 5"));
            assert_eq!(output.status.code(), Some(2), "{source} {extra}: {}", text(&output.stderr));
        }
    }
}

/// KC-08: the way out of a blocked PIN, and of a blocked PUK.
#[test]
fn a_blocked_pin_is_unblocked_with_the_puk_and_a_blocked_puk_leaves_the_reset() {
    let owner = Owner::of("4.0");
    owner.init();
    for (n, want) in [Fault::WrongPin, Fault::WrongPin, Fault::LastTry].into_iter().enumerate() {
        owner.fails("key remove --pin-fd 3 3<wrong", want);
        assert_eq!(owner.done("info")["pin_tries"], 3 - (n as u64 + 1).min(2));
    }
    owner.fails("key remove --last-try --pin-fd 3 3<wrong", Fault::PinBlocked);
    assert!(owner.done("recover")["steps"][0].as_str().unwrap().contains("pin unblock"));
    std::fs::write(owner.path("bad"), "999999999999\n").unwrap();
    let wrong = owner.fails("pin unblock --puk-fd 3 --new-pin-fd 4 3<bad 4<new", Fault::WrongPuk);
    assert!(wrong.contains("4 tries left"), "{wrong}");
    owner.done("pin unblock --puk-fd 3 --new-pin-fd 4 3<puk 4<new");
    assert!(owner.fails("pin unblock --puk-fd 3 --new-pin-fd 4 3<puk 4<new", Fault::BadInput).contains("not blocked"));
    owner.done("key generate --pin-fd 3 3<new");
}

/// The right card is picked when there are several: what fits two is refused, and both are listed.
#[test]
fn a_name_that_fits_two_cards_is_refused_and_lists_them() {
    let owner = Owner::of("4.0");
    owner.init();
    let other = owner.done("info --reader soft:other")["fingerprint"].as_str().unwrap().to_owned();
    owner.done(&format!("init --reader soft:other --confirm {other} --pin-fd 3 --puk-fd 4 3<pin 4<puk"));
    for card in ["", "--reader soft:other"] {
        owner.done(&format!("key load {card} --words-fd 4 --pin-fd 3 3<pin 4<words"));
    }
    let listed = owner.fails("info --card 16f5b9c7657df5e0", Fault::Ambiguous);
    assert!(listed.contains("soft:own") && listed.contains("soft:other"), "{listed}");
    owner.fails("info --card nobody", Fault::NoCard);
    owner.fails("info --reader soft:nowhere", Fault::NoReader);
}

/// No secret on standard output: where there is no terminal, a descriptor must be named before a card is asked.
#[test]
fn words_and_secrets_never_go_to_a_pipe() {
    let owner = Owner::of("4.0");
    owner.init();
    let asked = |owner: &Owner| {
        let log = std::fs::read_to_string(owner.keymgr().join("export.log")).unwrap();
        log.lines().filter(|line| line.contains("\"intent\":{")).count()
    };
    let before = asked(&owner);
    let setsid = |words: &str| {
        let script = format!("cd \"$HOME\" && setsid \"$CARDINAL\" card {words}");
        owner.command(Path::new("sh")).args(["-c", &script]).output().unwrap()
    };
    for words in [
        "mnemonic",
        "key load --fresh 12 --pin-fd 3 3<pin",
        "ecdh --path m/0 02 --pin-fd 3 3<pin",
        "bip85 --path \"m/83696968'/39'\" --pin-fd 3 3<pin",
        "lee --pin-fd 3 3<pin",
    ] {
        let output = setsid(words);
        assert_eq!(output.status.code(), Some(i32::from(Fault::BadInput.exit_code())), "{words}");
        assert_eq!(text(&output.stdout), "");
    }
    assert_eq!(asked(&owner), before, "no card was asked");
}

/// The card draws the words; it takes them once somebody has them.
#[test]
fn fresh_words_that_nobody_has_do_not_replace_a_key() {
    for applet in ["3.2", "4.0"] {
        let owner = Owner::of(applet);
        owner.init();
        owner.done("key generate --pin-fd 3 3<pin");
        let account = || owner.done("info")["key_uid"].clone();
        let before = account();
        owner.fails("key load --fresh 12 --write-words-fd 9 --pin-fd 3 3<pin 9>/dev/full", Fault::BadInput);
        assert_eq!(account(), before);
        owner.done("key load --fresh 12 --write-words-fd 9 --pin-fd 3 3<pin 9>>backup");
        let after = account();
        assert_ne!(after, before);
        let words = std::fs::read_to_string(owner.path("backup")).unwrap();
        assert_eq!(words.split_whitespace().count(), 12);
        owner.done("key load --words-fd 9 --pin-fd 3 3<pin 9<backup");
        assert_eq!(account(), after, "they are the words of that key");
    }
}

/// The dialogues: what is typed is not shown, a mistake is asked again before anything is sent, and the words are wiped.
#[test]
fn a_person_at_a_terminal_takes_a_card_into_use() {
    let (pin, puk) = ("493817", "201938475601");
    let owner = Owner::of("4.0");

    let mut dialogue = owner.at_a_terminal("card init");
    for (prompt, secret) in [("New PIN (6 digits)", pin), ("New PUK (12 digits", puk)] {
        dialogue.sees(prompt);
        dialogue.types(secret);
        dialogue.sees("again");
        dialogue.types(secret);
    }
    let question = dialogue.sees("Type the fingerprint");
    let fingerprint = question.split("--confirm ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    dialogue.types(&fingerprint);
    let (code, screen) = dialogue.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains(pin) && !screen.contains(puk), "{screen}");

    let mut dialogue = owner.at_a_terminal("card key load --fresh 12 --read-back");
    dialogue.sees("Write these words down");
    let shown = dialogue.sees("Press Enter");
    let words: Vec<&str> =
        shown.lines().filter_map(|line| line.split_once(". ")?.1.split_whitespace().next()).collect();
    // The heading has a full stop too.
    assert_eq!(words.len(), 13, "{shown}");
    dialogue.types("");
    dialogue.sees("Word 1: ");
    dialogue.types("nonsense");
    dialogue.sees("That is not word 1");
    for (n, word) in words[1..].iter().enumerate() {
        dialogue.sees(&format!("Word {}: ", n + 1));
        dialogue.types(word);
    }
    dialogue.sees("PIN of ");
    dialogue.types(pin);
    let (code, screen) = dialogue.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("\u{1b}[J"), "the words are wiped from the screen");

    let mut dialogue = owner.at_a_terminal("unlock");
    dialogue.sees("PIN of ");
    dialogue.types("111111");
    let (code, screen) = dialogue.ends();
    assert_eq!(code, Some(i32::from(Fault::WrongPin.exit_code())), "{screen}");
    assert!(screen.contains("2 tries") && !screen.contains("111111"), "{screen}");
}
