//! The settings of the recorded node, as ours.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use k256::SecretKey;
use proto::ChatKey;
use wire::waku::{Allowance, Config, Confirmations, Interest, Rate};

use super::super::case::Case;

/// Returns the settings of our host.
pub(super) fn config(settings: Case<'_>, keys: &mut Keys) -> Result<Config, String> {
    let max_size =
        usize::try_from(settings.number("max_message_size")?).map_err(|_| "max_message_size is too large")?;
    // A node that starts full has a filter of all bits, which it says in bloom mode even when it is full no more.
    let full = settings.says("full_node") && settings.says("bloom_mode");
    Ok(Config {
        interest: if full { Interest::Full } else { Interest::Unsaid },
        min_pow: settings.double("min_pow")?,
        light_node: settings.says("light"),
        refuse_light_peers: settings.says("restrict_light"),
        confirmations: if settings.says("confirmations") { Confirmations::Always } else { Confirmations::Never },
        max_packet: max_size,
        max_envelope: max_size,
        allowance: settings.find("rate_limiter").map(|limits| allowance(limits, keys)).transpose()?,
        ignored: keys.of_list(settings, "soft_blacklist")?,
        mail_server: settings.says("mailserver"),
        // The recorded node leaves it to its transport to end a connection without a status.
        status_timeout: Duration::MAX,
        ..Config::default()
    })
}

/// A key for each node id of the recording, which is a hash: its own key cannot be told from it.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<String, ChatKey>);

impl Keys {
    pub(super) fn of(&mut self, id: &str) -> Result<ChatKey, String> {
        let id = id.strip_prefix("0x").unwrap_or(id);
        if let Some(key) = self.0.get(id) {
            return Ok(*key);
        }
        let mut secret = [0; 32];
        secret[24..].copy_from_slice(&(self.0.len() as u64 + 1).to_be_bytes());
        let key: ChatKey = SecretKey::from_slice(&secret).map_err(|_| "no key")?.public_key().into();
        self.0.insert(id.to_owned(), key);
        Ok(key)
    }

    fn of_list(&mut self, from: Case<'_>, name: &str) -> Result<Vec<ChatKey>, String> {
        let Some(_) = from.find(name) else { return Ok(Vec::new()) };
        from.texts(name)?.into_iter().map(|id| self.of(id)).collect()
    }
}

fn allowance(limits: Case<'_>, keys: &mut Keys) -> Result<Allowance, String> {
    let rate = |of: &str| -> Result<Rate, String> {
        Ok(Rate {
            packets: limits.number(&format!("packets_per_{of}"))?,
            bytes: limits.number(&format!("bytes_per_{of}"))?,
        })
    };
    let addresses = limits.find("whitelisted_ips").map(|_| limits.texts("whitelisted_ips")).transpose()?;
    let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| format!("{text} is no address"));
    Ok(Allowance {
        per_peer: rate("peer")?,
        per_address: rate("ip")?,
        tolerance: limits.number("drop_tolerance")?,
        spared_peers: keys.of_list(limits, "whitelisted_peers")?,
        spared_addresses: addresses.unwrap_or_default().into_iter().map(parse).collect::<Result<_, _>>()?,
    })
}
