//! For tests: the card side of channel v1, with answers to order. No model of the applet, as [`crate::fake`] is none: it
//! says what a test wants said, inside a channel that is right. Its CBC is written apart from the client's.

use std::collections::VecDeque;

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use k256::ecdsa::SigningKey;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use proto::{KeyUid, Secret, TestDice};
use sha2::{Digest as _, Sha256, Sha512};

use crate::channel::v1::ChannelV1;
use crate::fake::{Harm, bytes, identity_certificate, pin, public, selected, trust};
use crate::{Access, Card, CardTransport, Pairing, PairingSecret, Secured, TransportError, Trust, Unlocked, Version};

/// The static key of the synthetic vectors (reference section 9.4).
const STATIC: u8 = 2;
/// The private identity key × 32, which [`identity_certificate`] certifies.
const IDENTITY: u8 = 3;
/// The slot of [`pairing`].
pub(crate) const SLOT: u8 = 1;

enum Scripted {
    Inside(Vec<u8>),
    Early(Vec<u8>),
    Outside(Vec<u8>),
}

/// The card side of an open channel.
pub(crate) struct SealedCard {
    encryption: Aes256,
    mac: Aes256,
    iv: [u8; 16],
    before: [u8; 16],
    plaintext: Vec<u8>,
}

/// Both sides of a channel for tests of the channel alone.
pub(crate) fn synthetic() -> SealedCard {
    SealedCard::derive(&[&[9; 32][..], &[8; 32], &[7; 32]].concat(), [6; 16])
}

impl SealedCard {
    /// The client's side of [`synthetic`].
    pub(crate) fn channel_of_the_client() -> ChannelV1 {
        ChannelV1::derive(&[9; 32], &[8; 32], &[7; 32], [6; 16])
    }

    fn derive(input: &[u8], iv: [u8; 16]) -> Self {
        let digest = Sha512::digest(input);
        let cipher = |key: &[u8]| Aes256::new_from_slice(key).unwrap();
        Self { encryption: cipher(&digest[..32]), mac: cipher(&digest[32..]), iv, before: iv, plaintext: Vec::new() }
    }

    /// Takes a command, if its MAC is right.
    pub(crate) fn opens(&mut self, command: &[u8]) -> bool {
        // What is too short for a MAC has none: GET RESPONSE, say.
        if command.len() < 5 + 16 {
            return false;
        }
        let (head, body) = command.split_at(5);
        let (mac, sealed) = body.split_at(16);
        let mut first = [0; 16];
        first[..5].copy_from_slice(head);
        if cbc_mac(&self.mac, first, sealed) != mac {
            return false;
        }
        self.before = std::mem::replace(&mut self.iv, mac.try_into().unwrap());
        self.plaintext = unpad(cbc_decrypt(&self.encryption, self.before, sealed)).expect("the host pads right");
        true
    }

    /// What the last command said.
    pub(crate) fn last_plaintext(&self) -> &[u8] {
        &self.plaintext
    }

    /// Takes a command and answers with these data and 9000.
    pub(crate) fn answer(&mut self, command: &[u8], data: &[u8]) -> Vec<u8> {
        self.whole(command, &[data, &[0x90, 0, 0x80]].concat())
    }

    /// Takes a command and answers with this status word, encrypted with the IV before the command.
    pub(crate) fn early(&mut self, command: &[u8], status: [u8; 2]) -> Vec<u8> {
        assert!(self.opens(command));
        self.seal(self.before, &[&status[..], &[0x80]].concat())
    }

    /// Takes a command and answers with these bytes, which the caller has padded up to the zeros.
    pub(crate) fn whole(&mut self, command: &[u8], answer: &[u8]) -> Vec<u8> {
        assert!(self.opens(command));
        self.seal(self.iv, answer)
    }

    fn seal(&mut self, iv: [u8; 16], answer: &[u8]) -> Vec<u8> {
        let sealed = cbc_encrypt(&self.encryption, iv, answer);
        let mut first = [0; 16];
        first[0] = (16 + sealed.len()) as u8;
        self.iv = cbc_mac(&self.mac, first, &sealed);
        [&self.iv[..], &sealed, &[0x90, 0]].concat()
    }
}

