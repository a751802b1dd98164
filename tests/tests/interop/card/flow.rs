//! The whole life of a card in the hands of one client: blank, initialised, paired, loaded, used, blocked, unblocked, reset.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::desk::{Applet, Client, Desk};
use super::signature::signs;
use super::vectors::{
    CHAT, CHAT_PARENT, CHAT_PRIVATE, CHAT_PUBLIC, EIP_1581, EIP_1581_PUBLIC, ENCRYPTION, ENCRYPTION_PRIVATE, KEY_UID,
    MASTER_PUBLIC, SEED, TEST_CA, WALLET, WALLET_BYTES, WALLET_PUBLIC, WALLET_ROOT, WALLET_ROOT_PUBLIC,
};
use crate::geth::same;

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "pypi_keycard_goes_through_the_life_of_a_card_of_3_1",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::PypiKeycard],
        run: |world| life(world, Tool::PypiKeycard, Applet::V3_1),
        ..LIFE
    },
    Scenario {
        name: "pypi_keycard_goes_through_the_life_of_a_card_of_3_2",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::PypiKeycard],
        run: |world| life(world, Tool::PypiKeycard, Applet::V3_2),
        ..LIFE
    },
    Scenario {
        name: "pypi_keycard_goes_through_the_life_of_a_card_of_4_0",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::PypiKeycard],
        run: |world| life(world, Tool::PypiKeycard, Applet::V4_0),
        ..LIFE
    },
    Scenario {
        name: "keycard_go_goes_through_the_life_of_a_card_of_2_2",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo],
        run: |world| life(world, Tool::KeycardGo, Applet::V2_2),
        ..LIFE
    },
    Scenario {
        name: "keycard_go_goes_through_the_life_of_a_card_of_3_0",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo],
        run: |world| life(world, Tool::KeycardGo, Applet::V3_0),
        ..LIFE
    },
    Scenario {
        name: "keycard_go_goes_through_the_life_of_a_card_of_3_1",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo],
        run: |world| life(world, Tool::KeycardGo, Applet::V3_1),
        ..LIFE
    },
    Scenario {
        name: "keycard_go_goes_through_the_life_of_a_card_of_3_2",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardGo],
        run: |world| life(world, Tool::KeycardGo, Applet::V3_2),
        ..LIFE
    },
    Scenario {
        name: "keycard_sdk_goes_through_the_life_of_a_card_of_3_1",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardSdk],
        run: |world| life(world, Tool::KeycardSdk, Applet::V3_1),
        ..LIFE
    },
    Scenario {
        name: "keycard_sdk_goes_through_the_life_of_a_card_of_3_2",
        peers: &[Tool::Softcard, Tool::Pcscd, Tool::KeycardSdk],
        run: |world| life(world, Tool::KeycardSdk, Applet::V3_2),
        ..LIFE
    },
];

/// What all of them have in common.
const LIFE: Scenario = Scenario {
    group: "card",
    name: "",
    peers: &[],
    shows: &[
        "KC-01",
        "KC-02",
        "KC-03",
        "KC-04",
        "KC-05",
        "KC-06",
        "KC-07",
        "KC-08",
        "KC-09",
        "KC-10",
        "KC-11",
        "KC-16",
        "KC-17",
        "EIP1581-01",
    ],
    within: Duration::from_secs(120),
    run: |_| Err("nothing is shown".into()),
};

fn life(world: &World, tool: Tool, applet: Applet) -> Outcome {
    let desk = Desk::with_blank_card(world, applet)?;
    let mut owner = Owner { client: desk.connected(world, tool)?, applet, pairing: Value::Null };
    owner.takes_a_blank_card(&desk)?;
    owner.proves_the_pin()?;
    owner.loads_a_key()?;
    owner.exports_what_may_leave()?;
    owner.signs()?;
    owner.writes_data()?;
    owner.changes_its_secrets()?;
    owner.blocks_and_unblocks_the_pin()?;
    owner.unpairs()?;
    owner.makes_other_keys()?;
    owner.resets_the_card()?;
    owner.client.tell_times(applet)?;
    owner.client.tell("disconnect")?;
    Ok(())
}

