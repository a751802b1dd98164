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
    is(&with("--anchor", dir.path()), Fault::BadInput, "is a folder");
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

/// The owner shows one export, and that the log still has all that an older head had: who checks has the proof and no log.
#[test]
fn a_line_and_an_older_head_are_proven_and_checked_without_the_log() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let log = drill.file("honest", "export.log");
    let prove = |options: &[&str]| run(&[&["audit", "prove", log.to_str().unwrap()], options].concat());
    let check = |file: &str, options: &[&str]| run(&[&["audit", "prove", "--check", file], options].concat());
    let is = |output: &Output, fault: Fault, says: &str| {
        let said = text(&output.stderr);
        assert_eq!(code(output), fault.exit_code(), "{said}");
        assert!(said.contains(says), "{said}");
    };
    let lines = text(&std::fs::read(&log).unwrap());
    let export = 1 + lines.lines().position(|line| line.contains("export_private")).unwrap();
    let (request, outcome) = (export.to_string(), (export + 1).to_string());
    let output = prove(&["--line", &request, "--line", &outcome]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(output.stdout.len() < lines.len() / 4, "the proof is short");
    let proof = put("proof", &output.stdout);

    let output = check(&proof, &["--ca", "test"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(
        said.contains("asks the card for the private key of") && said.contains("that head was signed by"),
        "{said}"
    );
    is(&check(&proof, &[]), Fault::LogUnsignedCard, "nobody who is taken vouches for its head");
    let output = run(&["--json", "audit", "prove", "--check", &proof, "--ca", "test"]);
    let said: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), 2);
    assert_eq!((&said[0]["vouched_for"], &said[0]["line"]["seq"]), (&true.into(), &export.into()));

    // The heads that were sent away are anchors, the older one and the newest.
    let heads = text(&std::fs::read(drill.file("honest", "heads")).unwrap());
    let older = put("older", heads.lines().next().unwrap().as_bytes());
    let newest = put("newest", heads.lines().last().unwrap().as_bytes());
    let output = prove(&["--since", &older, "--head", &newest]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let since = put("since", &output.stdout);
    let output = check(&since, &["--anchor", &newest]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("was kept elsewhere"), "{}", text(&output.stdout));
    // What was kept of the beginning says nothing of the end.
    is(&check(&since, &["--anchor", &older]), Fault::LogUnsignedCard, "nothing is proven of what came after");
    assert_eq!(code(&check(&since, &["--anchor", &older, "--ca", "test"])), 0);

    let edited = text(&std::fs::read(&proof).unwrap()).replace("chat identity", "chat identitx");
    is(&check(&put("edited", edited.as_bytes()), &["--ca", "test"]), Fault::LogAltered, "no line of a log");
    is(&check(&put("words", b"hello\n"), &[]), Fault::BadInput, "line 1 is no proof");
    is(&check(&put("nothing", b"\n"), &[]), Fault::BadInput, "no proof in it");
    is(&prove(&[]), Fault::BadInput, "--line N, or --since FILE");
    is(&prove(&["--line", "100000"]), Fault::BadInput, "comes after the head");
    let other = drill.file("decoy", "heads");
    is(&prove(&["--since", other.to_str().unwrap()]), Fault::BadInput, "no head of the log");
    let swapped = drill.file("swapped-lines", "export.log");
    is(&run(&["audit", "prove", swapped.to_str().unwrap(), "--line", "1"]), Fault::LogAltered, "not whole");
}

/// Without the newer head's own signature or anchor, a proof from an older head is anybody's: one node above it is enough.
#[test]
fn attack_a_proof_from_a_head_that_was_kept_to_one_that_was_made_up_is_vouched_for_by_nobody() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let heads = text(&std::fs::read(drill.file("honest", "heads")).unwrap());
    let known: Value = serde_json::from_str(heads.lines().next().unwrap()).unwrap();
    let known: audit::Head = known["head"].as_str().unwrap().parse().unwrap();
    assert!(known.entries.is_power_of_two(), "a whole subtree is its own beginning: {known}");
    let nothing = audit::Root::from([0; 32]);
    let made_up = audit::proof::TreeHead {
        entries: 2 * known.entries,
        root: audit::Root::node(&known.root, &nothing),
        ..known.into()
    };
    let forged = serde_json::json!({
        "format": "cardinal-proof/1",
        "head": made_up,
        "of": { "head": audit::proof::TreeHead::from(known) },
        "path": [nothing],
        "signed": null,
    });
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("forged"), forged.to_string()).unwrap();
    std::fs::write(at("older"), known.to_string()).unwrap();
    let check = |heads: &str| run(&["audit", "prove", "--check", &at("forged"), "--ca", "test", "--anchor", heads]);
    let output = check(&at("older"));
    let (said, why) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), Fault::LogUnsignedCard.exit_code(), "{said}{why}");
    assert!(said.starts_with("so the proof says, and nobody vouches for it: "), "{said}");
    assert!(why.contains("nobody who is taken vouches for its head, the newer one"), "{why}");
    // Who kept one of that size sees that it is another.
    let other = audit::Head { entries: made_up.entries, ..known };
    std::fs::write(at("both"), format!("{known}\n{other}\n")).unwrap();
    assert_eq!(code(&check(&at("both"))), Fault::LogRolledBack.exit_code());
}

