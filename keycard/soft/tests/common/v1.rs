//! A tiny client of the applets before 4.0 for the tests, written from the protocol alone.
#![allow(dead_code, reason = "each test binary uses its own part of the client")]

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt};
use aes::{Aes256, Block};
use ccm::KeyInit;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256, Sha512};
use softcard::SoftCard;

use super::KEYCARD;

/// PIN 000000, PUK 123456789012.
pub(crate) const CREDENTIALS: &[u8] = b"000000123456789012";
/// The pairing secret that the tests' cards are made with.
pub(crate) const SECRET: [u8; 32] = [0x5e; 32];

pub(crate) struct Client {
    pub(crate) card: SoftCard,
    keys: Option<([u8; 32], [u8; 32])>,
    iv: [u8; 16],
    pairing: [u8; 32],
}

impl Client {
    pub(crate) fn new(card: SoftCard) -> Self {
        Self { card, keys: None, iv: [0; 16], pairing: [0; 32] }
    }

    /// A card made with [`CREDENTIALS`] and [`SECRET`], paired, its channel open and its PIN validated.
    pub(crate) fn unlocked(card: SoftCard) -> Self {
        let mut client = Self::new(card);
        client.select();
        assert_eq!(client.init(&[CREDENTIALS, &SECRET].concat()), 0x9000);
        client.log_in();
        client
    }

    /// Selects, pairs, opens and verifies.
    pub(crate) fn log_in(&mut self) {
        self.select();
        let slot = self.pair(&SECRET, [0x11; 32]);
        self.open(slot, [0x22; 32]);
        assert_eq!(self.send("8020000006303030303030").0, 0x9000);
    }

    pub(crate) fn plain(&mut self, command: &[u8]) -> (u16, Vec<u8>) {
        let mut answer = self.card.transmit(command);
        let sw = answer.split_off(answer.len() - 2);
        (u16::from_be_bytes([sw[0], sw[1]]), answer)
    }

    pub(crate) fn select(&mut self) -> Vec<u8> {
        self.keys = None;
        let (sw, answer) = self.plain(&[&[0x00, 0xa4, 0x04, 0x00, 9], &KEYCARD[..]].concat());
        assert_eq!(sw, 0x9000);
        answer
    }

    /// The card's static key, as SELECT shows it.
    pub(crate) fn card_key(&mut self) -> Vec<u8> {
        let answer = self.select();
        let start = if answer[0] == 0x80 { 2 } else { answer.iter().position(|b| *b == 0x8f).unwrap() + 20 };
        answer[start..start + 65].to_vec()
    }

    fn shared(&mut self, ours: &SecretKey) -> [u8; 32] {
        let theirs = PublicKey::from_sec1_bytes(&self.card_key()).unwrap();
        let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        (*shared.raw_secret_bytes()).into()
    }

    pub(crate) fn init(&mut self, plain: &[u8]) -> u16 {
        let ours = SecretKey::from_slice(&[1; 32]).unwrap();
        let iv = [0x33; 16];
        let sealed = encrypt(&self.shared(&ours), iv, plain);
        let point = ours.public_key().to_sec1_point(false);
        let data = [&[0x41], point.as_bytes(), &iv, &sealed].concat();
        self.plain(&[&[0x80, 0xfe, 0, 0, u8::try_from(data.len()).unwrap()], &data[..]].concat()).0
    }

    /// Pairs and keeps the pairing key; returns the slot.
    pub(crate) fn pair(&mut self, secret: &[u8; 32], challenge: [u8; 32]) -> u8 {
        let (sw, answer) = self.plain(&[&[0x80, 0x12, 0, 0, 32], &challenge[..]].concat());
        assert_eq!(sw, 0x9000);
        assert_eq!(answer[..32], hash(secret, &challenge));
        let (sw, answer) = self.plain(&[&[0x80, 0x12, 1, 0, 32], &hash(secret, &answer[32..])[..]].concat());
        assert_eq!(sw, 0x9000);
        self.pairing = hash(secret, &answer[1..]);
        answer[0]
    }

