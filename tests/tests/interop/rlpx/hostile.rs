//! Bytes that keep no rule, sent to a real node: each connection ends as it should, and nobody else notices.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use k256::SecretKey;
use k256::ecdsa::SigningKey;
use proto::shell::dice;
use proto::{ChatKey, Digest, RecoverableSignature};
use rand_core::Rng as _;
use scenarios::peer::connection::somebody;
use scenarios::peer::{Connection, Outcome, Scenario, Tool, World};
use serde_json::json;
use wire::ecies;
use wire::p2p::{Capability, Enode, Hello, Message};
use wire::rlp;
use wire::rlpx::handshake::open_ack;
use wire::rlpx::{FrameReader, FrameWriter, NodeKey, Progress, Role, Secrets, Transcript};

use crate::geth::{Geth, SOON, same};

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "rlpx",
        name: "every_form_of_handshake_that_peers_accept_is_accepted",
        peers: &[Tool::Node],
        shows: &["CLIENT-01", "WAKU1-01"],
        within: Duration::from_secs(60),
        run: every_form_of_handshake_that_peers_accept_is_accepted,
    },
    Scenario {
        group: "rlpx",
        name: "hostile_handshakes_are_closed_and_others_are_served",
        peers: &[Tool::Node, Tool::Geth],
        shows: &["CLIENT-01", "WAKU1-01"],
        within: Duration::from_secs(60),
        run: hostile_handshakes_are_closed_and_others_are_served,
    },
    Scenario {
        group: "rlpx",
        name: "hostile_frames_are_closed_and_others_are_served",
        peers: &[Tool::Node, Tool::Geth],
        shows: &["CLIENT-01", "WAKU1-01", "WAKU1-09"],
        within: Duration::from_secs(60),
        run: hostile_frames_are_closed_and_others_are_served,
    },
];

/// Somebody who writes an auth packet as he likes, and knows the keys that come of it.
pub(super) struct Stranger {
    key: SecretKey,
    ephemeral: SecretKey,
    nonce: [u8; 32],
    to: ChatKey,
}

impl Stranger {
    pub(super) fn who_wants(to: ChatKey) -> Self {
        let mut nonce = [0; 32];
        dice().fill_bytes(&mut nonce);
        Self { key: ecies::draw_key(&mut dice()), ephemeral: ecies::draw_key(&mut dice()), nonce, to }
    }

    fn id(&self) -> [u8; 64] {
        ChatKey::from(self.key.public_key()).to_node_id()
    }

    fn signature(&self) -> RecoverableSignature {
        let shared = ecies::agree(&self.key, &self.to);
        let mut token = self.nonce;
        token.iter_mut().zip(shared.expose()).for_each(|(token, shared)| *token ^= shared);
        RecoverableSignature::sign(&SigningKey::from(&self.ephemeral), &Digest::from(token))
    }

    /// The form of before EIP-8: 307 bytes, no size.
    fn plain_auth(&self) -> Vec<u8> {
        // The hash of the ephemeral key is read by nobody.
        let body = [self.signature().as_bytes().as_slice(), &[0; 32], &self.id(), &self.nonce, &[0]].concat();
        ecies::seal(&self.to, &[], &body, &mut dice())
    }

    /// The form of EIP-8, of any version, with further elements and any padding.
    pub(super) fn auth(&self, version: u64, elements: usize, padding: usize) -> Vec<u8> {
        let mut body = rlp::list(|w| {
            w.bytes(self.signature().as_bytes()).bytes(&self.id()).bytes(&self.nonce).uint(version);
            for _ in 0..elements {
                w.list(|w| {
                    w.bytes(b"more");
                });
            }
        });
        body.resize(body.len() + padding, 0);
        let size = u16::try_from(body.len() + ecies::OVERHEAD).unwrap().to_be_bytes();
        [size.as_slice(), &ecies::seal(&self.to, &size, &body, &mut dice())].concat()
    }

