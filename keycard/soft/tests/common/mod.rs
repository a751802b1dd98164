//! A tiny client of applet 4.0 for the tests: the client model of the recordings, written from the protocol alone.
#![allow(dead_code, reason = "each test binary uses its own part of the client")]

pub(crate) mod v1;

use aes::Aes128;
use ccm::aead::Aead;
use ccm::consts::{U8, U13};
use ccm::{Ccm, Key, KeyInit, Nonce};
use hkdf::Hkdf;
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{Signature, VerifyingKey};
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{PublicKey, SecretKey};
use proto::TestDice;
use rand_core::{CryptoRng, Rng};
use sha2::{Digest, Sha256};
use softcard::{Model, SoftCard};

pub(crate) const KEYCARD: [u8; 9] = [0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];
pub(crate) const PIN: &[u8; 6] = b"000000";
pub(crate) const DURESS: &[u8; 6] = b"024680";
/// INIT with PIN 000000, PUK 123456789012, 3 and 5 tries, duress PIN 024680.
pub(crate) const INIT: &str = "80fe00001a3030303030303132333435363738393031320305303234363830";
/// LOAD KEY with the seed of "abandon" x 11 "about".
pub(crate) const LOAD_ABANDON: &str = "80d00300405eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc19a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4";

pub(crate) fn dice(seed: u64) -> Box<dyn CryptoRng + Send> {
    Box::new(TestDice::seeded(seed))
}

/// Where an answer was found: inside the channel, or in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Inner,
    Outer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) sw: u16,
    pub(crate) place: Place,
    pub(crate) data: Vec<u8>,
}

type Cipher = Ccm<Aes128, U8, U13>;

pub(crate) struct Channel {
    to_card: Cipher,
    from_card: Cipher,
    counter: u64,
}

impl Channel {
    pub(crate) fn new(h2c: &[u8], c2h: &[u8]) -> Self {
        let cipher = |key: &[u8]| Cipher::new(&Key::<Cipher>::try_from(key).unwrap());
        Self { to_card: cipher(h2c), from_card: cipher(c2h), counter: 0 }
    }

    fn nonce(counter: u64) -> Nonce<U13> {
        let mut nonce = Nonce::default();
        nonce[5..].copy_from_slice(&counter.to_be_bytes());
        nonce
    }

    pub(crate) fn wrap(&self, inner: &[u8], ahead: u64) -> Vec<u8> {
        let sealed = self.to_card.encrypt(&Self::nonce(self.counter + ahead), inner).unwrap();
        outer(&sealed)
    }

    fn unwrap(&mut self, sealed: &[u8]) -> Option<(Vec<u8>, u16)> {
        if sealed.len() < 10 {
            return None;
        }
        let mut data = self.from_card.decrypt(&Self::nonce(self.counter), sealed).ok()?;
        self.counter += 1;
        let sw = data.split_off(data.len() - 2);
        Some((data, u16::from_be_bytes([sw[0], sw[1]])))
    }
}

/// `80 18 00 00 Lc`.
fn outer(sealed: &[u8]) -> Vec<u8> {
    let mut command = vec![0x80, 0x18, 0, 0, u8::try_from(sealed.len()).unwrap()];
    command.extend_from_slice(sealed);
    command
}

/// `CLA INS P1 P2 Lc data` with the length byte always there.
fn with_lc(send: &[u8]) -> Vec<u8> {
    let mut inner = send.to_vec();
    if inner.len() == 4 {
        inner.push(0);
    }
    inner
}

pub(crate) struct Client {
    pub(crate) card: SoftCard,
    pub(crate) channel: Option<Channel>,
    pub(crate) certificate: Option<Vec<u8>>,
    last_secured: Option<Vec<u8>>,
    dice: TestDice,
}

impl Client {
    pub(crate) fn new(card: SoftCard) -> Self {
        Self { card, channel: None, certificate: None, last_secured: None, dice: TestDice::seeded(77) }
    }

    /// A blank card, selected, with an open channel.
    pub(crate) fn open_blank(seed: u64) -> Self {
        let mut client = Self::new(SoftCard::in_memory(Model::V4_0, dice(seed)));
        assert_eq!(client.select(&KEYCARD).sw, 0x9000);
        assert_eq!(client.open().sw, 0x9000);
        client
    }

    /// An initialised card with the key of "abandon" x 11 "about", its main PIN validated.
    pub(crate) fn loaded(seed: u64) -> Self {
        let mut client = Self::open_blank(seed);
        client.ok(INIT);
        client.verify(PIN);
        client.ok(LOAD_ABANDON);
        client
    }

    pub(crate) fn power(&mut self) {
        self.card.power_cycle();
        self.channel = None;
        self.last_secured = None;
    }

    pub(crate) fn select(&mut self, aid: &[u8]) -> Reply {
        let mut command = vec![0x00, 0xa4, 0x04, 0x00, u8::try_from(aid.len()).unwrap()];
        command.extend_from_slice(aid);
        let reply = self.plain(&command);
        if reply.sw == 0x9000 && reply.place == Place::Outer {
            self.channel = None;
            if aid == KEYCARD {
                self.certificate = Some(reply.data[reply.data.len() - 98..].to_vec());
            }
        }
        reply
    }