/// Who owns the card, and the program in his hands.
struct Owner {
    client: Client,
    applet: Applet,
    /// Index and key; null without one, and for applets that know no pairing.
    pairing: Value,
}

impl Owner {
    /// A blank card is initialised once, and knows only those that know the pairing password.
    fn takes_a_blank_card(&mut self, desk: &Desk) -> Outcome {
        let Self { client, applet, .. } = self;
        same("a blank card is initialised", &client.tell("select")?["initialised"], &false.into())?;
        if applet.is_of_channel_1() {
            let secrets = json!({"pin": PIN, "puk": PUK, "pairing": PASSWORD});
            client.ask("init", secrets.clone())?;
            client.refused("init", secrets, "6d00")?;
        } else {
            // The card proves its identity before anything else, and this authority has to be trusted by name.
            client.declined("open", json!({}), "untrusted")?;
            client.ask("trust", json!({"ca": TEST_CA}))?;
            let secrets = json!({"pin": PIN, "puk": PUK, "duress": DURESS, "pin_tries": 3, "puk_tries": 5});
            client.ask("init", secrets.clone())?;
            client.refused("init", secrets, "6d00")?;
        }
        let info = client.tell("select")?;
        same("the card is initialised", &info["initialised"], &true.into())?;
        same("its version", info["version"].as_str(), Some(applet.name()))?;
        same("its key UID", &info["key_uid"], &Value::Null)?;
        if applet.is_of_channel_1() {
            same("free slots", info["slots"].as_u64(), applet.slots())?;
            client.declined("pair", json!({"password": "not the password"}), "cryptogram")?;
            self.pairing = client.ask("pair", json!({"password": PASSWORD}))?;
            same("the first slot", &self.pairing["index"], &0.into())?;
            let left = applet.slots().map(|slots| slots - 1);
            same("free slots", client.tell("select")?["slots"].as_u64(), left)?;
        } else {
            same("its tries", &info["tries"], &3.into())?;
            let certificate = info["certificate"].as_str().unwrap_or_default();
            same("the key in its certificate", certificate.get(..66), desk.identity.as_deref())?;
        }
        self.comes_back(None)?;
        self.sees(3, 5, false)
    }

    /// A wrong PIN says how many tries are left; the right one brings them back.
    fn proves_the_pin(&mut self) -> Outcome {
        self.client.refused("verify_pin", json!({"pin": "000000"}), "63c2")?;
        self.sees(2, 5, false)?;
        // What is no PIN costs no try; it does on 2.2.
        if self.applet != Applet::V2_2 {
            self.client.refused("verify_pin", json!({"pin": "00000a"}), "6a80")?;
            self.sees(2, 5, false)?;
        }
        self.client.ask("verify_pin", json!({"pin": PIN}))?;
        self.sees(3, 5, false)
    }

    fn loads_a_key(&mut self) -> Outcome {
        same("the key UID", &self.client.ask("load_seed", json!({"seed": SEED}))?, &KEY_UID.into())?;
        self.sees(3, 5, true)?;
        same("the key UID in SELECT", &self.client.tell("select")?["key_uid"], &KEY_UID.into())?;
        // A SELECT ends the channel and the validation of the PIN; the pairing opens the next one.
        self.comes_back(None)?;
        let export = json!({"path": CHAT, "private": true});
        match self.client.tool {
            Tool::PypiKeycard => self.client.declined("export", export, "pin verification")?,
            _ => self.client.refused("export", export, "6985")?,
        }
        self.client.ask("verify_pin", json!({"pin": PIN}))?;
        Ok(())
    }

