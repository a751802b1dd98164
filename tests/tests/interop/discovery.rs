//! go-ethereum's discovery v4, node records and EIP-1459 trees, set up as the judges of our own.
//!
//! Our node has no discovery. What these scenarios show is that the judges answer, and that with our own code (keys,
//! Keccak, ECDSA, RLP) we compute the same ids, hashes and signatures as they do.

use std::time::Duration;

use k256::SecretKey;
use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use proto::{ChatKey, keccak256};
use scenarios::peer::{Outcome, Scenario, World};
use serde_json::{Value, json};
use wire::p2p::Enode;
use wire::rlp;

use crate::geth::{BOTH, Geth, SOON, same};

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "discovery",
        name: "two_geth_peers_bond_and_find_each_other_by_v4",
        peers: &BOTH,
        shows: &[],
        within: Duration::from_secs(60),
        run: two_geth_peers_bond_and_find_each_other_by_v4,
    },
    Scenario {
        group: "discovery",
        name: "the_id_and_signature_of_a_geth_record_are_what_our_code_computes",
        peers: &BOTH,
        shows: &[],
        within: Duration::from_secs(30),
        run: the_id_and_signature_of_a_geth_record_are_what_our_code_computes,
    },
    Scenario {
        group: "discovery",
        name: "a_tree_that_one_geth_signs_is_resolved_by_the_other_and_by_nobody_once_changed",
        peers: &BOTH,
        shows: &[],
        within: Duration::from_secs(30),
        run: a_tree_that_one_geth_signs_is_resolved_by_the_other_and_by_nobody_once_changed,
    },
];

fn key(n: u8) -> SecretKey {
    SecretKey::from_slice(&[n; 32]).unwrap()
}

fn digits(n: u8) -> String {
    hex::encode([n; 32])
}

fn bytes(value: &Value) -> Outcome<Vec<u8>> {
    Ok(hex::decode(value.as_str().ok_or("no digits")?).map_err(|error| error.to_string())?)
}

/// The id of a node in the node table: the hash of its key.
fn table_id(n: u8) -> String {
    hex::encode(keccak256(&[&ChatKey::from(key(n).public_key()).to_node_id()]))
}

/// One packet at a time from the raw socket of the one to the server of the other: ping, pong, its ping back, then
/// nodes and a record, which it gives only to who has answered its ping. An expired ping gets nothing.
fn two_geth_peers_bond_and_find_each_other_by_v4(world: &World) -> Outcome {
    for (asking, asked) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let third = world.peer(asked, &["-nodekey", &digits(5), "-udp", "127.0.0.1:0"])?.1;
        let third = third["v4"]["enode"].as_str().unwrap_or_default().to_owned();
        let (mut server, started) =
            world.peer(asked, &["-nodekey", &digits(3), "-udp", "127.0.0.1:0", "-boot", &third])?;
        let at = started["v4"]["enode"].as_str().unwrap_or_default();
        let enode: Enode = at.parse()?;
        same("key", enode.key, key(3).public_key().into())?;
        same("id", &started["v4"]["id"], &json!(table_id(3)))?;
        let mut asker = Geth::start(world, asking, &[])?.program;
        let mut say = |arguments: Value| asker.call("v4_send", arguments);
        say(json!({"kind": "ping", "enode": at, "expires_in_s": -10}))?;
        let ping = say(json!({"kind": "ping", "enode": at}))?;
        let mut hear = |kind: &str| asker.wait_for(kind, SOON, |e| e["event"] == "v4" && e["kind"] == kind);
        let pong = hear("PONG")?;
        same("which ping", &pong["reply_to"], &ping["hash"])?;
        same("who answers", &pong["pk"], &json!(hex::encode(enode.key.to_bytes())))?;
        hear("PING")?;
        asker
            .call("v4_send", json!({"kind": "findnode", "enode": at, "target": hex::encode(enode.key.to_node_id())}))?;
        asker.call("v4_send", json!({"kind": "enr", "enode": at}))?;
        let mut hear = |kind: &str| asker.wait_for(kind, SOON, |e| e["event"] == "v4" && e["kind"] == kind);
        let record = hear("ENRRESPONSE")?;
        same("whose record", &record["node"]["id"], &json!(table_id(3)))?;
        hear("NEIGHBORS")?;
        same("answers to a ping that was too old", asker.drain().iter().filter(|e| e["kind"] == "PONG").count(), 0)?;
        // The table of the server itself: it knows the node that it began with.
        let target = hex::encode(ChatKey::from(key(5).public_key()).to_node_id());
        let found = server.call("v4_lookup", json!({"target": target}))?;
        let ids: Vec<&Value> = found.as_array().into_iter().flatten().map(|node| &node["id"]).collect();
        if !ids.contains(&&json!(table_id(5))) {
            return Err(format!("{asked} does not find the node it began with, but {ids:?}").into());
        }
    }
    Ok(())
}

