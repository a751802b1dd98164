//! Where the programs are: ours next to each other in the release folder, the peers where `tests/interop/setup` builds them.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::PeerError;

/// A program that scenarios start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Our node.
    Node,
    /// Our key manager.
    Keymgr,
    /// Our command line.
    Cardinal,
    /// Our software card.
    Softcard,
    /// Our own way to a card in a reader, without a key manager.
    Cardprobe,
    /// pcscd with a virtual reader, in namespaces of its own.
    Pcscd,
    /// A Debian that boots, in namespaces of its own.
    System,
    /// Chromium without a window.
    Chromium,
    /// What reads the text of a PDF.
    Pdftotext,
    /// `devp2p-peer` on the newest go-ethereum.
    Geth,
    /// `devp2p-peer` on go-ethereum 1.10.3, whose handshake is that of Status' fork.
    Geth1103,
    /// `wakuprobe`: a raw Waku connection with a codec of its own.
    Probe,
    /// `@ethereumjs/devp2p`.
    Ethereumjs,
    /// `DoubleRatchet` from PyPI.
    Ratchet,
    /// `keycard` from PyPI.
    PypiKeycard,
    /// `keycard-go`.
    KeycardGo,
    /// go-ethereum's `accounts/scwallet`.
    Scwallet,
    /// `keycard-sdk` from npm.
    KeycardSdk,
    /// A program that the environment variable of this name points to.
    Given(&'static str),
}

impl Tool {
    /// The file it is in.
    const fn file(self) -> &'static str {
        match self {
            Self::Node => "cardinal-node",
            Self::Keymgr => "cardinal-keymgr",
            Self::Cardinal => "cardinal",
            Self::Softcard => "softcard",
            Self::Cardprobe => "cardprobe",
            Self::Pcscd => "pcscd",
            Self::System => "system",
            Self::Chromium => "chromium",
            Self::Pdftotext => "pdftotext",
            Self::Geth => "devp2p-peer",
            Self::Geth1103 => "devp2p-peer-1.10.3",
            Self::Probe => "wakuprobe",
            Self::Ethereumjs => "npm-rlpx",
            Self::Ratchet => "ratchet",
            Self::PypiKeycard => "pypi-keycard",
            Self::KeycardGo | Self::Scwallet => "keycardpeer",
            Self::KeycardSdk => "npm-keycard",
            Self::Given(variable) => variable,
        }
    }

    /// What it stands for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node
            | Self::Keymgr
            | Self::Cardinal
            | Self::Softcard
            | Self::Cardprobe
            | Self::Pcscd
            | Self::System
            | Self::Chromium
            | Self::Pdftotext
            | Self::Probe => self.file(),
            Self::Geth => "go-ethereum 1.17",
            Self::Geth1103 => "go-ethereum 1.10.3",
            Self::Ethereumjs => "@ethereumjs/devp2p",
            Self::Ratchet => "PyPI DoubleRatchet",
            Self::PypiKeycard => "PyPI keycard",
            Self::KeycardGo => "keycard-go",
            Self::Scwallet => "go-ethereum scwallet",
            Self::KeycardSdk => "npm keycard-sdk",
            Self::Given(variable) => variable,
        }
    }

    /// The beginning of what it has to call itself when it starts, where that is known.
    #[must_use]
    pub const fn version(self) -> Option<&'static str> {
        match self {
            Self::Geth => Some("go-ethereum v1.17."),
            Self::Geth1103 => Some("go-ethereum v1.10.3"),
            Self::Ethereumjs => Some("@ethereumjs/devp2p 10.0.0"),
            Self::Ratchet => Some("DoubleRatchet 1.3.0"),
            Self::PypiKeycard => Some("keycard 0.4.0"),
            Self::KeycardGo => Some("github.com/status-im/keycard-go v0.2.0"),
            Self::Scwallet => Some("github.com/ethereum/go-ethereum v1.17."),
            Self::KeycardSdk => Some("keycard-sdk 3.1.8"),
            _ => None,
        }
    }

    const fn is_ours(self) -> bool {
        matches!(self, Self::Node | Self::Keymgr | Self::Cardinal | Self::Softcard | Self::Cardprobe)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The folder that everything is built into.
#[derive(Debug, Clone)]
pub struct Place {
    target: PathBuf,
}

impl Place {
    /// Returns the folder that the running test or bench was built into.
    #[must_use]
    pub fn here() -> Self {
        let exe = std::env::current_exe().unwrap_or_default();
        // target/<profile>/deps/<test>
        Self::in_target(exe.ancestors().nth(3).unwrap_or(Path::new("")))
    }

    /// Returns the place that has this folder as Cargo's target.
    #[must_use]
    pub fn in_target(target: &Path) -> Self {
        Self { target: target.to_path_buf() }
    }

    /// Returns where a program is.
    ///
    /// # Errors
    /// [`PeerError::Missing`] or [`PeerError::Impossible`], with the reason that the setup noted.
    pub fn find(&self, tool: Tool) -> Result<PathBuf, PeerError> {
        let missing = |why: &str| Err(PeerError::Missing { program: tool.name(), why: why.to_owned() });
        if let Tool::Given(variable) = tool {
            return match std::env::var_os(variable) {
                Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
                _ => missing(&format!("{variable} is not set")),
            };
        }
        let (folder, how) = match tool.is_ours() {
            true => (self.target.join("release"), "not built: cargo build --release --bins"),
            false => (self.peers(), "not set up: make interop does it"),
        };
        let program = folder.join(tool.file());
        if program.is_file() {
            return Ok(program);
        }
        if let Ok(why) = std::fs::read_to_string(folder.join(format!("{}.refused", tool.file()))) {
            return Err(PeerError::Impossible { program: tool.name(), why: why.trim().to_owned() });
        }
        // The setup notes why a peer is not there.
        match std::fs::read_to_string(folder.join(format!("{}.missing", tool.file()))) {
            Ok(why) if !tool.is_ours() => missing(why.trim()),
            _ => missing(how),
        }
    }

    /// Returns where the peers are.
    #[must_use]
    pub fn peers(&self) -> PathBuf {
        self.target.join("interop")
    }
}

/// Whether this run is one where nothing may be missing.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var_os("CI").as_deref().is_some_and(|value| value != OsStr::new("") && value != OsStr::new("false"))
}
