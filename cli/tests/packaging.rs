//! The unit that sends heads away: its command line has only options that exist.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::process::Command;

#[test]
fn the_command_line_of_the_push_unit_has_only_options_that_exist() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd/cardinal-audit-push.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/cardinal ")).unwrap();
    let verbs: Vec<&str> = line.split(' ').take_while(|word| !word.starts_with("--")).collect();
    assert_eq!(verbs, ["audit", "push"]);
    let help = Command::new(env!("CARGO_BIN_EXE_cardinal")).args(&verbs).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options: Vec<&str> = line.split(' ').filter(|word| word.starts_with("--")).collect();
    assert_eq!(options, ["--config", "--spool", "--memory"]);
    for option in options {
        assert!(help.split_whitespace().any(|word| word == option), "no {option}");
    }
}