    /// Private keys leave the card from the subtree of EIP-1581 alone, public ones from everywhere.
    fn exports_what_may_leave(&mut self) -> Outcome {
        for (path, key) in [(CHAT, CHAT_PRIVATE), (ENCRYPTION, ENCRYPTION_PRIVATE)] {
            let exported = self.client.ask("export", json!({"path": path, "private": true}))?;
            same(path, exported["private"].as_str(), Some(key))?;
        }
        for path in ["m", WALLET, WALLET_ROOT, EIP_1581, CHAT_PARENT] {
            self.client.refused("export", json!({"path": path, "private": true}), "6985")?;
        }
        for (path, key) in [
            ("m", MASTER_PUBLIC),
            (WALLET_ROOT, WALLET_ROOT_PUBLIC),
            (WALLET, WALLET_PUBLIC),
            (EIP_1581, EIP_1581_PUBLIC),
            (CHAT, CHAT_PUBLIC),
        ] {
            // keycard-go loses a component at the end that is hardened.
            let is_lost = self.client.tool == Tool::KeycardGo && path.ends_with('\'');
            // Applets before 3.1 export another key than the master's where the path is empty.
            let is_stale = self.applet < Applet::V3_1 && path == "m";
            if is_lost || is_stale {
                continue;
            }
            let exported = self.client.ask("export", json!({"path": path, "private": false}))?;
            same(path, exported["public"].as_str(), Some(key))?;
        }
        Ok(())
    }

    /// Signatures are of the key at the path; on cards that have a current key, of that one too.
    fn signs(&mut self) -> Outcome {
        let Self { client, applet, .. } = self;
        signs(client, "sign", Some(WALLET), WALLET_PUBLIC)?;
        signs(client, "sign", Some(CHAT), CHAT_PUBLIC)?;
        signs(client, "sign", None, MASTER_PUBLIC)?;
        if !applet.is_of_channel_1() {
            client.refused("derive", json!({"path": WALLET}), "6d00")?;
            return client.refused("path", json!({}), "6a86");
        }
        client.ask("derive", json!({"path": WALLET}))?;
        let path = client.tell("path")?;
        let expected = if client.tool == Tool::KeycardGo { WALLET } else { WALLET_BYTES };
        same("the current path", path.as_str(), Some(expected))?;
        signs(client, "sign", None, WALLET_PUBLIC)?;
        let current = client.ask("export", json!({"private": false}))?;
        same("the current key", current["public"].as_str(), Some(WALLET_PUBLIC))?;
        client.ask("derive", json!({"path": "m"}))?;

        // The path that needs no PIN: keycard of PyPI asks for it in the channel, the others outside.
        client.ask("set_pinless", json!({"path": WALLET}))?;
        if client.tool != Tool::PypiKeycard {
            client.tell("select")?;
        }
        signs(client, "sign_pinless", None, WALLET_PUBLIC)?;
        self.comes_back(Some(PIN))
    }

    fn writes_data(&mut self) -> Outcome {
        if self.applet == Applet::V2_2 {
            // keycard-go cannot read the answer: it comes under the IV before the command's. The channel goes on.
            self.client.failure("get_data", json!({"slot": 0}))?;
            return Ok(());
        }
        // A name and account ranges, as Status writes them.
        let metadata = json!({"slot": 0, "data": "2331323300000403827a2801"});
        self.client.ask("store_data", metadata.clone())?;
        same("the data", &self.client.ask("get_data", json!({"slot": 0}))?, &metadata["data"])
    }

    fn changes_its_secrets(&mut self) -> Outcome {
        self.client.ask("change_pin", json!({"pin": OTHER_PIN}))?;
        self.client.refused("verify_pin", json!({"pin": PIN}), "63c2")?;
        self.client.ask("verify_pin", json!({"pin": OTHER_PIN}))?;
        self.client.ask("change_puk", json!({"puk": OTHER_PUK}))?;
        if self.applet.is_of_channel_1() {
            self.client.ask("change_pairing", json!({"password": OTHER_PASSWORD}))?;
        }
        Ok(())
    }

    fn blocks_and_unblocks_the_pin(&mut self) -> Outcome {
        for status in ["63c2", "63c1", "63c0"] {
            self.client.refused("verify_pin", json!({"pin": "000000"}), status)?;
        }
        self.client.refused("verify_pin", json!({"pin": OTHER_PIN}), "63c0")?;
        self.sees(0, 5, true)?;
        self.client.refused("unblock", json!({"puk": PUK, "pin": PIN}), "63c4")?;
        self.sees(0, 4, true)?;
        self.client.ask("unblock", json!({"puk": OTHER_PUK, "pin": PIN}))?;
        self.sees(3, 5, true)?;
        self.client.ask("verify_pin", json!({"pin": PIN}))?;
        Ok(())
    }

