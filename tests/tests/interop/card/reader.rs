//! Our own way to a card, through the real pcscd: what comes, goes, hangs and is held.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, PeerError, Program, Scenario, Tool, VirtualReader, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::geth::{SOON, same};

const WITH: &[Tool] = &[Tool::Pcscd, Tool::Softcard, Tool::Cardprobe];

const fn scenario(name: &'static str, shows: &'static [&'static str], run: fn(&World) -> Outcome) -> Scenario {
    Scenario { group: "card", name, peers: WITH, shows, within: Duration::from_secs(60), run }
}

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("cards_come_and_go_and_are_heard_of", &[], cards_come_and_go_and_are_heard_of),
    scenario("a_card_drawn_in_mid_command_is_an_error", &[], a_card_drawn_in_mid_command_is_an_error),
    scenario("a_card_that_is_held_is_nobody_elses", &[], a_card_that_is_held_is_nobody_elses),
    scenario("a_card_that_is_let_go_has_forgotten_everything", &[], a_card_that_is_let_go_has_forgotten_everything),
    scenario("a_service_that_ends_is_an_error_and_one_that_starts_is_used", &[], service_ends_and_starts),
    scenario("a_reader_that_hangs_is_given_up", &[], a_reader_that_hangs_is_given_up),
    scenario("a_command_costs_no_more_than_a_moment", &[], a_command_costs_no_more_than_a_moment),
];

/// A reader, and a file with a blank card of this release.
pub(super) fn reader_and_card(world: &World, applet: &str) -> Outcome<(VirtualReader, TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let card = folder.path().join("card.json");
    let file = card.to_str().ok_or("a folder whose name is no text")?;
    let made = world.start(Tool::Softcard, &["create", "--card", file, "--applet", applet])?.close(SOON)?;
    if !made.success() {
        return Err(format!("softcard makes no card: {made}").into());
    }
    Ok((VirtualReader::start(world)?, folder, card))
}

/// A client that hears of every change.
pub(super) fn watching(world: &World, reader: &VirtualReader) -> Outcome<Program> {
    let mut probe = reader.client(world, Tool::Cardprobe, &[])?;
    probe.call("watch", json!({}))?;
    Ok(probe)
}

/// Waits until a client that watches finds the reader in this state.
pub(super) fn hears(probe: &mut Program, slot: &str) -> Outcome {
    let until = Instant::now() + SOON;
    loop {
        let readers = probe.call("readers", json!({}))?;
        let reader = readers.as_array().and_then(|all| all.iter().find(|reader| reader["name"] == VirtualReader::NAME));
        match reader {
            // pcscd calls a reader empty before it has seen that it is. It counts both, so an empty one has an even number.
            Some(reader) if reader["slot"] == slot && (slot != "empty" || is_even(&reader["events"])) => return Ok(()),
            _ if Instant::now() >= until => return Err(format!("the reader is not {slot}: {readers}").into()),
            // Whether a card is in use is told late, so it is asked for again without being told too.
            _ => drop(probe.event("readers", AGAIN)),
        }
    }
}

fn is_even(number: &Value) -> bool {
    number.as_u64().is_some_and(|number| number.is_multiple_of(2))
}

/// Fails unless a command fails with these words.
pub(super) fn refused(answer: Result<Value, PeerError>, words: &str) -> Outcome {
    match answer {
        Err(PeerError::Refused { why, .. }) if why.contains(words) => Ok(()),
        Err(other) => Err(format!("not refused with {words:?}: {other}").into()),
        Ok(answer) => Err(format!("not refused with {words:?}: {answer}").into()),
    }
}

fn transmit(probe: &mut Program, apdu: &str) -> Result<Value, PeerError> {
    probe.call("transmit", json!({"apdu": apdu}))
}

fn cards_come_and_go_and_are_heard_of(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut probe = watching(world, &reader)?;
    hears(&mut probe, "empty")?;
    probe.call("open", json!({}))?;
    refused(probe.call("select", json!({})), "no card answers")?;
    let mut names = Vec::new();
    for _ in 0..2 {
        reader.insert(world, &card, &[])?;
        hears(&mut probe, "free")?;
        names.push(probe.call("select", json!({}))?["card"].clone());
        hears(&mut probe, "ours")?;
        same("the card is there", probe.call("there", json!({}))?, true.into())?;
        reader.remove();
        hears(&mut probe, "empty")?;
        same("the card is there", probe.call("there", json!({}))?, false.into())?;
        refused(transmit(&mut probe, SELECT), "drawn")?;
        // Not another card either, until the one who speaks has begun anew.
        reader.insert(world, &card, &[])?;
        hears(&mut probe, "free")?;
        refused(transmit(&mut probe, SELECT), "drawn")?;
        reader.remove();
        hears(&mut probe, "empty")?;
        probe.call("reset", json!({}))?;
    }
    same("the card that came back", &names[1], &names[0])
}

fn a_card_drawn_in_mid_command_is_an_error(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut probe = watching(world, &reader)?;
    for _ in 0..2 {
        reader.insert(world, &card, &[])?;
        hears(&mut probe, "free")?;
        probe.call("open", json!({}))?;
        transmit(&mut probe, SELECT)?;
        reader.freeze();
        probe.send(&json!({"id": "drawn", "cmd": "transmit", "apdu": SELECT}));
        // It is not answered, so its end is not another command's.
        if let Ok(early) = probe.wait_for("no answer", AGAIN, |line| line["id"] == "drawn") {
            return Err(format!("a frozen card answers: {early}").into());
        }
        reader.remove();
        let drawn = probe.wait_for("the end of the command", SOON, |line| line["id"] == "drawn")?;
        let why = drawn["error"].as_str().unwrap_or_default();
        same("the card was drawn", why.starts_with("the card was drawn while it was in use"), true)?;
        refused(transmit(&mut probe, SELECT), "drawn")?;
        hears(&mut probe, "empty")?;
    }
    Ok(())
}