/// The card side of SELECT, IDENTIFY, INIT, PAIR, OPEN, FACTORY RESET and the protected commands.
pub(crate) struct FakeV1 {
    version: [u8; 2],
    initialised: bool,
    certified: bool,
    key: u8,
    key_uid: Option<KeyUid>,
    signer: u8,
    secret: [u8; 32],
    slots: usize,
    challenge: Option<[u8; 32]>,
    session: Option<SealedCard>,
    answers: VecDeque<Scripted>,
    inner: Vec<Vec<u8>>,
    plain: Vec<Vec<u8>>,
    init: Option<Vec<u8>>,
    obeys: bool,
    commands: usize,
    harm: Option<(usize, Harm)>,
}

impl FakeV1 {
    /// A blank card of this version, with a certificate where the version has them.
    pub(crate) fn blank(version: Version) -> Self {
        Self {
            version: version.to_bytes(),
            initialised: false,
            certified: true,
            key: STATIC,
            key_uid: None,
            signer: IDENTITY,
            secret: [0; 32],
            slots: 5,
            challenge: None,
            session: None,
            answers: VecDeque::new(),
            inner: Vec::new(),
            plain: Vec::new(),
            init: None,
            obeys: true,
            commands: 0,
            harm: None,
        }
    }

    /// An initialised card whose pairing secret is [`secret`], and which knows [`pairing`].
    pub(crate) fn initialised(version: Version) -> Self {
        Self { initialised: true, secret: *secret().expose(), ..Self::blank(version) }
    }

    /// It has no certificate.
    pub(crate) fn uncertified(mut self) -> Self {
        self.certified = false;
        self
    }

    /// It signs with another key than that of the certificate.
    pub(crate) fn signing_with(mut self, secret: u8) -> Self {
        self.signer = secret;
        self
    }

    /// It holds a key.
    pub(crate) fn holding(mut self, uid: KeyUid) -> Self {
        self.key_uid = Some(uid);
        self
    }

    /// It has another static key.
    pub(crate) fn with_channel_key(mut self, secret: u8) -> Self {
        self.key = secret;
        self
    }

    /// It has this pairing secret.
    pub(crate) fn with_secret(mut self, secret: &PairingSecret) -> Self {
        self.secret = *secret.expose();
        self
    }

    /// So many pairing slots are free.
    pub(crate) fn with_slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// It answers INIT and FACTORY RESET with a success and does nothing.
    pub(crate) fn disobedient(mut self) -> Self {
        self.obeys = false;
        self
    }

    /// The next command inside gets this.
    pub(crate) fn answering(mut self, answer: &str) -> Self {
        self.answers.push_back(Scripted::Inside(bytes(answer)));
        self
    }

    /// The next command inside gets this status word, encrypted with the IV before the command.
    pub(crate) fn answering_early(mut self, status: &str) -> Self {
        self.answers.push_back(Scripted::Early(bytes(status)));
        self
    }

    /// The next command inside gets this in clear.
    pub(crate) fn answering_outside(mut self, answer: &str) -> Self {
        self.answers.push_back(Scripted::Outside(bytes(answer)));
        self
    }

    /// Harms the answer number `at`, counted from 0.
    pub(crate) fn harmed(mut self, at: usize, harm: Harm) -> Self {
        self.harm = Some((at, harm));
        self
    }

    /// What came through the channel after MUTUALLY AUTHENTICATE: header, then plaintext.
    pub(crate) fn inner_commands(&self) -> &[Vec<u8>] {
        &self.inner
    }

    /// What came in clear, whole.
    pub(crate) fn plain_commands(&self) -> &[Vec<u8>] {
        &self.plain
    }

    /// How many commands came at all.
    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    /// The plaintext of INIT.
    pub(crate) fn init(&self) -> Option<&[u8]> {
        self.init.as_deref()
    }

    fn select(&self) -> Vec<u8> {
        let key = public(self.key).to_bytes();
        if !self.initialised {
            return [&[0x80, 0x41], &key[..], &[0x90, 0]].concat();
        }
        let uid = self.key_uid.map_or(Vec::new(), |uid| uid.as_bytes().to_vec());
        let [major, minor] = self.version;
        let inside = [
            &[0x8F, 16],
            &[self.key; 16][..],
            &[0x80, 0x41],
            &key,
            &[2, 2, major, minor, 2, 1, self.slots as u8, 0x8E, uid.len() as u8],
            &uid,
            &[0x8D, 1, 0x1F],
        ]
        .concat();
        let length = inside.len() as u8;
        let head = if length < 0x80 { vec![0xA4, length] } else { vec![0xA4, 0x81, length] };
        [head, inside, vec![0x90, 0]].concat()
    }

