//! The export log's verbs through the real programs: a drill of every kind of forgery, an exit code for each verdict, and
//! what is no log at all.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "what fails here fails the test")]

#[allow(dead_code, reason = "each test program uses some of it")]
mod programs;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use proto::rpc::Fault;
use serde_json::Value;

use programs::cardinal;

fn run(args: &[&str]) -> Output {
    Command::new(cardinal()).args(args).stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> u8 {
    u8::try_from(output.status.code().unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The logs of one drill, and what the drill said of each case.
struct Drill {
    dir: tempfile::TempDir,
    cases: BTreeMap<String, Value>,
}

impl Drill {
    /// One drill for all tests: the histories take some seconds.
    fn shared() -> &'static Self {
        static DRILL: OnceLock<Drill> = OnceLock::new();
        DRILL.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let kept = dir.path().join("drill");
            let output = run(&["--json", "audit", "drill", "--keep", kept.to_str().unwrap()]);
            let said = text(&output.stdout);
            let cases = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let cases = cases.map(|case| (case["case"].as_str().unwrap().to_owned(), case)).collect();
            assert_eq!(code(&output), 0, "{said}{}", text(&output.stderr));
            Drill { dir, cases }
        })
    }

    fn file(&self, case: &str, name: &str) -> PathBuf {
        self.dir.path().join("drill").join(case).join(name)
    }

    fn verify(&self, case: &str, options: &[&str]) -> Output {
        let log = self.file(case, "export.log");
        run(&[&["--json", "audit", "verify", log.to_str().unwrap()], options].concat())
    }
}

fn exit_code_of(verdict: &str) -> u8 {
    if verdict == "complete" {
        return 0;
    }
    let name = format!("log-{verdict}");
    Fault::ALL.iter().find(|fault| fault.name() == name).unwrap_or_else(|| panic!("{name}")).exit_code()
}

/// Attack 13: each line of it is a case of the drill, which the verifier names by its own exit code.
#[test]
fn attack_13_every_case_of_the_drill_is_named_and_has_the_exit_code_of_its_verdict() {
    let drill = Drill::shared();
    let mut verdicts: Vec<&str> = Vec::new();
    for (name, case) in &drill.cases {
        let ca = case["ca"].as_str().unwrap();
        let heads = drill.file(name, "heads");
        for (key, options) in
            [("alone", vec!["--ca", ca]), ("anchored", vec!["--ca", ca, "--anchor", heads.to_str().unwrap()])]
        {
            let verdict = case[key].as_str().unwrap();
            assert_eq!(case[key], case[&format!("expected_{key}")], "{name}");
            let output = drill.verify(name, &options);
            assert_eq!(code(&output), exit_code_of(verdict), "{name} {key}: {}", text(&output.stderr));
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (said["verdict"].as_str(), said["exit_code"].as_u64()),
                (Some(verdict), Some(code(&output).into()))
            );
            verdicts.push(verdict);
        }
    }
    verdicts.sort_unstable();
    verdicts.dedup();
    assert_eq!(verdicts.len(), 10, "{verdicts:?}");
}

#[test]
fn an_unsigned_card_of_the_test_authority_names_the_option_that_takes_it() {
    let drill = Drill::shared();
    let log = drill.file("honest", "export.log");
    let output = run(&["audit", "verify", log.to_str().unwrap()]);
    assert_eq!(code(&output), Fault::LogUnsignedCard.exit_code());
    let said = text(&output.stdout);
    assert!(said.contains("unsigned card (test authority)") && said.contains("--ca test"), "{said}");
}

#[test]
fn every_finding_says_what_to_do() {
    let drill = Drill::shared();
    for name in drill.cases.keys() {
        let said: Value = serde_json::from_slice(&drill.verify(name, &["--ca", "test"]).stdout).unwrap();
        for finding in said["findings"].as_array().unwrap() {
            assert!(finding["todo"].as_str().is_some_and(|todo| todo.len() > 10), "{name}: {finding}");
        }
    }
}

#[test]
fn what_is_no_log_no_anchor_and_no_authority_is_named_each_for_itself() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let verify = |path: &Path| run(&["audit", "verify", path.to_str().unwrap()]);
    let is = |output: &Output, fault: Fault, says: &str| {
        let said = text(&output.stderr);
        assert_eq!(code(output), fault.exit_code(), "{said}");
        assert!(said.contains(says), "{said}");
    };
    is(&verify(dir.path()), Fault::BadInput, "is a folder; name the log itself");
    is(&verify(&dir.path().join("none")), Fault::StateMissing, "there is no export log");
    is(&verify(Path::new("/dev/null")), Fault::BadInput, "is no file");
    is(&verify(&put("empty", b"")), Fault::LogTruncated, "every line is missing");
    is(&verify(&put("binary", &[0xff; 9000])), Fault::LogAltered, "line 1");
    is(&verify(&put("text", b"hello\n")), Fault::LogAltered, "line 1");

    let honest = drill.file("honest", "export.log");
    let with =
        |option: &str, path: &Path| run(&["audit", "verify", honest.to_str().unwrap(), option, path.to_str().unwrap()]);
    let heads = drill.file("honest", "heads");
    is(&with("--ca", &dir.path().join("none")), Fault::BadInput, "--ca is production, test, or a file");
    is(&with("--ca", dir.path()), Fault::BadInput, "--ca is production, test, or a file");
    is(&with("--ca", &put("keys", b"02ab\n")), Fault::BadInput, "line 1");
    is(&with("--ca", &put("nokeys", b"# nothing\n")), Fault::BadInput, "names no key");
    is(&with("--ca", &put("noise", &[0xff, 0xfe])), Fault::BadInput, "no text");
    is(&with("--anchor", &dir.path().join("none")), Fault::BadInput, "a file of heads has lines");
    is(&with("--anchor", dir.path()), Fault::BadInput, "is no file");
    is(&with("--anchor", &put("words", b"hello\n")), Fault::BadInput, "no head in it");
    is(&with("--anchor", &drill.file("decoy", "heads")), Fault::LogRolledBack, "this is another");
    let output = with("--anchor", &heads);
    is(&output, Fault::LogUnsignedCard, "unsigned card");
}