    /// A slot that was given back opens nothing; the pairing in the other slot does.
    fn unpairs(&mut self) -> Outcome {
        if !self.applet.is_of_channel_1() {
            return self.client.declined("unpair", json!({"index": 0}), "secure channel v1");
        }
        self.client.tell("select")?;
        self.client.declined("pair", json!({"password": PASSWORD}), "cryptogram")?;
        let first = std::mem::take(&mut self.pairing);
        self.pairing = self.client.ask("pair", json!({"password": OTHER_PASSWORD}))?;
        same("the second slot", &self.pairing["index"], &1.into())?;
        self.comes_back(Some(PIN))?;
        self.client.ask("unpair", json!({"index": first["index"]}))?;
        self.client.tell("select")?;
        self.client.ask("set_pairing", first)?;
        self.client.refused("open", json!({}), "6a86")?;
        self.comes_back(Some(PIN))
    }

    fn makes_other_keys(&mut self) -> Outcome {
        for words in [12, 15, 24] {
            is_mnemonic(&self.client.ask("generate_mnemonic", json!({"words": words}))?, words)?;
        }
        let uid = self.client.tell("generate_key")?;
        same("the length of a key UID", uid.as_str().map(str::len), Some(64))?;
        same("another key", uid == KEY_UID, false)?;
        same("its UID in SELECT", &self.client.tell("select")?["key_uid"], &uid)?;
        self.comes_back(Some(PIN))?;
        self.client.tell("remove_key")?;
        self.sees(3, 5, false)
    }

    fn resets_the_card(&mut self) -> Outcome {
        let before = self.client.tell("select")?;
        if self.applet < Applet::V3_1 {
            return self.client.refused("reset", json!({}), "6d00");
        }
        self.client.tell("reset")?;
        let info = self.client.tell("select")?;
        same("the card is initialised", &info["initialised"], &false.into())?;
        // It can be taken again, as another card.
        if self.applet.is_of_channel_1() {
            self.client.ask("init", json!({"pin": OTHER_PIN, "puk": PUK, "pairing": PASSWORD}))?;
            let after = self.client.tell("select")?;
            same("it has the name it had", before["instance_uid"] == after["instance_uid"], false)?;
            same("free slots", after["slots"].as_u64(), self.applet.slots())?;
            self.client.ask("set_pairing", self.pairing.take())?;
            return self.client.refused("open", json!({}), "6a86");
        }
        same("its certificate", &info["certificate"], &before["certificate"])
    }

    /// Selects the applet, opens the channel, and proves the PIN if there is one.
    fn comes_back(&mut self, pin: Option<&str>) -> Outcome {
        self.client.tell("select")?;
        if !self.pairing.is_null() {
            self.client.ask("set_pairing", self.pairing.clone())?;
        }
        self.client.tell("open")?;
        if let Some(pin) = pin {
            self.client.ask("verify_pin", json!({"pin": pin}))?;
        }
        Ok(())
    }

    /// Checks what GET STATUS says.
    fn sees(&mut self, pin: u8, puk: u8, key: bool) -> Outcome {
        let seen = self.client.tell("status")?;
        same("the status", seen, json!({"pin": pin, "puk": puk, "key": key}))
    }
}

/// Checks number, range and checksum of the words of a mnemonic (BIP-39).
fn is_mnemonic(indexes: &Value, words: usize) -> Outcome {
    let indexes: Vec<u64> = indexes.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    same("the words", indexes.len(), words)?;
    let bits: String = indexes.iter().map(|index| format!("{index:011b}")).collect();
    same("the bits", bits.len(), words * 11)?;
    let (entropy, checksum) = bits.split_at(bits.len() * 32 / 33);
    let entropy: Vec<u8> =
        entropy.as_bytes().chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'))).collect();
    let digest = format!("{:08b}", Sha256::digest(&entropy)[0]);
    same("the checksum", Some(checksum), digest.get(..checksum.len()))
}

const PIN: &str = "123456";
const OTHER_PIN: &str = "654321";
const DURESS: &str = "246802";
const PUK: &str = "987654321098";
const OTHER_PUK: &str = "135791357913";
const PASSWORD: &str = "KeycardDefaultPairing";
const OTHER_PASSWORD: &str = "KeycardTest";
