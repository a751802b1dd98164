//! The places to which heads are sent, each written as one word of a command line or a configuration file.
//!
//! ```text
//! file:DIR                        a line appended to DIR/cardinal.heads, and synced
//! syslog                          the system's own log, at /dev/log
//! syslog:unix:PATH                another datagram socket
//! syslog:udp:HOST:PORT            RFC 5424 in one datagram a line (RFC 5426)
//! syslog:tcp:HOST:PORT            RFC 5424 with octet counts (RFC 6587)
//! http://127.0.0.1:PORT/PATH      POST to a service, or to a proxy that speaks TLS, on this computer
//! https://HOST/PATH               POST by the `curl` program
//! git:DIR                         a commit of cardinal.heads in this work tree, and a push if it has a remote
//! ```

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proto::rpc::Fault;

use super::kept;
use crate::error::CliError;

/// A place to which heads are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A folder, for example of another computer or on a disk that only takes.
    File(PathBuf),
    /// A daemon that keeps logs.
    Syslog(Syslog),
    /// A service on this computer.
    Http(Http),
    /// A service that is spoken to by `curl`.
    Https(String),
    /// A work tree.
    Git(PathBuf),
}

/// How a daemon that keeps logs is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Syslog {
    /// A datagram socket of this computer.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Udp(String),
    /// `HOST:PORT`.
    Tcp(String),
}

/// A service on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Http {
    /// `HOST:PORT`.
    pub(crate) authority: String,
    /// Begins with a slash.
    pub(crate) path: String,
}

impl Target {
    /// Returns whether what is sent there goes into this file.
    pub(super) fn keeps(&self, file: &Path) -> bool {
        matches!(self, Self::File(dir) | Self::Git(dir) if kept::is_in(dir, file))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(dir) => write!(f, "file:{}", dir.display()),
            Self::Syslog(Syslog::Unix(path)) => write!(f, "syslog:unix:{}", path.display()),
            Self::Syslog(Syslog::Udp(address)) => write!(f, "syslog:udp:{address}"),
            Self::Syslog(Syslog::Tcp(address)) => write!(f, "syslog:tcp:{address}"),
            Self::Http(Http { authority, path }) => write!(f, "http://{authority}{path}"),
            Self::Https(url) => f.write_str(url),
            Self::Git(dir) => write!(f, "git:{}", dir.display()),
        }
    }
}

impl FromStr for Target {
    type Err = CliError;

    fn from_str(text: &str) -> Result<Self, CliError> {
        let bad = |why: &str| Err(CliError::found(Fault::BadInput, format!("{text:?} is no place for heads: {why}")));
        if text.chars().any(char::is_control) {
            return bad("it has control characters");
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("file", "") => bad("name a folder, file:DIR"),
            ("file", dir) => Ok(Self::File(dir.into())),
            ("git", "") => bad("name a work tree, git:DIR"),
            ("git", dir) => Ok(Self::Git(dir.into())),
            ("syslog", "") => Ok(Self::Syslog(Syslog::Unix("/dev/log".into()))),
            ("syslog", rest) => match rest.split_once(':') {
                Some(("unix", path)) if !path.is_empty() => Ok(Self::Syslog(Syslog::Unix(path.into()))),
                Some(("udp", address)) if is_address(address) => Ok(Self::Syslog(Syslog::Udp(address.to_owned()))),
                Some(("tcp", address)) if is_address(address) => Ok(Self::Syslog(Syslog::Tcp(address.to_owned()))),
                _ => bad("it is syslog, syslog:unix:PATH, syslog:udp:HOST:PORT or syslog:tcp:HOST:PORT"),
            },
            ("http", rest) => match http(rest) {
                Some(http) if is_here(&http.authority) => Ok(Self::Http(http)),
                Some(_) => bad("http:// reaches this computer only; use https://, or a proxy here that speaks TLS"),
                None => bad("it is http://127.0.0.1:PORT/PATH"),
            },
            ("https", rest) if rest.len() > 2 && rest.starts_with("//") && !rest.contains(char::is_whitespace) => {
                Ok(Self::Https(text.to_owned()))
            }
            ("https", _) => bad("it is https://HOST/PATH"),
            _ => bad("it begins with file:, syslog, http://, https:// or git:"),
        }
    }
}

/// Whether this is `HOST:PORT`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Returns what follows `http:`, if it is an address with a path.
fn http(rest: &str) -> Option<Http> {
    let rest = rest.strip_prefix("//")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let authority = if is_address(authority) { authority.to_owned() } else { format!("{authority}:80") };
    (is_address(&authority) && plain(&authority) && plain(path)).then(|| Http { authority, path: path.to_owned() })
}

/// Whether an address is of this computer, so that nobody reads or changes what goes there.
fn is_here(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_read_and_written_alike() {
        for text in [
            "file:/mnt/heads",
            "syslog:unix:/dev/log",
            "syslog:udp:logs.example:514",
            "syslog:tcp:[::1]:601",
            "http://127.0.0.1:8080/heads",
            "http://[::1]:80/",
            "https://logs.example/heads?box=1",
            "git:/srv/heads",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("syslog".parse::<Target>().unwrap().to_string(), "syslog:unix:/dev/log");
        assert_eq!("http://localhost".parse::<Target>().unwrap().to_string(), "http://localhost:80/");
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_form_that_it_should_have() {
        for (text, says) in [
            ("", "begins with"),
            ("/mnt/heads", "begins with"),
            ("file:", "name a folder"),
            ("git:", "name a work tree"),
            ("syslog:udp:logs", "syslog:udp:HOST:PORT"),
            ("syslog:tcp:logs:0", "syslog:udp:HOST:PORT"),
            ("http://logs.example/heads", "this computer only"),
            ("http://127.0.0.1:9/a b", "http://127.0.0.1:PORT"),
            ("http://127.0.0.1:9/a\r\nX: y", "control characters"),
            ("https://", "https://HOST"),
            ("ftp://x", "begins with"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert_eq!(error.fault(), Some(Fault::BadInput), "{text}");
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }
}