    /// Shakes hands with this auth, and reads the hello.
    pub(super) fn shake(&self, at: &Enode, auth: &[u8]) -> Outcome<(TcpStream, FrameWriter, FrameReader)> {
        let mut stream = open(at)?;
        stream.write_all(auth)?;
        let (key, mut packet) = (NodeKey::from(self.key.clone()), Vec::new());
        let ack = loop {
            let needs = match open_ack(&key, &packet)? {
                Progress::Needs(needs) => needs,
                Progress::Done(ack) => break ack,
            };
            let begin = packet.len();
            packet.resize(needs, 0);
            stream.read_exact(&mut packet[begin..]).map_err(|error| format!("no ack: {error}"))?;
        };
        let seen = Transcript { initiator_nonce: &self.nonce, responder_nonce: &ack.nonce, auth, ack: &packet };
        let secrets = Secrets::derive(Role::Initiator, &self.ephemeral, &ack.ephemeral, seen);
        let (writer, mut reader) = secrets.into_frames();
        let first = next_message(&mut stream, &mut reader)?;
        same("first message", first.code, Message::HELLO)?;
        let hello = Hello::decode(&first.payload)?;
        same("who says hello", hello.id, self.to.to_node_id())?;
        Ok((stream, writer, reader))
    }

    fn hello(&self, version: u64, name: &str) -> Vec<u8> {
        let mut hello = Hello::ours(&self.key.public_key().into(), name, 0, &[Capability::WAKU_1]);
        hello.version = version;
        hello.encode()
    }
}

/// Reads a message as it is in its frame.
pub(super) fn next_message(stream: &mut TcpStream, reader: &mut FrameReader) -> Outcome<wire::rlpx::Message> {
    let mut byte = [0];
    loop {
        if let Some(message) = reader.next_message()? {
            return Ok(message);
        }
        stream.read_exact(&mut byte).map_err(|error| format!("no message: {error}"))?;
        reader.extend(&byte);
    }
}

fn open(at: &Enode) -> Outcome<TcpStream> {
    let stream = TcpStream::connect_timeout(&at.socket_addr(), SOON)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    Ok(stream)
}

