//! Where things are: state under the XDG data folder, sockets under the XDG runtime folder, both ours alone (0700).
//!
//! ```text
//! DATA/cardinal/up.lock                         held by a running `cardinal up`, its process id inside
//! DATA/cardinal/relay/                          the relay's node key
//! DATA/cardinal/profiles/NAME/manifest.toml     the card that belongs to the profile
//! DATA/cardinal/profiles/NAME/keymgr/           the key manager's state: cards, export log, pins, policy
//! DATA/cardinal/profiles/NAME/node/             the node's state: node key, store
//! RUNTIME/cardinal/NAME/{keymgr,node}.sock      NAME is a profile or `relay`
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use etcetera::BaseStrategy as _;
use proto::rpc::Fault;
use proto::shell::folder;

use crate::error::CliError;
use crate::system;

/// A Unix socket's path holds at most 107 bytes and a zero (`sockaddr_un`).
const MAX_SOCKET_PATH: usize = 107;
/// The name under which the relay is asked for its status, so no profile may have it.
pub(crate) const RELAY: &str = "relay";

/// A profile's name: 1 to 32 of `a-z 0-9 -`, not `relay`. It is safe as the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProfileName(String);

impl ProfileName {
    /// Returns the name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ProfileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<&str> for ProfileName {
    type Error = CliError;

    fn try_from(text: &str) -> Result<Self, CliError> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && text != RELAY;
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(CliError::found(Fault::BadInput, "a profile's name is 1 to 32 of a-z, 0-9 and -, and not `relay`"))
        }
    }
}

/// The folders of one private network.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
    runtime: PathBuf,
}

/// The files and sockets of one profile.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Its name.
    pub(crate) name: ProfileName,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// The key manager's socket.
    pub(crate) keymgr_socket: PathBuf,
    /// The node's socket.
    pub(crate) node_socket: PathBuf,
}

impl Profile {
    /// Returns the file that names the card of this profile.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("manifest.toml")
    }

    /// Returns the key manager's folder.
    pub(crate) fn keymgr_dir(&self) -> PathBuf {
        self.dir.join("keymgr")
    }

    /// Returns the node's folder.
    pub(crate) fn node_dir(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// Returns the export log.
    pub(crate) fn log(&self) -> PathBuf {
        self.keymgr_dir().join("export.log")
    }

    /// Returns the spool of the heads that cards have signed.
    pub(crate) fn spool(&self) -> PathBuf {
        self.keymgr_dir().join("spool").join("heads.jsonl")
    }
}

impl Layout {
    /// Returns the user's own folders, as the XDG base directory specification names them. Without `XDG_RUNTIME_DIR` the
    /// sockets lie in `/tmp/cardinal-UID`, which is used only if it belongs to the user alone.
    ///
    /// # Errors
    /// [`CliError::Other`] when there is no home folder, or a socket's path would be too long.
    pub(crate) fn of_user() -> Result<Self, CliError> {
        let xdg = etcetera::base_strategy::Xdg::new()
            .map_err(|_| CliError::Other("no home folder is known; set HOME or XDG_DATA_HOME".to_owned()))?;
        let runtime = match xdg.runtime_dir() {
            Some(dir) => dir.join("cardinal"),
            None => PathBuf::from(format!("/tmp/cardinal-{}", rustix::process::geteuid().as_raw())),
        };
        Self::new(xdg.data_dir().join("cardinal"), runtime)
    }

