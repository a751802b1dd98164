//! Several clients and one card: what one wrote is what the other finds.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};
use serde_json::{Value, json};

use super::desk::{Applet, Client, Desk, unhex};
use super::signature::{is_of, signed, signs};
use super::vectors::{CHAT, OTHER_CHAIN, OTHER_KEY_UID, OTHER_PRIVATE, TEST_CA};
use crate::geth::same;

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "three_clients_share_a_card_of_3_1", run: |world| share(world, Applet::V3_1), ..TOGETHER },
    Scenario { name: "three_clients_share_a_card_of_3_2", run: |world| share(world, Applet::V3_2), ..TOGETHER },
    Scenario {
        name: "a_card_that_listens_answers_as_fast_as_one_that_connects",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo],
        shows: &[],
        run: a_card_that_listens_answers_as_fast_as_one_that_connects,
        ..TOGETHER
    },
];

/// What all of them have in common.
const TOGETHER: Scenario = Scenario {
    group: "card",
    name: "",
    peers: &[Tool::Softcard, Tool::Pcscd, Tool::PypiKeycard, Tool::KeycardGo, Tool::KeycardSdk],
    shows: &["KC-03", "KC-05", "KC-11"],
    within: Duration::from_secs(120),
    run: |_| Err("nothing is shown".into()),
};

fn share(world: &World, applet: Applet) -> Outcome {
    let desk = Desk::with_blank_card(world, applet)?;
    let mut python = desk.connected(world, Tool::PypiKeycard)?;
    let mut go = desk.connected(world, Tool::KeycardGo)?;
    let mut javascript = desk.connected(world, Tool::KeycardSdk)?;

    // One initialises the card, another one pairs, and the pairing opens the channel of the third.
    go.tell("select")?;
    go.ask("init", json!({"pin": PIN, "puk": PUK, "pairing": "Schlüssel"}))?;
    javascript.tell("select")?;
    let pairing = pair(&mut python, "Schlüssel")?;
    enter(&mut javascript, &pairing)?;
    same("the pairing as Status writes it down", javascript.tell("pairing_text")?, base64(&pairing)?.into())?;

    // A key pair that one loads is the one that the others see.
    let key = json!({"private": OTHER_PRIVATE, "chain": OTHER_CHAIN});
    same("the key UID", javascript.ask("load_key", key)?, OTHER_KEY_UID.into())?;
    let public = javascript.ask("export", json!({"path": CHAT, "private": false}))?;
    let public = public["public"].as_str().ok_or("no key")?.to_owned();
    let extended = javascript.ask("export", json!({"path": "m/44'/60'/0'", "private": false, "extended": true}))?;
    same("the length of a chain code", extended["chain"].as_str().map(str::len), Some(64))?;

    // A SELECT of one ends the channel of the other. Who does not know it yet ends the new one with what it sends.
    enter(&mut go, &pairing)?;
    javascript.refused("status", json!({}), "6982")?;
    go.refused("status", json!({}), "6985")?;
    enter(&mut go, &pairing)?;
    signs(&mut go, "sign", Some(CHAT), &public)?;

    // The PIN that one blocks, another one unblocks; the keys stay.
    for status in ["63c2", "63c1", "63c0"] {
        go.refused("verify_pin", json!({"pin": "000000"}), status)?;
    }
    select_and_open(&mut python, &pairing)?;
    python.refused("verify_pin", json!({"pin": PIN}), "63c0")?;
    python.ask("unblock", json!({"puk": PUK, "pin": "111111"}))?;
    python.ask("verify_pin", json!({"pin": "111111"}))?;
    signs(&mut python, "sign", Some(CHAT), &public)?;

    others_lose_their_pairings(&mut javascript, &mut go, &pairing)?;
    both_find_the_cash_applet(&mut javascript, &mut go)?;
    identifies(&mut javascript)?;

    // Who resets the card needs neither PIN nor channel, and everybody finds it blank.
    go.tell("reset")?;
    for client in [&mut python, &mut go, &mut javascript] {
        same("the card is initialised", &client.tell("select")?["initialised"], &false.into())?;
    }
    Ok(())
}

fn a_card_that_listens_answers_as_fast_as_one_that_connects(world: &World) -> Outcome {
    for desk in [Desk::with_blank_card, Desk::with_card_that_listens] {
        let desk = desk(world, Applet::V3_2)?;
        let mut client = desk.connected(world, Tool::KeycardGo)?;
        for _ in 0..100 {
            client.tell("select")?;
        }
        client.tell_times(Applet::V3_2)?;
    }
    Ok(())
}

fn pair(client: &mut Client, password: &str) -> Outcome<Value> {
    client.tell("select")?;
    client.ask("pair", json!({"password": password}))
}

fn select_and_open(client: &mut Client, pairing: &Value) -> Outcome {
    client.tell("select")?;
    client.ask("set_pairing", pairing.clone())?;
    client.tell("open")?;
    Ok(())
}

fn enter(client: &mut Client, pairing: &Value) -> Outcome {
    select_and_open(client, pairing)?;
    client.ask("verify_pin", json!({"pin": PIN}))?;
    Ok(())
}

/// The slots of all others are given back, and theirs open nothing.
fn others_lose_their_pairings(javascript: &mut Client, go: &mut Client, pairing: &Value) -> Outcome {
    let other = pair(go, "Schlüssel")?;
    same("the second slot", &other["index"], &1.into())?;
    select_and_open(javascript, pairing)?;
    javascript.ask("verify_pin", json!({"pin": "111111"}))?;
    javascript.tell("unpair_others")?;
    go.tell("select")?;
    go.ask("set_pairing", other)?;
    go.refused("open", json!({}), "6a86")
}

/// A card in a card that signs for everybody.
fn both_find_the_cash_applet(javascript: &mut Client, go: &mut Client) -> Outcome {
    let mut keys = Vec::new();
    for client in [javascript, go] {
        let (hash, cash) = signed(client, "cash", None)?;
        let key = cash["key"].as_str().ok_or("no key")?.to_owned();
        same("who signed", cash["public"].as_str(), Some(&*key))?;
        is_of(&hash, &cash, &key)?;
        keys.push(key);
    }
    same("it is the same key", keys.first(), keys.last())
}

/// The library fails where the card's r or s is short, and asks again with another challenge.
fn identifies(javascript: &mut Client) -> Outcome {
    javascript.tell("select")?;
    let mut last = String::new();
    for digit in ["00", "5a", "ff", "17"] {
        match javascript.ask("identify", json!({"challenge": digit.repeat(32)})) {
            Ok(said) => return same("the authority", said["ca"].as_str(), Some(TEST_CA)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last.into())
}

/// Index and key, as mobile Status keeps them.
fn base64(pairing: &Value) -> Outcome<String> {
    let index = u8::try_from(pairing["index"].as_u64().ok_or("no index")?)?;
    let mut bytes = vec![index];
    bytes.extend(unhex(pairing["key"].as_str().ok_or("no key")?)?);
    // 33 bytes: nothing has to be filled up.
    let digits = bytes.chunks(3).flat_map(|three| {
        let number = three.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[number >> shift & 63]))
    });
    Ok(digits.collect())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PIN: &str = "123456";
const PUK: &str = "987654321098";
