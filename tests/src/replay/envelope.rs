//! `envelope*.jsonl`: envelopes that the peer sealed, or judged.
//!
//! Kinds `bloom`, `pow`, `open` (decode, decrypt, validate; each stage must say what the peer said) and `sealed`, which
//! is opened like the others and then sealed anew with the peer's dice: every byte must come out the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k256::ecdsa::SigningKey;
use k256::{PublicKey, SecretKey};
use proto::{Answer, Ask, ChatKey, Instant, RecoverableSignature, Topic, Turn, UnixMillis, UnixSecs};
use wire::payload::sealer::{Config, Event, Input, Key, Output};
use wire::payload::{Letter, OpenError, Opened, SealToken, Sealer, SymKey, open_asymmetric, open_symmetric};
use wire::waku::{BloomFilter, Envelope};
use zeroize::Zeroizing;

use super::case::{Case, check, same, same_bytes};
use super::{Outcome, differs};
use crate::dice::Scripted;

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    let expect = case.at("expect")?;
    match case.text("kind")? {
        "bloom" => bloom(case, expect).map(|()| Outcome::Same),
        "pow" => pow(case, expect).map(|()| Outcome::Same),
        "open" => open(case, expect).map(|_| Outcome::Same),
        "sealed" if case.says("seal_failed") => {
            let sealed = Sealing::of(case, None)?.run(&mut Scripted::new(&[]))?;
            check(sealed.is_none(), "the peer gave up sealing what we seal").map(|()| Outcome::Same)
        }
        "sealed" => sealed(case, expect),
        _ => Ok(Outcome::Skipped),
    }
}

fn bloom(case: Case<'_>, expect: Case<'_>) -> Result<(), String> {
    let filter = BloomFilter::assigned(Topic::from(case.array::<4>("topic")?));
    same_bytes("bloom", filter.as_bytes(), &expect.bytes("bloom")?)
}

fn pow(case: Case<'_>, expect: Case<'_>) -> Result<(), String> {
    let envelope = decode(case)?.ok_or("we refuse the envelope")?;
    let extra_s = u32::try_from(case.number("extra_s")?).map_err(|_| "extra_s is too large")?;
    compare_pow(envelope.pow(extra_s), expect)?;
    same_bytes("hash", envelope.hash().as_bytes(), &expect.bytes("hash")?)
}

/// Returns what was opened, if the peer and we opened it.
fn open(case: Case<'_>, expect: Case<'_>) -> Result<Option<(Envelope, Opened)>, String> {
    let decoded = decode(case)?;
    same("decode", decoded.is_some(), expect.accepts("decode")?)?;
    let Some(envelope) = decoded else {
        same("verdict", "reject", expect.text("verdict")?)?;
        return Ok(None);
    };
    compare_envelope(&envelope, expect)?;
    let opened = match case.text("mode")? {
        "none" => {
            same("verdict", "accept", expect.text("verdict")?)?;
            return Ok(None);
        }
        "sym" => match SymKey::from_bytes(&case.bytes("sym_key")?) {
            Some(key) => open_symmetric(&envelope, &key),
            None => Err(OpenError::Decrypt),
        },
        "asym" => open_asymmetric(&envelope, &private_key(case, "recipient_private")?),
        mode => return Err(format!("unknown mode {mode}")),
    };
    same("open", !matches!(opened, Err(OpenError::Decrypt)), expect.accepts("open")?)?;
    if matches!(opened, Err(OpenError::Decrypt)) {
        same("verdict", "reject", expect.text("verdict")?)?;
        return Ok(None);
    }
    same("validate", opened.is_ok(), expect.accepts("validate")?)?;
    same("verdict", opened.is_ok(), expect.text("verdict")? == "accept")?;
    let Ok(opened) = opened else { return Ok(None) };
    expect.compare_large("plaintext", opened.plaintext())?;
    expect.compare_large("payload", opened.payload())?;
    expect.compare_large("padding", opened.padding())?;
    let signature = opened.signature().map(|signature| signature.as_bytes().to_vec());
    same("signature", signature, expect.bytes_if_there("signature")?)?;
    let signer = opened.signer().map(|signer| signer.to_bytes().to_vec());
    same("signer", signer, expect.bytes_if_there("signer")?)?;
    Ok(Some((envelope, opened)))
}

fn sealed(case: Case<'_>, expect: Case<'_>) -> Result<Outcome, String> {
    let (envelope, opened) = open(case, expect)?.ok_or("what was sealed does not open")?;
    if let Some(payload) = case.payload("payload_in")? {
        same_bytes("payload_in", opened.payload(), &payload)?;
    }
    if let Some(padding) = case.bytes_if_there("padding_in")? {
        same_bytes("padding_in", opened.padding(), &padding)?;
    }
    let sealing = Sealing::of(case, Some(&opened))?;
    if differs::negative_target(sealing.pow_target) {
        // There is nothing to seal anew; what stands in the envelope is compared all the same.
        let ttl_s = if sealing.ttl_s == 0 { wire::waku::envelope::DEFAULT_TTL_S } else { sealing.ttl_s };
        let lives_s = u64::from(ttl_s) + case.number("work_time_s")?;
        same("expiry", envelope.expiry().get(), sealing.now.get().wrapping_add(lives_s) & 0xffff_ffff)?;
        same("topic", envelope.topic(), sealing.topic)?;
        check(sealing.run(&mut Scripted::new(&[]))?.is_none(), "we seal with a negative target")?;
        return Ok(Outcome::Listed);
    }
    let own_padding = if case.find("padding_in").is_none() { opened.padding() } else { &[] };
    let (first, second) = match case.text("mode")? {
        "sym" => (case.bytes("gcm_nonce")?, Vec::new()),
        _ => (case.bytes("ecies_ephemeral_private")?, case.bytes("ecies_iv")?),
    };
    let mut dice = Scripted::new(&[own_padding, &first, &second]);
    let ours = sealing.run(&mut dice)?.ok_or("we gave up sealing what the peer sealed")?;
    same_bytes("sealed anew", ours.as_bytes(), envelope.as_bytes())?;
    check(dice.is_spent(), "we threw the dice more or less often than the peer").map(|()| Outcome::Same)
}