/// A line without end of ten gigabytes is not read to its end, nor kept.
#[test]
fn a_line_of_ten_gigabytes_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.log");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    let verify = format!("ulimit -v 2000000; exec '{}' audit verify '{}'", cardinal().display(), path.display());
    let output = Command::new("sh").args(["-c", &verify]).output().unwrap();
    assert_eq!(code(&output), Fault::LogAltered.exit_code(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("line 1: longer than a line may be"), "{}", text(&output.stderr));
}

#[test]
fn a_report_and_a_closure_are_made_of_a_drill_log_and_of_what_was_written_by_hand() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let log = drill.file("honest", "export.log");
    let log = log.to_str().unwrap();
    let (html, csv) = (at("page.html"), at("table.csv"));
    let output = run(&["audit", "report", log, "--ca", "test", "--html", &html, "--csv", &csv]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let page = std::fs::read_to_string(&html).unwrap();
    for says in
        ["What left the card", "end not proven", "m/43&#39;/60&#39;/1581&#39;/0&#39;/0", "chat identity", "refused: "]
    {
        assert!(page.contains(says), "{says}");
    }
    assert!(std::fs::read_to_string(&csv).unwrap().lines().count() > 20);
    assert_eq!(code(&run(&["audit", "report", log])), Fault::BadInput.exit_code());
    assert_eq!(code(&run(&["audit", "report", log, "--html", "/nowhere/page.html"])), Fault::BadInput.exit_code());

    let mut list = std::fs::File::create(at("before")).unwrap();
    writeln!(list, "# the old phone\nm/43'/60'/1581'/0' extended-public 3.1 Status").unwrap();
    let output = run(&["--json", "audit", "closure", log, "--history", &at("before")]);
    let closure: Value = serde_json::from_slice(&output.stdout).unwrap();
    let subtree = closure["computable"].as_array().unwrap().iter().find(|key| {
        key["path"] == "m/43'/60'/1581'/0'" && key["what"] == "private key and all below" && key["follows"] == true
    });
    let from = subtree.unwrap_or_else(|| panic!("{closure}"))["from"].as_array().unwrap();
    assert!(from.iter().any(|source| source["unverified"] == true), "{from:?}");
    writeln!(list, "what is this").unwrap();
    let output = run(&["audit", "closure", log, "--history", &at("before")]);
    assert_eq!(code(&output), Fault::BadInput.exit_code());
    assert!(text(&output.stderr).contains("line 3"), "{}", text(&output.stderr));
}

#[test]
fn entries_are_chosen_by_what_they_tell() {
    let drill = Drill::shared();
    let log = drill.file("honest", "export.log");
    let show = |options: &[&str]| -> Vec<Value> {
        let output = run(&[&["--json", "audit", "show", log.to_str().unwrap()], options].concat());
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = show(&[]);
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), all.len());
    let refusals = show(&["--refusals"]);
    assert!(refusals.len() >= 3 && refusals.iter().all(|line| line["event"]["refusal"].is_object()), "{refusals:?}");
    let exports = show(&["--operation", "export_private", "--outcome", "done", "--path", "m/43'/60'/1581'/0'/0"]);
    assert_eq!(exports.len(), 2 * 3, "an intent and an outcome for each day");
    assert_eq!(show(&["--from", "3", "--to", "5"]).len(), 3);
    assert_eq!(show(&["--uid", "4294967294"]).len(), 0);
    assert_eq!(show(&["--to", "1999-12-31"]).len(), 0);
    assert_eq!(show(&["--purpose", "database"]).len(), 2 * 3);
}

#[test]
fn heads_that_were_sent_away_are_an_anchor() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let (spool, memory) = (dir.path().join("spool"), dir.path().join("memory"));
    std::fs::copy(drill.file("honest", "heads"), &spool).unwrap();
    let to = format!("file:{}", there.display());
    let push = |to: &str| {
        let (spool, memory) = (spool.to_str().unwrap(), memory.to_str().unwrap());
        run(&["audit", "push", "--spool", spool, "--memory", memory, "--to", to])
    };
    let output = push(&to);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let received = there.join("cardinal.heads");
    let output = drill.verify("honest", &["--ca", "test", "--anchor", received.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    for (to, fault) in [
        ("file:/nowhere", Fault::StateMissing),
        ("carrier-pigeon:", Fault::BadInput),
        ("http://127.0.0.1:9/", Fault::Unreachable),
        ("syslog:unix:/nowhere", Fault::Unreachable),
        ("git:/nowhere", Fault::StateMissing),
    ] {
        assert_eq!(code(&push(to)), fault.exit_code(), "{to}");
    }
    let output = run(&["audit", "push", "--spool", "/nowhere", "--to", &to]);
    assert_eq!(code(&output), Fault::StateMissing.exit_code(), "{}", text(&output.stderr));
}

#[test]
fn a_drill_goes_into_an_empty_folder_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "x").unwrap();
    let output = run(&["audit", "drill", "--keep", dir.path().to_str().unwrap()]);
    assert_eq!(code(&output), Fault::BadInput.exit_code(), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
