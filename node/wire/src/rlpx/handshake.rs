//! The encryption handshake, both sides (devp2p `rlpx.md`, "Initial Handshake"; EIP-8).
//!
//! ```text
//! auth: size (2 BE) || ECIES(responder key, s2 = size, [signature (65), initiator id (64), nonce (32), 4] || padding)
//! ack:  size (2 BE) || ECIES(initiator key, s2 = size, [ephemeral id (64), nonce (32), 4] || padding)
//! signature: by the initiator's ephemeral key over ECDH(static keys) ^ nonce
//! ```
//!
//! We write the EIP-8 form with 100 to 300 bytes of random padding (status-go refuses an auth below 307 bytes), and read
//! the plain form of before EIP-8 too: 307 and 210 bytes without a size. It is answered in kind. What the peers tolerate
//! passes: any version, further elements, an ack without padding.

use k256::SecretKey;
use k256::ecdsa::SigningKey;
use proto::{ChatKey, Digest, RecoverableSignature};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::secrets::{Role, Secrets, Transcript};
use crate::ecies;
use crate::rlp::{self, Malformed, Reader};

/// The static key of a node, and its public half.
pub struct NodeKey {
    secret: SecretKey,
    id: ChatKey,
}

impl NodeKey {
    /// Returns the public key, which is the node's id.
    #[must_use]
    pub const fn id(&self) -> &ChatKey {
        &self.id
    }
}

impl From<SecretKey> for NodeKey {
    fn from(secret: SecretKey) -> Self {
        let id = secret.public_key().into();
        Self { secret, id }
    }
}

/// How a handshake packet is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Without a size and of a fixed length, as before EIP-8.
    Plain,
    /// Size first, RLP, padding.
    Eip8,
}

/// An auth packet that was read.
pub struct Auth {
    /// The initiator's static key, as it says. A false one fails at the first frame, for want of the secrets.
    pub initiator: ChatKey,
    /// The initiator's ephemeral key, recovered from the signature.
    pub ephemeral: ChatKey,
    /// The initiator's nonce.
    pub nonce: [u8; 32],
    /// The handshake's version; not looked at.
    pub version: u64,
    /// How many elements of later versions followed.
    pub extra_elements: usize,
    /// How it was written.
    pub form: Form,
    /// How many bytes of the stream it took.
    pub len: usize,
}

/// An ack packet that was read.
pub struct Ack {
    /// The responder's ephemeral key.
    pub ephemeral: ChatKey,
    /// The responder's nonce.
    pub nonce: [u8; 32],
    /// The handshake's version; not looked at.
    pub version: u64,
    /// How many elements of later versions followed.
    pub extra_elements: usize,
    /// How it was written.
    pub form: Form,
    /// How many bytes of the stream it took.
    pub len: usize,
}

/// What came of reading a stream that may not be there whole yet.
pub enum Progress<T> {
    /// Try again when the stream has this many bytes.
    Needs(usize),
    /// It was read.
    Done(T),
}

/// A handshake packet that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It announces fewer bytes than any handshake packet has.
    #[error("the handshake packet announces only {size} bytes")]
    TooShort {
        /// The announced size.
        size: usize,
    },
    /// It was not sealed to our key, or it was altered.
    #[error("the handshake packet does not open with our key")]
    DoesNotOpen,
    /// What was sealed is no handshake message.
    #[error("the handshake message cannot be read")]
    Malformed(#[from] Malformed),
    /// A public key in it is not on the curve.
    #[error("the handshake names a key that is none")]
    BadKey,
    /// No key made this signature.
    #[error("the signature of the handshake is none")]
    BadSignature,
}