#[test]
fn heads_that_were_kept_are_held_against_a_proof_and_those_that_say_nothing_are_told() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let log = drill.file("honest", "export.log");
    let proof = run(&["audit", "prove", log.to_str().unwrap(), "--line", "1"]);
    let heads = text(&std::fs::read(drill.file("honest", "heads")).unwrap());
    let all: Vec<audit::Head> = heads
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["head"].as_str().unwrap().parse().unwrap())
        .collect();
    let (older, newest) = (all[0], all[all.len() - 1]);
    let line = put("line", &text(&proof.stdout));
    let since = run(&["audit", "prove", log.to_str().unwrap(), "--since", &put("older", &older.to_string())]);
    let since = put("since", &text(&since.stdout));
    let forked = |head: audit::Head| audit::Head { root: audit::Root::from([0xab; 32]), ..head };
    let check = |proof: &str, heads: &str| {
        let output = run(&["audit", "prove", "--check", proof, "--ca", "test", "--anchor", &put("heads", heads)]);
        (code(&output), text(&output.stdout), text(&output.stderr))
    };
    let (one, other) = (newest.to_string(), forked(newest).to_string());
    for (proof, heads) in [
        (&line, other.clone()),
        (&line, format!("{one} {other}")),
        (&since, other.clone()),
        (&since, forked(older).to_string()),
        (&since, format!("{one}\n{}", forked(older))),
    ] {
        let (code, said, why) = check(proof, &heads);
        assert_eq!(code, Fault::LogRolledBack.exit_code(), "{heads}: {said}{why}");
        assert!(said.contains("another head with") && why.contains("has another root"), "{said}{why}");
    }
    let worst = put("worst", &[&text(&proof.stdout), "no proof\n"].concat());
    assert_eq!(
        check(&worst, &other).0,
        Fault::LogRolledBack.exit_code(),
        "what was found is not hidden by the next line"
    );
    let stranger = audit::Head { log: [9; 16].into(), ..newest }.to_string();
    let size = audit::Head { entries: newest.entries - 1, ..newest }.to_string();
    for (heads, says) in [
        (one, "was kept elsewhere"),
        (stranger, "no head of the log"),
        (size, "of the 1 head(s) of this log that were kept elsewhere, none has"),
    ] {
        let (code, said, why) = check(&line, &heads);
        assert_eq!(code, 0, "{why}");
        assert!(said.contains(says), "{said}");
    }
}