    fn identify(&self, challenge: &[u8]) -> Vec<u8> {
        if self.version < [3, 1] {
            return vec![0x6D, 0];
        }
        if !self.certified {
            return vec![0x69, 0x85];
        }
        let signer = SigningKey::from_slice(&[self.signer; 32]).unwrap();
        let signature: k256::ecdsa::Signature = signer.sign_prehash(challenge).unwrap();
        let der = signature.to_der();
        let inside = [&[0x8A, 98], &identity_certificate().as_bytes()[..], der.as_bytes()].concat();
        [&[0xA0, 0x81, inside.len() as u8], &inside[..], &[0x90, 0]].concat()
    }

    fn shared(&self, client: &[u8]) -> [u8; 32] {
        let ours = k256::SecretKey::from_slice(&[self.key; 32]).unwrap();
        let theirs = k256::PublicKey::from_sec1_bytes(client).unwrap();
        let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        (*shared.raw_secret_bytes()).into()
    }

    fn initialise(&mut self, body: &[u8]) -> Vec<u8> {
        let (client, iv, sealed) = (&body[1..66], &body[66..82], &body[82..]);
        let cipher = Aes256::new(&self.shared(client).into());
        let plaintext = unpad(cbc_decrypt(&cipher, iv.try_into().unwrap(), sealed)).expect("the host pads right");
        self.init = Some(plaintext.clone());
        if plaintext.len() != 50 && (self.version < [3, 1] || plaintext.len() != 58) {
            return vec![0x6A, 0x80];
        }
        if self.obeys {
            self.secret.copy_from_slice(&plaintext[18..50]);
            self.initialised = true;
            self.key += 1;
        }
        vec![0x90, 0]
    }

    fn pair(&mut self, step: u8, p2: u8, body: &[u8]) -> Vec<u8> {
        let ephemeral = self.version >= [3, 2] && p2 == 1;
        match (step, self.challenge.take()) {
            (0, _) if self.slots == 0 && !ephemeral => vec![0x6A, 0x84],
            (0, _) => {
                let challenge = std::array::from_fn(|i| 0x20 + i as u8);
                self.challenge = Some(challenge);
                [&Sha256::digest([&self.secret[..], body].concat())[..], &challenge, &[0x90, 0]].concat()
            }
            (_, Some(challenge)) if body == &Sha256::digest([self.secret, challenge].concat())[..] => {
                let slot = if ephemeral { 0xFF } else { SLOT };
                [&[slot], &salt()[..], &[0x90, 0]].concat()
            }
            _ => vec![0x69, 0x82],
        }
    }

    fn open(&mut self, slot: u8, client: &[u8]) -> Vec<u8> {
        if slot != SLOT && slot != 0xFF {
            return vec![0x6A, 0x86];
        }
        let pairing: [u8; 32] = Sha256::digest([self.secret, salt()].concat()).into();
        let (salt, iv) = ([0x60; 32], [0x80; 16]);
        self.session = Some(SealedCard::derive(&[self.shared(client), pairing, salt].concat(), iv));
        [&salt[..], &iv, &[0x90, 0]].concat()
    }

    fn protected(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let Some(mut session) = self.session.take() else { return Ok(vec![0x69, 0x85]) };
        if !session.opens(command) {
            return Ok(vec![0x69, 0x82]);
        }
        let (iv, answer) = if command[1] == 0x11 {
            (session.iv, [&[0xB0; 32][..], &[0x90, 0]].concat())
        } else {
            self.inner.push([&command[..4], &session.plaintext].concat());
            match self.answers.pop_front() {
                Some(Scripted::Inside(answer)) => (session.iv, answer),
                Some(Scripted::Early(answer)) => (session.before, answer),
                Some(Scripted::Outside(answer)) => return Ok(answer),
                None => return Err(TransportError::NoCard),
            }
        };
        let answer = session.seal(iv, &[&answer[..], &[0x80]].concat());
        self.session = Some(session);
        Ok(answer)
    }
}

