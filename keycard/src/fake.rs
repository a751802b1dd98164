//! For tests: a transport that compares what it is sent, and the card side of channel v2 with
//! answers to order. It is no model of the applet (that is the software card's job, in another package): it says what a
//! test wants said, inside a channel that is right.

use std::collections::VecDeque;

use aes::Aes128;
use audit::{Caller, Head, Log, LogId, LogStore, Recorded, Request, StoreError, When};
use ccm::Ccm;
use ccm::aead::{AeadInOut as _, KeyInit as _};
use ccm::consts::{U8, U13};
use hkdf::Hkdf;
use k256::ecdsa::SigningKey;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use proto::{ChatKey, Digest, Instant, KeyUid, Pin, Puk, RecoverableSignature, TestDice, UnixMillis};
use sha2::{Digest as _, Sha256};

use crate::{
    Access, Blank, Card, CardTransport, Certificate, InitSecrets, Secured, Seed, Selected, Selection, TransportError,
    Trust, Unlocked, Version, select,
};

/// The identity key of the synthetic vectors (reference section 9.4).
const IDENTITY: [u8; 32] = [3; 32];
/// The card's one-time key of the synthetic vectors.
const EPHEMERAL: [u8; 32] = [2; 32];
/// The private key of the test authority, which is public.
const TEST_AUTHORITY: &str = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d8e9f0a1b2";

/// A transport that expects these commands in this order and gives the answers beside them.
#[derive(Debug)]
pub(crate) struct Script {
    steps: VecDeque<(Option<Vec<u8>>, Vec<u8>)>,
    repeat: bool,
}

impl Script {
    pub(crate) fn new<'a>(steps: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let steps = steps.into_iter().map(|(command, answer)| (Some(bytes(command)), bytes(answer))).collect();
        Self { steps, repeat: false }
    }

    /// Gives the same answer to every command.
    pub(crate) fn repeating(answer: &str) -> Self {
        Self { steps: [(None, bytes(answer))].into(), repeat: true }
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) {
        assert!(self.steps.is_empty(), "{} steps were not taken", self.steps.len());
    }
}

impl CardTransport for Script {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (expected, answer) = self.steps.pop_front().ok_or(TransportError::NoCard)?;
        if self.repeat {
            self.steps.push_back((None, answer.clone()));
        }
        if let Some(expected) = expected {
            assert_eq!(hex::encode(command), hex::encode(expected));
        }
        Ok(answer)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        Ok(())
    }
}

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

/// What befalls one answer.
#[derive(Debug, Clone)]
pub(crate) enum Harm {
    /// Other bytes altogether.
    Replace(Vec<u8>),
    /// The last bytes are missing.
    Cut(usize),
    /// Bytes too many, before the status word.
    Grow(Vec<u8>),
    /// Bits of one byte are flipped.
    Flip(usize, u8),
    /// No answer.
    Silence,
}

impl Harm {
    pub(crate) fn befall(&self, answer: &mut Vec<u8>) -> Result<(), TransportError> {
        match self {
            Self::Replace(bytes) => *answer = bytes.clone(),
            Self::Cut(count) => answer.truncate(answer.len().saturating_sub(*count)),
            Self::Grow(bytes) => {
                let at = answer.len().saturating_sub(2);
                answer.splice(at..at, bytes.iter().copied());
            }
            Self::Flip(at, bits) => {
                let at = at % answer.len().max(1);
                if let Some(byte) = answer.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Silence => return Err(TransportError::NoCard),
        }
        Ok(())
    }
}

type Cipher = Ccm<Aes128, U8, U13>;

enum Scripted {
    Inside(Vec<u8>),
    Outside(Vec<u8>),
}

/// The card side of SELECT, OPEN and SECURED APDU; the answers inside are the test's.
pub(crate) struct FakeCard {
    selects: VecDeque<Vec<u8>>,
    signer: SigningKey,
    resize: isize,
    answers: VecDeque<Scripted>,
    session: Option<(Cipher, Cipher, u64)>,
    inner: Vec<Vec<u8>>,
    commands: usize,
    harm: Option<(usize, Harm)>,
    inner_harm: Option<(usize, Harm)>,
}

impl FakeCard {
    fn new(select: Vec<u8>) -> Self {
        Self {
            selects: [select].into(),
            signer: SigningKey::from_slice(&IDENTITY).unwrap(),
            resize: 0,
            answers: VecDeque::new(),
            session: None,
            inner: Vec::new(),
            commands: 0,
            harm: None,
            inner_harm: None,
        }
    }

