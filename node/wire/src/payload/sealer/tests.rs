//! The sealer against recordings of status-go 0.75.2 with loaded dice, and its bounds.

use k256::SecretKey;
use k256::ecdsa::SigningKey;
use proto::{RecoverableSignature, TestDice, UnixSecs};

use super::*;
use crate::payload::{OpenError, open_asymmetric, open_symmetric};

const SIGNER: &str = "b717b69231c49f432c5e15c7bb7f628272f8e5d41c33c9c503b676a55cda3512";
const SYM_KEY: &str = "0c1852b9c84d6db901ef45bdd37e010a05570a11cecef218613eb22874ecefc3";
const RECIPIENT: &str = "25ecf2c603bdd6520dea4c7c2e772508bf3f1cb8df484ccfcc228e3461168213";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn identity() -> ChatKey {
    SecretKey::from_slice(&bytes(SIGNER)).unwrap().public_key().into()
}

fn sym_key() -> SymKey {
    SymKey::from_bytes(&bytes(SYM_KEY)).unwrap()
}

fn letter(key: Key, payload: &str, padding: Option<&str>, signed: bool) -> Letter {
    Letter {
        topic: Topic::from([1, 2, 3, 4]),
        key,
        payload: Zeroizing::new(bytes(payload)),
        padding: padding.map(bytes),
        signer: signed.then(identity),
        ttl_s: 10,
        pow_target: 0.002,
        work_time: Duration::from_secs(20),
    }
}

fn symmetric(payload: &str, padding: Option<&str>, signed: bool) -> Letter {
    letter(Key::Symmetric(Arc::new(sym_key())), payload, padding, signed)
}

fn asymmetric(payload: &str, padding: Option<&str>, signed: bool) -> Letter {
    let recipient = SecretKey::from_slice(&bytes(RECIPIENT)).unwrap().public_key();
    letter(Key::Asymmetric(recipient.into()), payload, padding, signed)
}

/// A sealer, its clocks, and the identity key.
struct Bench {
    sealer: Sealer,
    dice: TestDice,
    now: Duration,
}

impl Bench {
    fn new(config: Config, dice: TestDice) -> Self {
        Self { sealer: Sealer::new(config), dice, now: Duration::ZERO }
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        let unix = UnixSecs::new(1_600_000_000).to_millis().after(self.now);
        let mut turn = Turn { now: Instant::from_start(self.now), unix, rng: &mut self.dice };
        self.sealer.handle(&mut turn, input);
        std::iter::from_fn(|| self.sealer.poll()).collect()
    }

    /// Seals one letter to the end, signing when asked.
    fn seal(&mut self, letter: Letter) -> Result<Envelope, SealError> {
        let mut outputs = VecDeque::from(self.give(Input::Seal { token: SealToken(7), letter }));
        loop {
            match outputs.pop_front() {
                Some(Output::Ask(id, Ask::Sign(digest))) => {
                    let key = SigningKey::from_slice(&bytes(SIGNER)).unwrap();
                    let answer = Answer::Sign(RecoverableSignature::sign(&key, &digest));
                    outputs.extend(self.give(Input::Answer(id, Ok(answer))));
                }
                Some(Output::Ask(_, Ask::Ecdh(_))) => panic!("a sealer asks for signatures only"),
                Some(Output::Event(Event::Sealed { token: SealToken(7), envelope })) => return Ok(envelope),
                Some(Output::Event(Event::Failed { token: SealToken(7), why })) => return Err(why),
                Some(Output::Event(other)) => panic!("{other:?}"),
                None => outputs.extend(self.give(Input::Tick)),
            }
        }
    }
}

fn rebuilt(letter: Letter, dice: &[&str]) -> String {
    let dice = TestDice::playing(&bytes(&dice.concat()));
    let mut bench = Bench::new(Config::default(), dice);
    let envelope = bench.seal(letter).unwrap();
    assert!(bench.dice.is_spent(), "exactly the recorded randomness was used");
    hex::encode(envelope.as_bytes())
}

const NONCE: &str = "69954e7762b74b9babb22561";
const UNSIGNED: &str = "ec845f5e100a0a84010203049fb162171f31cffb07af01d345efe7ae8030a6fb69954e7762b74b9babb2256180";

/// WDATA-01: recording env-seal-0041.
#[test]
fn a_recorded_symmetric_envelope_is_rebuilt() {
    assert_eq!(rebuilt(symmetric("", Some("00"), false), &[NONCE]), UNSIGNED);
}