impl CardTransport for FakeV1 {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let number = self.commands;
        self.commands += 1;
        let body = command.get(5..).unwrap_or(&[]);
        if command.get(4).is_some_and(|lc| usize::from(*lc) != body.len()) {
            return Ok(vec![0x67, 0x00]);
        }
        let protected = self.session.is_some() && command[1] != 0xA4;
        if !protected {
            self.plain.push(command.to_vec());
        }
        let mut answer = match command[1] {
            0xA4 => {
                self.session = None;
                self.select()
            }
            _ if protected => self.protected(command)?,
            0x14 => self.identify(body),
            0xFE if !self.initialised => self.initialise(body),
            0x12 if self.initialised => self.pair(command[2], command[3], body),
            0x10 if self.initialised => self.open(command[2], body),
            0xFD if self.initialised && self.version >= [3, 1] => {
                if self.obeys {
                    self.initialised = false;
                    self.key += 1;
                }
                vec![0x90, 0]
            }
            _ => vec![0x6D, 0x00],
        };
        if let Some((at, harm)) = &self.harm
            && *at == number
        {
            harm.befall(&mut answer)?;
        }
        Ok(answer)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.session = None;
        Ok(())
    }
}

fn xor(one: [u8; 16], other: &[u8]) -> [u8; 16] {
    std::array::from_fn(|i| one[i] ^ other[i])
}

fn block(cipher: &Aes256, block: [u8; 16]) -> [u8; 16] {
    let mut room = aes::Block::from(block);
    cipher.encrypt_block(&mut room);
    room.into()
}

/// Pads with zeros and encrypts.
fn cbc_encrypt(cipher: &Aes256, iv: [u8; 16], plaintext: &[u8]) -> Vec<u8> {
    let mut padded = plaintext.to_vec();
    padded.resize(padded.len().next_multiple_of(16), 0);
    let mut chain = iv;
    let sealed = padded.chunks(16).flat_map(|part| {
        chain = block(cipher, xor(chain, part));
        chain
    });
    sealed.collect()
}

fn cbc_decrypt(cipher: &Aes256, iv: [u8; 16], sealed: &[u8]) -> Vec<u8> {
    let mut chain = iv;
    let opened = sealed.chunks(16).flat_map(|part| {
        let mut room = aes::Block::try_from(part).unwrap();
        cipher.decrypt_block(&mut room);
        let plain = xor(room.into(), &chain);
        chain = part.try_into().unwrap();
        plain
    });
    opened.collect()
}

fn cbc_mac(cipher: &Aes256, first: [u8; 16], rest: &[u8]) -> [u8; 16] {
    rest.chunks(16).fold(block(cipher, first), |state, part| block(cipher, xor(state, part)))
}

fn unpad(mut padded: Vec<u8>) -> Option<Vec<u8>> {
    while padded.pop()? != 0x80 {}
    Some(padded)
}

/// The salt of the card's pairings.
fn salt() -> [u8; 32] {
    std::array::from_fn(|i| 0x40 + i as u8)
}

/// The pairing secret of an initialised card.
pub(crate) fn secret() -> PairingSecret {
    Secret::fill(|bytes| bytes.fill(0x5A)).into()
}

/// A pairing that the initialised card takes.
pub(crate) fn pairing() -> Pairing {
    let key = Secret::fill(|bytes| bytes.copy_from_slice(&Sha256::digest([*secret().expose(), salt()].concat())));
    Pairing { slot: SLOT, key, well_known: false }
}

/// Takes the test authority, and cards without a certificate.
pub(crate) fn trust_v1() -> Trust {
    trust().with_uncertified_cards()
}

pub(crate) fn secured(fake: FakeV1) -> Card<Secured, FakeV1> {
    let pairing = pairing();
    let trust = trust_v1();
    selected(fake).open(&Access::new(&trust, [7; 32]).paired(&pairing), &mut TestDice::seeded(1)).unwrap()
}

/// An unlocked card; the first commands inside were GET STATUS and VERIFY PIN.
pub(crate) fn unlocked(mut fake: FakeV1) -> Card<Unlocked, FakeV1> {
    fake.answers.push_front(Scripted::Inside(vec![0x90, 0x00]));
    fake.answers.push_front(Scripted::Inside(bytes("a3090201030201050101ff9000")));
    secured(fake).verify_pin(&pin(), false).unwrap()
}