    pub(crate) fn blank() -> Self {
        Self::new(select_data(0x00, None))
    }

    pub(crate) fn initialised() -> Self {
        Self::new(select_data(0x13, None))
    }

    /// An initialised card with so many PIN tries left, as SELECT says.
    pub(crate) fn with_tries(tries: u8) -> Self {
        Self::new(select_data(0x10 | tries, None))
    }

    /// The next SELECT finds it initialised.
    pub(crate) fn then_initialised(mut self) -> Self {
        self.selects.push_back(select_data(0x13, None));
        self
    }

    /// The next SELECT finds it blank.
    pub(crate) fn then_blank(mut self) -> Self {
        self.selects.push_back(select_data(0x00, None));
        self
    }

    /// The next SELECT finds another card.
    pub(crate) fn then_another_card(mut self) -> Self {
        let mut data = select_data(0x13, None);
        *data.last_mut().unwrap() ^= 1;
        self.selects.push_back(data);
        self
    }

    /// The next command inside the channel gets this.
    pub(crate) fn answering(mut self, answer: &str) -> Self {
        self.answers.push_back(Scripted::Inside(bytes(answer)));
        self
    }

    /// The next command inside the channel gets this in clear.
    pub(crate) fn answering_outside(mut self, answer: &str) -> Self {
        self.answers.push_back(Scripted::Outside(bytes(answer)));
        self
    }

    /// Signs with another key than that of the certificate.
    pub(crate) fn signing_with(mut self, secret: u8) -> Self {
        self.signer = SigningKey::from_slice(&[secret; 32]).unwrap();
        self
    }

    /// Cuts or prolongs the answer to OPEN.
    pub(crate) fn resizing_the_opening(mut self, by: isize) -> Self {
        self.resize = by;
        self
    }

    /// Harms the answer number `at`, counted from 0.
    pub(crate) fn harmed(mut self, at: usize, harm: Harm) -> Self {
        self.harm = Some((at, harm));
        self
    }

    /// Harms the answer number `at` of those inside the channel, before it is sealed.
    pub(crate) fn harmed_inside(mut self, at: usize, harm: Harm) -> Self {
        self.inner_harm = Some((at, harm));
        self
    }

    /// The next command inside the channel gets this, and no other gets an answer. What came before is forgotten.
    pub(crate) fn answer_only(&mut self, answer: Vec<u8>) {
        self.answers = [Scripted::Inside(answer)].into();
        self.inner.clear();
    }

    /// The command after that gets this.
    pub(crate) fn answer_then(&mut self, answer: Vec<u8>) {
        self.answers.push_back(Scripted::Inside(answer));
    }

    /// Everything that came through the channel.
    pub(crate) fn inner_commands(&self) -> &[Vec<u8>] {
        &self.inner
    }

    /// How many commands came at all.
    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    fn open(&mut self, body: &[u8]) -> Vec<u8> {
        let (salt, client) = body.split_at(32);
        let ours = k256::SecretKey::from_slice(&EPHEMERAL).unwrap();
        let theirs = k256::PublicKey::from_sec1_bytes(client).unwrap();
        let card = ChatKey::from(ours.public_key()).to_bytes();
        let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        let mut okm = [0; 32];
        Hkdf::<Sha256>::new(Some(salt), shared.raw_secret_bytes()).expand(b"sc_v2_ccm", &mut okm).unwrap();
        let cipher = |key: &[u8]| Cipher::new_from_slice(key).unwrap();
        self.session = Some((cipher(&okm[..16]), cipher(&okm[16..]), 0));
        let transcript = Sha256::digest([b"sc_v2_ccm", salt, client, &card].concat());
        let signature: k256::ecdsa::Signature = self.signer.sign_prehash(&transcript).unwrap();
        let mut answer = [&card[..], signature.to_der().as_bytes()].concat();
        answer.resize(answer.len().saturating_add_signed(self.resize), 0);
        answer.extend([0x90, 0x00]);
        answer
    }