/// Reads the auth packet at the beginning of what the initiator sent.
///
/// # Errors
/// [`HandshakeError`] as soon as it cannot become a packet.
pub fn open_auth(key: &NodeKey, stream: &[u8]) -> Result<Progress<Auth>, HandshakeError> {
    let packet = match open_packet(key, stream, PLAIN_AUTH)? {
        Progress::Needs(bytes) => return Ok(Progress::Needs(bytes)),
        Progress::Done(packet) => packet,
    };
    let signature: [u8; 65];
    let (id, nonce, version, extra_elements);
    match packet.form {
        Form::Eip8 => {
            let mut fields = Reader::new(&packet.body).list()?;
            signature = fields.array()?;
            (id, nonce, version, extra_elements) = tail(fields)?;
        }
        Form::Plain => {
            // signature (65) || keccak(ephemeral) (32) || id (64) || nonce (32) || 0
            let mut rest = packet.body.as_slice();
            signature = take(&mut rest)?;
            let _: [u8; 32] = take(&mut rest)?;
            (id, nonce, version, extra_elements) = (take(&mut rest)?, take(&mut rest)?, PLAIN_VERSION, 0);
        }
    }
    let initiator = ChatKey::from_node_id(&id).map_err(|_| HandshakeError::BadKey)?;
    let ephemeral = RecoverableSignature::from(signature)
        .recover(&token(&key.secret, &initiator, &nonce))
        .ok_or(HandshakeError::BadSignature)?;
    let Packet { form, len, body: _ } = packet;
    Ok(Progress::Done(Auth { initiator, ephemeral, nonce, version, extra_elements, form, len }))
}

/// Reads the ack packet at the beginning of what the responder sent.
///
/// # Errors
/// [`HandshakeError`] as soon as it cannot become a packet.
pub fn open_ack(key: &NodeKey, stream: &[u8]) -> Result<Progress<Ack>, HandshakeError> {
    let packet = match open_packet(key, stream, PLAIN_ACK)? {
        Progress::Needs(bytes) => return Ok(Progress::Needs(bytes)),
        Progress::Done(packet) => packet,
    };
    let (id, nonce, version, extra_elements) = match packet.form {
        Form::Eip8 => tail(Reader::new(&packet.body).list()?)?,
        Form::Plain => {
            // id (64) || nonce (32) || 0
            let mut rest = packet.body.as_slice();
            (take(&mut rest)?, take(&mut rest)?, PLAIN_VERSION, 0)
        }
    };
    let ephemeral = ChatKey::from_node_id(&id).map_err(|_| HandshakeError::BadKey)?;
    let Packet { form, len, body: _ } = packet;
    Ok(Progress::Done(Ack { ephemeral, nonce, version, extra_elements, form, len }))
}

/// The initiator's side between its auth and the other's ack.
pub struct Initiator {
    ephemeral: SecretKey,
    nonce: [u8; 32],
    auth: Vec<u8>,
}

