//! The policy through the real programs: a file that is looked at, what it lets a running manager do, and the owner's word.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "what fails here fails the test")]
#![allow(dead_code, reason = "each test file uses its part of what they share")]

mod owner;
mod programs;
mod terminal;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use proto::rpc::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use owner::{Owner, text};

const VAULT: &str = "m/43'/60'/1581'/2'";
const KEY: &str = "m/43'/60'/1581'/2'/0'";
const HASH: &str = "0707070707070707070707070707070707070707070707070707070707070707";
/// The generator of secp256k1, so that the agreed secret is of a public key that the card shows.
const POINT: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

/// An owner whose card is hers, with a key that the words make, and unlocked.
fn at_work() -> Owner {
    let owner = Owner::of("4.0");
    owner.init();
    owner.done("key load --words-fd 4 --pin-fd 3 3<pin 4<words");
    owner.does("unlock --pin-fd 3 3<pin");
    owner
}

fn reloaded(owner: &Owner) {
    assert_eq!(owner.does("policy reload")["changed"], true);
}

#[test]
fn a_policy_file_is_looked_at_without_a_card() {
    let mut owner = Owner::of("4.0");
    owner.stop();
    let file = owner.path("policy.toml");
    let other = rustix::process::geteuid().as_raw() + 1;
    let text = format!(
        "owners = [7]\n[[client]]\nname = \"notes\"\nuid = {other}\nbinary = \"/usr/bin/notes\"\n\
         [[key]]\nname = \"vault\"\npath = \"{VAULT}\"\noperations = [\"sign\"]\nclients = [\"notes\"]\n\
         purposes = [\"notes database\"]\nrate = \"2/hour\"\n"
    );
    std::fs::write(&file, &text).unwrap();
    let checked = owner.does("policy check policy.toml");
    assert_eq!((&checked["owners"][0], &checked["allows"][0]["client"]), (&7.into(), &"notes".into()));
    let warned = checked["warnings"].to_string();
    assert!(warned.contains("CAP_SYS_PTRACE") && warned.contains(&format!("uid {other}")), "{warned}");

    let asked = |uid: u32, rest: &str| {
        let purpose = "--purpose 'notes database' --operation sign";
        format!("policy test --policy policy.toml --uid {uid} {purpose} --path \"{KEY}\" {rest}")
    };
    let allowed = owner.does(&asked(other, "--binary /usr/bin/notes"));
    assert_eq!((&allowed["allowed"], &allowed["key"]), (&true.into(), &"vault".into()));
    for (uid, rest) in [(other, "--binary /usr/bin/other"), (other + 1, "--binary /usr/bin/notes")] {
        let output = owner.cardinal(&asked(uid, rest));
        assert_eq!(output.status.code(), Some(i32::from(Fault::Refused.exit_code())), "{uid} {rest}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["allowed"], false, "{said}");
        assert!(!said["reason"].as_str().unwrap().is_empty(), "{said}");
    }

    for (bad, line) in [("owners = 7\n", "1"), ("[[key]]\nnam = \"x\"\n", "2"), ("nonsense = 1\n", "1")] {
        std::fs::write(&file, bad).unwrap();
        let why = owner.refused("policy check policy.toml", Fault::BadInput);
        assert!(why.contains("policy.toml") && why.contains(&format!("line {line}")), "{why}");
    }
    let why = owner.refused("policy check none.toml", Fault::BadInput);
    assert!(why.contains("none.toml"), "{why}");
}

#[test]
fn keys_do_for_other_programs_what_a_block_lists_and_nothing_else() {
    let owner = at_work();
    let uses = [
        ("sign", format!("keys sign --path \"{KEY}\" {HASH}")),
        ("ecdh", format!("keys ecdh --path \"{KEY}\" {POINT} --write-fd 7 7>secret")),
        ("derive", format!("keys derive --path \"{KEY}\" 'team vault' --write-fd 7 7>secret")),
    ];
    for (operation, words) in &uses {
        let why = owner.refused(words, Fault::Refused);
        assert!(why.contains(&format!("operations = [\"{operation}\"]")), "{why}");
    }
    for (operation, _) in &uses {
        owner.allow(VAULT, &format!("operations = [\"{operation}\"]"));
        reloaded(&owner);
        for (other, words) in &uses {
            if other == operation {
                owner.does(words);
            } else {
                owner.refused(words, Fault::Refused);
            }
        }
    }
    // The same name gives the same secret, another name another.
    let derived = |name: &str| {
        owner.does(&format!("keys derive --path \"{KEY}\" '{name}' --write-fd 7 7>secret"));
        std::fs::read(owner.path("secret")).unwrap()
    };
    let (first, again, other) = (derived("a"), derived("a"), derived("b"));
    assert!(first == again && first != other && !first.is_empty());
    owner.does("lock");
    owner.refused(&format!("keys derive --path \"{KEY}\" a --write-fd 7 7>secret"), Fault::Locked);
}

#[test]
fn a_hangup_reads_the_policy_again_and_a_file_that_is_none_changes_nothing() {
    let owner = at_work();
    let sign = format!("keys sign --path \"{KEY}\" {HASH}");
    owner.refused(&sign, Fault::Refused);
    let hang_up = || kill_process(Pid::from_child(owner.manager()), Signal::HUP).unwrap();
    owner.allow(VAULT, "operations = [\"sign\"]");
    hang_up();
    until(|| owner.cardinal(&sign).status.success());
    let in_force = owner.does("policy show")["sha256"].clone();

    std::fs::write(owner.policy(), "nonsense = 1\n").unwrap();
    hang_up();
    owner.refused("policy reload", Fault::BadInput);
    assert_eq!(owner.does("policy show")["sha256"], in_force);
    owner.does(&sign);
    let log = std::fs::read_to_string(owner.keymgr().join("export.log")).unwrap();
    assert!(log.contains("\"policy_changed\"") && log.contains(in_force.as_str().unwrap()), "{log}");
}

/// The dialogue of the owner's agent: who asks for what is shown, and only a clear yes is one.
#[test]
fn the_owner_approves_or_denies_at_a_terminal() {
    let mut owner = at_work();
    let sign = format!("keys sign --path \"{KEY}\" {HASH}");
    owner.allow(VAULT, "operations = [\"sign\"]\napproval = \"prompt\"");
    reloaded(&owner);
    let nobody = owner.refused(&sign, Fault::Refused);
    assert!(nobody.contains("agent"), "{nobody}");

    let mut agent = owner.at_a_terminal("agent");
    agent.sees("Waiting for what clients ask");
    for typed in ["y", "yes"] {
        let client = Client::of(&owner, &sign);
        let shown = agent.sees("Approve? [y/N] ");
        assert!(shown.contains(KEY) && shown.contains("command line") && shown.contains("cardinal"), "{shown}");
        agent.types(typed);
        client.ends(None);
    }

    // With the PIN of the card, which is not shown.
    owner.allow(VAULT, "operations = [\"sign\"]\napproval = \"pin\"");
    reloaded(&owner);
    let client = Client::of(&owner, &sign);
    agent.sees("needs the PIN");
    agent.sees("Approve? [y/N] ");
    agent.types("y");
    agent.sees("PIN of ");
    agent.types("493817");
    client.ends(None);

    // Whatever is no yes is a no, and whoever got one does not ask again at once.
    let client = Client::of(&owner, &sign);
    agent.sees("Approve? [y/N] ");
    agent.types("what?");
    client.ends(Some(Fault::Refused));
    let soon = owner.refused(&sign, Fault::Refused);
    assert!(soon.contains("ask again in"), "{soon}");
    owner.stop();
    let (code, screen) = agent.ends();
    assert_eq!(code, Some(i32::from(Fault::NotRunning.exit_code())), "{screen}");
    assert!(!screen.contains("493817") && screen.matches("Denied.").count() == 1, "{screen}");
}

/// A client that waits for the owner's word.
struct Client(Child);

impl Client {
    fn of(owner: &Owner, words: &str) -> Self {
        let mut command = owner.command(Path::new("sh"));
        command.args(["-c", &format!("exec \"$CARDINAL\" --json {words}")]).process_group(0);
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn ends(self, fault: Option<Fault>) {
        let Output { status, stderr, .. } = self.0.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(fault.map_or(0, |fault| i32::from(fault.exit_code()))), "{}", text(&stderr));
    }
}

/// Repeats a look until it is so.
fn until(look: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < deadline, "it does not come about");
    }
}
