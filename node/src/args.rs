//! The command line of `cardinal-node`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use node::{Config, Interest, Limits, Role, Waku};
use proto::ChatKey;
use proto::rpc::Fault;
use wire::p2p::{Capability, Enode};
use wire::waku::{self, Allowance, Confirmations, PoolLimits, Rate};

/// A Status node: carries envelopes, and talks in public chats with a key that its key manager exports from a card.
#[derive(Parser)]
#[command(name = "cardinal-node", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one person's node.
    Run {
        #[command(flatten)]
        common: Common,
        /// The Unix socket of the key manager.
        #[arg(long, value_name = "SOCKET")]
        keymgr: PathBuf,
        /// How long to wait for the card to be unlocked.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        unlock_within: u64,
        /// What peers are asked for: the topics of the chats (chats), a filter that holds them (chats-bloom), or
        /// everything, which tells peers nothing (full).
        #[arg(long, default_value = "chats", help_heading = WAKU)]
        interest: Interest,
        #[command(flatten)]
        waku: WakuArgs,
    },
    /// Runs a relay: it carries everybody's envelopes, has no key but its own and keeps no messages.
    Relay {
        #[command(flatten)]
        common: Common,
        /// What is carried: everything (full), what lies inside a filter of 128 hexadecimal digits or of topics
        /// (bloom:FILTER, bloom:TOPIC,TOPIC...), or topics of 8 digits each (topics:TOPIC,TOPIC...).
        #[arg(long, default_value = "full", help_heading = WAKU)]
        interest: Interest,
        #[command(flatten)]
        waku: WakuArgs,
    },
}

