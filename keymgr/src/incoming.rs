//! The connections of local clients: how many there are, of whom, and how long they may be silent.
//!
//! The invariant: one user cannot take the places of the others. A connection that is not taken hears why, in the words of
//! HTTP/2 (GOAWAY), and costs no more than the answer.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::caller::{Asker, Programs};
use crate::front::{Front, Kernel};
use crate::metrics::Metrics;
use crate::policy::Role;
use crate::roles::InForce;

/// How many connections there are at most, and how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of all users together.
    pub all: usize,
    /// Of one user.
    pub each: usize,
    /// Of all users, for the manager's owners alone.
    pub owners: usize,
    /// Until the first whole frame.
    pub greeting: Duration,
    /// Between two bytes afterwards. A client that lives answers a PING.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: 256, each: 64, owners: 32, greeting: Duration::from_secs(5), silence: Duration::from_secs(90) }
    }
}

/// The connections that are taken.
pub(crate) struct Incoming {
    listener: UnixListener,
    seats: Arc<Mutex<Seats>>,
    limits: Limits,
    metrics: Metrics,
    programs: Programs,
    kernel: Kernel,
    /// Until then nothing is accepted, because the system had no descriptor.
    pause: Option<Pin<Box<Sleep>>>,
}

/// One connection.
pub(crate) struct Connection {
    stream: UnixStream,
    asker: Asker,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
    /// How many bytes of the greeting are missing.
    missing: usize,
    _seat: Seat,
}

/// Who has how many connections.
#[derive(Debug)]
struct Seats {
    limits: Limits,
    /// Says who is an owner.
    policy: InForce,
    ours: u32,
    taken: BTreeMap<u32, usize>,
    all: usize,
    metrics: Metrics,
}

/// A place among the connections; dropping it gives it back.
#[derive(Debug)]
struct Seat {
    seats: Arc<Mutex<Seats>>,
    uid: u32,
}

impl Incoming {
    pub(crate) fn new(listener: UnixListener, front: &Front, policy: InForce) -> Self {
        let Front { limits, metrics, programs, kernel, .. } = front;
        let (limits, metrics, programs, kernel) = (*limits, metrics.clone(), programs.clone(), *kernel);
        let ours = rustix::process::geteuid().as_raw();
        let seats = Seats { limits, policy, ours, taken: BTreeMap::new(), all: 0, metrics: metrics.clone() };
        Self { listener, seats: Arc::new(Mutex::new(seats)), limits, metrics, programs, kernel, pause: None }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            let stream = match ready!(this.listener.poll_accept(context)) {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("no connection can be taken for a moment: {error}");
                    this.pause = Some(Box::pin(sleep(PAUSE)));
                    continue;
                }
            };
            let Some(asker) = (this.kernel)(&stream) else { continue };
            match Seats::take(&this.seats, asker.uid) {
                Ok((seat, role)) => {
                    // A stranger hears no word more than that it is one: no rule is about its program.
                    if role != Role::Stranger {
                        this.programs.meet(&asker);
                    }
                    return Poll::Ready(Some(Ok(Connection::new(stream, asker, seat, &this.limits))));
                }
                Err(why) => {
                    this.metrics.turned_away(why);
                    tracing::debug!(uid = asker.uid, "a connection is not taken: {why}");
                    // Past the runtime, which does not know yet that there is room: there is. Nobody is waited for.
                    let _ = send(&stream, &farewell(why), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                }
            }
        }
    }
}

