//! Live chat programs of others, beside our relay and beside our bot: `make interop-live`.
//!
//! They drive any programs that speak the interface of `docs/interop.md`, named by environment variables; where one is not
//! set, the scenarios that need it are skipped and say so. What is compared is meaning, never bytes.

mod bot;
mod chat;
mod content;
mod devices;
mod expiry;
mod groups;
mod one_to_one;
mod public;
mod reconnect;
mod relay;

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, Tool, World};

/// A chat program.
const CHAT: Tool = Tool::Given("PEER_CHAT");
/// Another version of it.
const CHAT2: Tool = Tool::Given("PEER_CHAT2");
/// A relay of the same people.
const RELAY: Tool = Tool::Given("PEER_RELAY");
/// A raw connection.
const PROBE: Tool = Tool::Given("PEER_PROBE");

/// Who meets whom: the relay between them, and two chat programs.
#[derive(Debug, Clone, Copy)]
struct Cast {
    relay: Tool,
    alice: Tool,
    bob: Tool,
}

/// Two of the same version with our relay between them.
const OURS: Cast = Cast { relay: Tool::Node, alice: CHAT, bob: CHAT };
/// Two versions with our relay between them.
const VERSIONS: Cast = Cast { relay: Tool::Node, alice: CHAT, bob: CHAT2 };
/// The same with the parts changed.
const OTHER_WAY: Cast = Cast { relay: Tool::Node, alice: CHAT2, bob: CHAT };
/// None of ours: what fails here is no fault of ours.
const CONTROL: Cast = Cast { relay: RELAY, alice: CHAT, bob: CHAT };
/// Our bot and a chat program, over our relay.
const BOT: Cast = Cast { relay: Tool::Node, alice: Tool::Cardinal, bob: CHAT };
/// Our bot and a chat program of another version, over our relay.
const BOT2: Cast = Cast { relay: Tool::Node, alice: Tool::Cardinal, bob: CHAT2 };
/// Our bot and a chat program, over their relay.
const BOT_ABROAD: Cast = Cast { relay: RELAY, alice: Tool::Cardinal, bob: CHAT };

const fn live(
    name: &'static str,
    peers: &'static [Tool],
    shows: &'static [&'static str],
    run: fn(&World) -> Outcome,
) -> Scenario {
    Scenario { group: "live", name, peers, shows, within: WITHIN, run }
}

