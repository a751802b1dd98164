//! What a service manager is told (`sd_notify(3)`): one datagram of `KEY=VALUE` lines to the socket that it named.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, or to nobody.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to the service manager that started this process, if one did.
    ///
    /// # Errors
    /// The system's, when `NOTIFY_SOCKET` leads nowhere.
    pub fn from_env() -> io::Result<Self> {
        let said = |name| std::env::var(name).ok();
        let watchdog = watchdog(said("WATCHDOG_USEC").as_deref(), said("WATCHDOG_PID").as_deref());
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(path) if !path.is_empty() => Ok(Self { watchdog, ..Self::to(&path)? }),
            _ => Ok(Self::default()),
        }
    }

    /// Connects to this socket: a path, or `@` and the name of an abstract one.
    fn to(path: &OsStr) -> io::Result<Self> {
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // Nobody who does not read holds us up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some(socket), watchdog: None })
    }

    /// Says that the manager answers.
    pub fn ready(&self) {
        self.say("READY=1\nSTATUS=Serving");
    }

    /// Says that it ends because it was asked to.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=Resetting the cards");
    }

    /// Says that the thread with the cards still answers.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// Returns how often [`Self::alive`] is expected: twice in the time after which the service is taken for dead.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog)
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::debug!("the service manager does not listen: {error}");
        }
    }
}

/// Returns half of the time after which this process is taken for dead, if it is watched.
fn watchdog(usec: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(std::process::id())) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 1).then(|| Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_of_the_start_the_end_and_the_life_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let hears = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        notifier.ready();
        notifier.alive();
        notifier.stopping();
        let mut room = [0; 64];
        for says in ["READY=1", "WATCHDOG=1", "STOPPING=1"] {
            let length = hears.recv(&mut room).unwrap();
            assert!(room[..length].starts_with(says.as_bytes()), "{says}");
        }
    }

    #[test]
    fn an_abstract_socket_is_reached_and_a_missing_one_is_an_error() {
        let name = format!("cardinal-notify-{}", std::process::id());
        let hears = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::to(OsStr::new(&format!("@{name}"))).unwrap().ready();
        let mut room = [0; 64];
        let length = hears.recv(&mut room).unwrap();
        assert!(room[..length].starts_with(b"READY=1"));
        assert!(Notifier::to(OsStr::new("/nobody/listens/here")).is_err());
    }

    #[test]
    fn a_watchdog_is_fed_twice_in_its_time_and_only_by_the_process_that_it_watches() {
        let ours = std::process::id().to_string();
        assert_eq!(watchdog(Some("120000000"), None), Some(Duration::from_secs(60)));
        assert_eq!(watchdog(Some("120000000"), Some(&ours)), Some(Duration::from_secs(60)));
        assert_eq!(watchdog(Some("120000000"), Some("1")), None);
        for nonsense in [None, Some("0"), Some("x"), Some("-5")] {
            assert_eq!(watchdog(nonsense, None), None);
        }
    }
}