impl Connection {
    fn new(stream: UnixStream, asker: Asker, seat: Seat, limits: &Limits) -> Self {
        let deadline = Box::pin(sleep(limits.greeting));
        Self { stream, asker, silence: limits.silence, deadline, missing: GREETING, _seat: seat }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = room.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, room) {
            Poll::Ready(Ok(())) => {
                let read = room.filled().len().saturating_sub(before);
                this.missing = this.missing.saturating_sub(read);
                if this.missing == 0 {
                    let until = Instant::now().checked_add(this.silence);
                    this.deadline.set(until.map_or_else(|| sleep(this.silence), sleep_until));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => this.deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
            failed => failed,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = Asker;

    fn connect_info(&self) -> Asker {
        self.asker.clone()
    }
}

impl Seats {
    /// Takes a place for a user, and says what it is to the manager.
    fn take(seats: &Arc<Mutex<Self>>, uid: u32) -> Result<(Seat, Role), &'static str> {
        let mut guard = seats.lock().unwrap_or_else(PoisonError::into_inner);
        let this = &mut *guard;
        let role = this.policy.policy().role(uid, this.ours);
        let kept = if role == Role::Owner { 0 } else { this.limits.owners };
        if this.all.saturating_add(kept) >= this.limits.all {
            return Err("too many connections");
        }
        let of_user = this.taken.entry(uid).or_default();
        if *of_user >= this.limits.each {
            return Err("too many connections of this user");
        }
        *of_user = of_user.saturating_add(1);
        this.all = this.all.saturating_add(1);
        this.metrics.connections(this.all);
        Ok((Seat { seats: Arc::clone(seats), uid }, role))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut guard = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let this = &mut *guard;
        this.all = this.all.saturating_sub(1);
        this.metrics.connections(this.all);
        if let Some(of_user) = this.taken.get_mut(&self.uid) {
            *of_user = of_user.saturating_sub(1);
            if *of_user == 0 {
                this.taken.remove(&self.uid);
            }
        }
    }
}

/// Returns what a client hears whose connection is not taken (RFC 9113, sections 6.5 and 6.8).
///
/// ```text
/// SETTINGS  length 0 (3) || type 4 || flags 0 || stream 0 (4)
/// GOAWAY    length (3) || type 7 || flags 0 || stream 0 (4) || last stream 0 (4) || ENHANCE_YOUR_CALM (4) || why
/// ```
fn farewell(why: &str) -> Vec<u8> {
    let length = u8::try_from(why.len().saturating_add(8)).unwrap_or(8);
    let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    bytes.extend([0, 0, length, 7, 0, 0, 0, 0, 0]);
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 0xb]);
    bytes.extend(why.bytes().take(usize::from(length).saturating_sub(8)));
    bytes
}

/// HTTP/2's preface and the head of a SETTINGS frame.
const GREETING: usize = 24 + 9;
/// How long nothing is accepted after the system had no descriptor.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a manager that runs as root, and whose policy says so much.
    fn seats(policy: &str) -> Arc<Mutex<Seats>> {
        let limits = Limits { all: 10, each: 4, owners: 2, ..Limits::default() };
        let metrics = Metrics::default();
        let policy = crate::policy::Policy::parse(policy).unwrap().into();
        Arc::new(Mutex::new(Seats { limits, policy, ours: 0, taken: BTreeMap::new(), all: 0, metrics }))
    }

    fn seat(seats: &Arc<Mutex<Seats>>, uid: u32) -> Seat {
        Seats::take(seats, uid).unwrap().0
    }

    #[test]
    fn what_is_kept_for_owners_is_for_those_of_the_policy_in_force_too() {
        let seats = seats("owners = [1000]");
        let _clients: Vec<Seat> = [1001, 1002].iter().flat_map(|uid| (0..4).map(|_| seat(&seats, *uid))).collect();
        assert_eq!(Seats::take(&seats, 1003).unwrap_err(), "too many connections");
        let owner = seat(&seats, 1000);
        drop(owner);
        let policy = seats.lock().unwrap().policy.clone();
        policy.replace(crate::policy::Policy::parse("owners = [1003]").unwrap());
        assert_eq!(Seats::take(&seats, 1000).unwrap_err(), "too many connections");
        assert!(Seats::take(&seats, 1003).is_ok() && Seats::take(&seats, 0).is_ok());
    }

    #[test]
    fn attack_one_user_cannot_take_the_places_of_the_others() {
        let seats = seats("");
        let mut first: Vec<Seat> = (0..4).map(|_| seat(&seats, 1001)).collect();
        assert_eq!(Seats::take(&seats, 1001).unwrap_err(), "too many connections of this user");
        let _second: Vec<Seat> = (0..4).map(|_| seat(&seats, 1002)).collect();
        assert_eq!(Seats::take(&seats, 1003).unwrap_err(), "too many connections");
        let _owners: Vec<Seat> = (0..2).map(|_| seat(&seats, 0)).collect();
        assert_eq!(Seats::take(&seats, 0).unwrap_err(), "too many connections");
        drop(first.pop());
        assert!(Seats::take(&seats, 1003).is_err(), "what is kept for the owner stays kept");
        let owners = seat(&seats, 0);
        drop(owners);
        drop(first);
        assert!(Seats::take(&seats, 1003).is_ok());
        let taken = seats.lock().unwrap().taken.keys().copied().collect::<Vec<_>>();
        assert_eq!(taken, [0, 1002], "a user without connections is forgotten");
    }

    #[test]
    fn a_farewell_is_two_whole_frames() {
        let bytes = farewell("too many connections");
        assert_eq!(bytes[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(usize::from(bytes[11]), bytes.len() - 18);
        assert!(bytes.ends_with(b"too many connections"));
        assert_eq!(farewell(&"x".repeat(300)).len(), 9 + 9 + 8, "a text that does not fit is left out");
    }
}
