//! Places that are there, that are not, and that come back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::folder::Folder;

const HEADS: &str = "first head\nsecond head\n";

struct Box {
    dir: Folder,
}

impl Box {
    fn new() -> Self {
        let here = Self { dir: Folder::make().unwrap() };
        std::fs::write(here.spool(), HEADS).unwrap();
        here
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn send(&self, to: &str) -> Result<usize, CliError> {
        let memory = Memory::in_folder(&self.dir.path().join("memory")).unwrap();
        empty(&self.spool(), &memory, &to.parse().unwrap())
    }

    fn add(&self, line: &str) {
        std::fs::OpenOptions::new().append(true).open(self.spool()).unwrap().write_all(line.as_bytes()).unwrap();
    }
}

fn fault(result: Result<usize, CliError>) -> Option<Fault> {
    result.unwrap_err().fault()
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_folder_gets_each_head_once_and_one_that_is_missing_gets_all_later() {
    let here = Box::new();
    let there = here.dir.path().join("there");
    let to = format!("file:{}", there.display());
    assert_eq!(fault(here.send(&to)), Some(Fault::StateMissing));
    std::fs::create_dir(&there).unwrap();
    assert_eq!(here.send(&to).unwrap(), 2);
    assert_eq!(here.send(&to).unwrap(), 0);
    here.add("third head\n");
    assert_eq!(here.send(&to).unwrap(), 1);
    assert_eq!(std::fs::read_to_string(there.join(kept::RECEIVED)).unwrap(), format!("{HEADS}third head\n"));
    assert_eq!(
        std::fs::read_to_string(here.spool()).unwrap(),
        format!("{HEADS}third head\n"),
        "the spool is only read"
    );
}

#[test]
fn a_log_daemon_gets_a_message_for_each_head() {
    let here = Box::new();
    let path = here.dir.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let is_message = |bytes: &[u8], line: &str| {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.starts_with("<85>1 20") && text.contains(" cardinal "), "{text}");
        assert!(text.ends_with(&format!(" head - {line}")), "{text}");
    };
    assert_eq!(here.send(&format!("syslog:unix:{}", path.display())).unwrap(), 2);
    assert_eq!(here.send(&format!("syslog:udp:{}", udp.local_addr().unwrap())).unwrap(), 2);
    for line in HEADS.lines() {
        let mut room = [0; 2048];
        let n = socket.recv(&mut room).unwrap();
        is_message(&room[..n], line);
        let n = udp.recv(&mut room).unwrap();
        is_message(&room[..n], line);
    }
    drop(socket);
    here.add("third head\n");
    assert_eq!(fault(here.send(&format!("syslog:unix:{}", path.display()))), Some(Fault::Unreachable));

    drop(udp);
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(fault(here.send(&format!("syslog:udp:{nobody}"))), Some(Fault::Unreachable), "which the kernel says");

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("syslog:tcp:{}", tcp.local_addr().unwrap());
    let reads = std::thread::spawn(move || {
        let mut stream = BufReader::new(tcp.accept().unwrap().0);
        for line in ["first head", "second head", "third head"] {
            let mut count = Vec::new();
            stream.read_until(b' ', &mut count).unwrap();
            let count: usize = std::str::from_utf8(&count).unwrap().trim().parse().unwrap();
            let mut message = vec![0; count];
            stream.read_exact(&mut message).unwrap();
            is_message(&message, line);
        }
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end is said");
    });
    assert_eq!(here.send(&to).unwrap(), 3);
    reads.join().unwrap();
}

/// What lies in a buffer of this computer's has arrived nowhere.
#[test]
fn attack_a_log_daemon_that_hangs_up_or_never_reads_has_taken_nothing() {
    let here = Box::new();
    let within = Duration::from_millis(600);
    let hangs_up = |_: TcpStream| ();
    let never_reads = |mut stream: TcpStream| {
        // Until the other side gives up: a byte that it did not want is answered by a reset.
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let daemons: [fn(TcpStream); 2] = [hangs_up, never_reads];
    for answers in daemons {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let to: Target = format!("syslog:tcp:{}", tcp.local_addr().unwrap()).parse().unwrap();
        let serves = std::thread::spawn(move || answers(tcp.accept().unwrap().0));
        let error = send::send(&to, HEADS.as_bytes(), within).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Unreachable), "{error}");
        serves.join().unwrap();
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("syslog:tcp:{}", tcp.local_addr().unwrap());
    let serves = std::thread::spawn(move || {
        drop(tcp.accept().unwrap());
        drop(tcp.accept().unwrap().0.read_to_end(&mut Vec::new()));
    });
    assert_eq!(fault(here.send(&to)), Some(Fault::Unreachable));
    assert_eq!(here.send(&to).unwrap(), 2, "it is sent again");
    serves.join().unwrap();
}

/// Its end crosses what is sent in one of some thousand times.
#[test]
fn attack_a_log_daemon_that_hangs_up_while_it_is_sent_to_has_taken_nothing() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let to: Target = format!("syslog:tcp:{}", tcp.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || tcp.incoming().for_each(drop));
    for _ in 0..5000 {
        let error = send::send(&to, HEADS.as_bytes(), Duration::from_secs(30)).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Unreachable), "{error}");
    }
}