/// What the peer was asked to seal.
struct Sealing {
    topic: Topic,
    key: Key,
    payload: Vec<u8>,
    padding: Option<Vec<u8>>,
    signer: Option<SigningKey>,
    now: UnixSecs,
    ttl_s: u32,
    pow_target: f64,
    work_time: Duration,
}

impl Sealing {
    /// Reads the case; what it gives only by length is taken from what was opened.
    fn of(case: Case<'_>, opened: Option<&Opened>) -> Result<Self, String> {
        let key = match case.text("mode")? {
            "sym" => Key::Symmetric(Arc::new(SymKey::from_bytes(&case.bytes("sym_key")?).ok_or("sym_key is no key")?)),
            _ => Key::Asymmetric(ChatKey::from(private_key(case, "recipient_private")?.public_key())),
        };
        let signer =
            if case.says("signed") { Some(SigningKey::from(private_key(case, "signer_private")?)) } else { None };
        let payload = match (case.payload("payload_in")?, opened) {
            (Some(payload), _) => payload,
            (None, Some(opened)) => opened.payload().to_vec(),
            (None, None) => return Err("the case gives no payload".to_owned()),
        };
        Ok(Self {
            topic: Topic::from(case.array::<4>("topic")?),
            key,
            payload,
            padding: case.bytes_if_there("padding_in")?,
            signer,
            now: UnixSecs::new(case.number("now_unix_s")?),
            ttl_s: u32::try_from(case.number("ttl_s_asked")?).map_err(|_| "ttl_s_asked is too large")?,
            pow_target: case.double("pow_target")?,
            work_time: Duration::from_secs(case.number("work_time_s")?),
        })
    }

    /// Seals it; nothing when the sealer gave up. Time stands still while it seeks, up to a number of steps.
    fn run(self, dice: &mut Scripted) -> Result<Option<Envelope>, String> {
        let Self { topic, key, payload, padding, signer, now, ttl_s, pow_target, work_time } = self;
        let signed_by = signer.as_ref().map(|signer| ChatKey::from(PublicKey::from(signer.verifying_key())));
        let payload = Zeroizing::new(payload);
        let letter = Letter { topic, key, payload, padding, signer: signed_by, ttl_s, pow_target, work_time };
        let mut sealer = Sealer::new(Config::default());
        let unix: UnixMillis = now.to_millis();
        let mut inputs = vec![Input::Seal { token: SealToken(1), letter }];
        for step in 0..=MAX_STEPS {
            let at = if step < MAX_STEPS { Duration::ZERO } else { work_time };
            let mut turn = Turn { now: Instant::from_start(at), unix, rng: dice };
            sealer.handle(&mut turn, inputs.pop().unwrap_or(Input::Tick));
            while let Some(output) = sealer.poll() {
                match output {
                    Output::Event(Event::Sealed { envelope, .. }) => return Ok(Some(envelope)),
                    Output::Event(Event::Failed { .. }) => return Ok(None),
                    Output::Ask(id, Ask::Sign(digest)) => {
                        let signer = signer.as_ref().ok_or("a signature is asked for that was not ordered")?;
                        let signature = RecoverableSignature::sign(signer, &digest);
                        inputs.push(Input::Answer(id, Ok(Answer::Sign(signature))));
                    }
                    Output::Ask(..) => return Err("something else than a signature is asked for".to_owned()),
                }
            }
        }
        Ok(None)
    }
}

fn decode(case: Case<'_>) -> Result<Option<Envelope>, String> {
    Ok(Envelope::decode(&case.bytes("envelope")?).ok())
}

fn compare_envelope(envelope: &Envelope, expect: Case<'_>) -> Result<(), String> {
    let fields = expect.at("fields")?;
    let numbers = BTreeMap::from([
        ("expiry_unix_s", envelope.expiry().get()),
        ("ttl_s", envelope.ttl_s().into()),
        ("data_len", envelope.data().len() as u64),
        ("nonce", envelope.nonce()),
    ]);
    for (name, ours) in numbers {
        same(name, ours, fields.number(name)?)?;
    }
    same("topic", envelope.topic().to_string().as_str(), fields.text("topic")?)?;
    same_bytes("hash", envelope.hash().as_bytes(), &expect.bytes("hash")?)?;
    same_bytes("bloom", BloomFilter::assigned(envelope.topic()).as_bytes(), &expect.bytes("bloom")?)?;
    same("size", envelope.size() as u64, expect.number("size")?)?;
    if expect.find("sent_unix_s").is_some() {
        same("sent_unix_s", envelope.sent().get(), expect.number("sent_unix_s")?)?;
    }
    compare_pow(envelope.pow(0), expect)
}

fn compare_pow(ours: f64, expect: Case<'_>) -> Result<(), String> {
    let theirs = expect.double("pow")?;
    if ours.to_bits() == theirs.to_bits() { Ok(()) } else { Err(format!("pow: ours {ours}, the peer's {theirs}")) }
}

fn private_key(case: Case<'_>, name: &str) -> Result<SecretKey, String> {
    SecretKey::from_slice(&case.bytes(name)?).map_err(|_| format!("{name} is no key"))
}

/// Pieces of the search for proof of work before the sealer's time is up: some ten million nonces.
const MAX_STEPS: usize = 5_000;
