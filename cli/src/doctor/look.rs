//! Gathers the facts: files, sockets and processes here, readers and cards through the key manager.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use proto::rpc::Fault;
use proto::rpc::api::{ReaderInfo, ReadersRequest, Seat};

use super::facts::{CardFact, ClientFact, Facts, ManagerFact, ReaderFact, ServiceFact, SocketFact, View};
use super::usb::Runner;
use super::{holders, usb};
use crate::client::{self, answer};
use crate::error::CliError;
use crate::network;
use crate::paths::Layout;
use crate::process::{self, KEYMGR};

/// Returns what is there.
///
/// # Errors
/// When the key manager's program is missing or does not answer.
pub(crate) async fn facts() -> Result<Facts, CliError> {
    let socket = std::env::var_os("PCSCLITE_CSOCK_NAME").map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
    let (managers, known) = managers().await?;
    let mut probe = process::command(KEYMGR.find()?.as_os_str(), "probe");
    // Whoever was lent a reader is not disturbed by a look at it.
    for lent in known.iter().filter(|reader| reader.state == "lent") {
        probe.arg("--lent").arg(&lent.name);
    }
    let mut view: View = process::run_once("the key manager", probe).await?;
    for own in known.into_iter().filter(|reader| reader.state == "ours") {
        if let Some(reader) = view.readers.iter_mut().find(|reader| reader.name == own.name && reader.state == "held") {
            *reader = own.into();
        }
    }
    let (service, runner) = (service(&socket), runner());
    Ok(Facts {
        usb: usb::readers(Path::new("/"), runner.as_ref()),
        // A socket that was moved keeps the name that it was bound to.
        clients: holders::clients(&[&service.path, SOCKET]),
        service,
        view,
        user: user(),
        managers,
    })
}

/// Names the programs that have a connection to pcscd in an error that says that one of them holds the reader.
pub(crate) fn naming_holders(error: CliError) -> CliError {
    match error {
        CliError::Service { fault: Some(Fault::ReaderHeld), message } => {
            let socket = std::env::var_os("PCSCLITE_CSOCK_NAME").map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
            let holders = holders::clients(&[&socket.to_string_lossy(), SOCKET]);
            let names: Vec<String> =
                holders.iter().map(|ClientFact { pid, name }| format!("{name} (process {pid})")).collect();
            let known = if names.is_empty() { String::new() } else { format!("; it is one of {}", names.join(", ")) };
            CliError::Service { fault: Some(Fault::ReaderHeld), message: message + &known }
        }
        other => other,
    }
}

/// Asks the key managers that run, and for their readers those that hold or lent one: they know the card in it.
async fn managers() -> Result<(Vec<ManagerFact>, Vec<ReaderInfo>), CliError> {
    let layout = Layout::of_user()?;
    let (mut found, mut known) = (Vec::new(), Vec::new());
    for name in layout.profiles()? {
        let profile = layout.profile(name);
        // Most do not run, and one that does not answer is no cause of what we look for.
        let Ok(mut manager) = client::keymgr(&profile.keymgr_socket).await else { continue };
        let Ok(status) = network::keymgr_status(&mut manager).await else { continue };
        let concerned = |seat: &Seat| matches!(seat.state.as_str(), "unlocked" | "recognised" | "lent");
        if status.seats.iter().any(concerned)
            && let Ok(reply) = answer(manager.readers(ReadersRequest {})).await
        {
            known.extend(reply.readers);
        }
        found.push(ManagerFact { profile: profile.name.to_string(), reader: status.reader, pid: status.pid });
    }
    Ok((found, known))
}

impl From<ReaderInfo> for ReaderFact {
    fn from(info: ReaderInfo) -> Self {
        let card = info.card.map(|card| CardFact {
            card: card.card,
            applet: card.applet,
            key_uid: card.key_uid,
            initialised: card.initialised,
        });
        Self {
            name: info.name,
            state: info.state,
            atr: info.atr,
            card,
            fault: info.fault,
            trouble: info.trouble,
            pin_tries: info.pin_tries,
        }
    }
}

fn service(socket: &Path) -> ServiceFact {
    let state = match UnixStream::connect(socket) {
        Ok(_) => SocketFact::Alive,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => SocketFact::Denied,
        Err(error) if error.kind() == io::ErrorKind::NotFound => SocketFact::Absent,
        Err(_) => SocketFact::Dead,
    };
    let there = |paths: &[&str]| paths.iter().any(|path| Path::new(path).exists());
    ServiceFact {
        installed: there(&PROGRAMS),
        path: socket.display().to_string(),
        socket: state,
        unit: there(&["/run/systemd/system"]) && there(&UNITS),
    }
}

/// Returns who runs pcscd.
fn runner() -> Option<Runner> {
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let pcscd = processes
        .into_iter()
        .find(|process| std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "pcscd"))?;
    let status = std::fs::read_to_string(pcscd.join("status")).ok()?;
    let numbers = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        line.split_whitespace().filter_map(|number| number.parse().ok()).collect::<Vec<u32>>()
    };
    let groups = numbers("Groups:").into_iter().chain(numbers("Gid:")).collect();
    Some(Runner { uid: std::fs::metadata(&pcscd).ok()?.uid(), groups })
}

/// Returns the name of the user, or the number when it has none here.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or(uid)
}

/// Where pcscd listens.
const SOCKET: &str = "/run/pcscd/pcscd.comm";
const PROGRAMS: [&str; 4] = ["/usr/sbin/pcscd", "/usr/bin/pcscd", "/usr/local/sbin/pcscd", "/sbin/pcscd"];
const UNITS: [&str; 3] =
    ["/lib/systemd/system/pcscd.socket", "/usr/lib/systemd/system/pcscd.socket", "/etc/systemd/system/pcscd.socket"];
