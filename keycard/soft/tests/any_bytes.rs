//! Any bytes at all: never a panic, never an answer that is too long, never a change by a command that failed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Client, KEYCARD, Place};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

/// Instructions that mean something, more often than those that do not.
fn ins() -> impl Strategy<Value = u8> {
    let known = [0x10, 0x18, 0x20, 0x21, 0x22, 0x84, 0xa4, 0xc0, 0xc2, 0xd0, 0xd4, 0xf2, 0xfd, 0xfe];
    prop_oneof![4 => proptest::sample::select(known.to_vec()), 1 => any::<u8>()]
}

fn parameter() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0u8..4, 1 => any::<u8>()]
}

/// Headers and data of an inner command, the length byte right or not.
fn inner() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        vec(any::<u8>(), 0..243),
        vec(b'0'..=b'9', 0..27),
        Just(hex::decode("8000002b8000003c8000062d8000000000000000").unwrap()),
        vec(any::<u8>(), 16..65),
    ];
    let lie = prop_oneof![9 => Just(0u8), 1 => any::<u8>()];
    (any::<u8>(), ins(), parameter(), parameter(), data, lie).prop_map(|(cla, ins, p1, p2, data, lie)| {
        let mut bytes = vec![cla, ins, p1, p2, u8::try_from(data.len()).unwrap() ^ lie];
        bytes.extend_from_slice(&data);
        bytes
    })
}

/// What of the card can be seen without changing it.
fn visible(client: &mut Client) -> (Vec<u8>, Vec<u8>) {
    let status = client.ok("80f20000");
    (status, client.export(2, "m/44'/60'/0'/0").data)
}

fn starts() -> impl Strategy<Value = fn() -> Client> {
    proptest::sample::select(vec![(|| Client::open_blank(5)) as fn() -> Client, || Client::loaded(5), || {
        let mut client = Client::loaded(5);
        client.power();
        client
    }])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_outer_bytes_are_answered(start in starts(), commands in vec(prop_oneof![vec(any::<u8>(), 0..300), inner()], 1..8)) {
        let mut client = start();
        for command in commands {
            let answer = client.card.transmit(&command);
            prop_assert!((2..=257).contains(&answer.len()));
        }
        client.channel = None;
        prop_assert_eq!(client.select(&KEYCARD).sw, 0x9000);
        prop_assert_eq!(client.open().sw, 0x9000);
    }

    #[test]
    fn any_inner_bytes_are_answered_inside_or_end_the_channel(
        start in starts(),
        commands in vec(prop_oneof![vec(any::<u8>(), 0..247), inner()], 1..8),
    ) {
        let mut client = start();
        for inner in commands {
            let Some(channel) = &client.channel else { break };
            let command = channel.wrap(&inner, 0);
            let reply = client.plain(&command);
            if reply.place == Place::Outer {
                prop_assert_eq!(reply.sw, 0x6982);
                prop_assert!(inner.len() < 5 || usize::from(inner[4]) != inner.len() - 5, "only a lying inner length ends it");
                client.channel = None;
            }
            prop_assert!(reply.data.len() <= 245);
            prop_assert!(reply.sw == 0x9000 || reply.data.is_empty());
        }
    }

    #[test]
    fn a_failing_command_changes_nothing_but_tries(inner in inner()) {
        let mut client = Client::loaded(6);
        let before = visible(&mut client);
        let command = client.channel.as_ref().unwrap().wrap(&inner, 0);
        let reply = client.plain(&command);
        if reply.place == Place::Outer {
            client.open();
        }
        if reply.sw != 0x9000 && reply.sw & 0xfff0 != 0x63c0 {
            prop_assert_eq!(visible(&mut client), before);
        }
    }
}
