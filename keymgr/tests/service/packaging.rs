//! The units, the users and the rule for pcscd: what they name exists, and what they close is closed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{PROGRAM, read};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

/// The assignments of a unit, with their sections; comments and blank lines go, and nothing else may be there.
fn unit(name: &str) -> Vec<(String, String, String)> {
    let (mut section, mut all) = (String::new(), Vec::new());
    for line in read(&packaged(&format!("systemd/{name}"))).lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if !line.is_empty() && !line.starts_with('#') {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
            all.push((section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    all
}

fn has(unit: &[(String, String, String)], section: &str, key: &str, value: &str) -> bool {
    unit.iter().any(|(s, k, v)| s == section && k == key && v == value)
}

#[test]
fn the_service_has_no_network_no_rights_and_no_place_to_write_but_its_own() {
    let service = unit("cardinal-keymgr.service");
    for line in [
        "Type=notify",
        "ExecReload=/usr/local/bin/cardinal --keymgr /run/cardinal/keymgr.sock policy reload",
        "User=cardinal",
        "StateDirectory=cardinal",
        "StateDirectoryMode=0700",
        "UMask=0027",
        "LimitCORE=0",
        "LimitMEMLOCK=infinity",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateNetwork=yes",
        "PrivateDevices=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "RestrictNamespaces=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
    ] {
        let (key, value) = line.split_once('=').unwrap();
        assert!(has(&service, "Service", key, value), "{line}");
    }
    assert!(service.iter().any(|(_, key, _)| key == "WatchdogSec"));
    assert!(!service.iter().any(|(_, key, _)| key == "PrivateUsers"), "all clients would be one user");
    assert!(service.iter().any(|(_, key, value)| key == "SystemCallFilter" && value.starts_with("@system-service")));
}

#[test]
fn the_push_is_another_user_that_reads_the_spool_and_nothing_else_of_the_manager() {
    let push = unit("cardinal-audit-push.service");
    for (key, value) in [
        ("User", "cardinal-audit"),
        ("Group", "cardinal-heads"),
        ("TemporaryFileSystem", "/var/lib/cardinal:ro"),
        ("BindReadOnlyPaths", "/var/lib/cardinal/spool/heads.jsonl"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
    ] {
        assert!(has(&push, "Service", key, value), "{key}={value}");
    }
    assert!(!push.iter().any(|(_, key, _)| key == "PrivateNetwork"), "it is the one with the network");
    let path = unit("cardinal-audit-push.path");
    assert!(has(&path, "Path", "PathModified", "/var/lib/cardinal/spool/heads.jsonl"));
    assert!(unit("cardinal-audit-push.timer").iter().any(|(_, key, _)| key == "OnUnitInactiveSec"));
}

#[test]
fn the_socket_is_the_administrators_and_has_the_name_that_is_looked_for() {
    let socket = unit("cardinal-keymgr.socket");
    for (key, value) in [
        ("ListenStream", "/run/cardinal/keymgr.sock"),
        ("SocketUser", "root"),
        ("SocketGroup", "cardinal-clients"),
        ("SocketMode", "0660"),
        ("DirectoryMode", "0755"),
        ("FileDescriptorName", keymgr::activation::NAME),
    ] {
        assert!(has(&socket, "Socket", key, value), "{key}={value}");
    }
}

#[test]
fn the_command_lines_of_the_units_have_only_options_that_exist() {
    let service = unit("cardinal-keymgr.service");
    let (.., line) = service.iter().find(|(_, key, _)| key == "ExecStart").unwrap();
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/cardinal-keymgr"));
    let verb = words.next().unwrap();
    let help = Command::new(PROGRAM).args([verb, "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for option in words.filter(|word| word.starts_with("--")) {
        assert!(help.split_whitespace().any(|word| word == option), "{verb} has no {option}");
    }
}

#[test]
fn every_user_and_group_of_the_units_is_made() {
    let made = read(&packaged("sysusers.d/cardinal.conf"));
    let has = |kind: &str, name: &str| made.lines().any(|line| line.split_whitespace().take(2).eq([kind, name]));
    for name in ["cardinal-keymgr.service", "cardinal-audit-push.service", "cardinal-keymgr.socket"] {
        for (_, key, value) in unit(name) {
            match key.as_str() {
                "User" => assert!(has("u", &value), "{value}"),
                "Group" | "SocketGroup" => assert!(has("g", &value), "{value}"),
                _ => {}
            }
        }
    }
    assert!(made.contains("m cardinal         cardinal-clients"), "the reload of the unit asks at the socket");
    let folders = read(&packaged("tmpfiles.d/cardinal.conf"));
    assert!(folders.contains("d /run/cardinal     0755 root root"), "others must not write where the socket is");
}

#[test]
fn pcscd_is_given_to_the_service_user_alone() {
    // Where pcscd asks nobody who a client is, its socket's owner and mode say it.
    let socket = unit("pcscd.socket.d/cardinal.conf");
    assert!(has(&socket, "Socket", "SocketUser", "cardinal") && has(&socket, "Socket", "SocketMode", "0600"));
    let rule = packaged("polkit/60-cardinal.rules");
    let text = read(&rule);
    for part in ["\"org.debian.pcsc-lite.access_pcsc\"", "\"org.debian.pcsc-lite.access_card\"", "=== \"cardinal\""] {
        assert!(text.contains(part), "{part}");
    }
    // polkit runs it with an engine of its own; any engine gives the same answers.
    let asks = "let rule; const polkit = { addRule: f => rule = f, Result: { YES: 'yes', NO: 'no', NOT_HANDLED: 'next' } }; \
                eval(require('fs').readFileSync(process.argv[1], 'utf8')); \
                const pcsc = 'org.debian.pcsc-lite.access_'; \
                console.log([[pcsc + 'pcsc', 'cardinal'], [pcsc + 'card', 'cardinal'], [pcsc + 'card', 'alice'], \
                [pcsc + 'pcsc', 'cardinal-audit'], ['org.freedesktop.login1.reboot', 'cardinal']] \
                .map(([id, user]) => rule({ id }, { user })).join());";
    match Command::new("node").args(["-e", asks]).arg(&rule).output() {
        Ok(output) => {
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "yes,yes,no,no,next");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "no engine is here to run it"),
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in std::fs::read_dir(packaged("systemd")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            // The programs are where the units say only on a machine that has them installed.
            let text = read(&path)
                .replace("/usr/local/bin/cardinal-keymgr ", "/bin/true ")
                .replace("/usr/local/bin/cardinal ", "/bin/true ");
            let copy = dir.path().join(path.file_name().unwrap());
            std::fs::write(&copy, text).unwrap();
            units.push(copy);
        }
    }
    assert_eq!(units.len(), 5);
    match Command::new("systemd-analyze").arg("verify").args(&units).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let ours = said.lines().filter(|line| line.contains("cardinal")).collect::<Vec<_>>();
            assert!(output.status.success() && ours.is_empty(), "{said}");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "no systemd is here to read them"),
    }
}
