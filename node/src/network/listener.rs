//! Whoever connects to us gets a task.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

use super::connection::Shell;
use super::handshakes::Handshakes;

/// Accepts until the node stops; at most `handshakes` peers shake hands at a time.
pub(crate) async fn listen(listener: TcpListener, shell: Shell, handshakes: usize) {
    let mut handshakes = Handshakes::new(handshakes);
    let mut stop = shell.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.heard() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let (slot, another_lost_its) = handshakes.enter();
                if another_lost_its {
                    shell.counters.count("listener", "too-many-handshakes");
                }
                tokio::spawn(shell.clone().serve(stream, address, slot));
            }
            Err(error) => {
                shell.counters.count("listener", "accept-failed");
                tracing::warn!(%error, "cannot take a connection");
                if !is_of_the_connection(&error) {
                    // Out of descriptors or memory: trying again at once would only spin.
                    tokio::time::sleep(RESPITE).await;
                }
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

const RESPITE: Duration = Duration::from_millis(200);
