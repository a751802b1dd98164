//! Every command of PyPI's `keycard` that is not part of a card's ordinary life, on each applet that has it, and on one that
//! has not.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};
use serde_json::json;

use super::desk::{Applet, Client, Desk};
use super::signature::{is_schnorr_of, signs};
use super::vectors::{
    BIP_85, BIP_85_BYTES, CHAT, CHAT_OF_DURESS, CHAT_PRIVATE, CHAT_PUBLIC, CHAT_SHARED, LEE_NSK, LEE_PATH, LEE_PUBLIC,
    LEE_SEED, LEE_VSK, MASTER_PUBLIC, NIP_44, NIP_44_SHARED, OTHER_CHAIN, OTHER_KEY_UID, OTHER_PRIVATE, PEER_PUBLIC,
    SEED, TEST_CA, WALLET, WALLET_BYTES, WALLET_PUBLIC, WALLET_ROOT, WALLET_ROOT_CHAIN, WALLET_ROOT_PUBLIC,
};
use crate::geth::same;

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "pypi_keycard_uses_every_command_of_3_1",
        run: |world| channel_1(world, Applet::V3_1),
        ..COMMANDS
    },
    Scenario {
        name: "pypi_keycard_uses_every_command_of_3_2",
        run: |world| channel_1(world, Applet::V3_2),
        ..COMMANDS
    },
    Scenario { name: "pypi_keycard_uses_every_command_of_4_0", run: channel_2, ..COMMANDS },
];

/// What all of them have in common.
const COMMANDS: Scenario = Scenario {
    group: "card",
    name: "",
    peers: &[Tool::Softcard, Tool::Pcscd, Tool::PypiKeycard],
    shows: &[],
    within: Duration::from_secs(120),
    run: |_| Err("nothing is shown".into()),
};

fn channel_1(world: &World, applet: Applet) -> Outcome {
    let desk = Desk::with_blank_card(world, applet)?;
    let mut client = desk.connected(world, Tool::PypiKeycard)?;
    client.tell("select")?;
    // Before INIT, and with a challenge of the client's: the authority is the one that vouches for software cards.
    identifies(&mut client)?;
    let secrets =
        json!({"pin": PIN, "puk": PUK, "pairing": PASSWORD, "duress": DURESS, "pin_tries": 5, "puk_tries": 7});
    client.ask("init", secrets)?;
    client.tell("select")?;
    identifies(&mut client)?;
    pairs_as_it_wants(&mut client, applet)?;
    client.tell("select")?;
    client.ask("pair", json!({"password": PASSWORD}))?;
    client.tell("open")?;
    same("the tries", client.tell("status")?, json!({"pin": 5, "puk": 7, "key": false}))?;
    client.ask("verify_pin", json!({"pin": PIN}))?;

    loads_keys_of_all_forms(&mut client)?;
    // What these applets do not know; the first is answered under the IV before the command's.
    client.refused("challenge", json!({"length": 32}), "6d00")?;
    client.refused("bip85", json!({"path": BIP_85, "length": 64}), "6d00")?;
    client.refused("ecdh", json!({"public": PEER_PUBLIC, "path": NIP_44}), "6d00")?;
    client.refused("lee", json!({"path": LEE_PATH}), "6d00")?;
    client.refused("load_lee", json!({"seed": LEE_SEED}), "6a86")?;
    client.ask("verify_pin", json!({"pin": PIN}))?;

    client.ask("load_seed", json!({"seed": SEED}))?;
    exports_extended_keys(&mut client)?;
    derives_step_by_step(&mut client)?;
    stores_data_in_every_slot(&mut client, applet)?;
    shows_another_identity_under_duress(&mut client)?;
    client.tell_times(applet)
}