    pub(crate) fn open(&mut self, slot: u8, challenge: [u8; 32]) {
        let ours = SecretKey::from_slice(&[1; 32]).unwrap();
        let shared = self.shared(&ours);
        let point = ours.public_key().to_sec1_point(false);
        let (sw, answer) = self.plain(&[&[0x80, 0x10, slot, 0, 65], point.as_bytes()].concat());
        assert_eq!(sw, 0x9000);
        let digest =
            Sha512::new().chain_update(shared).chain_update(self.pairing).chain_update(&answer[..32]).finalize();
        self.keys = Some((digest[..32].try_into().unwrap(), digest[32..].try_into().unwrap()));
        self.iv = answer[32..].try_into().unwrap();
        let (sw, answer) = self.secured(&[&[0x80, 0x11, 0, 0, 32], &challenge[..]].concat());
        assert_eq!((sw, answer.len()), (0x9000, 32));
    }

    /// Wraps a command as the channel wants it.
    pub(crate) fn wrap(&self, command: &[u8]) -> Vec<u8> {
        let (encryption, mac) = self.keys.unwrap();
        let sealed = encrypt(&encryption, self.iv, command.get(5..).unwrap_or_default());
        let mut header = [0; 16];
        header[..4].copy_from_slice(&command[..4]);
        header[4] = u8::try_from(16 + sealed.len()).unwrap();
        let tag = cbc_mac(&mac, header, &sealed);
        [&header[..5], &tag, &sealed].concat()
    }

    /// Sends a command through the channel. The answer must come back through it.
    pub(crate) fn secured(&mut self, command: &[u8]) -> (u16, Vec<u8>) {
        let bytes = self.wrap(command);
        let (sw, answer) = self.plain(&bytes);
        assert_eq!(sw, 0x9000, "the answer is in clear");
        let (encryption, mac) = self.keys.unwrap();
        let (tag, sealed) = answer.split_at(16);
        let mut header = [0; 16];
        header[0] = u8::try_from(answer.len() % 256).unwrap();
        assert_eq!(cbc_mac(&mac, header, sealed), tag, "the answer's MAC");
        self.iv = tag.try_into().unwrap();
        let mut plain = decrypt(&encryption, bytes[5..21].try_into().unwrap(), sealed);
        let sw = plain.split_off(plain.len() - 2);
        (u16::from_be_bytes([sw[0], sw[1]]), plain)
    }

    /// The same in hexadecimal digits.
    pub(crate) fn send(&mut self, digits: &str) -> (u16, Vec<u8>) {
        self.secured(&hex::decode(digits).unwrap())
    }

    /// Sends a secured command that must succeed, and returns its data.
    pub(crate) fn ok(&mut self, digits: &str) -> Vec<u8> {
        let (sw, data) = self.send(digits);
        assert_eq!(sw, 0x9000, "{digits}");
        data
    }
}

pub(crate) fn hash(secret: &[u8; 32], challenge: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(secret).chain_update(challenge).finalize().into()
}

fn encrypt(key: &[u8; 32], iv: [u8; 16], plain: &[u8]) -> Vec<u8> {
    let mut padded = plain.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(16), 0);
    chain(key, iv, &padded)
}

fn chain(key: &[u8; 32], iv: [u8; 16], blocks: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new(key.into());
    let mut previous = iv;
    let mut sealed = Vec::new();
    for block in blocks.chunks(16) {
        let mut room = Block::default();
        (0..16).for_each(|i| room[i] = block[i] ^ previous[i]);
        cipher.encrypt_block(&mut room);
        previous = room.into();
        sealed.extend_from_slice(&previous);
    }
    sealed
}

fn decrypt(key: &[u8; 32], iv: [u8; 16], sealed: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new(key.into());
    let mut plain = Vec::new();
    for (number, block) in sealed.chunks(16).enumerate() {
        let mut room = Block::default();
        room.copy_from_slice(block);
        cipher.decrypt_block(&mut room);
        let mask = if number == 0 { &iv[..] } else { &sealed[16 * (number - 1)..16 * number] };
        plain.extend((0..16).map(|i| room[i] ^ mask[i]));
    }
    let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(plain[end], 0x80, "padding");
    plain.truncate(end);
    plain
}

fn cbc_mac(key: &[u8; 32], header: [u8; 16], sealed: &[u8]) -> [u8; 16] {
    let chained = chain(key, [0; 16], &[&header[..], sealed].concat());
    chained[chained.len() - 16..].try_into().unwrap()
}
