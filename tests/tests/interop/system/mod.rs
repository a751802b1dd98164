//! The key manager as a service of the system: a Debian that boots for each scenario, and has the units, rules and folders of
//! `packaging/` under its own systemd, polkitd and pcscd.

mod computer;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use computer::{Computer, block, field};
use scenarios::peer::{Outcome, Scenario, Tool, World};
use serde_json::json;

use crate::geth::same;

const WITH: &[Tool] = &[Tool::System, Tool::Cardinal, Tool::Keymgr, Tool::Softcard];

const fn scenario(name: &'static str, run: fn(&World) -> Outcome) -> Scenario {
    Scenario { group: "system", name, peers: WITH, shows: &[], within: Duration::from_secs(120), run }
}

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("what_the_page_installs_is_shut_in_and_knows_who_asks", shut_in),
    scenario("attack_nobody_but_the_manager_reaches_the_readers", readers_are_the_managers),
    scenario("heads_leave_by_a_unit_that_has_the_network", heads_leave),
    scenario("the_service_comes_back_after_a_crash_and_a_stop_and_its_log_is_whole", comes_back),
    scenario("systemctl_reload_puts_a_policy_in_force_or_says_why_not", reload),
    scenario("a_program_of_another_user_is_known_only_with_the_right_to_look", programs),
];

fn shut_in(world: &World) -> Outcome {
    let computer = Computer::as_the_page_says(world)?;
    let locks_memory = computer.locks_memory()?;
    if !locks_memory {
        let refused = computer.root("systemctl start cardinal-keymgr")?;
        same("a manager that cannot lock its memory starts", refused.code == Some(0), false)?;
        let journal = computer.root("journalctl --no-pager --unit cardinal-keymgr")?.out;
        same("and says why not", journal.contains("--require-hardening: not in force: locked-memory"), true)?;
        computer.root("systemctl stop cardinal-keymgr")?;
        computer.relax()?;
        println!("this kernel bounds locked memory, so the service was tried without it");
    }
    let status = computer.status()?;
    for measure in status["hardening"].as_array().ok_or("no hardening")? {
        let wanted = locks_memory || measure["measure"] != "locked-memory";
        same(&measure.to_string(), &measure["in_force"], &json!(wanted))?;
    }
    for (who, code) in [("ada", 0), ("bob", 20), ("eve", 41)] {
        same(who, computer.user(who, "cardinal keymgr status")?.code, Some(code))?;
    }
    let process = computer.file(&format!("/proc/{}", computer.manager()?));
    let status = fs::read_to_string(process.join("status"))?;
    for (name, value) in
        [("CapEff:", ZERO), ("CapPrm:", ZERO), ("CapBnd:", ZERO), ("NoNewPrivs:", "1"), ("Seccomp:", "2")]
    {
        same(name, field(&status, name), Some(value))?;
    }
    let user = computer.root("id -u cardinal")?.out;
    same("its user", field(&status, "Uid:").and_then(|uids| uids.split('\t').next()), Some(user.trim()))?;
    let limits = fs::read_to_string(process.join("limits"))?;
    let core = field(&limits, "Max core file size").unwrap_or_default();
    same("core files", core.split_whitespace().collect::<Vec<_>>(), vec!["0", "0", "bytes"])?;
    same("who may look into it", process.join("fd").metadata()?.uid(), 0)?;
    let net = fs::read_to_string(process.join("net/dev"))?;
    let interfaces: Vec<&str> =
        net.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    same("its network", interfaces, vec!["lo"])?;
    for (unit, most) in [("cardinal-keymgr", 10), ("cardinal-audit-push", 15)] {
        let exposure = computer.root(&format!("systemd-analyze security --no-pager --threshold {most} {unit}"))?;
        let figure = exposure.out.lines().rfind(|line| line.contains("exposure level")).unwrap_or_default();
        println!("{}", figure.trim_start_matches(|letter: char| !letter.is_ascii()).trim());
        same(unit, exposure.code, Some(0))?;
    }
    let figures = computer.file("/run/cardinal-metrics/cardinal.prom");
    same("who reads the figures", figures.metadata()?.permissions().mode() & 0o777, 0o640)?;
    same("what waits", fs::read_to_string(&figures)?.contains("\ncardinal_keymgr_spool_heads 0\n"), true)?;
    let failed = computer.root("systemctl list-units --failed --no-legend 'cardinal*' 'pcscd*' 'polkit*'")?.out;
    same("units that failed", failed.as_str(), "")
}