fn a_card_that_is_held_is_nobody_elses(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut one = watching(world, &reader)?;
    let mut other = watching(world, &reader)?;
    reader.insert(world, &card, &[])?;
    hears(&mut one, "free")?;
    hears(&mut other, "free")?;
    for program in [&mut one, &mut other] {
        program.call("open", json!({"reader": VirtualReader::NAME}))?;
    }
    for (first, second) in [(0, 1), (1, 0)] {
        let programs = &mut [&mut one, &mut other];
        programs[first].call("select", json!({}))?;
        hears(programs[second], "held")?;
        refused(programs[second].call("select", json!({})), "another program holds the reader")?;
        programs[first].call("reset", json!({}))?;
        hears(programs[second], "free")?;
        programs[second].call("reset", json!({}))?;
    }
    Ok(())
}

/// Whoever ends a session, in whatever way, leaves a card on which no applet is selected and no channel is open.
fn a_card_that_is_let_go_has_forgotten_everything(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut watcher = watching(world, &reader)?;
    reader.insert(world, &card, &[])?;
    hears(&mut watcher, "free")?;
    for end in ["reset", "close", "kill"] {
        let mut probe = reader.client(world, Tool::Cardprobe, &[])?;
        probe.call("open", json!({}))?;
        transmit(&mut probe, SELECT)?;
        let selected = transmit(&mut probe, GET_STATUS)?["answer"].clone();
        same("GET STATUS when the applet is selected, without a channel", selected, "6985".into())?;
        hears(&mut watcher, "held")?;
        match end {
            "reset" => drop(probe.call("reset", json!({}))?),
            "close" => drop(probe.close(SOON)?),
            _ => probe.kill(),
        }
        hears(&mut watcher, "free")?;
        let mut next = reader.client(world, Tool::Cardprobe, &[])?;
        next.call("open", json!({}))?;
        let status = transmit(&mut next, GET_STATUS)?["answer"].clone();
        if status == "6985" {
            return Err(format!("after {end} the applet is still selected").into());
        }
        drop(next);
        hears(&mut watcher, "free")?;
    }
    Ok(())
}

fn service_ends_and_starts(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut probe = watching(world, &reader)?;
    reader.insert(world, &card, &[])?;
    hears(&mut probe, "free")?;
    probe.call("open", json!({}))?;
    probe.call("select", json!({}))?;
    reader.stop_service();
    probe.event("trouble", SOON)?;
    same("the card is there", probe.call("there", json!({}))?, false.into())?;
    refused(transmit(&mut probe, SELECT), "pcscd, which speaks to card readers, does not run")?;
    refused(probe.call("readers", json!({})), "pcscd, which speaks to card readers, does not run")?;
    probe.call("reset", json!({}))?;
    probe.drain();
    reader.start_service(world)?;
    hears(&mut probe, "free")?;
    probe.call("select", json!({}))?;
    Ok(())
}

fn a_reader_that_hangs_is_given_up(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut probe = watching(world, &reader)?;
    reader.insert(world, &card, &[])?;
    hears(&mut probe, "free")?;
    probe.call("open", json!({"limit_ms": 1000}))?;
    transmit(&mut probe, SELECT)?;
    reader.freeze();
    refused(transmit(&mut probe, SELECT), "did not answer within 1 s")?;
    probe.call("reset", json!({}))?;
    refused(transmit(&mut probe, SELECT), "did not answer within 1 s")?;
    // Nothing else waits for it.
    same("readers", probe.call("readers", json!({}))?.as_array().map(Vec::len), Some(2))?;
    reader.remove();
    hears(&mut probe, "empty")?;
    reader.insert(world, &card, &[])?;
    hears(&mut probe, "free")?;
    probe.call("reset", json!({}))?;
    probe.call("select", json!({}))?;
    Ok(())
}

fn a_command_costs_no_more_than_a_moment(world: &World) -> Outcome {
    let (mut reader, _folder, card) = reader_and_card(world, "4.0")?;
    let mut probe = watching(world, &reader)?;
    reader.insert(world, &card, &[])?;
    hears(&mut probe, "free")?;
    probe.call("open", json!({}))?;
    let mut times: Vec<u64> = (0..200)
        .map(|_| Ok(transmit(&mut probe, SELECT)?["us"].as_u64().unwrap_or(u64::MAX)))
        .collect::<Outcome<_>>()?;
    times.sort_unstable();
    let (median, slow) = (times[times.len() / 2], times[times.len() * 95 / 100]);
    println!("an APDU through pcscd and vpcd: median {median} us, 95 % within {slow} us");
    // Stock socket settings cost 44 ms.
    if median < 10_000 { Ok(()) } else { Err(format!("an APDU takes {median} us").into()) }
}

const AGAIN: Duration = Duration::from_millis(100);
const SELECT: &str = "00a4040009a00000080400010101";
const GET_STATUS: &str = "80f2000000";
