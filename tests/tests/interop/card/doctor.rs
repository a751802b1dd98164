//! `cardinal doctor` and the key manager, beside the real pcscd.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, Scenario, Tool, VirtualReader, World};
use serde_json::{Value, json};

use super::reader::{hears, reader_and_card, refused, watching};
use crate::geth::{SOON, same};

const fn scenario(name: &'static str, peers: &'static [Tool], run: fn(&World) -> Outcome) -> Scenario {
    Scenario { group: "card", name, peers, shows: &[], within: Duration::from_secs(60), run }
}

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario(
        "doctor_names_each_cause_from_no_service_to_a_blank_card",
        &[Tool::Pcscd, Tool::Softcard, Tool::Cardprobe, Tool::Cardinal, Tool::Keymgr],
        doctor_names_each_cause,
    ),
    scenario(
        "a_manager_uses_a_card_that_comes_later",
        &[Tool::Pcscd, Tool::Softcard, Tool::Cardprobe, Tool::Cardinal, Tool::Keymgr],
        a_manager_uses_a_card_that_comes_later,
    ),
];

/// What a doctor found: its exit code, and what it printed.
fn doctor(world: &World, reader: &VirtualReader, home: &Path) -> Outcome<(Option<i32>, Value)> {
    cardinal(world, reader, home, &["doctor"])
}

fn doctor_names_each_cause(world: &World) -> Outcome {
    let (mut reader, folder, card) = reader_and_card(world, "4.0")?;
    let home = folder.path();
    let mut probe = watching(world, &reader)?;
    let cause = |report: &Value| report["findings"][0]["cause"].as_str().unwrap_or_default().to_owned();

    let (code, report) = doctor(world, &reader, home)?;
    same("an empty reader", (code, cause(&report)), (Some(17), "no-card".to_owned()))?;
    same("two readers", report["readers"].as_array().map(Vec::len), Some(2))?;

    reader.insert(world, &card, &[])?;
    hears(&mut probe, "free")?;
    let (code, report) = doctor(world, &reader, home)?;
    same("a blank card", (code, &report["usable"]), (Some(0), &json!(true)))?;
    same("nothing to mend", &report["findings"], &json!([]))?;
    let blank = report["notes"][0].as_str().unwrap_or_default();
    same("what to do with it", blank.contains("cardinal card init --reader 'pcsc:Virtual PCD 00 00'"), true)?;

    probe.call("open", json!({}))?;
    probe.call("select", json!({}))?;
    let (code, report) = doctor(world, &reader, home)?;
    same("a card that another program holds", (code, cause(&report)), (Some(55), "reader-held".to_owned()))?;
    let what = report["findings"][0]["what"].as_str().unwrap_or_default();
    same("it is named", what.contains(&format!("cardprobe (process {})", probe.pid())), true)?;
    probe.call("reset", json!({}))?;

    reader.stop_service();
    let (code, report) = doctor(world, &reader, home)?;
    let stopped = ["no-pcscd", "pcscd-stopped"].contains(&cause(&report).as_str());
    same("a service that has ended", (stopped, code != Some(0)), (true, true))?;
    same("how to mend it", report["findings"][0]["mend"][0].as_str().is_some_and(|way| way.starts_with("sudo ")), true)
}

/// A manager starts without pcscd, and works with the card that is inserted once there is one.
fn a_manager_uses_a_card_that_comes_later(world: &World) -> Outcome {
    let (mut reader, folder, card) = reader_and_card(world, "4.0")?;
    reader.stop_service();
    let home = folder.path();
    let (state, run) = (home.join("cardinal/profiles/ada/keymgr"), home.join("cardinal/ada"));
    for folder in [&state, &run] {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    let manifest = home.join("manifest.toml");
    std::fs::write(&manifest, "")?;
    let socket = run.join("keymgr.sock");
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or("a path that is no text");
    let (dir, socket, manifest) = (text(&state)?, text(&socket)?, text(&manifest)?);
    let mut arguments = vec!["run", "--reader", "auto", "--allow-test-ca", "--until-stdin-closes"];
    arguments.extend(["--dir", &dir, "--socket", &socket, "--manifest", &manifest]);
    let mut manager = reader.client(world, Tool::Keymgr, &arguments)?;
    manager.wait_for("its ready line", SOON, |line| line["ready"] == true)?;
    becomes(world, &reader, home, "no-service")?;
    reader.start_service(world)?;
    becomes(world, &reader, home, "no-card")?;
    reader.insert(world, &card, &[])?;
    becomes(world, &reader, home, "card")?;
    let (code, found) = cardinal(world, &reader, home, &["card", "info"])?;
    same(
        "a blank card of 4.0",
        (code, &found["applet"], &found["initialised"]),
        (Some(0), &json!("4.0"), &json!(false)),
    )?;
    // Its card is free for others in between.
    let mut probe = watching(world, &reader)?;
    probe.call("open", json!({}))?;
    probe.call("select", json!({}))?;
    becomes(world, &reader, home, "held")?;
    let (code, _) = cardinal(world, &reader, home, &["card", "challenge", "--length", "8"])?;
    same("the manager is told that another program is in the way", code, Some(55))?;
    probe.call("reset", json!({}))?;
    reader.remove();
    becomes(world, &reader, home, "no-card")?;
    refused(probe.call("select", json!({})), "no card answers")
}

/// Waits until the manager says so of its reader.
fn becomes(world: &World, reader: &VirtualReader, home: &Path, state: &str) -> Outcome {
    let until = Instant::now() + SOON;
    loop {
        let (_, status) = cardinal(world, reader, home, &["keymgr", "status"])?;
        if status["reader_state"] == state {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(format!("the manager's reader is not {state}: {status}").into());
        }
    }
}

/// The exit code of our command line, and what it printed.
fn cardinal(world: &World, reader: &VirtualReader, home: &Path, arguments: &[&str]) -> Outcome<(Option<i32>, Value)> {
    let mut command = reader.command(&world.place().find(Tool::Cardinal)?);
    command.arg("--json").args(arguments);
    command.env("XDG_DATA_HOME", home).env("XDG_RUNTIME_DIR", home).env("HOME", home);
    let Output { status, stdout, stderr } = command.output()?;
    let line = stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let said = serde_json::from_slice(line).or_else(|_| serde_json::from_slice(stderr.trim_ascii()));
    Ok((status.code(), said.map_err(|_| format!("no JSON: {}", String::from_utf8_lossy(&stderr)))?))
}