/// Without either of the two locks the other one holds.
fn readers_are_the_managers(world: &World) -> Outcome {
    let mut computer = Computer::installed(world)?;
    computer.insert_card(world)?;
    let direct = "env -u CARDINAL_KEYMGR_SOCKET cardinal readers";
    for who in ["ada", "bob", "eve"] {
        // The socket's mode: to a client that is as if nobody listened. Why it is so says the doctor.
        same(who, computer.user(who, direct)?.code, Some(51))?;
        let why = computer.user(who, "env -u CARDINAL_KEYMGR_SOCKET cardinal doctor")?;
        same("what the doctor finds", why.code, Some(52))?;
    }
    let seen = computer.root("cardinal readers")?;
    same("root sees the card", seen.out.contains("Keycard"), true)?;
    // polkit alone.
    let unlocked = "rm /etc/systemd/system/pcscd.socket.d/cardinal.conf && systemctl daemon-reload \
                    && systemctl restart pcscd.socket && stat -c %a /run/pcscd/pcscd.comm";
    same("the socket of pcscd", computer.root(unlocked)?.out.as_str(), "666\n")?;
    computer.serve_card(world)?;
    for (who, uid) in [("ada", 1000), ("eve", 1002)] {
        // pcscd hangs up, and what a client makes of that depends on how far it was.
        let code = computer.user(who, direct)?.code;
        same(who, [Some(51), Some(52)].contains(&code), true)?;
        let said = computer.root("journalctl --no-pager --unit pcscd")?.out;
        same(
            "what polkit said",
            said.contains(&format!("(user: {uid}) is NOT authorized for action: access_pcsc")),
            true,
        )?;
    }
    computer.done(&computer.user("ada", "cardinal card info")?)
}

fn heads_leave(world: &World) -> Outcome {
    let computer = Computer::with_card(world)?;
    fs::write(computer.file("/run/systemd/system/collector.socket"), COLLECTOR)?;
    fs::write(computer.file("/run/systemd/system/collector@.service"), COLLECT)?;
    computer.done(&computer.root("systemctl daemon-reload && systemctl start collector.socket")?)?;
    computer.until("heads wait", || Ok(computer.status()?["health"]["spool_heads"].as_u64() > Some(0)))?;
    fs::write(computer.file("/etc/cardinal/push.toml"), "to = [\"syslog:tcp:127.0.0.1:6514\"]\n")?;
    computer.done(&computer.user("ada", &block("To send heads off the computer")?)?)?;
    // The path unit sees the next head.
    computer.done(&computer.user("ada", "cardinal lock")?)?;
    computer.unlock()?;
    computer.until("all heads were sent", || Ok(computer.status()?["health"]["spool_heads"] == json!(0)))?;
    let spool = fs::read_to_string(computer.file("/var/lib/cardinal/spool/heads.jsonl"))?;
    computer.until("all heads arrived", || {
        let arrived = fs::read_to_string(computer.file("/srv/heads")).unwrap_or_default();
        Ok(spool.lines().all(|line| arrived.contains(line)))
    })?;
    same("heads", spool.lines().count() > 2, true)?;
    // Whoever sends them sees neither the log nor the socket of the manager, nor a reader.
    let sandbox = "for place in /var/lib/cardinal/export.log /run/cardinal/keymgr.sock /run/pcscd/pcscd.comm; do \
                   test ! -e $place || exit 1; done; test -r /var/lib/cardinal/spool/heads.jsonl";
    fs::write(computer.file("/usr/local/bin/look"), format!("#!/bin/sh\n{sandbox}\n"))?;
    fs::create_dir_all(computer.file("/run/systemd/system/cardinal-audit-push.service.d"))?;
    let look = "[Service]\nExecStart=\nExecStart=/bin/sh /usr/local/bin/look\n";
    fs::write(computer.file("/run/systemd/system/cardinal-audit-push.service.d/look.conf"), look)?;
    computer.done(&computer.root("systemctl daemon-reload && systemctl start cardinal-audit-push")?)
}

fn comes_back(world: &World) -> Outcome {
    let computer = Computer::with_card(world)?;
    let first = computer.manager()?;
    computer.done(&computer.root("systemctl kill --kill-whom main --signal KILL cardinal-keymgr")?)?;
    let status = computer.status()?;
    same("another process", computer.manager()? == first, false)?;
    same("no PIN outlives it", &status["unlocked"], &json!(false))?;
    computer.unlock()?;
    computer.done(&computer.root("systemctl restart cardinal-keymgr")?)?;
    same("a restart locks the card", &computer.status()?["unlocked"], &json!(false))?;
    computer.done(&computer.root("systemctl stop cardinal-keymgr")?)?;
    same(
        "after a stop",
        computer.root("systemctl is-active cardinal-keymgr cardinal-keymgr.socket")?.out.as_str(),
        "inactive\nactive\n",
    )?;
    // Whoever connects starts it again.
    computer.status()?;
    computer.unlock()?;
    let verify =
        "cardinal audit verify /var/lib/cardinal/export.log --ca test --anchor /var/lib/cardinal/spool/heads.jsonl";
    let verdict = computer.root(verify)?;
    // Its newest head is an anchor, after which the card said nothing more than the log does.
    same(&verdict.out, [Some(0), Some(60)].contains(&verdict.code), true)
}

