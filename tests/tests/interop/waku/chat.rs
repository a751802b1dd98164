//! A person's node beside the probe: what is said in a public chat, what is asked of peers, and when it counts as sent.
//!
//! The person is `cardinal bot` with a throw-away software card.

use std::time::Duration;

use scenarios::peer::{Outcome, Program, Scenario, Tool, World};
use serde_json::{Value, json};
use wire::waku::BloomFilter;

use super::{Prober, SOON, hex_topic, list};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "what_is_said_in_a_public_chat_opens_at_the_probe_and_the_other_way_round",
        peers: PEOPLE,
        shows: &[
            "WU10-03",
            "WU10-05",
            "WU10-23",
            "WU10-30",
            "WU10-31",
            "ACCT-14",
            "ACCT-16",
            "ACCT-17",
            "CLIENT-03",
            "CLIENT-05",
        ],
        within: Duration::from_secs(90),
        run: what_is_said_in_a_public_chat_opens_at_the_probe_and_the_other_way_round,
    },
    Scenario {
        group: "waku",
        name: "a_message_counts_as_sent_once_a_peer_has_taken_it",
        peers: PEOPLE,
        shows: &["WAKU1-58", "WAKU1-60", "WAKU1-61", "WU10-34", "GO-17"],
        within: Duration::from_secs(90),
        run: a_message_counts_as_sent_once_a_peer_has_taken_it,
    },
    Scenario {
        group: "waku",
        name: "a_persons_interest_follows_its_chats_in_the_form_that_was_chosen",
        peers: PEOPLE,
        shows: &["WAKU1-32", "WAKU1-36", "WAKU1-37", "WAKU1-40", "WAKU1-44", "WU10-07"],
        within: Duration::from_secs(90),
        run: a_persons_interest_follows_its_chats_in_the_form_that_was_chosen,
    },
    Scenario {
        group: "waku",
        name: "a_light_node_sends_what_is_its_own_and_nothing_else",
        peers: PEOPLE,
        shows: &["WAKU1-05", "WAKU1-56", "WAKU1-65", "WAKU1-66", "WU10-08"],
        within: Duration::from_secs(90),
        run: a_light_node_sends_what_is_its_own_and_nothing_else,
    },
];

const PEOPLE: &[Tool] = &[Tool::Node, Tool::Keymgr, Tool::Cardinal, Tool::Probe];
const CHAT: &str = "cardinal-interop";

fn what_is_said_in_a_public_chat_opens_at_the_probe_and_the_other_way_round(world: &World) -> Outcome {
    let relay = world.relay(&[])?;
    let mut probe = Prober::dial(world, &relay, &["-password", CHAT])?;
    let (mut alice, about) = person(world, &relay.enode.to_string(), &[])?;
    alice.call("join_public", json!({"chat": CHAT}))?;
    alice.call("send_public", json!({"chat": CHAT, "text": "to whom it may concern"}))?;
    let opened = probe.messages()?["envelopes"][0].take();
    let payload = opened["payload"].as_str().ok_or("the probe cannot open it")?.to_owned();
    assert!(payload.contains(&hex::encode("to whom it may concern")), "{opened}");
    assert_eq!(opened["src"], about["identity_pk"].as_str().unwrap().trim_start_matches("0x"));
    assert_eq!(opened["topic"], topic(&mut probe)?);
    assert!(opened["pow"].as_f64() >= Some(0.002) && opened["ttl"].as_u64() >= Some(10), "{opened}");

    // In an envelope of the probe's making it comes to somebody who has not seen the first one.
    let elsewhere = world.relay(&[])?;
    let (mut bob, _) = person(world, &elsewhere.enode.to_string(), &[])?;
    bob.call("join_public", json!({"chat": CHAT}))?;
    let mut probe = Prober::dial(world, &elsewhere, &[])?;
    let topic = format!("#{CHAT}");
    let garbled = json!({"topic": topic, "password": CHAT, "text": "no message", "target": 0.002});
    let closed = json!({"topic": topic, "password": "another", "payload": payload, "target": 0.002});
    let readable =
        json!({"topic": topic, "password": CHAT, "payload": payload, "sign": "0b".repeat(32), "target": 0.002});
    for order in [garbled, closed, readable] {
        let envelope = probe.seal_one(order)?;
        probe.send(&[&envelope])?;
    }
    let message = bob.event("message", SOON)?;
    assert_eq!((&message["text"], &message["chat"]), (&"to whom it may concern".into(), &CHAT.into()));
    assert_eq!(message["from"], about["identity_pk"], "whoever signed the message has said it, not who sent it on");
    Ok(())
}