    fn secured(&mut self, body: &[u8]) -> Result<Vec<u8>, TransportError> {
        let Some((from_host, to_host, counter)) = &mut self.session else { return Ok(vec![0x69, 0x85]) };
        let mut nonce = ccm::Nonce::<U13>::default();
        nonce[5..].copy_from_slice(&counter.to_be_bytes());
        *counter += 1;
        let mut inner = body.to_vec();
        from_host.decrypt_in_place(&nonce, &[], &mut inner).expect("the host seals right");
        self.inner.push(inner);
        match self.answers.pop_front() {
            Some(Scripted::Inside(mut answer)) => {
                if let Some((at, harm)) = &self.inner_harm
                    && *at == self.inner.len() - 1
                {
                    harm.befall(&mut answer)?;
                    answer.truncate(246);
                }
                to_host.encrypt_in_place(&nonce, &[], &mut answer).unwrap();
                answer.extend([0x90, 0x00]);
                Ok(answer)
            }
            Some(Scripted::Outside(answer)) => Ok(answer),
            None => Err(TransportError::NoCard),
        }
    }
}

impl CardTransport for FakeCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let number = self.commands;
        self.commands += 1;
        let body = command.get(5..).unwrap_or(&[]);
        let mut answer = match command[1] {
            // It never asks for another Le, so it knows no command with one.
            _ if command.get(4).is_some_and(|lc| usize::from(*lc) != body.len()) => vec![0x67, 0x00],
            0xA4 => {
                self.session = None;
                let data =
                    if self.selects.len() > 1 { self.selects.pop_front() } else { self.selects.front().cloned() };
                [data.unwrap(), vec![0x90, 0x00]].concat()
            }
            0x10 => self.open(body),
            0x18 => self.secured(body)?,
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

/// The public key of the private key `secret` × 32.
pub(crate) fn public(secret: u8) -> ChatKey {
    ChatKey::from(k256::SecretKey::from_slice(&[secret; 32]).unwrap().public_key())
}

pub(crate) fn identity_key() -> ChatKey {
    public(3)
}

/// The certificate of [`IDENTITY`] by the test authority.
pub(crate) fn identity_certificate() -> Certificate {
    let identity = identity_key().to_compressed();
    let authority = SigningKey::from_slice(&hex::decode(TEST_AUTHORITY).unwrap()).unwrap();
    let digest = Digest::from(<[u8; 32]>::from(Sha256::digest(identity)));
    let signature = RecoverableSignature::sign(&authority, &digest);
    Certificate::parse(&[&identity[..], signature.as_bytes()].concat()).unwrap()
}

/// The data of an answer to SELECT, with the length byte that is one too small.
pub(crate) fn select_data(status: u8, uid: Option<KeyUid>) -> Vec<u8> {
    let uid = uid.map_or(Vec::new(), |uid| uid.as_bytes().to_vec());
    let inside = [
        &[0x02, 2, 4, 0, 0x8C, 1, status, 0x8E, uid.len() as u8],
        uid.as_slice(),
        &[0x8D, 1, 0x1F, 0x8A, 98],
        identity_certificate().as_bytes(),
    ]
    .concat();
    let length = inside.len() as u8 - 1;
    let head = if length < 0x80 { vec![0xA4, length] } else { vec![0xA4, 0x81, length] };
    [head, inside].concat()
}

/// The DER signature of `digest` by the private key `secret` × 32.
pub(crate) fn der(secret: u8, digest: &Digest) -> Vec<u8> {
    let signer = SigningKey::from_slice(&[secret; 32]).unwrap();
    let signature: k256::ecdsa::Signature = signer.sign_prehash(digest.as_bytes()).unwrap();
    signature.to_der().as_bytes().to_vec()
}

/// An answer to SIGN with this key and this signature (or whatever stands for it), in hexadecimal.
pub(crate) fn signed_answer(key: &ChatKey, signature: &[u8]) -> String {
    let inside = [&[0x80, 65], key.to_bytes().as_slice(), signature].concat();
    format!("a081{:02x}{}9000", inside.len(), hex::encode(inside))
}

/// The answer to SIGN of `digest` by the private key `secret` × 32, in hexadecimal.
pub(crate) fn ecdsa_answer(secret: u8, digest: &Digest) -> String {
    signed_answer(&public(secret), &der(secret, digest))
}

/// The BIP-340 signature of `digest` by the private key `secret` × 32 with `tweak` added to it, with a nonce of the test's.
pub(crate) fn schnorr(secret: u8, tweak: Option<[u8; 32]>, digest: &Digest) -> Vec<u8> {
    use k256::elliptic_curve::PrimeField as _;
    use k256::elliptic_curve::ops::Reduce;
    use k256::elliptic_curve::point::AffineCoordinates as _;
    let scalar = |bytes: [u8; 32]| k256::Scalar::from_repr(bytes.into()).unwrap();
    let even = |secret: k256::Scalar| {
        let point = (k256::ProjectivePoint::GENERATOR * secret).to_affine();
        if bool::from(point.y_is_odd()) { (-secret, point.x()) } else { (secret, point.x()) }
    };
    let (untweaked, _) = even(scalar([secret; 32]));
    let (key, x) = even(untweaked + tweak.map_or(k256::Scalar::ZERO, scalar));
    let (nonce, r) = even(scalar([0x55; 32]));
    let tag = Sha256::digest(b"BIP0340/challenge");
    let hash = Sha256::digest([&tag[..], &tag[..], &r[..], &x[..], digest.as_bytes()].concat());
    let e = <k256::Scalar as Reduce<k256::FieldBytes>>::reduce(&hash);
    [&r[..], &(nonce + e * key).to_bytes()[..]].concat()
}

/// Makes a card one of another version. The channel stays what it is: what a card may be asked depends on its version only.
pub(crate) fn aged<S, T>(mut card: Card<S, T>, version: Version) -> Card<S, T> {
    card.info.version = Some(version);
    card
}

/// The answer inside to a public export of this key, in hexadecimal.
pub(crate) fn export_answer(key: &str) -> String {
    format!("a1438041{key}9000")
}

/// Takes the test authority and nothing else.
pub(crate) fn trust() -> Trust {
    Trust::nobody().with_test_authority()
}

pub(crate) fn pin() -> Pin {
    Pin::try_from(b"000000".as_slice()).unwrap()
}

/// The PIN and PUK of the recorded transcript.
pub(crate) fn secrets() -> InitSecrets {
    let puk = Puk::try_from(b"012345678901".as_slice()).unwrap();
    InitSecrets::new(pin(), puk, &mut TestDice::seeded(9))
        .with_duress(Pin::try_from(b"024680".as_slice()).unwrap())
        .unwrap()
}

/// The seed of "abandon … about".
pub(crate) fn abandon() -> Seed {
    let bytes = hex::decode(
        "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1\
         9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4",
    );
    Seed::from_bytes(&bytes.unwrap().try_into().unwrap())
}

pub(crate) fn blank<T: CardTransport>(transport: T) -> Card<Blank, T> {
    match select(transport) {
        Ok(Selection::Blank(card)) => card,
        Ok(Selection::Initialised(_)) => panic!("initialised"),
        Err(failed) => panic!("{failed}"),
    }
}

pub(crate) fn selected<T: CardTransport>(transport: T) -> Card<Selected, T> {
    match select(transport) {
        Ok(Selection::Initialised(card)) => card,
        Ok(Selection::Blank(_)) => panic!("blank"),
        Err(failed) => panic!("{failed}"),
    }
}

pub(crate) fn secured(fake: FakeCard) -> Card<Secured, FakeCard> {
    selected(fake).open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).unwrap()
}

/// An unlocked card; the first command inside was VERIFY PIN, and it counts as one that has shown to be initialised.
pub(crate) fn unlocked(mut fake: FakeCard) -> Card<Unlocked, FakeCard> {
    fake.answers.push_front(Scripted::Inside(vec![0x90, 0x00]));
    let mut card = secured(fake);
    card.state.tries = Some(3);
    let mut card = card.verify_pin(&pin(), false).unwrap();
    card.state.session.spoken = true;
    card
}

struct Memory;

impl LogStore for Memory {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, _line: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A receipt for `request` from a log that forgets.
pub(crate) fn recorded(request: Request) -> Recorded {
    let when = When { unix: UnixMillis::new(0), monotonic: Instant::from_start(std::time::Duration::ZERO) };
    let caller = Caller { uid: 0, pid: None, binary: None, binary_hash: None, one_time_key: None };
    let mut log = Log::create(Memory, LogId::from([0; 16]), when).unwrap();
    log.intent(when, request, "chat".parse().unwrap(), caller, [0; 32]).unwrap()
}