fn reload(world: &World) -> Outcome {
    let computer = Computer::with_card(world)?;
    let policy = computer.file("/var/lib/cardinal/policy.toml");
    let bob =
        || Ok::<_, Box<dyn std::error::Error + Send + Sync>>(computer.user("bob", "cardinal keymgr status")?.code);
    let owners = fs::read_to_string(&policy)?;
    same("before", bob()?, Some(20))?;
    fs::write(&policy, format!("{owners}{CLIENT}{KEY}"))?;
    computer.done(&computer.root("systemctl reload cardinal-keymgr")?)?;
    same("with a block for him", bob()?, Some(0))?;
    fs::write(&policy, "owners = [1000]\nnonsense = 1\n")?;
    same("a file that is no policy", computer.root("systemctl reload cardinal-keymgr")?.code == Some(0), false)?;
    same("changes nothing", bob()?, Some(0))?;
    let why = computer.root("journalctl --no-pager --unit cardinal-keymgr")?.out;
    same("and is told", why.contains("nonsense"), true)?;
    fs::write(&policy, owners)?;
    computer.done(&computer.root("systemctl kill --kill-whom main --signal HUP cardinal-keymgr")?)?;
    computer.until("he is nobody again", || Ok(bob()? == Some(20)))?;
    let log = fs::read_to_string(computer.file("/var/lib/cardinal/export.log"))?;
    same("changes in the log", log.matches("\"policy_changed\"").count(), 2)
}

fn programs(world: &World) -> Outcome {
    let computer = Computer::with_card(world)?;
    let policy = computer.file("/var/lib/cardinal/policy.toml");
    let owners = fs::read_to_string(&policy)?;
    fs::write(&policy, format!("{owners}{CLIENT}binary = \"/usr/local/bin/cardinal\"\n{KEY}"))?;
    let warned = computer.root("cardinal policy check /var/lib/cardinal/policy.toml")?;
    same("what a check says", warned.out.contains("CAP_SYS_PTRACE"), true)?;
    computer.done(&computer.root("systemctl reload cardinal-keymgr")?)?;
    let sign = format!("cardinal keys sign --path \"m/43'/60'/1581'/2'/0'\" {ZERO}{ZERO}{ZERO}{ZERO}");
    let refused = computer.user("bob", &sign)?;
    same("without it", (refused.code, refused.err.contains("CAP_SYS_PTRACE")), (Some(20), true))?;
    let example = "/etc/systemd/system/cardinal-keymgr.service.d/callers.conf";
    let unit = format!(
        "cp /home/ada/cardinal/packaging/systemd/cardinal-keymgr.service.d/callers.conf.example {example} && \
                        systemctl daemon-reload && systemctl restart cardinal-keymgr"
    );
    computer.done(&computer.root(&unit)?)?;
    computer.unlock()?;
    computer.done(&computer.user("bob", &sign)?)?;
    let log = fs::read_to_string(computer.file("/var/lib/cardinal/export.log"))?;
    same("his program in the log", log.contains("\"binary\":\"/usr/local/bin/cardinal\",\"binary_hash\":\""), true)?;
    // The right is the witness's.
    let status = fs::read_to_string(computer.file(&format!("/proc/{}/status", computer.manager()?)))?;
    same("what the manager may", field(&status, "CapEff:"), Some(ZERO))?;
    let other = "cp /usr/local/bin/cardinal other && ./other".to_owned() + &sign["cardinal".len()..];
    same("another program of his", computer.user("bob", &other)?.code, Some(20))
}

/// No right at all, and 16 zeros of a hash.
const ZERO: &str = "0000000000000000";
const CLIENT: &str = "\n[[client]]\nname = \"bob\"\nuid = 1001\n";
const KEY: &str = "\n[[key]]\nname = \"vault\"\npath = \"m/43'/60'/1581'/2'\"\noperations = [\"sign\"]\nclients = [\"bob\"]\n\
                   purposes = [\"command line\"]\n";
const COLLECTOR: &str = "[Socket]\nListenStream=127.0.0.1:6514\nAccept=yes\n";
const COLLECT: &str = "[Service]\nExecStart=/bin/cat\nStandardInput=socket\nStandardOutput=append:/srv/heads\n";
