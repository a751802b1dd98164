//! The key manager of the system: `--keymgr SOCKET`, or `CARDINAL_KEYMGR_SOCKET`, in the place of a profile's own.
//!
//! It is asked only when the user says so: a card that is used by accident is the wrong card. What was said holds for the
//! whole run of the program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proto::rpc::Fault;
use proto::rpc::trust::Whose;

use crate::error::CliError;

/// Whom to ask.
#[derive(Debug)]
struct Asked {
    socket: Option<PathBuf>,
    service: Option<u32>,
}

/// Takes what the command line says, and what it leaves open from the environment.
///
/// # Errors
/// [`Fault::BadInput`] for a relative path, or a user that does not exist.
pub(crate) fn ask(socket: Option<PathBuf>, user: Option<String>) -> Result<(), CliError> {
    let said = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let socket = socket.or_else(|| said("CARDINAL_KEYMGR_SOCKET").map(Into::into));
    if let Some(relative) = socket.as_ref().filter(|path| !path.is_absolute()) {
        let message = format!("{} is no absolute path; say for example --keymgr {SOCKET}", relative.display());
        return Err(CliError::found(Fault::BadInput, message));
    }
    let service = match user.or_else(|| said("CARDINAL_KEYMGR_USER").map(|user| user.to_string_lossy().into_owned())) {
        Some(user) => {
            let unknown = || CliError::found(Fault::BadInput, format!("there is no user {user} in /etc/passwd"));
            Some(uid_of(&user).ok_or_else(unknown)?)
        }
        None => uid_of(USER),
    };
    // The first word counts: there is one command line.
    let _ = ASKED.set(Asked { socket, service });
    Ok(())
}

/// Returns the socket that was asked for.
pub(crate) fn socket() -> Option<&'static Path> {
    ASKED.get()?.socket.as_deref()
}

/// Returns who may serve the socket at `path`.
pub(crate) fn whose(path: &Path) -> Whose {
    Whose::at(path, ASKED.get().and_then(|asked| asked.service))
}

/// Returns where the system's key manager can be asked, when there is one and it was not.
pub(crate) fn hint() -> Option<String> {
    (socket().is_none() && Path::new(SOCKET).exists())
        .then(|| format!("; the system's key manager answers to --keymgr {SOCKET}"))
}

/// Returns the number of a user: it, or a name of `/etc/passwd`.
fn uid_of(user: &str) -> Option<u32> {
    user.parse().ok().or_else(|| uid_in(&std::fs::read_to_string("/etc/passwd").ok()?, user))
}

fn uid_in(passwd: &str, user: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok())?
    })
}

static ASKED: OnceLock<Asked> = OnceLock::new();
/// Where the units put it.
const SOCKET: &str = "/run/cardinal/keymgr.sock";
/// As whom the units run it.
const USER: &str = "cardinal";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_a_name_of_the_password_file() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ncardinal:x:997:997::/:/usr/sbin/nologin\nbroken\nodd:x:y\n";
        assert_eq!(uid_in(passwd, "cardinal"), Some(997));
        assert_eq!(uid_in(passwd, "root"), Some(0));
        for nobody in ["card", "broken", "odd", "", "x"] {
            assert_eq!(uid_in(passwd, nobody), None, "{nobody}");
        }
        assert_eq!(uid_of("1000"), Some(1000));
    }
}
