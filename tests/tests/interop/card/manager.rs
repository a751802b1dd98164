//! The key manager at a reader that others can use too: cards that come back, second clients, and a reader that is lent.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, PeerError, Program, Scenario, Tool, VirtualReader, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::reader::{hears, reader_and_card, refused, watching};
use crate::geth::{SOON, same};

const WITH: &[Tool] = &[Tool::Pcscd, Tool::Softcard, Tool::Cardprobe, Tool::Cardinal, Tool::Keymgr];

const fn scenario(name: &'static str, run: fn(&World) -> Outcome) -> Scenario {
    Scenario { group: "card", name, peers: WITH, shows: &[], within: Duration::from_secs(120), run }
}

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("a_card_that_comes_back_has_an_open_channel_within_two_seconds", comes_back),
    scenario("attack_a_second_client_gets_nothing_after_our_verify", second_client),
    scenario("a_reader_is_lent_to_another_program_and_taken_back", lent),
    scenario("a_second_manager_is_told_who_holds_the_reader", second_manager),
];

/// A manager with an enrolled card in its reader, which is locked.
struct Office {
    reader: VirtualReader,
    folder: TempDir,
    card: PathBuf,
    manager: Option<Program>,
    /// Another client of the readers.
    probe: Program,
}

impl Office {
    fn open(world: &World) -> Outcome<Self> {
        let (mut reader, folder, card) = reader_and_card(world, "4.0")?;
        let home = folder.path();
        for (name, text) in [("pin", "493817\n"), ("puk", "201938475601\n"), ("manifest.toml", "")] {
            std::fs::write(home.join(name), text)?;
        }
        let mut probe = watching(world, &reader)?;
        reader.insert(world, &card, &[])?;
        hears(&mut probe, "free")?;
        let manager = Some(manager(world, &reader, home, "ada")?);
        let office = Self { reader, folder, card, manager, probe };
        let found = office.done(world, "card info")?;
        let fingerprint = found["fingerprint"].as_str().ok_or("a card without a fingerprint")?.to_owned();
        office.done(world, &format!("card init --confirm {fingerprint} --pin-fd 3 --puk-fd 4 3<pin 4<puk"))?;
        office.done(world, "card key generate --pin-fd 3 3<pin")?;
        Ok(office)
    }

    /// Runs `cardinal` in a shell, and returns its exit code and what it printed.
    fn says(&self, world: &World, words: &str) -> Outcome<(Option<i32>, Value)> {
        let home = self.folder.path();
        let mut command = self.reader.command(Path::new("sh"));
        command.args(["-c", &format!("cd \"$HOME\" && \"$CARDINAL\" --json {words}")]);
        command.env("CARDINAL", world.place().find(Tool::Cardinal)?).stdin(Stdio::null());
        command.env("XDG_DATA_HOME", home).env("XDG_RUNTIME_DIR", home).env("HOME", home);
        let Output { status, stdout, stderr } = command.output()?;
        let line = stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        let said = serde_json::from_slice(line).or_else(|_| serde_json::from_slice(stderr.trim_ascii()));
        let said = said.map_err(|_| format!("{words}: no JSON: {}", String::from_utf8_lossy(&stderr)))?;
        Ok((status.code(), said))
    }

    fn done(&self, world: &World, words: &str) -> Outcome<Value> {
        match self.says(world, words)? {
            (Some(0), said) => Ok(said),
            (code, said) => Err(format!("{words} ends with {code:?}: {said}").into()),
        }
    }

    fn unlock(&self, world: &World) -> Outcome<Value> {
        self.done(world, "unlock --pin-fd 3 3<pin")
    }

    /// Ends the manager as a crash would.
    fn kill_manager(&mut self) {
        if let Some(manager) = self.manager.take() {
            manager.kill();
        }
    }

    /// Waits until the manager's reader is at this, and returns how long that took.
    fn becomes(&self, world: &World, state: &str) -> Outcome<Duration> {
        let begin = Instant::now();
        loop {
            let leases = self.done(world, "keymgr leases")?;
            if leases["readers"][0]["state"] == state {
                return Ok(begin.elapsed());
            }
            if begin.elapsed() > SOON {
                return Err(format!("the reader is not {state}: {leases}").into());
            }
        }
    }
}

