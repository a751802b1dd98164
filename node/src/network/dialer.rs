//! Static peers: each is dialled until it answers, and again whenever it is lost, for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::ChatKey;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use wire::p2p::Enode;

use super::backoff::{Backoff, Ended};
use super::connection::Shell;
use crate::stop::{Stop, StopAll, stop};

/// Node ids of the connected peers.
pub(crate) type Connected = watch::Receiver<BTreeSet<[u8; 64]>>;

/// The way to the dialer.
#[derive(Clone)]
pub(crate) struct Dialer(mpsc::Sender<Request>);

enum Request {
    Add(Enode, oneshot::Sender<Result<(), NotAdded>>),
    Remove(ChatKey, oneshot::Sender<()>),
}

/// Why a peer was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdded {
    #[error("that is the address of this node itself")]
    Ourselves,
    #[error("a peer is dialled at a port other than 0")]
    NoPort,
    #[error("this node dials {limit} peers already, which is its limit")]
    TooMany { limit: usize },
    #[error("the node is stopping")]
    Stopping,
}

impl Dialer {
    /// Starts the dialer, with room for `limit` peers.
    pub(crate) fn start(shell: Shell, connected: Connected, limit: usize) -> Self {
        let (requests, asked) = mpsc::channel(REQUESTS);
        tokio::spawn(take_requests(asked, shell, connected, limit));
        Self(requests)
    }

    /// Adds a peer. One that is there already stays as it is.
    pub(crate) async fn add(&self, enode: Enode) -> Result<(), NotAdded> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request::Add(enode, reply)).await.map_err(|_| NotAdded::Stopping)?;
        answer.await.map_err(|_| NotAdded::Stopping)?
    }

    /// Dials this node no more, at none of its addresses, and ends what was dialled. One that is not there is no trouble.
    pub(crate) async fn remove(&self, key: ChatKey) {
        let (reply, answer) = oneshot::channel();
        if self.0.send(Request::Remove(key, reply)).await.is_ok() {
            drop(answer.await);
        }
    }
}

async fn take_requests(mut asked: mpsc::Receiver<Request>, shell: Shell, connected: Connected, limit: usize) {
    let mut peers: Vec<(Enode, StopAll)> = Vec::new();
    let mut stopped = shell.stop.clone();
    loop {
        let request = tokio::select! {
            request = asked.recv() => request,
            () = stopped.heard() => None,
        };
        match request {
            Some(Request::Add(enode, reply)) => {
                let result = match enode {
                    _ if enode.key == *shell.local.key.id() => Err(NotAdded::Ourselves),
                    _ if enode.tcp == 0 => Err(NotAdded::NoPort),
                    _ if peers.iter().any(|(known, _)| *known == enode) => Ok(()),
                    _ if peers.len() >= limit => Err(NotAdded::TooMany { limit }),
                    _ => {
                        let (remove, removed) = stop();
                        peers.push((enode, remove));
                        tokio::spawn(keep(enode, shell.clone(), connected.clone(), removed));
                        Ok(())
                    }
                };
                let _gone = reply.send(result);
            }
            Some(Request::Remove(key, reply)) => {
                for (_, remove) in peers.extract_if(.., |(known, _)| known.key == key) {
                    remove.say();
                }
                let _gone = reply.send(());
            }
            None => return,
        }
    }
}

/// Keeps one peer connected until the node stops or the peer is removed.
async fn keep(enode: Enode, shell: Shell, mut connected: Connected, mut removed: Stop) {
    let mut stopped = shell.stop.clone();
    // A connection that stands hears it from us, and says goodbye by itself.
    let (end, ended) = stop();
    let shell = Shell { stop: ended, ..shell };
    tokio::select! {
        () = stopped.heard() => {}
        () = removed.heard() => {}
        () = redial(enode, shell, &mut connected) => {}
    }
    end.say();
}

async fn redial(enode: Enode, shell: Shell, connected: &mut Connected) {
    let id = enode.key.to_node_id();
    let mut backoff = Backoff::towards(enode.ip);
    while connected.wait_for(|connected| !connected.contains(&id)).await.is_ok() {
        let ended = match tokio::time::timeout(DIAL, TcpStream::connect(enode.socket_addr())).await {
            Ok(Ok(stream)) => {
                // A task of its own, so that the end of this one does not cut it off in mid-word.
                let connection = tokio::spawn(shell.clone().dialled(stream, enode.key, enode.socket_addr()));
                connection.await.unwrap_or(Ended::Failed)
            }
            Ok(Err(_)) | Err(_) => {
                shell.counters.count("dialer", "no-answer");
                Ended::Failed
            }
        };
        let wait = backoff.after(ended);
        tracing::debug!(address = %enode.socket_addr(), ?ended, ?wait, "dialling again");
        tokio::time::sleep(wait).await;
    }
}

/// Requests that may wait: they come from a person.
const REQUESTS: usize = 8;
/// go-ethereum's dial timeout.
const DIAL: Duration = Duration::from_secs(15);
