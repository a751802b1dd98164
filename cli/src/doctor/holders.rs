//! Who has a connection to pcscd: the kernel tells the other end of each of its connections (sock_diag(7)), and /proc which
//! process has it, where this user may see that.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::io;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::facts::ClientFact;

/// Returns the programs that are connected to the socket that was bound under one of these paths, this one not.
pub(crate) fn clients(paths: &[&str]) -> Vec<ClientFact> {
    let ends = other_ends(paths).unwrap_or_default();
    if ends.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.filter_map(Result::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() || !has_one_of(&process.path(), &ends) {
            continue;
        }
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        found.push(ClientFact { pid, name: name.trim().to_owned() });
    }
    found.sort_by_key(|client| client.pid);
    found
}

/// Whether a process has an open descriptor of one of these sockets.
fn has_one_of(process: &Path, sockets: &BTreeSet<u32>) -> bool {
    // Of another user's process nothing is shown.
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.filter_map(Result::ok).filter_map(|descriptor| fs::read_link(descriptor.path()).ok()).any(|link| {
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode: u32| sockets.contains(&inode))
    })
}

/// Asks the kernel for all Unix sockets with their names and other ends, and returns those of which the other end has one
/// of these names: that of an accepted connection is the name that the listener was bound to.
fn other_ends(paths: &[&str]) -> io::Result<BTreeSet<u32>> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    sendto(&socket, &request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut ends = BTreeSet::new();
    let mut room = vec![0; ROOM];
    for _ in 0..MOST_ANSWERS {
        let (read, _) = recv(&socket, &mut *room, RecvFlags::empty())?;
        let mut rest = room.get(..read).unwrap_or_default();
        while let Some((kind, body, after)) = message(rest) {
            rest = after;
            match kind {
                SOCK_DIAG_BY_FAMILY => ends.extend(end_of(body, paths)),
                NLMSG_DONE | NLMSG_ERROR => return Ok(ends),
                _ => {}
            }
        }
    }
    Ok(ends)
}

/// `nlmsghdr` (16 bytes) and `unix_diag_req` (24 bytes): a dump of every Unix socket in every state.
fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    bytes.extend_from_slice(&40_u32.to_ne_bytes());
    bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]); // sequence, port
    bytes.extend_from_slice(&[AF_UNIX, 0, 0, 0]);
    bytes.extend_from_slice(&u32::MAX.to_ne_bytes()); // states
    bytes.extend_from_slice(&0_u32.to_ne_bytes()); // inode
    bytes.extend_from_slice(&SHOW_NAME_AND_PEER.to_ne_bytes());
    bytes.extend_from_slice(&[0xff; 8]); // no cookie
    bytes
}

/// Splits one message off: its type, its body, and what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (length, kind) = (number32(bytes, 0)?, number16(bytes, 4)?);
    let length = usize::try_from(length).ok().filter(|length| *length >= 16)?;
    Some((kind, bytes.get(16..length)?, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Returns the other end that a `unix_diag_msg` (16 bytes, then attributes) tells, if the socket has one of these names.
fn end_of(body: &[u8], paths: &[&str]) -> Option<u32> {
    let (mut named, mut end) = (false, None);
    let mut rest = body.get(16..)?;
    while let (Some(length), Some(kind)) = (number16(rest, 0), number16(rest, 2)) {
        let length = usize::from(length).max(4);
        let value = rest.get(4..length)?;
        match kind {
            UNIX_DIAG_NAME => {
                named = paths.iter().any(|path| value.strip_suffix(&[0]).unwrap_or(value) == path.as_bytes())
            }
            UNIX_DIAG_PEER => end = number32(value, 0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    end.filter(|_| named)
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_ne_bytes(*two))
}

/// linux/sock_diag.h, linux/unix_diag.h, linux/netlink.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST_DUMP: u16 = 0x301;
const AF_UNIX: u8 = 1;
const SHOW_NAME_AND_PEER: u32 = 0x5;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
/// The kernel sends no more at a time.
const ROOM: usize = 64 * 1024;
const MOST_ANSWERS: usize = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_connection_is_found_by_the_name_of_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let name = path.to_str().unwrap();
        assert_eq!(other_ends(&[name]).unwrap().len(), 0);
        let _client = UnixStream::connect(&path).unwrap();
        let _server = listener.accept().unwrap();
        let ends = other_ends(&[name]).unwrap();
        assert_eq!(ends.len(), 1);
        assert!(has_one_of(Path::new("/proc/self"), &ends), "we are the client");
        assert_eq!(clients(&[name]), [], "and we are not told of ourselves");
        assert_eq!(other_ends(&["/nothing"]).unwrap().len(), 0);
    }

    #[test]
    fn answers_that_are_cut_off_end_the_reading() {
        let whole = request();
        for end in 0..whole.len() {
            assert!(message(&whole[..end]).is_none());
        }
        assert!(message(&[0; 40]).is_none(), "no message is shorter than its header");
        assert_eq!(end_of(&[0; 15], &[]), None);
        assert_eq!(end_of(&[0xff; 40], &["x"]), None);
    }
}
