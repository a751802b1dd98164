//! The client that the recordings speak of: a simple one, which may keep keys that the card has forgotten.
//!
//! It drops its channel at a power cut, at a SELECT answered 9000 in clear, when a secured command is answered otherwise than
//! through the channel, and when a handshake fails at its second half.

use std::collections::BTreeMap;

use k256::ecdh::diffie_hellman;
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{Signature, VerifyingKey};
use k256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

use super::Dice;
use super::channel::{Channel, V1, V2, body, outer, with_length};
use super::outcome::Outcome;
use super::script::{Action, Form, Tamper};
use super::tamper;
use crate::card::SoftCard;
use crate::channel::cbc;
use crate::key::{draw, uncompressed};

/// The client, and the card in its reader.
pub(super) struct Client<'a> {
    card: SoftCard,
    dice: Dice,
    secrets: &'a mut BTreeMap<String, [u8; 32]>,
    channel: Option<Channel>,
    pairings: BTreeMap<u8, [u8; 32]>,
    last_slot: u8,
    card_key: Option<PublicKey>,
    certificate: Option<Vec<u8>>,
    last_secured: Option<Vec<u8>>,
}

/// An answer as the client finally sees it.
struct Reply {
    data: Vec<u8>,
    sw: u16,
    is_inner: bool,
    is_previous: bool,
}

impl Reply {
    fn is_ok(&self) -> bool {
        self.sw == 0x9000
    }

    fn place(&self) -> &'static str {
        if self.is_inner { "inner" } else { "outer" }
    }

    /// Returns status word and place alone.
    fn bare(&self) -> Outcome {
        Outcome { sw: Some(word(self.sw)), place: Some(self.place()), ..Outcome::default() }
    }

    fn whole(self) -> Outcome {
        Outcome { iv: self.is_previous.then_some("previous"), ..self.bare() }.with(self.data)
    }
}

impl Outcome {
    fn with(self, data: Vec<u8>) -> Self {
        Self { data: Some(data), ..self }
    }

    /// Returns the outcome of a step for which there was nothing to send.
    fn nothing_sent(survives: bool) -> Self {
        Self { sw: Some("none".to_owned()), survives: Some(survives), ..Self::default() }
    }
}

impl<'a> Client<'a> {
    pub(super) fn new(card: SoftCard, dice: Dice, secrets: &'a mut BTreeMap<String, [u8; 32]>) -> Self {
        Self {
            card,
            dice,
            secrets,
            channel: None,
            pairings: BTreeMap::new(),
            last_slot: 0,
            card_key: None,
            certificate: None,
            last_secured: None,
        }
    }

