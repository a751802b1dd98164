//! How lines reach each kind of place. Every wait has an end, and lines that were not taken are sent again.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proto::rpc::Fault;

use super::deadline::{Deadline, in_time};
use super::kept::{RECEIVED, append};
use super::target::{Http, Syslog, Target};
use crate::clock::Moment;
use crate::error::CliError;

/// Sends these lines, each of which ends in a newline, and returns once the place has them, or the time is over.
///
/// # Errors
/// [`Fault::Unreachable`] when nobody takes them there; [`Fault::StateMissing`] for a folder that is not there;
/// [`Fault::DiskFull`].
pub(super) fn send(target: &Target, lines: &[u8], within: Duration) -> Result<(), CliError> {
    let until = Deadline::within(within);
    let sent = match target {
        Target::File(dir) => append(dir, lines),
        Target::Syslog(syslog) => each_to(syslog, lines, until),
        Target::Http(http) => post(http, lines, until),
        Target::Https(url) => curl(url, lines, until),
        Target::Git(dir) => commit(dir, lines, until),
    };
    sent.map_err(|error| error.about(&target.to_string()))
}

fn each_to(syslog: &Syslog, lines: &[u8], until: Deadline) -> Result<(), CliError> {
    let mut each = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(message);
    match syslog {
        Syslog::Unix(path) => {
            let socket = UnixDatagram::unbound().map_err(unreachable)?;
            socket.connect(path).map_err(unreachable)?;
            let sent = each.try_for_each(|message| {
                socket.set_write_timeout(Some(until.left()?))?;
                in_time(socket.send(&message)).map(drop)
            });
            sent.map_err(unreachable)
        }
        Syslog::Udp(address) => {
            let found = until.resolve(address)?.into_iter().next();
            let to = found.ok_or_else(|| not_taken("the name has no address"))?;
            let here = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(here).map_err(unreachable)?;
            socket.connect(to).map_err(unreachable)?;
            let sent = each.try_for_each(|message| {
                socket.set_write_timeout(Some(until.left()?))?;
                in_time(socket.send(&message)).map(drop)
            });
            sent.and_then(|()| refused_soon(&socket)).map_err(unreachable)
        }
        Syslog::Tcp(address) => {
            let mut stream = until.connect(address)?;
            let sent = each.try_for_each(|message| {
                let framed = [format!("{} ", message.len()).as_bytes(), &message].concat();
                stream.write_all(&framed)
            });
            // Nothing is answered, but who read all of it closes the connection, and only then.
            sent.and_then(|()| stream.end()).map_err(unreachable)
        }
    }
}

/// Fails when the other computer says within a moment that nobody takes datagrams there.
fn refused_soon(socket: &UdpSocket) -> io::Result<()> {
    socket.set_read_timeout(Some(REFUSAL))?;
    match socket.recv(&mut [0; 1]) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(error),
        _ => Ok(()),
    }
}

/// RFC 5424: facility 10 (security), severity 5 (notice).
fn message(line: &[u8]) -> Vec<u8> {
    let now = Moment::from_millis(proto::shell::clock::unix().get());
    // A unit that sees processes alone has no such file.
    let host =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host = host.unwrap_or_default();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let mut message =
        format!("<85>1 {}T{}Z {host} cardinal {} head - ", now.date(), now.time(), std::process::id()).into_bytes();
    message.extend_from_slice(line);
    message
}

fn post(http: &Http, lines: &[u8], until: Deadline) -> Result<(), CliError> {
    let mut stream = until.connect(&http.authority)?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        http.path,
        http.authority,
        lines.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(lines)).map_err(unreachable)?;
    let mut status = Vec::new();
    BufReader::new(stream.take(MAX_STATUS)).read_until(b'\n', &mut status).map_err(unreachable)?;
    let status = String::from_utf8_lossy(&status);
    match status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).map(str::trim) {
        Some(code) if code.len() == 3 && code.starts_with('2') => Ok(()),
        Some(code) => Err(not_taken(format!("the service answered {code}"))),
        None => Err(not_taken("what answers there does not speak HTTP")),
    }
}

fn curl(url: &str, lines: &[u8], until: Deadline) -> Result<(), CliError> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--proto", "=https"]);
    command.args([
        "--header",
        "Content-Type: text/plain; charset=utf-8",
        "--data-binary",
        "@-",
        "--output",
        "/dev/null",
    ]);
    command.args(["--url", url]);
    until.run(command, lines, "curl").map(drop)
}

fn commit(dir: &Path, lines: &[u8], until: Deadline) -> Result<(), CliError> {
    let run = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir);
        for setting in OURS {
            command.args(["-c", setting]);
        }
        command.args(args);
        // The work tree that is named is meant, and nobody is there to ask.
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS", "GIT_EXTERNAL_DIFF"] {
            command.env_remove(variable);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10");
        command.env("GIT_AUTHOR_NAME", "cardinal").env("GIT_AUTHOR_EMAIL", "cardinal@localhost");
        command.env("GIT_COMMITTER_NAME", "cardinal").env("GIT_COMMITTER_EMAIL", "cardinal@localhost");
        until.run(command, b"", "git")
    };
    if !dir.is_dir() {
        let message = "there is no such folder; make it with `git init`, or clone it";
        return Err(CliError::found(Fault::StateMissing, message));
    }
    run(&["rev-parse", "--is-inside-work-tree"])?;
    append(dir, lines)?;
    run(&["add", "--", RECEIVED])?;
    if run(&["diff", "--cached", "--quiet", "--no-ext-diff", "--no-textconv", "--", RECEIVED]).is_err() {
        let message = "Heads of an export log";
        run(&["commit", "--quiet", "--no-verify", "--message", message, "--", RECEIVED])?;
    }
    if run(&["remote"])?.is_empty() {
        return Ok(());
    }
    run(&["push", "--quiet", "--no-verify"]).map(drop)
}

/// No hook, no watcher, no signer, and nothing that stays behind. Filters and ways to the remote that the work tree's own
/// configuration names are what its owner wants.
const OURS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
];

pub(super) fn unreachable(error: io::Error) -> CliError {
    not_taken(error.to_string())
}

pub(super) fn not_taken(why: impl Into<String>) -> CliError {
    CliError::found(Fault::Unreachable, format!("{}; what was not sent stays in the spool", why.into()))
}

/// How long a refusal is waited for of what nobody answers otherwise.
pub(super) const REFUSAL: Duration = Duration::from_millis(100);
/// No status line is longer.
const MAX_STATUS: u64 = 8192;