fn channel_2(world: &World) -> Outcome {
    let desk = Desk::with_blank_card(world, Applet::V4_0)?;
    let mut client = desk.connected(world, Tool::PypiKeycard)?;
    client.tell("select")?;
    client.ask("trust", json!({"ca": TEST_CA}))?;
    client.declined("challenge", json!({"length": 32}), "secure channel")?;
    client.tell("open")?;
    // A blank card gives random numbers.
    gives_challenges(&mut client)?;
    let secrets = json!({"pin": PIN, "puk": PUK, "duress": DURESS, "pin_tries": 5, "puk_tries": 7});
    client.ask("init", secrets)?;
    same("the tries", client.tell("status")?, json!({"pin": 5, "puk": 7, "key": false}))?;
    client.ask("verify_pin", json!({"pin": PIN}))?;
    gives_challenges(&mut client)?;
    client.tell("select")?;
    client.refused("identify", json!({"challenge": "11".repeat(32)}), "6985")?;
    client.tell("open")?;
    client.ask("verify_pin", json!({"pin": PIN}))?;

    loads_keys_of_all_forms(&mut client)?;
    same("BIP-85", client.ask("bip85", json!({"path": BIP_85, "length": 64}))?, BIP_85_BYTES.into())?;
    same("16 bytes of it", client.ask("bip85", json!({"path": BIP_85, "length": 16}))?, BIP_85_BYTES[..32].into())?;
    client.refused("bip85", json!({"path": "m/44'/60'", "length": 64}), "6a80")?;
    for (path, shared) in [(NIP_44, NIP_44_SHARED), (CHAT, CHAT_SHARED)] {
        same(path, client.ask("ecdh", json!({"public": PEER_PUBLIC, "path": path}))?, shared.into())?;
    }
    client.refused("ecdh", json!({"public": PEER_PUBLIC, "path": WALLET}), "6985")?;
    client.refused("lee", json!({"path": LEE_PATH}), "6985")?;

    client.ask("load_seed", json!({"seed": SEED}))?;
    exports_extended_keys(&mut client)?;
    client.refused("set_pinless", json!({"path": WALLET}), "6d00")?;
    client.refused("sign_pinless", json!({"hash": "11".repeat(32)}), "6b00")?;
    signs_by_bip_340(&mut client)?;
    stores_data_in_every_slot(&mut client, Applet::V4_0)?;
    shows_another_identity_under_duress(&mut client)?;
    keeps_lee_keys(&mut client)?;
    client.tell_times(Applet::V4_0)
}

/// IDENTIFY CARD: the library checks the signature over the challenge and says which authority vouches for the card.
fn identifies(client: &mut Client) -> Outcome {
    for digit in ["00", "5a", "ff"] {
        let said = client.ask("identify", json!({"challenge": digit.repeat(32)}))?;
        same("the authority", said["ca"].as_str(), Some(TEST_CA))?;
    }
    Ok(())
}

/// PAIR for good or for this session, as far as the applet tells them apart.
fn pairs_as_it_wants(client: &mut Client, applet: Applet) -> Outcome {
    let ephemeral = client.ask("pair", json!({"password": PASSWORD, "mode": "ephemeral"}))?;
    client.tell("open")?;
    if applet == Applet::V3_1 {
        return same("a slot", &ephemeral["index"], &0.into());
    }
    same("the slot that no card keeps", &ephemeral["index"], &255.into())?;
    client.tell("select")?;
    client.ask("set_pairing", ephemeral)?;
    client.refused("open", json!({}), "6a86")?;
    client.tell("select")?;
    let persistent = client.ask("pair", json!({"password": PASSWORD, "mode": "persistent"}))?;
    same("a slot", &persistent["index"], &0.into())
}

fn loads_keys_of_all_forms(client: &mut Client) -> Outcome {
    // Without a chain code there is nothing but the key itself. The applet reads a byte too far then, and one in 256 such
    // commands is refused by a real card.
    let uid = client.ask("load_key", json!({"private": format!("{:064x}", 1)}))?;
    same("the UID of the generator", uid.as_str(), Some(ONE_KEY_UID))?;
    client.refused("export", json!({"path": CHAT, "private": true}), "6985")?;
    let pair = json!({"public": PEER_PUBLIC, "private": format!("{:064x}", 2)});
    client.ask("load_key", pair)?;
    signs(client, "sign", Some("m"), PEER_PUBLIC)?;
    let uid = client.ask("load_key", json!({"private": OTHER_PRIVATE, "chain": OTHER_CHAIN}))?;
    same("the UID of an extended key", uid.as_str(), Some(OTHER_KEY_UID))
}

/// Extended public keys leave the card, but none from which a private key that leaves it would follow.
fn exports_extended_keys(client: &mut Client) -> Outcome {
    let extended = |path| json!({"ins": 0xc2, "p1": 1, "p2": 2, "path": path});
    let said = client.ask("raw", extended(WALLET_ROOT))?;
    same("the wallet root", said, format!("a1658041{WALLET_ROOT_PUBLIC}8220{WALLET_ROOT_CHAIN}").into())?;
    client.refused("raw", extended(CHAT), "6985")
}

/// A current key, and steps from it and from its parent.
fn derives_step_by_step(client: &mut Client) -> Outcome {
    client.ask("derive", json!({"path": "m/44'/60'/0'"}))?;
    client.ask("derive", json!({"path": "./0/7"}))?;
    client.ask("derive", json!({"path": "../0"}))?;
    same("the path", client.tell("path")?, WALLET_BYTES.into())?;
    signs(client, "sign", None, WALLET_PUBLIC)?;
    signs(client, "sign", Some("../0"), WALLET_PUBLIC)?;
    signs(client, "sign", Some("m"), MASTER_PUBLIC)?;
    same("the path is where it was", client.tell("path")?, WALLET_BYTES.into())?;

    // The key that is exported, or signs, becomes the current one.
    let root = client.ask("export", json!({"path": WALLET_ROOT, "private": false, "stay": true}))?;
    same("the wallet root", root["public"].as_str(), Some(WALLET_ROOT_PUBLIC))?;
    same("the path", client.tell("path")?.as_str(), WALLET_BYTES.get(..32))?;
    let child = client.ask("export", json!({"path": "./0", "private": false}))?;
    same("its child", child["public"].as_str(), Some(WALLET_PUBLIC))?;
    client.ask("sign", json!({"hash": "11".repeat(32), "path": "./0", "stay": true}))?;
    same("the path", client.tell("path")?, WALLET_BYTES.into())?;
    client.ask("set_pinless", json!({"path": ""}))?;
    client.refused("sign_pinless", json!({"hash": "11".repeat(32)}), "6a88")
}