/// Reads until the other side closes, and returns how much came.
fn until_closed(stream: &mut TcpStream) -> Outcome<usize> {
    let until = Instant::now() + HANDSHAKE_AND_MORE;
    let (mut room, mut came) = (vec![0; 4096], 0);
    loop {
        stream.set_read_timeout(Some(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))))?;
        match stream.read(&mut room) {
            Ok(0) => return Ok(came),
            Ok(n) => came += n,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(came),
            Err(_) if Instant::now() >= until => return Err(format!("still open after {came} bytes").into()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn every_form_of_handshake_that_peers_accept_is_accepted(world: &World) -> Outcome {
    let relay = world.relay(&[])?;
    let forms: [Auth; 8] = [
        ("before EIP-8", Stranger::plain_auth),
        ("as ours", |stranger| stranger.auth(4, 0, 200)),
        ("as short as it may be", |stranger| stranger.auth(4, 0, 25)),
        ("of another version", |stranger| stranger.auth(56, 0, 100)),
        ("with further elements", |stranger| stranger.auth(4, 3, 100)),
        ("with 1500 bytes of padding", |stranger| stranger.auth(4, 0, 1500)),
        ("with 60000 bytes of padding", |stranger| stranger.auth(4, 0, 60_000)),
        ("as long as it may be", |stranger| stranger.auth(4, 0, 65_535 - 282)),
    ];
    for (what, form) in forms {
        let stranger = Stranger::who_wants(relay.enode.key);
        stranger.shake(&relay.enode, &form(&stranger)).map_err(|error| format!("auth {what}: {error}"))?;
    }
    Ok(())
}

/// What is sent, and whether the sending side is closed behind it.
type Bytes = (&'static str, Vec<u8>, bool);

/// What a stranger sends instead of an auth packet, or as one.
type Auth = (&'static str, fn(&Stranger) -> Vec<u8>);

const HOSTILE_HANDSHAKES: &[Auth] = &[
    ("nothing", |_| Vec::new()),
    ("one byte", |_| vec![1]),
    ("a size of nothing", |_| vec![0, 0]),
    ("a size below every packet", |_| vec![0, 100]),
    ("an auth without padding", |stranger| stranger.auth(4, 0, 0)),
    ("a size of 65535 and nothing behind it", |_| vec![0xff, 0xff]),
    ("a size of 65535 and as many zeros", |_| [vec![0xff, 0xff], vec![0; 65_535]].concat()),
    ("half an auth", |stranger| stranger.auth(4, 0, 200)[..200].to_vec()),
    ("a plain auth without its last byte", |stranger| stranger.plain_auth()[..306].to_vec()),
    ("a wrong tag", |stranger| {
        let mut auth = stranger.auth(4, 0, 200);
        let last = auth.len() - 1;
        auth[last] ^= 1;
        auth
    }),
    ("a wrong s2", |stranger| {
        // The size tells of one byte more, which comes, but the tag is about the size that was.
        let mut auth = stranger.auth(4, 0, 200);
        let size = (u16::from_be_bytes([auth[0], auth[1]]) + 1).to_be_bytes();
        auth[..2].copy_from_slice(&size);
        auth.push(0);
        auth
    }),
    ("a point that is none", |stranger| {
        let mut auth = stranger.auth(4, 0, 200);
        auth[3..67].fill(7);
        auth
    }),
    ("an auth to somebody else", |stranger| {
        let other = Stranger::who_wants(SecretKey::from_slice(&[9; 32]).unwrap().public_key().into());
        let mut auth = other.auth(4, 0, 200);
        auth.extend_from_slice(&stranger.nonce);
        auth
    }),
    ("an auth whose body is no list", |stranger| {
        let body = vec![0x11; 300];
        let size = u16::try_from(body.len() + ecies::OVERHEAD).unwrap().to_be_bytes();
        [size.as_slice(), &ecies::seal(&stranger.to, &size, &body, &mut dice())].concat()
    }),
    ("a request of the web", |_| b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ("a TLS greeting", |_| [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), vec![5; 507]].concat()),
    ("64 KiB of anything", |_| {
        let mut bytes = vec![0; 1 << 16];
        dice().fill_bytes(&mut bytes);
        bytes
    }),
];

fn hostile_handshakes_are_closed_and_others_are_served(world: &World) -> Outcome {
    among_others(world, |at| {
        let mut cases: Vec<Bytes> = Vec::new();
        for (what, bytes) in HOSTILE_HANDSHAKES {
            let stranger = Stranger::who_wants(at.key);
            // One keeps the stream open, and one hangs up.
            cases.push((what, bytes(&stranger), false));
            cases.push((what, bytes(&stranger), true));
        }
        at_once(cases, |(what, bytes, hang_up)| {
            let mut stream = open(&at)?;
            // It may be closed before everything is written.
            let _closed = stream.write_all(&bytes);
            if hang_up {
                let _closed = stream.shutdown(Shutdown::Write);
            }
            let came = until_closed(&mut stream).map_err(|error| format!("{what}: {error}"))?;
            same(what, came, 0)
        })
    })
}

/// What is sent once hands are shaken: the stranger and his way to seal frames give the bytes.
type Frames = fn(&Stranger, &mut FrameWriter) -> Vec<u8>;

fn seal(writer: &mut FrameWriter, code: u64, payload: &[u8]) -> Vec<u8> {
    writer.seal(code, payload).unwrap()
}

/// Hello and an empty status, compressed from there on.
fn join(stranger: &Stranger, writer: &mut FrameWriter) -> Vec<u8> {
    let hello = seal(writer, Message::HELLO, &stranger.hello(5, "stranger"));
    writer.compress(true);
    [hello, seal(writer, STATUS, &[0xc0])].concat()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    dice().fill_bytes(&mut noise);
    noise
}

const HOSTILE_FRAMES: &[(&str, Frames)] = &[
    ("nothing", |_, _| Vec::new()),
    ("garbage instead of a frame", |_, _| noise(1000)),
    ("a flipped bit in a header", |stranger, writer| {
        let mut frame = seal(writer, Message::HELLO, &stranger.hello(5, "stranger"));
        frame[3] ^= 1;
        frame
    }),
    ("a flipped bit in a body", |stranger, writer| {
        let mut frame = seal(writer, Message::HELLO, &stranger.hello(5, "stranger"));
        frame[40] ^= 1;
        frame
    }),
    ("a hello of 16 MiB", |_, writer| seal(writer, Message::HELLO, &vec![0; (1 << 24) - 2])),
    ("a hello that is no RLP", |_, writer| seal(writer, Message::HELLO, &[0xff; 100])),
    ("a hello of more than 2 KiB", |stranger, writer| {
        seal(writer, Message::HELLO, &stranger.hello(5, &"x".repeat(2000)))
    }),
    ("a ping instead of a hello", |_, writer| seal(writer, Message::PING, &[0xc0])),
    ("a status instead of a hello", |_, writer| seal(writer, STATUS, &[0xc0])),
    ("a disconnect instead of a hello", |_, writer| seal(writer, Message::DISCONNECT, &[0xc1, 4])),
    ("garbage after a good hello", |stranger, writer| {
        [seal(writer, Message::HELLO, &stranger.hello(5, "stranger")), noise(1 << 16)].concat()
    }),
    ("garbage after the status", |stranger, writer| [join(stranger, writer), noise(1 << 16)].concat()),
    ("a status of 16 MiB", |stranger, writer| {
        let hello = seal(writer, Message::HELLO, &stranger.hello(4, "stranger"));
        [hello, seal(writer, STATUS, &vec![0; (1 << 24) - 2])].concat()
    }),
    ("a status that is not compressed", |stranger, writer| {
        let hello = seal(writer, Message::HELLO, &stranger.hello(5, "stranger"));
        [hello, seal(writer, STATUS, &[0xff; 40])].concat()
    }),
    ("a status that says it is 16 MiB when it is not compressed", |stranger, writer| {
        let hello = seal(writer, Message::HELLO, &stranger.hello(5, "stranger"));
        [hello, seal(writer, STATUS, &[0x80, 0x80, 0x80, 0x08, 0, 0])].concat()
    }),
    ("a packet that says so after the status", |stranger, writer| {
        let begin = join(stranger, writer);
        writer.compress(false);
        [begin, seal(writer, MESSAGES, &[0x80, 0x80, 0x80, 0x08, 0, 0])].concat()
    }),
    ("a packet of 16 MiB that is nothing but zeros", |stranger, writer| {
        let begin = join(stranger, writer);
        [begin, seal(writer, MESSAGES, &vec![0; (1 << 24) - 1])].concat()
    }),
    ("a code beyond the capability", |stranger, writer| {
        let begin = join(stranger, writer);
        [begin, seal(writer, STATUS + Capability::WAKU_1.length, &[0xc0])].concat()
    }),
    ("a code beyond every number", |stranger, writer| {
        let begin = join(stranger, writer);
        [begin, seal(writer, u64::MAX, &[0xc0])].concat()
    }),
];

fn hostile_frames_are_closed_and_others_are_served(world: &World) -> Outcome {
    among_others(world, |at| {
        at_once(HOSTILE_FRAMES.to_vec(), |(what, frames)| {
            let stranger = Stranger::who_wants(at.key);
            let auth = stranger.auth(4, 0, 200);
            let (mut stream, mut writer, _) = stranger.shake(&at, &auth).map_err(|error| format!("{what}: {error}"))?;
            // It may be closed before everything is written.
            let _closed = stream.write_all(&frames(&stranger, &mut writer));
            until_closed(&mut stream).map(drop).map_err(|error| format!("{what}: {error}").into())
        })
    })
}

/// Runs an attack on a relay of ours that has another peer meanwhile, and looks what is left of both.
fn among_others(world: &World, attack: impl FnOnce(Enode) -> Outcome) -> Outcome {
    let relay = world.relay(&[])?;
    let mut geth = Geth::start(world, Tool::Geth, &["-caps", "waku/1", "-peers", &relay.enode.to_string()])?;
    let connect = geth.program.event("connect", SOON)?;
    geth.send(connect["peer"].as_str().unwrap_or_default(), "waku/1", 0, &[0xc0])?;
    let before = relay.program.rss().ok_or("the relay is gone")?;
    attack(relay.enode)?;
    let after = relay.program.rss().ok_or("the relay is gone")?;
    if after > before + MEMORY {
        return Err(format!("the relay has grown from {before} to {after} bytes").into());
    }
    let mut newcomer = Connection::dial(&somebody(&[Capability::WAKU_1])?, &relay.enode)?;
    newcomer.up()?;
    same("the other peer's connections", &geth.program.call("info", json!({}))?["peers"], &json!(1))?;
    let ended = geth.program.drain().into_iter().find(|event| event["event"] == "disconnect");
    same("the other peer's end", ended, None)
}

/// Checks all cases side by side.
fn at_once<C: Send>(cases: Vec<C>, check: impl Fn(C) -> Outcome + Sync) -> Outcome {
    std::thread::scope(|scope| {
        let check = &check;
        let threads: Vec<_> = cases.into_iter().map(|case| scope.spawn(move || check(case))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "panic")?)
    })
}

/// The absolute code of a status.
const STATUS: u64 = 16;
/// The absolute code of messages.
const MESSAGES: u64 = 17;
/// Handshake and hello together may take 5 s.
const HANDSHAKE_AND_MORE: Duration = Duration::from_secs(9);
/// What an attack may leave behind in a relay: a few buffers of a packet's size, kept by the allocator.
const MEMORY: u64 = 48 << 20;