/// As `verify` does, and with its exit codes.
#[test]
fn a_log_that_lost_its_end_or_was_written_anew_proves_nothing() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let heads = text(&std::fs::read(drill.file("cut-tail", "heads")).unwrap());
    let newest: Value = serde_json::from_str(heads.lines().last().unwrap()).unwrap();
    let newest: audit::Head = newest["head"].as_str().unwrap().parse().unwrap();
    let lines = std::fs::read_to_string(drill.file("cut-tail", "export.log")).unwrap();
    let last = lines.lines().count();
    let lost = format!("the log lost lines {}-{}", last + 1, newest.entries);
    std::fs::write(at("export.log"), &lines).unwrap();
    std::fs::write(at("newest"), newest.to_string()).unwrap();
    let prove = |options: &[&str]| run(&[&["audit", "prove", &at("export.log")], options].concat());
    let is = |output: &Output, fault: Fault, says: &str| {
        let why = text(&output.stderr);
        assert_eq!((code(output), output.stdout.as_slice()), (fault.exit_code(), &b""[..]), "{why}");
        assert!(why.contains(says), "{why}");
    };
    for option in ["--since", "--head", "--anchor"] {
        is(&prove(&["--line", "1", option, &at("newest")]), Fault::LogTruncated, &lost);
    }
    assert_eq!(code(&prove(&["--line", "1"])), 0, "alone it looks whole");
    std::fs::write(at("export.log.head"), newest.to_string()).unwrap();
    is(&prove(&["--line", "1"]), Fault::LogTruncated, &lost);
    // Set back with what stands beside it.
    let anchor = text(&run(&["audit", "anchor", drill.file("cut-tail", "export.log").to_str().unwrap()]).stdout);
    std::fs::write(at("export.log.head"), anchor).unwrap();
    is(&prove(&["--line", "1", "--since", &at("newest")]), Fault::LogRolledBack, &lost);
    let first: Value = serde_json::from_str(heads.lines().next().unwrap()).unwrap();
    std::fs::write(at("export.log.head"), first["head"].as_str().unwrap()).unwrap();
    is(&prove(&["--line", "1", "--since", &at("newest")]), Fault::LogTruncated, &lost);
    let forked = audit::Head { entries: 4, ..newest };
    std::fs::write(at("forked"), forked.to_string()).unwrap();
    is(&prove(&["--line", "1", "--anchor", &at("forked")]), Fault::LogRolledBack, "other lines than the head with 4");
    let other = drill.file("decoy", "heads");
    is(&prove(&["--line", "1", "--anchor", other.to_str().unwrap()]), Fault::LogRolledBack, "and this is another");
}

/// However a receiver joined them: two heads in one line are two.
#[test]
fn all_heads_of_one_line_are_anchors() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heads");
    let heads = text(&std::fs::read(drill.file("cut-tail", "heads")).unwrap());
    let newest = heads.lines().last().unwrap();
    // One of the long lines has its head where a reader of 16 KiB cuts it.
    for joined in [heads.replace('\n', " "), format!("{}{newest}", "x ".repeat(8100))] {
        std::fs::write(&path, joined).unwrap();
        let output = drill.verify("cut-tail", &["--ca", "test", "--anchor", path.to_str().unwrap()]);
        assert_eq!(code(&output), Fault::LogTruncated.exit_code(), "{}", text(&output.stderr));
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_named_and_never_waited_for() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let (log, pipe) = (drill.file("honest", "export.log"), pipe.to_str().unwrap());
    let log = log.to_str().unwrap();
    for args in [
        ["verify", log, "--anchor", pipe].as_slice(),
        &["verify", log, "--ca", pipe],
        &["closure", log, "--history", pipe],
        &["prove", "--check", pipe],
        &["prove", log, "--since", pipe],
        &["verify", pipe],
        &["report", log, "--html", pipe],
    ] {
        let output = Command::new("timeout").arg("30").arg(cardinal()).arg("audit").args(args).output().unwrap();
        assert_eq!(code(&output), Fault::BadInput.exit_code(), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("is no file"), "{args:?}: {}", text(&output.stderr));
    }
    // What this process was given is read, whatever it is.
    let mut check = Command::new(cardinal());
    check.args(["audit", "prove", "--check", "/dev/stdin", "--ca", "test"]);
    let mut check = check.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let proof = run(&["audit", "prove", log, "--line", "1"]).stdout;
    check.stdin.take().unwrap().write_all(&proof).unwrap();
    assert_eq!(check.wait().unwrap().code(), Some(0));
}