/// What this group shows.
pub(crate) const SCENARIOS: &[Scenario] = &[
    // Two of theirs, our relay between them.
    live("public_chat_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| public::talk(world, OURS)),
    live("probe_over_our_relay", &[Tool::Node, CHAT, PROBE], RELAYED, |world| public::probe_and_junk(world, OURS)),
    live("many_messages_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| public::many(world, OURS)),
    live("contact_code_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| one_to_one::contact_code(world, OURS)),
    live("one_to_one_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| one_to_one::talk(world, OURS)),
    live("contact_update_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| one_to_one::contact(world, OURS)),
    live("group_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| groups::life(world, OURS)),
    live("content_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| content::kinds(world, OURS)),
    live("junk_payload_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| content::junk(world, OURS)),
    live("two_devices_over_our_relay", &[Tool::Node, CHAT], RELAYED, |world| devices::pair_and_sync(world, OURS)),
    live("expired_messages_over_our_relay", &[Tool::Node, CHAT], EXPIRY, |world| expiry::gone(world, OURS)),
    live("bloom_filters_over_our_relay", &[Tool::Node, CHAT], BLOOM, |world| public::bloom(world, OURS)),
    live("our_relay_restarts", &[Tool::Node, CHAT], RECONNECT, |world| reconnect::relay(world, OURS)),
    // Two versions of theirs.
    live("public_chat_of_two_versions", &[Tool::Node, CHAT, CHAT2], RELAYED, |world| public::talk(world, VERSIONS)),
    live("one_to_one_of_two_versions", &[Tool::Node, CHAT, CHAT2], RELAYED, |world| one_to_one::talk(world, VERSIONS)),
    live("one_to_one_the_other_way", &[Tool::Node, CHAT, CHAT2], RELAYED, |world| one_to_one::talk(world, OTHER_WAY)),
    live("group_of_two_versions", &[Tool::Node, CHAT, CHAT2], RELAYED, |world| groups::life(world, VERSIONS)),
    live("group_the_other_way", &[Tool::Node, CHAT, CHAT2], RELAYED, |world| groups::life(world, OTHER_WAY)),
    // None of ours.
    live("control_public_chat", &[RELAY, CHAT], CONTROLS, |world| public::talk(world, CONTROL)),
    live("control_one_to_one", &[RELAY, CHAT], CONTROLS, |world| one_to_one::talk(world, CONTROL)),
    live("control_group", &[RELAY, CHAT], CONTROLS, |world| groups::life(world, CONTROL)),
    // Our bot beside one of theirs.
    live("bot_public_chat", BOT_AND_CHAT, SPOKEN, |world| bot::talk(world, BOT)),
    live("bot_public_chat_with_another_version", BOT_AND_CHAT2, SPOKEN, |world| bot::talk(world, BOT2)),
    live("bot_public_chat_over_their_relay", BOT_AND_RELAY, SPOKEN, |world| bot::talk(world, BOT_ABROAD)),
    live("bot_texts", BOT_AND_CHAT, SPOKEN, |world| bot::texts(world, BOT)),
    live("bot_many_messages", BOT_AND_CHAT, SPOKEN, |world| bot::many(world, BOT)),
    live("bot_and_other_content", BOT_AND_CHAT, CONTENT, |world| bot::content(world, BOT)),
    live("bot_leaves_and_joins", BOT_AND_CHAT, INTEREST, |world| bot::leave_and_join(world, BOT)),
    live("bot_and_chat_without_a_relay", BOT_AND_CHAT, SPOKEN, bot::direct),
    live("bot_sees_its_peer_restart", BOT_AND_CHAT, RECONNECT, |world| bot::peer_restarts(world, BOT)),
    live("bot_messages_wait_for_a_peer", BOT_AND_CHAT, SPOKEN, |world| bot::waits_for_a_peer(world, BOT)),
];

const BOT_AND_CHAT: &[Tool] = &[Tool::Node, Tool::Keymgr, Tool::Cardinal, CHAT];
const BOT_AND_CHAT2: &[Tool] = &[Tool::Node, Tool::Keymgr, Tool::Cardinal, CHAT2];
const BOT_AND_RELAY: &[Tool] = &[Tool::Node, Tool::Keymgr, Tool::Cardinal, CHAT, RELAY];

const RELAYED: &[&str] = &["CLIENT-01", "CLIENT-03", "CLIENT-04", "WAKU1-04", "WAKU1-19", "WAKU1-41", "WAKU1-72"];
const EXPIRY: &[&str] = &["CLIENT-04", "WAKU1-06"];
const BLOOM: &[&str] = &["CLIENT-04", "WAKU1-04", "WAKU1-36", "WAKU1-40"];
const RECONNECT: &[&str] = &["CLIENT-12"];
const CONTROLS: &[&str] = &[];
const SPOKEN: &[&str] = &["CLIENT-05", "CLIENT-36", "PAY-01", "PAY-02", "PAY-06", "PAY-07", "PAY-37"];
const CONTENT: &[&str] = &["PAY-08", "PAY-51"];
const INTEREST: &[&str] = &["WAKU1-41", "WAKU1-43"];

/// For what a peer does at once, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// For what takes a few turns between peers, each after their timers.
const TURNS: Duration = Duration::from_secs(40);
/// A static peer is dialled again after 30 to 35 s.
const REDIAL: Duration = Duration::from_secs(60);
/// For a whole scenario.
const WITHIN: Duration = Duration::from_secs(120);