/// Recording env-seal-0077.
#[test]
fn a_recorded_signed_symmetric_envelope_is_rebuilt() {
    let payload =
        "7637402c448ff50213842ab113d31ff7c83680a017a6411d75722ee59bdbc578fb072e336a861b07ca4dfe41d912ae1f4aed";
    let envelope = "f8a0845f5e100a0a8401020304b8920223bd87a71950dd861b7510d53452b29f601596888b9698b34cee5fd8954a503541a750af785038\
         ac7321eefb19230b097afef4349accc058446f3fc6fb2a8dd5e77a945737e1aaf9cf702b5a782adc46cb6ecd83adc29cd70af6d40708d2025a858d1f4c\
         75ee8bd3646229b910d36748ba229a28f604793d496682b090fcbecf073d06fb0ecda7e0e9ae776ac84cfc1ae201";
    assert_eq!(rebuilt(symmetric(payload, Some("ed"), true), &["cda7e0e9ae776ac84cfc1ae2"]), envelope);
}

/// Recording env-seal-0163.
#[test]
fn a_recorded_signed_asymmetric_envelope_is_rebuilt() {
    let payload =
        "ab9f9144282e52095a1498ded86e5f2b88190340b832bfcdffbb87aefa816121855569f1445b2883325e0d38280ef43e4676";
    let envelope = "f8f5845f5e100a0a8401020304b8e7046c9f09e978dfdf39f1243c02226345d0e1cfe575e0ce80930a264db1e0a9aeb37722ec1cd0d67a\
         ee8b1c17e75d2dbf21ae2cdbee2a3fa4a484d03cd528a1bfa262382f09016ca4ab3d2267b04b1b89033798ca7e52eced202c42e57bc551799c29c39961\
         ba6712f14b3b50f5b4eb7963f1c5ddd6daa4350928844b988e2eb1d85386a94eb726a030479fd1ccb008f3ba6340160f7c5531be9721202f1f2d8d53b5\
         18f47a6ade438e84c5eb3739e8520e34009d76aa6c087fbaa8e8dd8958ad2c8ba268f732a0ee05a548073ed691917280238abd8af4deb87b9e33d30656\
         5f904b9594d65e2601";
    let dice = ["bd9147def8a6835c4635f87d886e31deb87a13bf37df45242931f6610348f1ec", "62382f09016ca4ab3d2267b04b1b8903"];
    assert_eq!(rebuilt(asymmetric(payload, Some("68"), true), &dice), envelope);
}

/// WDATA-16: whatever the payload, an observer sees blocks of 256 bytes.
#[test]
fn a_sealed_letter_opens_for_its_reader_alone() {
    let mut bench = Bench::new(Config::default(), TestDice::seeded(3));
    let envelope = bench.seal(symmetric("c0ffee", None, true)).unwrap();
    assert_eq!(envelope.data().len(), 256 + 28);
    assert!(envelope.pow(0) >= 0.002);
    let opened = open_symmetric(&envelope, &sym_key()).unwrap();
    assert_eq!(opened.payload(), bytes("c0ffee"));
    assert_eq!(opened.signer(), Some(identity()));
    let other = SymKey::from_bytes(&[1; 32]).unwrap();
    assert_eq!(open_symmetric(&envelope, &other).err(), Some(OpenError::Decrypt));

    let envelope = bench.seal(asymmetric("c0ffee", None, false)).unwrap();
    let opened = open_asymmetric(&envelope, &SecretKey::from_slice(&bytes(RECIPIENT)).unwrap()).unwrap();
    assert_eq!((opened.payload(), opened.signer()), (bytes("c0ffee").as_slice(), None));
}

#[test]
fn a_refused_signature_fails_the_letter() {
    let mut bench = Bench::new(Config::default(), TestDice::seeded(1));
    let asked = bench.give(Input::Seal { token: SealToken(1), letter: symmetric("00", None, true) });
    let [Output::Ask(id, _)] = asked.as_slice() else { panic!("{asked:?}") };
    let told = bench.give(Input::Answer(*id, Err(Refusal::Refused)));
    let why = SealError::NotSigned { refusal: Refusal::Refused };
    assert!(matches!(told.as_slice(), [Output::Event(Event::Failed { token: SealToken(1), why: w })] if *w == why));
    assert!(bench.give(Input::Answer(*id, Err(Refusal::Refused))).is_empty(), "an answer counts once");
}

#[test]
fn nonsense_for_a_signature_fails_the_letter() {
    let mut bench = Bench::new(Config::default(), TestDice::seeded(1));
    let asked = bench.give(Input::Seal { token: SealToken(1), letter: symmetric("00", None, true) });
    let [Output::Ask(id, _)] = asked.as_slice() else { panic!("{asked:?}") };
    let told = bench.give(Input::Answer(*id, Ok(Answer::Sign(RecoverableSignature::from([0xff; 65])))));
    assert!(matches!(told.as_slice(), [Output::Event(Event::Failed { why: SealError::BadSignature, .. })]));
}

