//! How lines reach each kind of place. Every wait has an end, and lines that were not taken are sent again.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use proto::rpc::Fault;
use proto::shell::file::sync_folder_of;

use super::target::{Http, Syslog, Target};
use crate::clock::Moment;
use crate::error::CliError;

/// Sends these lines, each of which ends in a newline, and returns once the place has them.
///
/// # Errors
/// [`Fault::Unreachable`] when nobody takes them there; [`Fault::StateMissing`] for a folder that is not there;
/// [`Fault::DiskFull`].
pub(super) fn send(target: &Target, lines: &[u8]) -> Result<(), CliError> {
    let sent = match target {
        Target::File(dir) => append(dir, lines),
        Target::Syslog(syslog) => each_to(syslog, lines),
        Target::Http(http) => post(http, lines),
        Target::Https(url) => curl(url, lines),
        Target::Git(dir) => commit(dir, lines),
    };
    sent.map_err(|error| error.about(&target.to_string()))
}

/// The name of the file that keeps what was received.
pub(crate) const RECEIVED: &str = "cardinal.heads";

fn append(dir: &Path, lines: &[u8]) -> Result<(), CliError> {
    if !dir.is_dir() {
        let message = "there is no such folder; mount it, or make it, and they are sent then";
        return Err(CliError::found(Fault::StateMissing, message));
    }
    let path = dir.join(RECEIVED);
    let is_new = !path.exists();
    let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(CliError::file(&path))?;
    file.write_all(lines).and_then(|()| file.sync_data()).map_err(CliError::file(&path))?;
    if is_new {
        sync_folder_of(&path).map_err(CliError::file(&path))?;
    }
    Ok(())
}

fn each_to(syslog: &Syslog, lines: &[u8]) -> Result<(), CliError> {
    let each = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(message);
    match syslog {
        Syslog::Unix(path) => {
            let socket = UnixDatagram::unbound().map_err(unreachable)?;
            socket.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
            socket.connect(path).map_err(unreachable)?;
            each.into_iter().try_for_each(|message| socket.send(&message).map(drop)).map_err(unreachable)
        }
        Syslog::Udp(address) => {
            let to = resolve(address)?;
            let here = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(here).map_err(unreachable)?;
            socket.connect(to).map_err(unreachable)?;
            each.into_iter().try_for_each(|message| socket.send(&message).map(drop)).map_err(unreachable)
        }
        Syslog::Tcp(address) => {
            let mut stream = connect(address)?;
            for message in each {
                write!(stream, "{} ", message.len()).and_then(|()| stream.write_all(&message)).map_err(unreachable)?;
            }
            stream.flush().map_err(unreachable)
        }
    }
}

/// RFC 5424: facility 10 (security), severity 5 (notice).
fn message(line: &[u8]) -> Vec<u8> {
    let now = Moment::from_millis(proto::shell::clock::unix().get());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let mut message =
        format!("<85>1 {}T{}Z {host} cardinal {} head - ", now.date(), now.time(), std::process::id()).into_bytes();
    message.extend_from_slice(line);
    message
}

fn post(http: &Http, lines: &[u8]) -> Result<(), CliError> {
    let mut stream = connect(&http.authority)?;
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

fn curl(url: &str, lines: &[u8]) -> Result<(), CliError> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--proto", "=https", "--max-time", "30"]);
    command.args([
        "--header",
        "Content-Type: text/plain; charset=utf-8",
        "--data-binary",
        "@-",
        "--output",
        "/dev/null",
    ]);
    command.args(["--url", url]);
    run(command, Some(lines), "curl").map(drop)
}

fn commit(dir: &Path, lines: &[u8]) -> Result<(), CliError> {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(args);
        // Nobody is there to ask, and no hook or signature of the user's is meant.
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10");
        command
    };
    if !dir.is_dir() {
        let message = "there is no such folder; make it with `git init`, or clone it";
        return Err(CliError::found(Fault::StateMissing, message));
    }
    run(git(&["rev-parse", "--is-inside-work-tree"]), None, "git")?;
    append(dir, lines)?;
    run(git(&["add", "--", RECEIVED]), None, "git")?;
    let said = if run(git(&["diff", "--cached", "--quiet", "--", RECEIVED]), None, "git").is_err() {
        let mut command = git(&["-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify"]);
        command.args(["--message", "Heads of an export log", "--", RECEIVED]);
        command.env("GIT_AUTHOR_NAME", "cardinal").env("GIT_AUTHOR_EMAIL", "cardinal@localhost");
        command.env("GIT_COMMITTER_NAME", "cardinal").env("GIT_COMMITTER_EMAIL", "cardinal@localhost");
        run(command, None, "git").map(drop)
    } else {
        Ok(())
    };
    said?;
    if run(git(&["remote"]), None, "git")?.is_empty() {
        return Ok(());
    }
    run(git(&["push", "--quiet"]), None, "git").map(drop)
}

/// Runs a program to its end, and returns what it printed.
fn run(mut command: Command, input: Option<&[u8]>, name: &str) -> Result<Vec<u8>, CliError> {
    let absent = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            CliError::found(Fault::Unreachable, format!("the program {name} is not there; install it"))
        } else {
            unreachable(error)
        }
    };
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(absent)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that ends early says why; that it did not read is not the reason.
        drop(stdin.write_all(input));
    }
    let done = child.wait_with_output().map_err(unreachable)?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(not_taken(format!("{name} failed: {}", last.trim())))
}

fn connect(address: &str) -> Result<TcpStream, CliError> {
    let stream = TcpStream::connect_timeout(&resolve(address)?, PATIENCE).map_err(unreachable)?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .map_err(unreachable)?;
    Ok(stream)
}

fn resolve(address: &str) -> Result<std::net::SocketAddr, CliError> {
    let found = address.to_socket_addrs().map_err(unreachable)?.next();
    found.ok_or_else(|| not_taken("the name has no address"))
}

fn unreachable(error: std::io::Error) -> CliError {
    not_taken(error.to_string())
}

fn not_taken(why: impl Into<String>) -> CliError {
    CliError::found(Fault::Unreachable, format!("{}; what was not sent stays in the spool", why.into()))
}

/// How long a place may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);
/// No status line is longer.
const MAX_STATUS: u64 = 8192;