    /// Does what a step says.
    pub(super) fn run(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Power => {
                self.card.power_cycle();
                self.channel = None;
                self.last_secured = None;
                Outcome::default()
            }
            Action::Select { aid } => self.select(aid),
            Action::Open { index } if self.card.model().has_pairings() => self.open_v1(index.unwrap_or(self.last_slot)),
            Action::Open { .. } => self.open_v2(),
            Action::Pair { password, p2 } => self.pair(password, *p2),
            Action::Unpair { index } => self.secured(&[0x80, 0x13, *index, 0x00]).whole(),
            Action::Init { plain, form } if self.card.model().has_pairings() => self.init_once(plain, *form),
            Action::Init { plain, .. } => self.secured(&command([0x80, 0xfe, 0, 0], plain)).whole(),
            Action::Apdu { send, is_secured: true } => self.secured(send).whole(),
            Action::Apdu { send, is_secured: false } => self.plain(send).whole(),
            Action::Tamper { send, kind } => self.tamper(send, *kind),
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> (Vec<u8>, u16) {
        let mut answer = self.card.transmit(bytes);
        let sw = answer.split_last_chunk().map_or(0, |(_, sw)| u16::from_be_bytes(*sw));
        answer.truncate(answer.len().saturating_sub(2));
        (answer, sw)
    }

    /// Sends bytes as they are. The answer may come through the channel all the same.
    fn plain(&mut self, bytes: &[u8]) -> Reply {
        self.exchange(bytes, None)
    }

    fn exchange(&mut self, bytes: &[u8], secured: Option<&[u8]>) -> Reply {
        let (data, sw) = self.transmit(bytes);
        let opened = match &mut self.channel {
            Some(channel) if sw == 0x9000 => channel.unwrap(&data, secured),
            _ => None,
        };
        match opened {
            Some(opened) => Reply { data: opened.data, sw: opened.sw, is_inner: true, is_previous: opened.is_previous },
            None => Reply { data, sw, is_inner: false, is_previous: false },
        }
    }

    /// Sends a command through the channel; without one, as it is (4.0: zeros in its place).
    fn secured(&mut self, send: &[u8]) -> Reply {
        let wrapped = match &self.channel {
            Some(Channel::V1(channel)) => channel.wrap(send),
            Some(Channel::V2(channel)) => channel.wrap(&with_length(send), 0),
            None if self.card.model().has_pairings() => return self.plain(send),
            None => {
                let zeros = outer(&vec![0; 13 + body(send).len()]);
                return self.plain(&zeros.unwrap_or_default());
            }
        };
        let bytes = wrapped.unwrap_or_default();
        self.last_secured = Some(bytes.clone());
        self.sent(&bytes)
    }

    /// Sends what is, or was, a secured command. Only an answer through the channel keeps it.
    fn sent(&mut self, bytes: &[u8]) -> Reply {
        let reply = self.exchange(bytes, Some(bytes));
        if !reply.is_inner {
            self.channel = None;
        }
        reply
    }

    fn select(&mut self, aid: &[u8]) -> Outcome {
        let reply = self.plain(&command([0x00, 0xa4, 0x04, 0x00], aid));
        if reply.is_ok() && !reply.is_inner {
            self.channel = None;
            if aid == KEYCARD {
                self.look_at(&reply.data);
            }
        }
        reply.whole()
    }

    /// Takes card key and certificate out of a SELECT answer.
    fn look_at(&mut self, answer: &[u8]) {
        let elements = match answer {
            [0xa4, 0x81, _, rest @ ..] | [0xa4, _, rest @ ..] => rest,
            bare => bare,
        };
        if let Some(key) = element(elements, 0x80).and_then(|key| PublicKey::from_sec1_bytes(key).ok()) {
            self.card_key = Some(key);
        }
        if let Some(certificate) = element(elements, 0x8a) {
            self.certificate = Some(certificate.to_vec());
        }
    }

    fn open_v1(&mut self, slot: u8) -> Outcome {
        let key = draw(&mut *self.dice);
        let ours = uncompressed(&key);
        let reply = self.plain(&command([0x80, 0x10, slot, 0x00], &ours));
        if !reply.is_ok() {
            return Outcome { stage: Some("open"), ..reply.bare() };
        }
        let pairing = self.pairings.get(&slot).copied().unwrap_or([0; 32]);
        let (salt, iv) = reply.data.split_at_checked(32).unwrap_or_default();
        let iv: cbc::Iv = iv.try_into().unwrap_or_default();
        self.channel = Some(Channel::V1(V1::agree(&self.shared(&key), &pairing, salt, &iv)));
        let mut challenge = [0; 32];
        self.dice.fill_bytes(&mut challenge);
        let reply = self.secured(&command([0x80, 0x11, 0x00, 0x00], &challenge));
        if !(reply.is_ok() && reply.is_inner && reply.data.len() == 32) {
            self.channel = None;
            return Outcome { stage: Some("auth"), ..reply.bare() };
        }
        self.last_slot = slot;
        Outcome { sw: Some(word(reply.sw)), ..Outcome::default() }
    }

    fn open_v2(&mut self) -> Outcome {
        let key = draw(&mut *self.dice);
        let ours = uncompressed(&key);
        let mut salt = [0; 32];
        self.dice.fill_bytes(&mut salt);
        let reply = self.plain(&command([0x80, 0x10, 0x00, 0x00], &[salt.as_slice(), &ours].concat()));
        let sw = Some(word(reply.sw));
        if !reply.is_ok() || reply.is_inner {
            return Outcome { sw, ..Outcome::default() };
        }
        let agreed = self.check_opening(&reply.data, &salt, &ours).map(|theirs| {
            let shared = diffie_hellman(key.to_nonzero_scalar(), theirs.as_affine());
            V2::agree(shared.raw_secret_bytes(), &salt)
        });
        let Some(channel) = agreed else {
            return Outcome { sw: Some("wrong signature".to_owned()), ..Outcome::default() };
        };
        self.channel = Some(Channel::V2(Box::new(channel)));
        Outcome { sw, ..Outcome::default() }
    }

    /// Returns the card's one-time key, if the key of its certificate has signed for it.
    fn check_opening(&self, answer: &[u8], salt: &[u8; 32], ours: &[u8; 65]) -> Option<PublicKey> {
        let (theirs, signature) = answer.split_at_checked(65)?;
        let transcript = Sha256::new()
            .chain_update(b"sc_v2_ccm")
            .chain_update(salt)
            .chain_update(ours)
            .chain_update(theirs)
            .finalize();
        let identity = VerifyingKey::from_sec1_bytes(self.certificate.as_ref()?.get(..33)?).ok()?;
        let signature = Signature::from_der(signature).ok()?;
        identity.verify_prehash(&transcript, &signature.normalize_s()).ok()?;
        PublicKey::from_sec1_bytes(theirs).ok()
    }

    /// Returns the X coordinate agreed with the card's static key; zeros if it never showed one.
    fn shared(&self, key: &SecretKey) -> [u8; 32] {
        let shared = self.card_key.map(|theirs| diffie_hellman(key.to_nonzero_scalar(), theirs.as_affine()));
        shared.map_or([0; 32], |shared| (*shared.raw_secret_bytes()).into())
    }

    fn pair(&mut self, password: &str, p2: u8) -> Outcome {
        let secret = self.secret(password);
        let mut ours = [0; 32];
        self.dice.fill_bytes(&mut ours);
        let reply = self.plain(&command([0x80, 0x12, 0x00, p2], &ours));
        if !reply.is_ok() {
            return Outcome { stage: Some("1"), ..reply.bare() };
        }
        let (cryptogram, theirs) = reply.data.split_at_checked(32).unwrap_or_default();
        let card_ok = Some(cryptogram == hash(&secret, &ours));
        let reply = self.plain(&command([0x80, 0x12, 0x01, p2], &hash(&secret, theirs)));
        let outcome = Outcome { card_ok, stage: Some("2"), ..reply.bare() };
        let Some((slot, salt)) = reply.data.split_first().filter(|_| reply.is_ok()) else {
            return outcome;
        };
        self.pairings.insert(*slot, hash(&secret, salt));
        self.last_slot = *slot;
        Outcome { slot: Some(*slot), ..outcome }
    }

    /// Returns the pairing secret of a password, or the raw one after `hex:`.
    fn secret(&mut self, password: &str) -> [u8; 32] {
        if let Some(secret) = self.secrets.get(password) {
            return *secret;
        }
        let mut secret = [0; 32];
        let raw = password.strip_prefix("hex:").map(|digits| hex::decode_to_slice(digits, &mut secret));
        if !matches!(raw, Some(Ok(()))) {
            pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), SALT, ROUNDS, &mut secret);
        }
        self.secrets.insert(password.to_owned(), secret);
        secret
    }

    fn init_once(&mut self, plain: &[u8], form: Form) -> Outcome {
        let key = draw(&mut *self.dice);
        let mut ours = uncompressed(&key);
        let shared = self.shared(&key);
        let mut iv = [0; 16];
        self.dice.fill_bytes(&mut iv);
        let sealed = match form {
            Form::BadPadding => {
                let mut padded = plain.to_vec();
                padded.resize((padded.len() + 1).next_multiple_of(cbc::BLOCK), 0);
                cbc::encrypt_blocks(&shared, &iv, &padded)
            }
            Form::BadPoint | Form::Sound => cbc::encrypt(&shared, &iv, plain),
        };
        if form == Form::BadPoint
            && let [.., last] = &mut ours
        {
            *last ^= 1;
        }
        let data = [&[0x41], ours.as_slice(), &iv, &sealed].concat();
        self.plain(&command([0x80, 0xfe, 0x00, 0x00], &data)).whole()
    }

    fn tamper(&mut self, send: &[u8], kind: Tamper) -> Outcome {
        let Some(channel) = &self.channel else {
            return Outcome::nothing_sent(false);
        };
        let reply = match kind {
            Tamper::PlainWhileOpen => self.plain(send),
            Tamper::Replayed => {
                let Some(last) = self.last_secured.clone() else {
                    return Outcome::nothing_sent(true);
                };
                self.sent(&last)
            }
            _ => {
                let spoiled = tamper::spoil(channel, send, kind, &mut *self.dice);
                self.sent(&spoiled.unwrap_or_default())
            }
        };
        let outcome = reply.whole();
        let probe = self.secured(&[0x80, 0xf2, 0x00, 0x00]);
        Outcome {
            survives: Some(probe.is_inner),
            probe: Some(word(probe.sw)),
            data: outcome.data.filter(|data| !data.is_empty()),
            ..outcome
        }
    }
}

/// Returns the value of the first element with this tag.
fn element(mut elements: &[u8], tag: u8) -> Option<&[u8]> {
    while let [found, length, rest @ ..] = elements {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *found == tag {
            return Some(value);
        }
        elements = rest;
    }
    None
}

/// Returns a command with this header. What the recordings send is never too long for it.
fn command(header: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
    [header.as_slice(), &[length], data].concat()
}

fn hash(secret: &[u8; 32], challenge: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(secret).chain_update(challenge).finalize().into()
}

fn word(sw: u16) -> String {
    format!("{sw:04x}")
}

const KEYCARD: [u8; 9] = [0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];
const SALT: &[u8] = b"Keycard Pairing Password Salt";
const ROUNDS: u32 = 50_000;
