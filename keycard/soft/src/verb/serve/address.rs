//! Where the reader is, or where it finds the card.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::exit::Failure;

/// Refuses an address that other machines reach, unless the owner wants it.
pub(crate) fn check(address: SocketAddr, beyond_loopback: bool) -> Result<(), Failure> {
    if address.ip().is_loopback() || beyond_loopback {
        return Ok(());
    }
    let what = format!(
        "{address} is no loopback address: whoever reaches it can use the card; repeat with --beyond-loopback if that \
         is meant"
    );
    Err(Failure::Usage { what })
}

/// Listens on `address` for the slot with the card and on the next port for the second one. Port 0 is any pair of free
/// ones.
pub(crate) async fn bind_pair(address: SocketAddr) -> Result<(TcpListener, TcpListener), Failure> {
    let failed = |address| move |source| Failure::Listen { address, source };
    let mut tries = if address.port() == 0 { FREE_PAIR_TRIES } else { 1 };
    loop {
        tries -= 1;
        let first = TcpListener::bind(address).await.map_err(failed(address))?;
        let mut second = first.local_addr()?;
        let Some(port) = second.port().checked_add(1) else {
            if tries > 0 {
                continue;
            }
            return Err(Failure::Usage { what: "the second slot needs the next port, and there is none".to_owned() });
        };
        second.set_port(port);
        match TcpListener::bind(second).await {
            Ok(listener) => return Ok((first, listener)),
            Err(_) if tries > 0 => {}
            Err(source) => return Err(Failure::Listen { address: second, source }),
        }
    }
}

const FREE_PAIR_TRIES: usize = 64;