#[derive(Args)]
struct Common {
    /// The directory of the node's state, made (mode 0700) when there is none.
    #[arg(long)]
    dir: PathBuf,
    /// The Unix socket to serve the local API on; its directory must be ours alone (0700).
    #[arg(long)]
    socket: PathBuf,
    /// The address to take peers on; port 0 takes a free one, which the ready line tells.
    #[arg(long, default_value = "127.0.0.1:30303")]
    listen: SocketAddr,
    /// A peer to stay connected to; may be given several times.
    #[arg(long, value_name = "ENODE")]
    peer: Vec<Enode>,
    /// How many peers may be connected.
    #[arg(long, value_name = "NUMBER")]
    max_peers: Option<usize>,
    /// Stop when standard input is closed, so that the node ends with whoever started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// How the node behaves towards its Waku peers.
#[derive(Args)]
#[command(next_help_heading = WAKU)]
struct WakuArgs {
    /// A version of Waku to offer; may be given twice. Of those that both sides offer the highest is spoken.
    #[arg(long, value_name = "NAME", default_values = ["waku/1", "waku/0"], value_parser = capability)]
    capability: Vec<Capability>,
    /// The least proof of work that is taken. `cardinal node set` changes it while the node runs.
    #[arg(long, value_name = "NUMBER", default_value_t = defaults().min_pow)]
    min_pow: f64,
    /// Be a light node: forward nothing of others, and refuse peers that are light nodes too.
    #[arg(long)]
    light: bool,
    /// Take peers that are light nodes although this is one.
    #[arg(long, requires = "light")]
    accept_light_peers: bool,
    /// Whose packets are confirmed: always, in-return (of peers that confirm ours; the rest are not told that this node
    /// can) or never. A person's node confirms always, a relay in return.
    #[arg(long, value_name = "WHOSE", value_parser = confirmations)]
    confirmations: Option<Confirmations>,
    /// The largest packet that is taken; a longer one ends the connection.
    #[arg(long, value_name = "BYTES", default_value_t = defaults().max_packet)]
    max_packet: usize,
    /// The largest envelope that is taken, counted as 20 and its data.
    #[arg(long, value_name = "BYTES", default_value_t = defaults().max_envelope)]
    max_envelope: usize,
    /// How long a peer may take for its status.
    #[arg(long, value_name = "SECONDS", default_value_t = defaults().status_timeout.as_secs())]
    status_within: u64,
    /// How many packets a node may send in a second; 0 is no limit. As soon as there is any of the four limits, peers
    /// are told all of them.
    #[arg(long, value_name = "NUMBER")]
    packets_per_peer: Option<u64>,
    /// How many packets may come from one address in a second.
    #[arg(long, value_name = "NUMBER")]
    packets_per_address: Option<u64>,
    /// How many bytes of packets a node may send in a second.
    #[arg(long, value_name = "BYTES")]
    bytes_per_peer: Option<u64>,
    /// How many bytes of packets may come from one address in a second.
    #[arg(long, value_name = "BYTES")]
    bytes_per_address: Option<u64>,
    /// From which packet beyond the limits on each ends its connection, counted over all peers; 0 is never.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    excess_tolerance: u64,
    /// A node that is spared the limits, as those given with --peer are; may be given several times.
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    spare_peer: Vec<ChatKey>,
    /// An address that is spared the limits; may be given several times.
    #[arg(long, value_name = "IP")]
    spare_address: Vec<IpAddr>,
    /// A node whose packets from peer to peer are taken; may be given several times.
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    trust: Vec<ChatKey>,
    /// A node whose envelopes are left lying without a word; may be given several times.
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    ignore: Vec<ChatKey>,
    /// How many envelopes are kept at a time, until they expire; when it is full, those with the least work go.
    #[arg(long, value_name = "NUMBER", default_value_t = defaults().pool.envelopes)]
    pool_envelopes: usize,
    /// How much memory the kept envelopes may take.
    #[arg(long, value_name = "BYTES", default_value_t = defaults().pool.bytes)]
    pool_bytes: usize,
}

impl Arguments {
    /// Returns what the command line says, or ends the process with what is wrong with it.
    pub(crate) fn of_process() -> Self {
        Self::from_arg_matches(&documented().get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Returns the configuration, and whether the node ends when its standard input is closed.
    pub(crate) fn config(self) -> (Config, bool) {
        let (common, role, mut limits, waku) = match self.command {
            Command::Run { common, keymgr, unlock_within, interest, waku } => {
                let role = Role::Chat { keymgr, unlock_within: Duration::from_secs(unlock_within) };
                let waku = waku.settings(Waku { interest, ..Waku::chat() }, &common.peer);
                (common, role, Limits::CHAT, waku)
            }
            Command::Relay { common, interest, waku } => {
                let waku = waku.settings(Waku { interest, ..Waku::relay() }, &common.peer);
                (common, Role::Relay, Limits::RELAY, waku)
            }
        };
        let Common { dir, socket, listen, peer: peers, max_peers, until_stdin_closes } = common;
        if let Some(max) = max_peers {
            limits = limits.with_peers(max);
        }
        (Config { dir, socket, listen, peers, role, waku, limits }, until_stdin_closes)
    }
}

impl WakuArgs {
    /// Returns the settings of a role with these options, in a node that dials `peers`.
    fn settings(self, role: Waku, peers: &[Enode]) -> Waku {
        let allowance = self.allowance(peers);
        let mut capabilities = self.capability;
        capabilities.sort_unstable();
        capabilities.dedup();
        let host = waku::Config {
            min_pow: self.min_pow,
            light_node: self.light,
            refuse_light_peers: !self.accept_light_peers,
            confirmations: self.confirmations.unwrap_or(role.host.confirmations),
            max_packet: self.max_packet,
            max_envelope: self.max_envelope,
            allowance,
            trusted: self.trust,
            ignored: self.ignore,
            status_timeout: Duration::from_secs(self.status_within),
            pool: PoolLimits { envelopes: self.pool_envelopes, bytes: self.pool_bytes },
            ..role.host
        };
        Waku { capabilities, host, ..role }
    }

    fn allowance(&self, peers: &[Enode]) -> Option<Allowance> {
        let limits = [self.packets_per_peer, self.bytes_per_peer, self.packets_per_address, self.bytes_per_address];
        limits.iter().any(Option::is_some).then(|| Allowance {
            per_peer: rate(self.packets_per_peer, self.bytes_per_peer),
            per_address: rate(self.packets_per_address, self.bytes_per_address),
            tolerance: self.excess_tolerance,
            spared_peers: peers.iter().map(|peer| peer.key).chain(self.spare_peer.iter().copied()).collect(),
            spared_addresses: self.spare_address.clone(),
        })
    }
}

/// The command line with the exit codes in every `--help`.
fn documented() -> clap::Command {
    let table = Fault::exit_code_table();
    Arguments::command().after_help(table.clone()).mut_subcommands(|verb| verb.after_help(table.clone()))
}

fn defaults() -> waku::Config {
    waku::Config::default()
}

fn rate(packets: Option<u64>, bytes: Option<u64>) -> Rate {
    Rate { packets: packets.unwrap_or(0), bytes: bytes.unwrap_or(0) }
}

/// Reads a node's public key, or an address with it.
fn node_id(text: &str) -> Result<ChatKey, &'static str> {
    if let Ok(enode) = text.parse::<Enode>() {
        return Ok(enode.key);
    }
    let mut id = [0; 64];
    hex::decode_to_slice(text, &mut id)
        .ok()
        .and_then(|()| ChatKey::from_node_id(&id).ok())
        .ok_or("give a node's address (enode://...), or the 128 hexadecimal digits of its id")
}

fn capability(text: &str) -> Result<Capability, &'static str> {
    match text {
        "waku/1" => Ok(Capability::WAKU_1),
        "waku/0" => Ok(Capability::WAKU_0),
        _ => Err("give waku/1 or waku/0"),
    }
}

fn confirmations(text: &str) -> Result<Confirmations, &'static str> {
    [Confirmations::Always, Confirmations::InReturn, Confirmations::Never]
        .into_iter()
        .find(|whose| whose.name() == text)
        .ok_or("give always, in-return or never")
}