/// Starts a manager of its own profile.
fn manager(world: &World, reader: &VirtualReader, home: &Path, name: &str) -> Outcome<Program> {
    let (state, run) = (home.join(format!("cardinal/profiles/{name}/keymgr")), home.join("cardinal").join(name));
    for folder in [&state, &run] {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    let text = |path: PathBuf| path.to_str().map(str::to_owned).ok_or("a path that is no text");
    let (dir, socket, manifest) = (text(state)?, text(run.join("keymgr.sock"))?, text(home.join("manifest.toml"))?);
    let mut arguments = vec!["run", "--reader", "auto", "--allow-test-ca", "--until-stdin-closes"];
    arguments.extend(["--dir", &dir, "--socket", &socket, "--manifest", &manifest]);
    let mut manager = reader.client(world, Tool::Keymgr, &arguments)?;
    manager.wait_for("its ready line", SOON, |line| line["ready"] == true)?;
    Ok(manager)
}

fn comes_back(world: &World) -> Outcome {
    let mut office = Office::open(world)?;
    office.unlock(world)?;
    office.becomes(world, "unlocked")?;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        office.reader.remove();
        office.becomes(world, "empty")?;
        let (code, _) = office.says(world, "card sign --path m/0 00")?;
        same("no PIN survives removal", code == Some(0), false)?;
        let card = office.card.clone();
        office.reader.insert(world, &card, &[])?;
        slowest = slowest.max(office.becomes(world, "recognised")?);
        office.unlock(world)?;
        office.becomes(world, "unlocked")?;
    }
    println!("from the card's insertion to its open channel: {} ms at most", slowest.as_millis());
    if slowest > Duration::from_secs(2) {
        return Err(format!("the channel is open only after {slowest:?}").into());
    }
    // The service starts anew, and so does the reader.
    office.reader.stop_service();
    office.becomes(world, "absent")?;
    office.reader.remove();
    office.reader.start_service(world)?;
    let card = office.card.clone();
    office.reader.insert(world, &card, &[])?;
    office.becomes(world, "recognised")?;
    office.unlock(world)?;
    // A reader that hangs is given up, and used again when it has a card that answers.
    office.reader.freeze();
    let (code, _) = office.says(world, "card challenge --length 8")?;
    same("a frozen reader is an error", code, Some(56))?;
    office.becomes(world, "lost")?;
    office.reader.insert(world, &card, &[])?;
    office.becomes(world, "recognised")?;
    office.unlock(world).map(drop)
}

/// Until the session ends nobody else can say anything to the card, and when it has ended, in whatever way, the card was
/// reset: no applet is selected, no channel is open, no PIN is validated.
fn second_client(world: &World) -> Outcome {
    let mut office = Office::open(world)?;
    for end in ["lock", "lend", "use", "kill"] {
        office
            .done(world, if end == "use" { "unlock --each-use --pin-fd 3 3<pin" } else { "unlock --pin-fd 3 3<pin" })?;
        office.becomes(world, "unlocked")?;
        office.probe.call("open", json!({"reader": VirtualReader::NAME}))?;
        for apdu in [SELECT, OPEN] {
            refused(transmit(&mut office.probe, apdu), "another program holds the reader")?;
            office.probe.call("reset", json!({}))?;
        }
        match end {
            "lock" => drop(office.done(world, "lock")?),
            "lend" => drop(office.done(world, "keymgr lend --minutes 1")?),
            // Wallet paths are refused, which is no use; the account's public key of the chat path is one.
            "use" => drop(office.done(world, USE)?),
            _ => office.kill_manager(),
        }
        hears(&mut office.probe, "free")?;
        let status = transmit(&mut office.probe, GET_STATUS)?["answer"].clone();
        if status == "6985" || status == "9000" {
            return Err(format!("after {end} the applet is still selected").into());
        }
        office.probe.call("reset", json!({}))?;
        hears(&mut office.probe, "free")?;
        if end == "lend" {
            office.done(world, "keymgr take-back")?;
        }
    }
    Ok(())
}

fn lent(world: &World) -> Outcome {
    let mut office = Office::open(world)?;
    office.unlock(world)?;
    let lent = office.done(world, "keymgr lend --minutes 5")?;
    same("for how long", &lent["seconds"], &json!(300))?;
    hears(&mut office.probe, "free")?;
    office.probe.call("open", json!({"reader": VirtualReader::NAME}))?;
    let card = office.probe.call("select", json!({}))?["card"].clone();
    same("the card that was lent", &card, &lent["card"])?;
    let (code, why) = office.says(world, "unlock --pin-fd 3 3<pin")?;
    same("a request while it is lent", (code, &why["error"]), (Some(35), &json!("lent")))?;
    let (code, _) = office.says(world, "keymgr take-back")?;
    same("the other program still has it", code, Some(55))?;
    office.probe.call("reset", json!({}))?;
    hears(&mut office.probe, "free")?;
    let back = office.done(world, "keymgr take-back")?;
    same("nothing changed", &back["changes"], &json!([]))?;
    office.unlock(world)?;
    // For as long as a command runs, whose exit code is handed on.
    let (code, _) = office.says(world, "keymgr lend -- sh -c 'exit 7'")?;
    same("the command's exit code", code, Some(7))?;
    office.becomes(world, "present")?;
    office.unlock(world).map(drop)
}

fn second_manager(world: &World) -> Outcome {
    let office = Office::open(world)?;
    office.unlock(world)?;
    let _second = manager(world, &office.reader, office.folder.path(), "eve")?;
    let (code, why) = office.says(world, "card info --profile eve --reader 'pcsc:Virtual PCD 00 00'")?;
    same("the reader is held", code, Some(55))?;
    let message = why["message"].as_str().unwrap_or_default();
    let holder = office.manager.as_ref().map(|manager| format!("(process {})", manager.pid()));
    same("by whom", holder.is_some_and(|holder| message.contains(&holder)), true)
}

fn transmit(probe: &mut Program, apdu: &str) -> Result<Value, PeerError> {
    probe.call("transmit", json!({"apdu": apdu}))
}

/// The initial policy allows it.
const USE: &str = "card key export-public \"m/43'/60'/1581'/0'/0\" --purpose 'chat identity'";
const SELECT: &str = "00a4040009a00000080400010101";
/// Of a secure channel, with an ephemeral key that is none: whoever could send it would be told so by the card.
const OPEN: &str = "8010000000";
const GET_STATUS: &str = "80f2000000";