/// EIP-778: `[signature, seq, key, value, ...]`, signed over the list without the signature.
fn the_id_and_signature_of_a_geth_record_are_what_our_code_computes(world: &World) -> Outcome {
    let mut geths = [Geth::start(world, BOTH[0], &[])?.program, Geth::start(world, BOTH[1], &[])?.program];
    let pairs = json!({"ip": "7f000001", "tcp": 30303, "udp": 30304, "waku2": "05"});
    for signer in 0..2 {
        let arguments = json!({"key": digits(7), "seq": 9, "pairs": pairs});
        let signed = geths[signer].call("enr_sign", arguments)?;
        let ours: ChatKey = key(7).public_key().into();
        same("key", &signed["pk"], &json!(hex::encode(ours.to_bytes())))?;
        same("id", &signed["id"], &json!(table_id(7)))?;
        let record = bytes(&signed["rlp"])?;
        let mut fields = rlp::Reader::new(&record).list()?;
        let signature = Signature::from_slice(fields.bytes()?)?;
        let mut content = Vec::new();
        while !fields.is_empty() {
            content.extend_from_slice(fields.raw()?);
        }
        let content = rlp::list(|w| {
            w.raw(&content);
        });
        let hash = keccak256(&[&content]);
        VerifyingKey::from(key(7).public_key()).verify_prehash(&hash, &signature)?;
        let read = geths[1 - signer].call("enr_parse", json!({"url": signed["text"]}))?;
        same("as the other reads it", &read, &signed)?;
        let enode: Enode = read["enode"].as_str().unwrap_or_default().parse()?;
        same("as an enode", (enode.key, enode.tcp, enode.udp), (ours, 30303, 30304))?;
        // One letter of it changed is no record any more.
        let text = signed["text"].as_str().unwrap_or_default();
        let (head, tail) = text.split_at(40);
        let changed = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
        if let Ok(read) = geths[1 - signer].call("enr_parse", json!({"url": changed})) {
            return Err(format!("a changed record was read: {read}").into());
        }
    }
    Ok(())
}

fn a_tree_that_one_geth_signs_is_resolved_by_the_other_and_by_nobody_once_changed(world: &World) -> Outcome {
    let mut geths = [Geth::start(world, BOTH[0], &[])?.program, Geth::start(world, BOTH[1], &[])?.program];
    for signer in 0..2 {
        let mut records = Vec::new();
        for n in 1..=30 {
            let arguments =
                json!({"key": digits(n), "seq": 1, "pairs": {"ip": "7f000001", "tcp": 30300 + u32::from(n)}});
            records.push(geths[signer].call("enr_sign", arguments)?["text"].clone());
        }
        let arguments = json!({"key": digits(99), "domain": "nodes.test", "seq": 3, "enrs": records, "links": []});
        let tree = geths[signer].call("dns_sign", arguments)?;
        let (url, txt) = (&tree["url"], &tree["txt"]);
        let resolved = geths[1 - signer].call("dns_resolve", json!({"url": url, "txt": txt}))?;
        same("seq", &resolved["seq"], &json!(3))?;
        let mut found: Vec<&Value> = resolved["nodes"].as_array().into_iter().flatten().map(|n| &n["text"]).collect();
        let mut given: Vec<&Value> = records.iter().collect();
        found.sort_by_key(|text| text.to_string());
        given.sort_by_key(|text| text.to_string());
        same("nodes", found, given)?;

        let root = txt["nodes.test"].as_str().ok_or("no root")?.to_owned();
        let mut changed = txt.clone();
        changed["nodes.test"] = root.replacen("seq=3", "seq=4", 1).into();
        let mut lacking = txt.clone();
        let entries = lacking.as_object_mut().ok_or("no entries")?;
        let leaf = entries.iter().find(|(_, text)| text.as_str().is_some_and(|text| text.starts_with("enr:")));
        let leaf = leaf.map(|(name, _)| name.clone()).ok_or("no leaf")?;
        entries.remove(&leaf);
        for (what, txt) in [("a changed root", changed), ("a tree without one of its leaves", lacking)] {
            if let Ok(resolved) = geths[1 - signer].call("dns_resolve", json!({"url": url, "txt": txt})) {
                return Err(format!("{what} was resolved: {resolved}").into());
            }
        }
    }
    Ok(())
}