    pub(crate) fn plain(&mut self, command: &[u8]) -> Reply {
        let mut data = self.card.transmit(command);
        let sw = data.split_off(data.len() - 2);
        let sw = u16::from_be_bytes([sw[0], sw[1]]);
        if sw == 0x9000
            && let Some(channel) = &mut self.channel
            && let Some((data, sw)) = channel.unwrap(&data)
        {
            return Reply { sw, place: Place::Inner, data };
        }
        Reply { sw, place: Place::Outer, data }
    }

    pub(crate) fn secured(&mut self, send: &[u8]) -> Reply {
        let inner = with_lc(send);
        match &self.channel {
            Some(channel) => {
                let command = channel.wrap(&inner, 0);
                self.last_secured = Some(command.clone());
                self.secured_bytes(&command)
            }
            None => self.plain(&outer(&vec![0; 13 + inner.len() - 5])),
        }
    }

    fn secured_bytes(&mut self, command: &[u8]) -> Reply {
        let reply = self.plain(command);
        if reply.place == Place::Outer {
            self.channel = None;
        }
        reply
    }

    /// Sends a secured command in hexadecimal digits.
    pub(crate) fn send(&mut self, digits: &str) -> Reply {
        self.secured(&hex::decode(digits).unwrap())
    }

    /// Sends a secured command that must succeed, and returns its data.
    pub(crate) fn ok(&mut self, digits: &str) -> Vec<u8> {
        let reply = self.send(digits);
        assert_eq!((reply.sw, reply.place), (0x9000, Place::Inner), "{digits}");
        reply.data
    }

    pub(crate) fn try_pin(&mut self, pin: &[u8]) -> u16 {
        let mut command = vec![0x80, 0x20, 0, 0, u8::try_from(pin.len()).unwrap()];
        command.extend_from_slice(pin);
        self.secured(&command).sw
    }

    pub(crate) fn verify(&mut self, pin: &[u8]) {
        assert_eq!(self.try_pin(pin), 0x9000);
    }

    /// EXPORT KEY of a path of components, each "n" or "n'".
    pub(crate) fn export(&mut self, p2: u8, path: &str) -> Reply {
        let path: proto::KeyPath = path.parse().unwrap();
        let bytes = path.to_bytes();
        let mut command = vec![0x80, 0xc2, 0x01, p2, u8::try_from(bytes.len()).unwrap()];
        command.extend_from_slice(&bytes);
        self.secured(&command)
    }

    pub(crate) fn open(&mut self) -> Reply {
        let key = loop {
            let mut bytes = [0; 32];
            self.dice.fill_bytes(&mut bytes);
            if let Ok(key) = SecretKey::from_slice(&bytes) {
                break key;
            }
        };
        let mut salt = [0; 32];
        self.dice.fill_bytes(&mut salt);
        self.open_with(&key, &salt)
    }

    /// OPEN SECURE CHANNEL; the card's signature must verify, or the test fails.
    pub(crate) fn open_with(&mut self, key: &SecretKey, salt: &[u8; 32]) -> Reply {
        let ours = key.public_key().to_sec1_point(false);
        let mut command = vec![0x80, 0x10, 0, 0, 0x61];
        command.extend_from_slice(salt);
        command.extend_from_slice(ours.as_bytes());
        let reply = self.plain(&command);
        if reply.sw != 0x9000 {
            return reply;
        }
        assert_eq!(reply.place, Place::Outer);
        let (theirs, signature) = reply.data.split_at(65);
        let transcript = Sha256::new()
            .chain_update(b"sc_v2_ccm")
            .chain_update(salt)
            .chain_update(ours.as_bytes())
            .chain_update(theirs)
            .finalize();
        let identity = VerifyingKey::from_sec1_bytes(&self.certificate.as_ref().unwrap()[..33]).unwrap();
        let signature = Signature::from_der(signature).unwrap();
        identity.verify_prehash(&transcript, &signature.normalize_s()).unwrap();

        let theirs = PublicKey::from_sec1_bytes(theirs).unwrap();
        let shared = k256::ecdh::diffie_hellman(key.to_nonzero_scalar(), theirs.as_affine());
        let mut keys = [0; 32];
        Hkdf::<Sha256>::new(Some(salt), shared.raw_secret_bytes()).expand(b"sc_v2_ccm", &mut keys).unwrap();
        self.channel = Some(Channel::new(&keys[..16], &keys[16..]));
        reply
    }

    /// Sends a spoiled form of `send`; returns the reply, or nothing if there was nothing to send.
    pub(crate) fn tamper(&mut self, kind: &str, send: &[u8]) -> Option<Reply> {
        let channel = self.channel.as_ref()?;
        let inner = with_lc(send);
        let mut command = channel.wrap(&inner, 0);
        match kind {
            "bad-mac" => *command.last_mut().unwrap() ^= 1,
            "bad-body" => command[5] ^= 1,
            "bad-header" => command[3] ^= 1,
            "bad-cla" => command[0] = 0x00,
            "truncated" => {
                command.pop();
                command[4] -= 1;
            }
            "replayed" => command = self.last_secured.clone()?,
            "wrong-counter" => command = channel.wrap(&inner, 1),
            "inner-lc" => {
                let mut lying = inner.clone();
                lying[4] += 1;
                command = channel.wrap(&lying, 0);
            }
            "inner-short" => command = channel.wrap(&inner[..4], 0),
            "plain-while-open" => return Some(self.plain(send)),
            _ => panic!("unknown kind {kind}"),
        }
        Some(self.secured_bytes(&command))
    }
}
