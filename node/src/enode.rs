//! `enode://` addresses: who a node is and where it listens.
//!
//! ```text
//! enode://<node id, 128 hexadecimal digits>@<IP address>:<TCP port>[?discport=<UDP port>]
//! ```
//!
//! Only numeric addresses are taken: a static peer must not depend on a name server.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use proto::ChatKey;

/// A node's key and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enode {
    /// The node's static key.
    pub id: ChatKey,
    /// Where it takes TCP connections.
    pub address: SocketAddr,
}

/// The text is no enode address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an enode address looks like enode://<128 hexadecimal digits>@127.0.0.1:30303 ({what})")]
pub struct NotAnEnode {
    /// Which part is wrong.
    pub what: &'static str,
}

impl FromStr for Enode {
    type Err = NotAnEnode;

    fn from_str(text: &str) -> Result<Self, NotAnEnode> {
        let wrong = |what| NotAnEnode { what };
        let rest = text.strip_prefix("enode://").ok_or(wrong("the scheme"))?;
        let (id, address) = rest.split_once('@').ok_or(wrong("no @"))?;
        // Discovery is another port; a peer that is dialled is reached by TCP.
        let address = address.split_once('?').map_or(address, |(address, _)| address);
        let mut bytes = [0; 64];
        hex::decode_to_slice(id, &mut bytes).map_err(|_| wrong("the node id"))?;
        let id = ChatKey::from_node_id(&bytes).map_err(|_| wrong("the node id is no public key"))?;
        let address: SocketAddr = address.parse().map_err(|_| wrong("the address"))?;
        if address.port() == 0 {
            return Err(wrong("the port"));
        }
        Ok(Self { id, address })
    }
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enode://{}@{}", hex::encode(self.id.to_node_id()), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::Enode;

    /// Public key of the private key 1.
    const ID: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                      483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";

    #[test]
    fn an_address_reads_back_what_it_prints() {
        for address in ["127.0.0.1:30303", "[::1]:443"] {
            let text = format!("enode://{ID}@{address}");
            assert_eq!(text.parse::<Enode>().unwrap().to_string(), text);
            assert_eq!(format!("{text}?discport=0").parse::<Enode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        let off_the_curve = "01".repeat(64);
        for text in [
            String::new(),
            ID.to_owned(),
            format!("enode://{ID}"),
            format!("enode://{ID}@localhost:30303"),
            format!("enode://{ID}@127.0.0.1"),
            format!("enode://{ID}@127.0.0.1:0"),
            format!("enode://{ID}@127.0.0.1:65536"),
            format!("enode://{}@127.0.0.1:1", &ID[2..]),
            format!("enode://{off_the_curve}@127.0.0.1:1"),
            format!("http://{ID}@127.0.0.1:1"),
        ] {
            assert!(text.parse::<Enode>().is_err(), "{text}");
        }
    }
}