fn a_message_counts_as_sent_once_a_peer_has_taken_it(world: &World) -> Outcome {
    let (mut probe, enode) = Prober::listen(world, &["-confirm"])?;
    let (mut alice, _) = person(world, &enode, &[])?;
    probe.up()?;
    probe.say_status()?;
    probe.status()?;
    alice.call("join_public", json!({"chat": CHAT}))?;
    // Either of both packets is a confirmation.
    for code in [11, 12] {
        let (batch, _) = says(&mut alice, &mut probe, "a word")?;
        let payload = if code == 11 { format!("a0{batch}") } else { format!("e401e2a0{batch}c0") };
        probe.call("send", json!({"code": code, "payload": payload}))?;
        alice.event("envelope_sent", SOON)?;
    }
    // What was refused is not sent by that; it comes again in another envelope once the first has expired.
    let (batch, refused) = says(&mut alice, &mut probe, "another word")?;
    let failures = list(&list(&format!("a0{refused}15826e6f")));
    let response = list(&format!("01{}", list(&format!("a0{batch}{failures}"))));
    probe.call("send", json!({"code": 12, "payload": response}))?;
    probe.call("send", json!({"code": 11, "payload": format!("a0{batch}")}))?;
    let again = probe.messages_within(Duration::from_secs(40))?;
    let told = alice.drain();
    assert!(told.iter().all(|line| line["event"] != "envelope_sent"), "{told:?}");
    assert_ne!(again["envelopes"][0]["hash"], format!("0x{refused}"));
    let batch = again["batch"].as_str().unwrap().trim_start_matches("0x").to_owned();
    probe.call("send", json!({"code": 11, "payload": format!("a0{batch}")}))?;
    alice.event("envelope_sent", SOON)?;
    Ok(())
}

fn a_persons_interest_follows_its_chats_in_the_form_that_was_chosen(world: &World) -> Outcome {
    for form in ["chats", "chats-bloom", "full"] {
        let (mut probe, enode) = Prober::listen(world, &[])?;
        let (mut alice, _) = person(world, &enode, &["--interest", form])?;
        probe.up()?;
        probe.say_status()?;
        let said = probe.status()?;
        let topic = topic(&mut probe)?;
        alice.call("join_public", json!({"chat": CHAT}))?;
        let joined = probe.updates()?;
        alice.call("leave_public", json!({"chat": CHAT}))?;
        let left = probe.updates()?;
        let of = |updates: &[Value], key: &str| updates.iter().map(|it| it[key].clone()).collect::<Vec<_>>();
        match form {
            "chats" => {
                assert_eq!(said["topic_interest"], json!([]));
                assert_eq!(of(&joined, "topic_interest"), [json!([topic])]);
                assert_eq!(of(&left, "topic_interest"), [json!([])]);
            }
            "chats-bloom" => {
                assert_eq!(said["bloom_filter"], "00".repeat(64));
                let filter = BloomFilter::of_topics([hex_topic(topic.as_str().unwrap())]);
                assert_eq!(of(&joined, "bloom_filter"), [json!(hex::encode(filter.as_bytes()))]);
                assert_eq!(of(&left, "bloom_filter"), [json!("00".repeat(64))]);
            }
            _ => {
                assert_eq!(said["bloom_full"], true);
                assert!(joined.is_empty() && left.is_empty(), "it has said everything");
            }
        }
    }
    Ok(())
}

fn a_light_node_sends_what_is_its_own_and_nothing_else(world: &World) -> Outcome {
    let (mut first, one) = Prober::listen(world, &["-password", CHAT])?;
    let (mut second, other) = Prober::listen(world, &[])?;
    let (mut alice, _) = person(world, &format!("{one},{other}"), &["--light", "--interest", "full"])?;
    for probe in [&mut first, &mut second] {
        probe.up()?;
        probe.say_status()?;
        assert_eq!(probe.status()?["light_node"], true);
    }
    alice.call("join_public", json!({"chat": CHAT}))?;
    let foreign =
        second.seal_one(json!({"topic": format!("#{CHAT}"), "password": CHAT, "text": "?", "target": 0.002}))?;
    second.send(&[&foreign])?;
    second.sync()?;
    says(&mut alice, &mut first, "of my own")?;
    let came = second.messages()?;
    assert_eq!(came["envelopes"].as_array().map(Vec::len), Some(1));
    assert_eq!(first.times(&foreign), 0, "what comes first is what was said after it");
    Ok(())
}

/// Somebody with a node of their own that dials these peers, and what is known of them.
fn person(world: &World, peers: &str, options: &[&str]) -> Outcome<(Program, Value)> {
    let arguments = [&["bot", "--ephemeral", "--peers", peers, "--"], options].concat();
    let mut bot = world.start(Tool::Cardinal, &arguments)?;
    let about = bot.wait_for("started", START, |line| line["event"] == "started" || line["event"] == "fatal")?;
    if about["event"] == "fatal" {
        return Err(format!("no person: {about}").into());
    }
    bot.call("wait_peers", json!({"count": peers.split(',').count()}))?;
    Ok((bot, about))
}

/// Says something, and waits until it comes to the probe; returns the hashes of packet and envelope, without 0x.
fn says(who: &mut Program, probe: &mut Prober, text: &str) -> Outcome<(String, String)> {
    who.send(&json!({"cmd": "send_public", "chat": CHAT, "text": text}));
    let packet = probe.messages()?;
    assert_eq!(packet["envelopes"].as_array().map(Vec::len), Some(1), "{packet}");
    let bare = |hash: &Value| hash.as_str().unwrap_or_default().trim_start_matches("0x").to_owned();
    Ok((bare(&packet["batch"]), bare(&packet["envelopes"][0]["hash"])))
}

/// The chat's topic, as the probe derives it.
fn topic(probe: &mut Prober) -> Outcome<Value> {
    Ok(probe.seal_one(json!({"topic": format!("#{CHAT}"), "text": "?"}))?.topic.into())
}

/// A node with a card of its own takes a while to start.
const START: Duration = Duration::from_secs(30);