/// Over the options about peers.
const WAKU: &str = "Waku";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(role: &str, more: &[&str]) -> Result<Config, clap::Error> {
        let common = ["cardinal-node", role, "--dir", "d", "--socket", "s"];
        let keymgr: &[&str] = if role == "run" { &["--keymgr", "k"] } else { &[] };
        let matches = documented().try_get_matches_from(common.iter().chain(keymgr).chain(more))?;
        Ok(Arguments::from_arg_matches(&matches)?.config().0)
    }

    #[test]
    fn every_help_lists_the_exit_code_of_every_fault() {
        let mut command = documented();
        command.clone().debug_assert();
        let mut helps = vec![command.render_help().to_string()];
        helps.extend(command.get_subcommands_mut().map(|verb| verb.render_help().to_string()));
        assert_eq!(helps.len(), 3);
        for fault in Fault::ALL {
            let line = format!("{:>2}  {}", fault.exit_code(), fault.meaning());
            assert!(helps.iter().all(|help| help.contains(&line)), "{}", fault.name());
        }
    }

    /// CLIENT-04, CLIENT-05: without options a relay carries everything, and a person's node asks for its chats alone.
    #[test]
    fn without_options_each_role_has_settings_that_make_sense() {
        let (relay, person) = (parsed("relay", &[]).unwrap(), parsed("run", &[]).unwrap());
        assert_eq!((&relay.waku.interest, &person.waku.interest), (&Interest::Full, &Interest::Chats));
        for config in [relay, person] {
            assert_eq!(config.waku.check(config.role.follows_chats()), Ok(()));
            assert!(!config.waku.host.light_node && config.waku.host.confirmations != Confirmations::Never);
        }
    }

    #[test]
    fn options_become_settings() {
        let options = "--capability waku/0 --interest topics:01020304 --min-pow 0.5 --light --accept-light-peers \
                       --confirmations never --packets-per-peer 5 --bytes-per-address 1048576 --excess-tolerance 3 \
                       --spare-address 10.0.0.1 --max-packet 2000 --max-envelope 1000 --status-within 7 --pool-envelopes 8 \
                       --pool-bytes 9000";
        let Waku { capabilities, interest, host } =
            parsed("relay", &options.split_whitespace().collect::<Vec<_>>()).unwrap().waku;
        assert_eq!((capabilities, interest.to_string()), (vec![Capability::WAKU_0], "topics:01020304".to_owned()));
        assert_eq!((host.min_pow, host.light_node, host.refuse_light_peers), (0.5, true, false));
        assert_eq!((host.confirmations, host.max_packet, host.max_envelope), (Confirmations::Never, 2000, 1000));
        let allowance = Allowance {
            per_peer: Rate { packets: 5, bytes: 0 },
            per_address: Rate { packets: 0, bytes: 1 << 20 },
            tolerance: 3,
            spared_peers: Vec::new(),
            spared_addresses: vec!["10.0.0.1".parse().unwrap()],
        };
        assert_eq!(host.allowance, Some(allowance));
        assert_eq!(host.status_timeout, Duration::from_secs(7));
        assert_eq!(host.pool, PoolLimits { envelopes: 8, bytes: 9000 });
    }

    /// WAKU1-47: the peers that this node dials are spared the limits, and others by name.
    #[test]
    fn nodes_are_named_by_address_or_id() {
        let of = |byte| ChatKey::from(k256::SecretKey::from_slice(&[byte; 32]).unwrap().public_key());
        let enode = |byte| Enode { key: of(byte), ip: [127, 0, 0, 1].into(), tcp: 1, udp: 1 }.to_string();
        let id = hex::encode(of(2).to_node_id());
        let (dialled, trusted) = (enode(1), enode(3));
        let options = ["--peer", &dialled, "--packets-per-peer", "5", "--spare-peer", &id, "--trust", &trusted];
        let host = parsed("relay", &[&options[..], &["--ignore", &id]].concat()).unwrap().waku.host;
        assert_eq!(host.allowance.unwrap().spared_peers, [of(1), of(2)]);
        assert_eq!((host.trusted, host.ignored), (vec![of(3)], vec![of(2)]));
        let refused = parsed("relay", &["--trust", &id[2..]]).map(drop).unwrap_err().to_string();
        assert!(refused.contains("128 hexadecimal digits"), "{refused}");
    }

    #[test]
    fn what_is_no_value_is_refused_with_a_word_on_what_would_be() {
        let refused = |options: &[&str]| parsed("relay", options).map(drop).unwrap_err().to_string();
        assert!(refused(&["--interest", "all"]).contains("say full"));
        assert!(refused(&["--capability", "shh/6"]).contains("waku/1 or waku/0"));
        assert!(refused(&["--min-pow", "much"]).contains("--min-pow"));
        assert!(refused(&["--accept-light-peers"]).contains("--light"));
    }
}