fn stores_data_in_every_slot(client: &mut Client, applet: Applet) -> Outcome {
    let mut kept = |slot: u8, data: &str, back: &str| -> Outcome {
        client.ask("store_data", json!({"slot": slot, "data": data}))?;
        same("what the card kept", client.ask("get_data", json!({"slot": slot}))?.as_str(), Some(back))
    };
    for slot in [0, 2] {
        for data in ["00", &"a5".repeat(127), ""] {
            kept(slot, data, data)?;
        }
    }
    let short = format!("007d{}", "d1".repeat(125));
    kept(1, &short, &short)?;
    if applet == Applet::V3_1 {
        return Ok(());
    }
    // The longest that 3.2 gives back in the channel: an answer of 256 bytes, whose length has no room in its byte.
    let full = format!("00dc{}", "d1".repeat(220));
    kept(1, &full, &full)?;
    // Three commands long.
    let long = format!("01c2{}", "d1".repeat(450));
    if applet == Applet::V4_0 {
        return kept(1, &long, &long);
    }
    client.ask("store_data", json!({"slot": 1, "data": long}))?;
    client.refused("get_data", json!({"slot": 1}), "6f00")?;
    // Without a channel there is room for its beginning.
    client.tell("select")?;
    same("the beginning", client.ask("get_data", json!({"slot": 1}))?.as_str(), long.get(..446))?;
    client.tell("open")?;
    Ok(())
}

/// The duress PIN opens a tree of its own under the same key UID.
fn shows_another_identity_under_duress(client: &mut Client) -> Outcome {
    let chat = json!({"path": CHAT, "private": true});
    client.ask("verify_pin", json!({"pin": DURESS}))?;
    same("the chat key", client.ask("export", chat.clone())?["private"].as_str(), Some(CHAT_OF_DURESS))?;
    signs(client, "sign", Some("m"), MASTER_PUBLIC)?;
    client.ask("verify_pin", json!({"pin": PIN}))?;
    same("the chat key", client.ask("export", chat)?["private"].as_str(), Some(CHAT_PRIVATE))
}

fn gives_challenges(client: &mut Client) -> Outcome {
    let mut seen = Vec::new();
    for length in [1, 32, 245] {
        let challenge = client.ask("challenge", json!({"length": length}))?;
        same("its length", challenge.as_str().map(str::len), Some(2 * length))?;
        seen.push(challenge);
    }
    same("it is another one", seen.contains(&client.ask("challenge", json!({"length": 32}))?), false)?;
    client.refused("challenge", json!({"length": 246}), "6a86")
}

fn signs_by_bip_340(client: &mut Client) -> Outcome {
    let none = [0; 32];
    let mut tweak = [0; 32];
    tweak[31] = 7;
    for (path, public) in [("m", MASTER_PUBLIC), (WALLET, WALLET_PUBLIC), (CHAT, CHAT_PUBLIC)] {
        for (number, tweak) in [none, tweak].iter().enumerate() {
            let hash = [0x40 + u8::try_from(number)?; 32];
            let arguments = json!({"hash": hex::encode(hash), "path": path, "tweak": hex::encode(tweak)});
            let signed = client.ask("schnorr", arguments)?;
            same("the key", signed["public"].as_str(), Some(public))?;
            is_schnorr_of(&hash, &signed, public, tweak)?;
        }
    }
    Ok(())
}

/// A card with LEE keys gives them, and derives its other keys otherwise.
fn keeps_lee_keys(client: &mut Client) -> Outcome {
    client.ask("load_lee", json!({"seed": LEE_SEED}))?;
    let public = client.ask("export", json!({"path": LEE_PATH, "private": false}))?;
    same("the key", public["public"].as_str(), Some(LEE_PUBLIC))?;
    let said = client.ask("raw", json!({"ins": 0xc3, "p1": 0, "p2": 0, "path": LEE_PATH}))?;
    same("the LEE keys", said, format!("a1648320{LEE_NSK}8440{LEE_VSK}").into())?;
    // The library expects four keys, which no applet that we know gives.
    client.declined("lee", json!({"path": LEE_PATH}), "32-byte lee key")
}

/// SHA-256 of the generator.
const ONE_KEY_UID: &str = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";

const PIN: &str = "123456";
const DURESS: &str = "246802";
const PUK: &str = "987654321098";
const PASSWORD: &str = "KeycardDefaultPairing";
