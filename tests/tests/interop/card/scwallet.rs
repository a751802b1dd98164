//! go-ethereum's wallet on a card: a hub that finds it, a pairing that it keeps, accounts, transactions, an unblocked PIN.
//!
//! It initialises no card and resets none: `keycard-go` does it here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};
use serde_json::{Value, json};

use super::desk::{Applet, Client, Desk, text};
use super::vectors::{SEED, WALLET, WALLET_ADDRESS};
use crate::geth::same;

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "scwallet_keeps_a_wallet_on_a_card_of_3_1", run: |world| wallet(world, Applet::V3_1), ..WALLETS },
    Scenario { name: "scwallet_keeps_a_wallet_on_a_card_of_3_2", run: |world| wallet(world, Applet::V3_2), ..WALLETS },
    Scenario { name: "scwallet_takes_no_card_of_4_0_and_no_blank_one", run: no_wallet, ..WALLETS },
];

/// What all of them have in common.
const WALLETS: Scenario = Scenario {
    group: "card",
    name: "",
    peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo, Tool::Scwallet],
    shows: &["KC-03", "KC-05", "KC-07", "KC-08", "KC-11"],
    within: Duration::from_secs(120),
    run: |_| Err("nothing is shown".into()),
};

fn wallet(world: &World, applet: Applet) -> Outcome {
    let desk = Desk::with_blank_card(world, applet)?;
    initialise(world, &desk)?;
    let folder = desk.folder("scwallet")?;
    let mut wallet = Wallet { client: desk.client(world, Tool::Scwallet)?, folder: &folder };
    wallet.find()?;
    wallet.says("Unpaired, waiting for pairing password")?;
    wallet.wants("", "pairing password needed")?;
    wallet.wants("not the password", "invalid card cryptogram")?;
    wallet.enter(PASSWORD)?;
    wallet.says("Locked, waiting for PIN (3 attempts left)")?;
    wallet.client.refused("open", json!({"password": "000000"}), "63c2")?;
    wallet.says("Locked, waiting for PIN (2 attempts left)")?;
    wallet.client.ask("open", json!({"password": PIN}))?;
    wallet.wants(PIN, "already open")?;

    wallet.says("Empty, waiting for initialization")?;
    wallet.client.ask("initialize", json!({"seed": SEED}))?;
    wallet.says("Online")?;
    wallet.client.declined("initialize", json!({"seed": SEED}), "already initialized")?;
    wallet.signs()?;
    let times = wallet.client.ask("statuses", json!({"times": 100}))?;
    wallet.client.judge_times(applet, &times)?;

    // A new hub finds the pairing in its file; three wrong PINs, and the PUK sets another.
    wallet.find()?;
    wallet.enter("")?;
    for (status, left) in [("63c2", 2), ("63c1", 1)] {
        wallet.client.refused("open", json!({"password": "000000"}), status)?;
        wallet.says(&format!("Locked, waiting for PIN ({left} attempts left)"))?;
    }
    wallet.client.refused("open", json!({"password": "000000"}), "63c0")?;
    wallet.says("Blocked, waiting for PUK (5 attempts left) and new PIN")?;
    wallet.wants("", "pin unblock needed")?;
    wallet.client.refused("open", json!({"password": format!("000000000000{OTHER_PIN}")}), "63c4")?;
    wallet.client.ask("open", json!({"password": format!("{PUK}{OTHER_PIN}")}))?;
    wallet.says("Online")?;
    wallet.signs()?;

    // A pairing that was given back opens nothing, even where it is still written down.
    let written = fs::read(folder.join(PAIRINGS))?;
    wallet.client.ask("unpair", json!({"pin": OTHER_PIN}))?;
    wallet.find()?;
    wallet.says("Unpaired, waiting for pairing password")?;
    fs::write(folder.join(PAIRINGS), written)?;
    wallet.find()?;
    wallet.client.refused("open", json!({"password": ""}), "6a86")?;
    Ok(())
}

/// It knows secure channel 1 alone, and cards that somebody initialised.
fn no_wallet(world: &World) -> Outcome {
    for applet in [Applet::V3_1, Applet::V3_2, Applet::V4_0] {
        let desk = Desk::with_blank_card(world, applet)?;
        // Somebody else has seen the card: it is there.
        desk.connected(world, Tool::KeycardGo)?;
        let folder = desk.folder("scwallet")?;
        let mut client = desk.client(world, Tool::Scwallet)?;
        client.declined("hub", json!({"folder": text(&folder)?}), "sees no wallet")?;
    }
    Ok(())
}

fn initialise(world: &World, desk: &Desk) -> Outcome {
    let mut maker = desk.connected(world, Tool::KeycardGo)?;
    maker.tell("select")?;
    maker.ask("init", json!({"pin": PIN, "puk": PUK, "pairing": PASSWORD}))?;
    maker.tell("disconnect")?;
    Ok(())
}

/// The wallet, and the folder where it writes its pairings down.
struct Wallet<'a> {
    client: Client,
    folder: &'a Path,
}

impl Wallet<'_> {
    /// Has a new hub look for the card.
    fn find(&mut self) -> Outcome {
        let folder = json!({"folder": text(self.folder)?});
        let found = self.client.until_there_is_a_card("hub", &folder)?;
        same("the wallets that it sees", &found["wallets"], &1.into())
    }

    /// Opens the channel: it asks for the PIN then. One channel in 256 fails for its short secret.
    fn enter(&mut self, password: &str) -> Outcome {
        for _ in 0..3 {
            let why = self.client.failure("open", json!({"password": password}))?;
            if why.contains("pin needed") {
                return Ok(());
            }
            if !why.contains("6982") {
                return Err(format!("it does not open: {why}").into());
            }
            self.find()?;
        }
        Err("three channels fail".into())
    }

    fn wants(&mut self, password: &str, words: &str) -> Outcome {
        self.client.declined("open", json!({"password": password}), words)
    }

    fn says(&mut self, status: &str) -> Outcome {
        same("its status", self.client.tell("status")?.as_str(), Some(status))
    }

    /// Derives the account of the known key; texts, data and transactions are signed by it.
    fn signs(&mut self) -> Outcome {
        let account = self.client.ask("derive", json!({"path": WALLET}))?;
        let address = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        same("the account", &*address(&account["address"]), WALLET_ADDRESS)?;
        same("its accounts", self.client.tell("accounts")?, json!([account["address"]]))?;
        for command in ["sign_text", "sign_data"] {
            let signed = self.client.ask(command, json!({"data": hex::encode("a text")}))?;
            // It has found the recovery id by the key that the card named.
            same("the length of a signature", signed.as_str().map(str::len), Some(130))?;
        }
        let sent = self.client.ask("sign_transaction", json!({"data": "11".repeat(20)}))?;
        same("the sender", &*address(&sent["sender"]), WALLET_ADDRESS)
    }
}

/// The file of its pairings.
const PAIRINGS: &str = "smartcards.json";

const PIN: &str = "123456";
const OTHER_PIN: &str = "654321";
const PUK: &str = "987654321098";
const PASSWORD: &str = "KeycardDefaultPairing";