impl Initiator {
    /// Begins a handshake with the node of this key.
    ///
    /// Draws from `rng`: ephemeral key (32 bytes at a time until it is one), nonce (32), length of the padding
    /// (2, big-endian, 100 + n mod 201), padding, then what [`ecies::seal`] draws.
    #[must_use]
    pub fn start(key: &NodeKey, remote: &ChatKey, rng: &mut dyn CryptoRng) -> Self {
        let ephemeral = ecies::draw_key(rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let token = token(&key.secret, remote, &nonce);
        let signature = RecoverableSignature::sign(&SigningKey::from(&ephemeral), &token);
        let body = rlp::list(|w| {
            w.bytes(signature.as_bytes()).bytes(&key.id.to_node_id()).bytes(&nonce).uint(VERSION);
        });
        let auth = seal_packet(remote, body, rng);
        Self { ephemeral, nonce, auth }
    }

    /// Returns the auth packet to send.
    #[must_use]
    pub fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// Ends the handshake with the ack, whose packet was exactly these bytes.
    #[must_use]
    pub fn finish(self, ack: &Ack, packet: &[u8]) -> Secrets {
        let seen =
            Transcript { initiator_nonce: &self.nonce, responder_nonce: &ack.nonce, auth: &self.auth, ack: packet };
        Secrets::derive(Role::Initiator, &self.ephemeral, &ack.ephemeral, seen)
    }
}

/// Answers an auth, whose packet was exactly these bytes, in its own form: returns the ack packet and the secrets.
///
/// Draws from `rng`: ephemeral key (32 bytes at a time until it is one), nonce (32), unless the form is plain length of
/// the padding (2, big-endian, 100 + n mod 201) and padding, then what [`ecies::seal`] draws.
#[must_use]
pub fn answer(auth: &Auth, packet: &[u8], rng: &mut dyn CryptoRng) -> (Vec<u8>, Secrets) {
    let ephemeral = ecies::draw_key(rng);
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let id = ChatKey::from(ephemeral.public_key()).to_node_id();
    let ack = match auth.form {
        Form::Plain => ecies::seal(&auth.initiator, &[], &[id.as_slice(), &nonce, &[0]].concat(), rng),
        Form::Eip8 => {
            let body = rlp::list(|w| {
                w.bytes(&id).bytes(&nonce).uint(VERSION);
            });
            seal_packet(&auth.initiator, body, rng)
        }
    };
    let seen = Transcript { initiator_nonce: &auth.nonce, responder_nonce: &nonce, auth: packet, ack: &ack };
    let secrets = Secrets::derive(Role::Responder, &ephemeral, &auth.ephemeral, seen);
    (ack, secrets)
}

struct Packet {
    body: Zeroizing<Vec<u8>>,
    form: Form,
    len: usize,
}

fn open_packet(key: &NodeKey, stream: &[u8], plain_len: usize) -> Result<Progress<Packet>, HandshakeError> {
    let Some((s2, rest)) = stream.split_first_chunk::<2>() else { return Ok(Progress::Needs(2)) };
    // A plain packet begins with the 04 of a point. As a size that would be 1024 to 1279: possible, so both are tried.
    if let [4, _] = s2 {
        let Some(packet) = stream.get(..plain_len) else { return Ok(Progress::Needs(plain_len)) };
        if let Ok(body) = ecies::open(&key.secret, &[], packet) {
            return Ok(Progress::Done(Packet { body, form: Form::Plain, len: plain_len }));
        }
    }
    let size = usize::from(u16::from_be_bytes(*s2));
    if size < plain_len {
        return Err(HandshakeError::TooShort { size });
    }
    let Some(packet) = rest.get(..size) else { return Ok(Progress::Needs(size + s2.len())) };
    let body = ecies::open(&key.secret, s2, packet).map_err(|_| HandshakeError::DoesNotOpen)?;
    Ok(Progress::Done(Packet { body, form: Form::Eip8, len: size + s2.len() }))
}

fn seal_packet(to: &ChatKey, mut body: Vec<u8>, rng: &mut dyn CryptoRng) -> Vec<u8> {
    let mut length = [0; 2];
    rng.fill_bytes(&mut length);
    let text = body.len();
    body.resize(text + 100 + usize::from(u16::from_be_bytes(length) % 201), 0);
    rng.fill_bytes(body.split_at_mut(text).1);
    // At most 170 + 300 + 113 bytes.
    let size = u16::try_from(body.len() + ecies::OVERHEAD).unwrap_or(u16::MAX).to_be_bytes();
    let sealed = ecies::seal(to, &size, &body, rng);
    [size.as_slice(), &sealed].concat()
}

/// Reads what auth and ack have in common, and counts what follows.
fn tail(mut fields: Reader<'_>) -> Result<([u8; 64], [u8; 32], u64, usize), Malformed> {
    let (id, nonce, version) = (fields.array()?, fields.array()?, fields.u64()?);
    let mut extra_elements = 0;
    while !fields.is_empty() {
        fields.raw()?;
        extra_elements += 1;
    }
    Ok((id, nonce, version, extra_elements))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk().ok_or(Malformed { what: "cut short" })?;
    *rest = tail;
    Ok(*head)
}

/// What the ephemeral key signs: ECDH of the static keys, XOR the nonce.
fn token(ours: &SecretKey, theirs: &ChatKey, nonce: &[u8; 32]) -> Digest {
    let shared = ecies::agree(ours, theirs);
    let mut token = *nonce;
    token.iter_mut().zip(shared.expose()).for_each(|(t, s)| *t ^= s);
    Digest::from(token)
}

const VERSION: u64 = 4;
const PLAIN_VERSION: u64 = 4;
/// Length of a plain auth packet, and the least that status-go reads of any.
const PLAIN_AUTH: usize = 307;
/// Length of a plain ack packet.
const PLAIN_ACK: usize = 210;

#[cfg(test)]
mod tests;