/// Answers one request, and returns its body.
fn serve(listener: TcpListener, answer: &'static str) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        String::from_utf8(body).unwrap()
    })
}

#[test]
fn a_service_that_refuses_gets_the_same_heads_again() {
    let here = Box::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("http://{}/heads", listener.local_addr().unwrap());
    for (answer, result) in [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Err(Some(Fault::Unreachable))),
        ("SSH-2.0-x\r\n", Err(Some(Fault::Unreachable))),
        ("HTTP/1.1 204 No Content\r\n\r\n", Ok(2)),
    ] {
        let served = serve(listener.try_clone().unwrap(), answer);
        assert_eq!(here.send(&to).map_err(|error| error.fault()), result, "{answer}");
        assert_eq!(served.join().unwrap(), HEADS);
    }
    drop(listener);
    here.add("third head\n");
    assert_eq!(fault(here.send(&to)), Some(Fault::Unreachable), "nobody is there");
}

#[test]
fn a_work_tree_gets_commits_and_pushes_them_to_its_remote() {
    let here = Box::new();
    let (far, tree) = (here.dir.path().join("far.git"), here.dir.path().join("tree"));
    for dir in [&far, &tree] {
        std::fs::create_dir(dir).unwrap();
    }
    let to = format!("git:{}", tree.display());
    assert_eq!(fault(here.send(&to)), Some(Fault::Unreachable), "not a work tree");
    git(&far, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    git(&tree, &["init", "--quiet", "--initial-branch=main"]);
    assert_eq!(here.send(&to).unwrap(), 2);
    git(&tree, &["remote", "add", "origin", far.to_str().unwrap()]);
    git(&tree, &["config", "push.autoSetupRemote", "true"]);
    here.add("third head\n");
    assert_eq!(here.send(&to).unwrap(), 1);
    assert_eq!(git(&far, &["show", "main:cardinal.heads"]), format!("{HEADS}third head\n"));
    assert_eq!(git(&tree, &["rev-list", "--count", "HEAD"]).trim(), "2");
    std::fs::remove_dir_all(&far).unwrap();
    here.add("fourth head\n");
    assert_eq!(fault(here.send(&to)), Some(Fault::Unreachable), "the remote is gone");
}

/// What is done in the work tree is not done by programs of the work tree.
#[test]
fn attack_no_hook_of_a_work_tree_runs() {
    use std::os::unix::fs::PermissionsExt as _;
    let here = Box::new();
    let (far, tree) = (here.dir.path().join("far.git"), here.dir.path().join("tree"));
    let ran = here.dir.path().join("ran");
    std::fs::create_dir(&far).unwrap();
    git(&far, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    git(here.dir.path(), &["clone", "--quiet", far.to_str().unwrap(), "tree"]);
    git(&tree, &["checkout", "--quiet", "-b", "main"]);
    git(&tree, &["config", "push.autoSetupRemote", "true"]);
    let script = format!("#!/bin/sh\necho \"$0\" >> '{}'\n", ran.display());
    let monitor = tree.join("monitor");
    let hooks = tree.join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    let names = [
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "pre-push",
        "reference-transaction",
        "post-index-change",
    ];
    for path in names.iter().map(|name| hooks.join(name)).chain([monitor.clone()]) {
        std::fs::write(&path, &script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    git(&tree, &["config", "core.fsmonitor", monitor.to_str().unwrap()]);
    git(&tree, &["config", "core.hooksPath", hooks.to_str().unwrap()]);
    drop(std::fs::remove_file(&ran));
    assert_eq!(here.send(&format!("git:{}", tree.display())).unwrap(), 2);
    assert_eq!(git(&far, &["show", "main:cardinal.heads"]), HEADS);
    assert!(!ran.exists(), "{}", std::fs::read_to_string(&ran).unwrap());
    // The hooks themselves work.
    git(&tree, &["commit", "--quiet", "--allow-empty", "--message", "mine"]);
    assert!(ran.exists());
}

/// A push that failed after the commit is made up for by the next one, which appends nothing twice.
#[test]
fn what_was_committed_and_not_pushed_is_pushed_later_and_stands_there_once() {
    let here = Box::new();
    let (far, tree) = (here.dir.path().join("far.git"), here.dir.path().join("tree"));
    for dir in [&far, &tree] {
        std::fs::create_dir(dir).unwrap();
    }
    let to = format!("git:{}", tree.display());
    git(&tree, &["init", "--quiet", "--initial-branch=main"]);
    git(&tree, &["remote", "add", "origin", far.to_str().unwrap()]);
    git(&tree, &["config", "push.autoSetupRemote", "true"]);
    for _ in 0..2 {
        assert_eq!(fault(here.send(&to)), Some(Fault::Unreachable), "nothing is there yet");
    }
    here.add("third head\n");
    assert_eq!(fault(here.send(&to)), Some(Fault::Unreachable));
    git(&far, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    assert_eq!(here.send(&to).unwrap(), 3);
    assert_eq!(git(&far, &["show", "main:cardinal.heads"]), format!("{HEADS}third head\n"));
}

#[test]
fn a_folder_that_has_the_lines_already_or_half_of_one_gets_the_rest() {
    for (there, then) in [
        ("first head\n", "first head\nsecond head\n"),
        (HEADS, HEADS),
        ("old head\nfirst head\n", "old head\nfirst head\nsecond head\n"),
        ("the first head\n", "the first head\nfirst head\nsecond head\n"),
        ("first head\nsecond h", "first head\nsecond head\n"),
        ("old head\nfir", "old head\nfirst head\nsecond head\n"),
        ("old he", "old he\nfirst head\nsecond head\n"),
        ("the first head\nsecond h", "the first head\nsecond h\nfirst head\nsecond head\n"),
        ("second head\n", "second head\nfirst head\nsecond head\n"),
    ] {
        let here = Box::new();
        let path = here.dir.path().join(kept::RECEIVED);
        std::fs::write(&path, there).unwrap();
        assert_eq!(here.send(&format!("file:{}", here.dir.path().display())).unwrap(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), then, "{there:?}");
    }
}

#[test]
fn attack_a_place_that_is_the_spool_itself_or_leads_elsewhere_is_refused() {
    let here = Box::new();
    let dir = here.dir.path();
    let kept = dir.join(kept::RECEIVED);
    let to = format!("file:{}", dir.display());
    std::fs::hard_link(here.spool(), &kept).unwrap();
    assert_eq!(fault(here.send(&to)), Some(Fault::BadInput), "it would never end");
    std::fs::remove_file(&kept).unwrap();
    let elsewhere = dir.join("elsewhere");
    std::fs::write(&elsewhere, "mine\n").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &kept).unwrap();
    assert_eq!(fault(here.send(&to)), Some(Fault::BadInput));
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine\n");
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(here.send(&to).unwrap(), 2);
}

/// A service that answers a byte now and then is not waited for longer than one that answers nothing.
#[test]
fn attack_a_service_that_drips_or_never_reads_is_given_up_at_the_deadline() {
    let within = Duration::from_millis(600);
    let drip = |mut stream: TcpStream| {
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let mute = |mut stream: TcpStream| drop(stream.read_to_end(&mut Vec::new()));
    for answers in [std::boxed::Box::new(drip) as std::boxed::Box<dyn Fn(_) + Send>, std::boxed::Box::new(mute)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to: Target = format!("http://{}/heads", listener.local_addr().unwrap()).parse().unwrap();
        let serves = std::thread::spawn(move || answers(listener.accept().unwrap().0));
        let begun = Instant::now();
        let error = send::send(&to, HEADS.as_bytes(), within).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Unreachable), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        serves.join().unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to: Target = format!("syslog:tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    let error = send::send(&to, &b"head\n".repeat(4_000_000), within).unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Unreachable), "it was accepted by nobody");
}

#[test]
fn the_program_that_speaks_tls_says_why_it_failed() {
    // Nobody serves port 9 here; without the program the cause is the same.
    assert_eq!(fault(Box::new().send("https://127.0.0.1:9/heads")), Some(Fault::Unreachable));
}

#[test]
fn a_place_that_fails_is_tried_ever_more_seldom_and_keeps_no_other_waiting() {
    let here = Box::new();
    let (good, bad) = (here.dir.path().join("good"), here.dir.path().join("bad"));
    std::fs::create_dir(&good).unwrap();
    let place = |dir: &Path| Place {
        target: format!("file:{}", dir.display()).parse().unwrap(),
        failures: 0,
        not_before: None,
    };
    let memory = Memory::in_folder(&here.dir.path().join("memory")).unwrap();
    let mut job = Job { spool: here.spool(), memory, places: vec![place(&bad), place(&good)] };
    let result = job.pass(Output::new(false), false);
    assert_eq!(result.unwrap_err().fault(), Some(Fault::StateMissing));
    assert!(good.join(kept::RECEIVED).exists());
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pauses.push(job.places[0].pause());
        job.places[0].fail();
    }
    assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE), "{pauses:?}");
    std::fs::create_dir(&bad).unwrap();
    job.pass(Output::new(false), false).unwrap();
    assert!(!bad.join(kept::RECEIVED).exists(), "its time has not come");
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused() {
    let here = Box::new();
    let path = here.dir.path().join("push.toml");
    std::fs::write(&path, "to = [\"syslog\"]\nspool = \"/x\"\n").unwrap();
    assert_eq!(Config::read(&path).unwrap().to, ["syslog"]);
    for bad in ["too = []", "to = \"syslog\"", "\u{0}", "to = ["] {
        std::fs::write(&path, bad).unwrap();
        assert_eq!(Config::read(&path).unwrap_err().fault(), Some(Fault::BadInput), "{bad:?}");
    }
}