#[test]
fn more_proofs_than_anybody_counts_are_checked_one_by_one() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proofs");
    let log = drill.file("honest", "export.log");
    let proof = run(&["audit", "prove", log.to_str().unwrap(), "--line", "1"]).stdout;
    let proofs = proof.repeat((5 << 20) / proof.len());
    let check = |proofs: &[u8]| {
        std::fs::write(&path, proofs).unwrap();
        run(&["--json", "audit", "prove", "--check", path.to_str().unwrap(), "--ca", "test"])
    };
    let output = check(&proofs);
    let count = proofs.len() / proof.len();
    assert_eq!((code(&output), text(&output.stdout).lines().count()), (0, count), "{}", text(&output.stderr));
    let output = check(&[&proof[..], &vec![b'['; 5 << 20]].concat());
    assert_eq!(code(&output), Fault::BadInput.exit_code());
    assert!(text(&output.stderr).contains("line 2 is no proof: longer than one may be"), "{}", text(&output.stderr));
}

/// By whatever name: a file of its own, or none.
#[test]
fn a_report_never_takes_the_place_of_what_it_is_made_of() {
    let drill = Drill::shared();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let log = drill.file("honest-rotated", "export.log");
    for entry in std::fs::read_dir(log.parent().unwrap()).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let heads = text(&std::fs::read(at("heads")).unwrap());
    std::fs::write(at("keys"), format!("{}\n", "02".repeat(33))).unwrap();
    std::fs::write(at("before"), "# nothing\n").unwrap();
    std::fs::write(at("page.new"), "mine").unwrap();
    std::os::unix::fs::symlink("export.log", at("soft")).unwrap();
    std::fs::hard_link(at("export.log"), at("hard")).unwrap();
    let names = || std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let contents = || {
        let mut names = names();
        names.sort();
        names.into_iter().map(|name| (std::fs::read(dir.path().join(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    let before = contents();
    let report = |options: &[&str]| {
        let (log, heads, history) = (at("export.log"), at("heads"), at("before"));
        let made_of = ["audit", "report", &log, "--ca", "test", "--anchor", &heads, "--history", &history];
        run(&[&made_of, options].concat())
    };
    let older = names().into_iter().map(|name| name.into_string().unwrap());
    let older = older.filter(|name| name.starts_with("export.log.") && name.contains('-')).collect::<Vec<_>>();
    assert!(!older.is_empty());
    let made_of = ["export.log", "export.log.head", "soft", "hard", "heads", "before"].map(str::to_owned);
    for name in made_of.iter().chain(&older) {
        for option in ["--html", "--csv"] {
            let output = report(&[option, &at(name)]);
            assert_eq!(code(&output), Fault::BadInput.exit_code(), "{name}: {}", text(&output.stderr));
            assert!(text(&output.stderr).contains("and would take its place"), "{name}: {}", text(&output.stderr));
        }
    }
    let output = run(&["audit", "report", &at("export.log"), "--ca", &at("keys"), "--html", &at("keys")]);
    assert_eq!(code(&output), Fault::BadInput.exit_code(), "{}", text(&output.stderr));
    assert_eq!(code(&report(&["--html", &at("page"), "--csv", &at("page")])), Fault::BadInput.exit_code());
    assert_eq!(contents(), before);
    let output = report(&["--html", &at("page"), "--csv", &at("table")]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert_eq!(names().len(), before.len() + 2, "{:?}", names());
    assert_eq!(std::fs::read(at("page.new")).unwrap(), b"mine");
    assert_eq!(text(&std::fs::read(at("heads")).unwrap()), heads);
}

/// A log in several files is proven from the file with the line on.
#[test]
fn a_proof_of_a_rotated_log_takes_no_file_before_that_of_its_line() {
    let drill = Drill::shared();
    let log = drill.file("honest-rotated", "export.log");
    let alone = tempfile::tempdir().unwrap();
    let newest = alone.path().join("export.log");
    std::fs::copy(&log, &newest).unwrap();
    let prove = |log: &Path, line: u64| run(&["audit", "prove", log.to_str().unwrap(), "--line", &line.to_string()]);
    let bytes = std::fs::read_to_string(&log).unwrap();
    let first: Value = serde_json::from_str(bytes.lines().next().unwrap()).unwrap();
    let first = first["seq"].as_u64().unwrap();
    assert!(first > 1);
    assert_eq!(prove(&log, first).stdout, prove(&newest, first).stdout);
    assert_eq!(code(&prove(&log, 1)), 0);
    let output = prove(&newest, 1);
    assert_eq!(code(&output), Fault::StateMissing.exit_code());
    assert!(text(&output.stderr).contains("line 1 is needed, and is in an older file"), "{}", text(&output.stderr));
}

/// The log is somebody else's, and so is its name: neither steers the terminal, whatever verb reads it.
#[test]
fn attack_no_verb_writes_control_characters_of_a_log_or_its_name() {
    use audit::{Caller, Event, Line, LineHash, Refusal, Text};
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\n</td><script>alert(1)</script>";
    let caller =
        Caller { uid: 1, pid: None, binary: Some(Text::lossy(hostile)), binary_hash: None, one_time_key: None };
    let refusal = Refusal {
        card: None,
        key_uid: None,
        asked: audit::Asked::Unlock,
        purpose: Some("chat identity".parse().unwrap()),
        caller,
        reason: Text::lossy(hostile),
        policy: [0; 32],
    };
    let version = Text::lossy(hostile);
    let opened = audit::LogOpened { version, binary: None, policy: [0; 32], test_authority: true };
    let events = [Event::created([7; 16].into()), Event::LogOpened(opened), Event::Refusal(refusal)];
    let (mut prev, mut log) = (LineHash::ZERO, Vec::new());
    for (seq, event) in (1..).zip(events) {
        let bytes = Line { seq, unix_ms: seq * 1000, mono_ms: seq * 1000, prev, event }.encode().unwrap();
        prev = LineHash::of(&bytes);
        log.extend(bytes);
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (whole, cut) = (at("\u{1b}[31mexport\u{202e}.log"), at("\u{1b}[31mcut.log"));
    std::fs::write(&whole, &log).unwrap();
    std::fs::write(&cut, &log[..log.len() - 9]).unwrap();
    let (html, csv, proof) = (at("\u{1b}[31mpage.html"), at("\u{1b}[31mtable.csv"), at("\u{1b}[31mproof"));
    std::fs::write(&proof, run(&["audit", "prove", &whole, "--line", "3"]).stdout).unwrap();
    for log in [&whole, &cut] {
        for args in [
            vec!["audit", "verify", log],
            vec!["audit", "show", log],
            vec!["audit", "show", "--refusals", log],
            vec!["audit", "closure", log],
            vec!["audit", "anchor", log],
            vec!["audit", "report", log, "--html", &html, "--csv", &csv],
            vec!["--json", "audit", "report", log],
            vec!["--json", "audit", "show", log],
            vec!["audit", "prove", log, "--line", "3"],
            vec!["audit", "prove", "--check", &proof],
            vec!["audit", "prove", "--check", log],
            vec!["audit", "push", "--spool", log, "--memory", &at("memory"), "--to", "file:/nowhere"],
        ] {
            let output = run(&args);
            let said = text(&[output.stdout, output.stderr].concat());
            let steers = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}');
            assert!(!said.is_empty() && !said.chars().any(steers), "{args:?}: {said:?}");
        }
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("owned") && !page.contains("<script>"), "{page}");
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
}

/// The closure is told of what can be read, and the exit code says that it is not all.
#[test]
fn the_closure_of_a_log_that_is_not_whole_says_so_with_the_exit_code_of_its_verdict() {
    let drill = Drill::shared();
    for (case, fault) in [("honest", None), ("swapped-lines", Some(Fault::LogAltered))] {
        let log = drill.file(case, "export.log");
        let output = run(&["--json", "audit", "closure", log.to_str().unwrap()]);
        assert_eq!(code(&output), fault.map_or(0, Fault::exit_code), "{case}: {}", text(&output.stderr));
        let closure: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(closure["consistent"], fault.is_none());
        assert!(closure["exported"].as_u64().unwrap() > 1, "{closure}");
    }
}

#[test]
fn a_drill_goes_into_an_empty_folder_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "x").unwrap();
    let output = run(&["audit", "drill", "--keep", dir.path().to_str().unwrap()]);
    assert_eq!(code(&output), Fault::BadInput.exit_code(), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