    /// Returns the layout in these two folders, which need not exist.
    ///
    /// # Errors
    /// [`CliError::Other`] when a socket's path would be too long for the kernel.
    pub(crate) fn new(data: PathBuf, runtime: PathBuf) -> Result<Self, CliError> {
        // The longest name a profile can have, so that no later name fails.
        let longest = runtime.join("n".repeat(32)).join("keymgr.sock");
        let length = longest.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            return Err(CliError::Other(format!(
                "{} is {} bytes too long for the sockets in it; set XDG_RUNTIME_DIR (for the demo, TMPDIR) to a shorter folder",
                runtime.display(),
                length - MAX_SOCKET_PATH
            )));
        }
        Ok(Self { data, runtime })
    }

    /// Makes the two folders, or checks that they are ours alone.
    ///
    /// # Errors
    /// [`CliError::File`], or [`Fault::BadInput`] when others may enter one of them.
    pub(crate) fn make(&self) -> Result<(), CliError> {
        make_private(&self.data)?;
        make_private(&self.runtime)
    }

    /// Returns the file that a running `up` holds.
    pub(crate) fn lock(&self) -> PathBuf {
        self.data.join("up.lock")
    }

    /// Returns the relay's folder.
    pub(crate) fn relay_dir(&self) -> PathBuf {
        self.data.join(RELAY)
    }

    /// Returns the relay's socket.
    pub(crate) fn relay_socket(&self) -> PathBuf {
        self.runtime.join(RELAY).join("node.sock")
    }

    /// Returns the folder of all profiles.
    pub(crate) fn profiles_dir(&self) -> PathBuf {
        self.data.join("profiles")
    }

    /// Returns the places of a profile, which need not exist.
    pub(crate) fn profile(&self, name: ProfileName) -> Profile {
        let sockets = self.runtime.join(name.as_str());
        Profile {
            dir: self.profiles_dir().join(name.as_str()),
            keymgr_socket: sockets.join("keymgr.sock"),
            node_socket: sockets.join("node.sock"),
            name,
        }
    }

    /// Returns the profiles that exist, by name.
    ///
    /// # Errors
    /// [`CliError::File`] when the folder cannot be read.
    pub(crate) fn profiles(&self) -> Result<Vec<ProfileName>, CliError> {
        let dir = self.profiles_dir();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CliError::file(&dir)(error)),
        };
        let mut names: Vec<ProfileName> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| ProfileName::try_from(entry.file_name().to_str()?).ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Returns the profile that was asked for, or the only one there is.
    ///
    /// # Errors
    /// [`Fault::StateMissing`] when it does not exist, [`Fault::BadInput`] when one must be named.
    pub(crate) fn choose(&self, asked: Option<&str>) -> Result<Profile, CliError> {
        if let (Some(socket), None) = (system::socket(), asked) {
            let name = ProfileName("system".to_owned());
            return Ok(Profile { keymgr_socket: socket.to_owned(), ..self.profile(name) });
        }
        let known = self.profiles()?;
        let listed = || known.iter().map(ProfileName::as_str).collect::<Vec<_>>().join(", ");
        match (asked, known.as_slice()) {
            (_, []) => Err(CliError::found(
                Fault::StateMissing,
                "there is no profile yet: `cardinal keymgr run` makes one for the card in your reader, `cardinal up` alice and bob",
            )),
            (Some(name), _) => {
                let name = ProfileName::try_from(name)?;
                if !known.contains(&name) {
                    let message = format!("there is no profile {name}; there are: {}", listed());
                    return Err(CliError::found(Fault::StateMissing, message));
                }
                Ok(self.profile(name))
            }
            (None, [only]) => Ok(self.profile(only.clone())),
            (None, _) => {
                let message = format!("there are several profiles; choose one with --profile: {}", listed());
                Err(CliError::found(Fault::BadInput, message))
            }
        }
    }
}

/// Makes a folder of mode 0700 (and its parents), or checks that it is ours alone.
///
/// # Errors
/// [`CliError::File`], or [`Fault::BadInput`] when others may enter it.
pub(crate) fn make_private(dir: &Path) -> Result<(), CliError> {
    folder::make_private(dir).map_err(CliError::file(dir))?;
    if folder::is_private(dir).map_err(CliError::file(dir))? { Ok(()) } else { Err(CliError::open_to_others(dir)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::Builder::new().prefix("c").tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"), PathBuf::from("/run/user/1000/cardinal")).unwrap();
        (dir, layout)
    }

    #[test]
    fn the_longest_profile_name_still_has_a_socket() {
        let (_dir, layout) = layout();
        let profile = layout.profile(ProfileName::try_from("n".repeat(32).as_str()).unwrap());
        assert!(profile.keymgr_socket.as_os_str().len() <= MAX_SOCKET_PATH);
    }

    #[test]
    fn a_runtime_folder_that_is_too_deep_is_named() {
        let deep = PathBuf::from("/").join("d".repeat(90));
        let error = Layout::new("/x".into(), deep).unwrap_err().to_string();
        assert!(error.contains("XDG_RUNTIME_DIR") && error.contains("bytes too long"), "{error}");
    }

    #[test]
    fn a_profile_name_cannot_leave_its_folder() {
        for bad in ["", "..", "a/b", "Alice", "a b", "relay", ".alice.new", &"x".repeat(33)] {
            assert!(ProfileName::try_from(bad).is_err(), "{bad}");
        }
        assert!(ProfileName::try_from("alice-2").is_ok());
    }

    #[test]
    fn one_profile_needs_no_name_and_two_do() {
        let (_dir, layout) = layout();
        assert_eq!(layout.choose(None).unwrap_err().fault(), Some(Fault::StateMissing));
        fs::create_dir_all(layout.profiles_dir().join("alice")).unwrap();
        fs::create_dir_all(layout.profiles_dir().join(".bob.new")).unwrap();
        assert_eq!(layout.choose(None).unwrap().name.as_str(), "alice");
        fs::create_dir_all(layout.profiles_dir().join("bob")).unwrap();
        let error = layout.choose(None).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::BadInput));
        assert!(error.to_string().contains("alice, bob"), "{error}");
        assert_eq!(layout.choose(Some("bob")).unwrap().name.as_str(), "bob");
        assert_eq!(layout.choose(Some("carol")).unwrap_err().fault(), Some(Fault::StateMissing));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("ours");
        make_private(&ours).unwrap();
        assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o750)).unwrap();
        let error = make_private(&ours).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::BadInput));
        assert!(error.to_string().contains(&format!("`chmod 700 {}`", ours.display())), "{error}");
        let socket = CliError::from(proto::rpc::socket::SocketError::Untrusted(ours));
        assert_eq!(socket.to_string(), error.to_string(), "one cause has one message");
    }
}