/// Readers would take the letter for the other key's.
#[test]
fn a_signature_by_another_key_fails_the_letter() {
    let mut bench = Bench::new(Config::default(), TestDice::seeded(1));
    let asked = bench.give(Input::Seal { token: SealToken(1), letter: symmetric("00", None, true) });
    let [Output::Ask(id, Ask::Sign(digest))] = asked.as_slice() else { panic!("{asked:?}") };
    let other = RecoverableSignature::sign(&SigningKey::from_slice(&[1; 32]).unwrap(), digest);
    let told = bench.give(Input::Answer(*id, Ok(Answer::Sign(other))));
    assert!(matches!(told.as_slice(), [Output::Event(Event::Failed { why: SealError::BadSignature, .. })]));
}

#[test]
fn a_signature_that_never_comes_expires() {
    let config = Config { sign_timeout: Duration::from_secs(5), ..Config::default() };
    let mut bench = Bench::new(config, TestDice::seeded(1));
    bench.give(Input::Seal { token: SealToken(1), letter: symmetric("00", None, true) });
    assert_eq!(bench.sealer.wake_at(), Some(Instant::from_start(Duration::from_secs(5))));
    bench.now = Duration::from_secs(5);
    let told = bench.give(Input::Tick);
    let why = SealError::NotSigned { refusal: Refusal::Expired };
    assert!(matches!(told.as_slice(), [Output::Event(Event::Failed { why: w, .. })] if *w == why));
    assert_eq!(bench.sealer.wake_at(), None);
}

#[test]
fn waiting_letters_are_bounded() {
    let mut bench = Bench::new(Config { capacity: 2, ..Config::default() }, TestDice::seeded(1));
    for n in 0..2 {
        bench.give(Input::Seal { token: SealToken(n), letter: symmetric("00", None, true) });
    }
    let told = bench.give(Input::Seal { token: SealToken(2), letter: symmetric("00", None, true) });
    assert!(matches!(told.as_slice(), [Output::Event(Event::Failed { token: SealToken(2), why: SealError::Busy })]));
}

#[test]
fn impossible_work_is_given_up_in_time_and_in_pieces() {
    let mut bench = Bench::new(Config { tries: 10, ..Config::default() }, TestDice::seeded(1));
    let mut hard = symmetric("00", None, false);
    hard.pow_target = 1e60;
    assert!(bench.give(Input::Seal { token: SealToken(1), letter: hard }).is_empty());
    assert_eq!(bench.sealer.wake_at(), Some(Instant::default()), "it goes on at once");
    assert!(bench.give(Input::Tick).is_empty());
    bench.now = Duration::from_secs(20);
    let told = bench.give(Input::Tick);
    assert!(matches!(told.as_slice(), [Output::Event(Event::Failed { why: SealError::PowNotReached, .. })]));
}

#[test]
fn letters_take_turns() {
    let mut bench = Bench::new(Config { tries: 10, ..Config::default() }, TestDice::seeded(1));
    let mut hard = symmetric("00", None, false);
    hard.pow_target = 1e60;
    bench.give(Input::Seal { token: SealToken(1), letter: hard });
    let mut easy = symmetric("00", None, false);
    easy.pow_target = 0.0;
    let mut told = bench.give(Input::Seal { token: SealToken(7), letter: easy });
    told.extend(bench.give(Input::Tick));
    let [Output::Event(Event::Sealed { token: SealToken(7), envelope })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(envelope.nonce(), 0, "no target, no search");
}

#[test]
fn impossible_targets_and_lengths_are_refused() {
    let mut bench = Bench::new(Config::default(), TestDice::seeded(1));
    for target in [-1.0, f64::NAN, f64::INFINITY] {
        let mut letter = symmetric("00", None, false);
        letter.pow_target = target;
        assert_eq!(bench.seal(letter).err(), Some(SealError::Target));
    }
    let mut long = symmetric("", Some(""), false);
    long.payload = Zeroizing::new(vec![0; plaintext::MAX_PAYLOAD + 1]);
    assert_eq!(bench.seal(long).err(), Some(SealError::TooLong));
    let short_key = Key::Symmetric(Arc::new(SymKey::from_bytes(&[1; 16]).unwrap()));
    assert_eq!(bench.seal(letter(short_key, "00", None, false)).err(), Some(SealError::KeyLength));
}
