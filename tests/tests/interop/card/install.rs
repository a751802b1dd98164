//! Applets put on our card by the installers of others, over GlobalPlatform's SCP02.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};
use serde_json::{Value, json};

use super::cap;
use super::desk::{Applet, Client, Desk, text};
use crate::geth::same;

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "two_installers_put_applets_on_a_card_of_3_1",
        run: |world| install(world, Applet::V3_1),
        ..INSTALL
    },
    Scenario {
        name: "two_installers_put_applets_on_a_card_of_3_2",
        run: |world| install(world, Applet::V3_2),
        ..INSTALL
    },
];

/// What both of them have in common.
const INSTALL: Scenario = Scenario {
    group: "card",
    name: "",
    peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo, Tool::KeycardSdk],
    shows: &[],
    within: Duration::from_secs(120),
    run: |_| Err("nothing is shown".into()),
};

fn install(world: &World, applet: Applet) -> Outcome {
    let desk = Desk::with_bare_card(world, applet)?;
    let folder = desk.folder("applets")?;
    let file = folder.join("keycard.cap");
    std::fs::write(&file, cap::keycard_package(CODE))?;
    let mut arguments = json!({"file": text(&file)?, "data": "", "put_keys": false});
    let mut go = desk.connected(world, Tool::KeycardGo)?;
    let mut javascript = desk.connected(world, Tool::KeycardSdk)?;
    go.refused("select", json!({}), "6a82")?;

    // The keys are those that every new card has.
    let done = go.ask("install", arguments.clone())?;
    same("the life cycle", done["life_cycle"].as_str(), Some("OP_READY"))?;
    same("more than one block", done["blocks"].as_u64() > Some(1), true)?;
    let first = is_as_new(&mut go)?;

    // What another one installs in its place is another card, with the keys of Keycard's developers.
    arguments["put_keys"] = true.into();
    same("the blocks", &javascript.ask("install", arguments.clone())?["blocks"], &done["blocks"])?;
    let second = is_as_new(&mut javascript)?;
    same("it has another name", first == second, false)?;

    // Both know these keys too.
    go.ask("install", arguments.clone())?;
    is_as_new(&mut go)?;
    javascript.ask("install", arguments)?;
    is_as_new(&mut javascript)?;
    Ok(())
}

/// A card that nobody has taken yet, and takes it; returns its name.
fn is_as_new(client: &mut Client) -> Outcome<Value> {
    same("the card is initialised", &client.tell("select")?["initialised"], &false.into())?;
    client.ask("init", json!({"pin": "123456", "puk": "987654321098", "pairing": "KeycardDefaultPairing"}))?;
    client.tell("select")?;
    client.ask("pair", json!({"password": "KeycardDefaultPairing"}))?;
    client.tell("open")?;
    client.ask("verify_pin", json!({"pin": "123456"}))?;
    same("the status", client.tell("status")?, json!({"pin": 3, "puk": 5, "key": false}))?;
    Ok(client.tell("select")?["instance_uid"].take())
}

/// As much as the real package has, in bytes.
const CODE: usize = 20_000;
