//! How long to wait before a static peer is dialled again.

use std::net::IpAddr;
use std::time::Duration;

/// How the last connection to a static peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It stood, and was lost.
    Lost,
    /// It never stood: no answer, or the handshake failed.
    Failed,
    /// The peer said that it does not want us.
    Refused,
}

/// The waiting times towards one peer.
#[derive(Debug)]
pub(crate) struct Backoff {
    nearby: bool,
    next: Duration,
}

impl Backoff {
    pub(crate) fn towards(address: IpAddr) -> Self {
        Self { nearby: address.is_loopback(), next: FIRST }
    }

    /// Returns how long to wait after this end.
    ///
    /// go-ethereum's peers do not take the same node again within 30 to 35 s, so after a refusal coming earlier is in
    /// vain; on loopback everything is ours, and a relay that starts again is found within seconds.
    pub(crate) fn after(&mut self, ended: Ended) -> Duration {
        match ended {
            Ended::Refused if !self.nearby => return REFUSED,
            Ended::Lost => self.next = FIRST,
            Ended::Failed | Ended::Refused => {}
        }
        let wait = self.next;
        self.next = (wait * 2).min(if self.nearby { NEARBY } else { REFUSED });
        wait
    }
}

const FIRST: Duration = Duration::from_millis(500);
const NEARBY: Duration = Duration::from_secs(5);
/// The re-dial interval of the protocol reference, section 1.3.
const REFUSED: Duration = Duration::from_secs(35);

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(address: &str, ends: &[Ended]) -> Vec<u128> {
        let mut backoff = Backoff::towards(address.parse().unwrap());
        ends.iter().map(|end| backoff.after(*end).as_millis()).collect()
    }

    #[test]
    fn nearby_a_peer_is_tried_again_within_five_seconds() {
        use Ended::{Failed, Lost, Refused};
        let ends = [Lost, Failed, Failed, Failed, Failed, Refused, Lost];
        assert_eq!(waits("127.0.0.1", &ends), [500, 1000, 2000, 4000, 5000, 5000, 500]);
    }

    #[test]
    fn elsewhere_a_refusal_is_respected() {
        use Ended::{Failed, Lost, Refused};
        let ends = [Lost, Failed, Refused, Failed, Failed, Failed, Failed, Failed, Failed];
        assert_eq!(waits("192.0.2.1", &ends), [500, 1000, 35_000, 2000, 4000, 8000, 16_000, 32_000, 35_000]);
    }
}
