//! The address of a node: `enode://<node id, 128 hexadecimal digits>@<ip>:<port>[?discport=<port>]`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use proto::ChatKey;

/// Where a node is and who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enode {
    /// Its public key.
    pub key: ChatKey,
    /// Its address.
    pub ip: IpAddr,
    /// The port that takes RLPx connections.
    pub tcp: u16,
    /// The port that takes discovery datagrams.
    pub udp: u16,
}

/// A text that is no node address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a node address (enode://<128 digits>@<ip>:<port>): {what}")]
pub struct NotAnEnode {
    /// What is wrong.
    pub what: &'static str,
}

impl Enode {
    /// Returns where to connect to.
    #[must_use]
    pub const fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.tcp)
    }
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("enode://")?;
        for byte in self.key.to_node_id() {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "@{}", self.socket_addr())?;
        if self.udp == self.tcp { Ok(()) } else { write!(f, "?discport={}", self.udp) }
    }
}

impl FromStr for Enode {
    type Err = NotAnEnode;

    fn from_str(text: &str) -> Result<Self, NotAnEnode> {
        let rest = text.strip_prefix("enode://").ok_or(NotAnEnode { what: "it does not begin with enode://" })?;
        let (id, rest) = rest.split_once('@').ok_or(NotAnEnode { what: "the @ is missing" })?;
        let (address, discovery) = match rest.split_once("?discport=") {
            Some((address, port)) => {
                (address, Some(port.parse().map_err(|_| NotAnEnode { what: "discport is no port" })?))
            }
            None => (rest, None),
        };
        let key =
            ChatKey::from_node_id(&digits(id).ok_or(NotAnEnode { what: "the id is not 128 hexadecimal digits" })?)
                .map_err(|_| NotAnEnode { what: "the id is no public key" })?;
        let address: SocketAddr =
            address.parse().map_err(|_| NotAnEnode { what: "no numeric ip and port behind the @" })?;
        let tcp = address.port();
        Ok(Self { key, ip: address.ip(), tcp, udp: discovery.unwrap_or(tcp) })
    }
}

fn digits(text: &str) -> Option<[u8; 64]> {
    let mut id = [0; 64];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != id.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in id.iter_mut().zip(pairs) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ChatKey {
        k256::SecretKey::from_slice(&[9; 32]).unwrap().public_key().into()
    }

    #[test]
    fn an_address_reads_back_what_it_prints() {
        for (ip, udp) in [("127.0.0.1", 30303), ("::1", 30303), ("10.0.0.7", 0)] {
            let node = Enode { key: key(), ip: ip.parse().unwrap(), tcp: 30303, udp };
            assert_eq!(node.to_string().parse(), Ok(node));
        }
        let id = hex::encode(key().to_node_id());
        let text = format!("enode://{id}@[::1]:443?discport=9");
        assert_eq!(text.parse::<Enode>().unwrap().to_string(), text);
        assert_eq!(
            text.to_uppercase()
                .replace("ENODE", "enode")
                .replace("DISCPORT", "discport")
                .parse::<Enode>()
                .unwrap()
                .to_string(),
            text
        );
    }

    #[test]
    fn what_is_no_address_says_why() {
        let id = hex::encode(key().to_node_id());
        let why = |text: String| text.parse::<Enode>().unwrap_err().what;
        assert_eq!(why(format!("enr:{id}")), "it does not begin with enode://");
        assert_eq!(why(format!("enode://{id}")), "the @ is missing");
        assert_eq!(why(format!("enode://{}@1.2.3.4:5", &id[2..])), "the id is not 128 hexadecimal digits");
        assert_eq!(why(format!("enode://{}@1.2.3.4:5", "é".repeat(64))), "the id is not 128 hexadecimal digits");
        assert_eq!(why(format!("enode://{}@1.2.3.4:5", "11".repeat(64))), "the id is no public key");
        assert_eq!(why(format!("enode://{id}@relay.example:5")), "no numeric ip and port behind the @");
        assert_eq!(why(format!("enode://{id}@1.2.3.4:70000")), "no numeric ip and port behind the @");
        assert_eq!(why(format!("enode://{id}@1.2.3.4:5?discport=x")), "discport is no port");
    }
}
