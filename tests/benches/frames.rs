//! RLPx frames of 64 KiB: sealed with one end of a connection, opened with the other, snappy included.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use proto::Secret;
use rand_core::Rng;
use scenarios::dice::Seeded;
use wire::ecies;
use wire::rlpx::{FrameReader, FrameWriter, Role, Secrets, Transcript};

use crate::clock::cost_us;
use crate::geth::Figures;
use crate::row::{Row, Unit};
use crate::{Bench, Trouble};

/// Measures frames with random payloads, which envelopes are, and with prose.
pub(crate) fn rows(bench: &mut Bench, geth: &Figures) -> Result<(), Trouble> {
    for (payload, name, operation) in [(random(), "random", "frame-random"), (text(), "text", "frame-text")] {
        let what = format!("RLPx frames, 64 KiB of {name}, seal and open");
        if !bench.wants(&what) {
            continue;
        }
        let (mut writer, mut reader) = connection();
        let frame = pass(&mut writer, &mut reader, &payload)?;
        let ours = cost_us(|| pass(&mut writer, &mut reader, &payload));
        let peer = geth.figure(operation).map(mb_per_s);
        let row = Row::new(what, Unit::MbPerS).ours(mb_per_s(ours)).peer(peer, geth.name()).target(400.0);
        bench.add(row.floor(mb_per_s(2.0 * (keccak_us(frame) + cipher_us(frame)) + snappy_us(&payload)?)));
    }
    Ok(())
}

/// Sends one message through; returns how long its frame was.
fn pass(writer: &mut FrameWriter, reader: &mut FrameReader, payload: &[u8]) -> Result<usize, Trouble> {
    let frame = writer.seal(16, payload)?;
    reader.extend(&frame);
    let message = reader.next_message()?.ok_or("the frame is not whole")?;
    if message.payload.len() == payload.len() { Ok(frame.len()) } else { Err("another message came back".into()) }
}

/// Returns the writer of one end of a connection and the reader of the other.
fn connection() -> (FrameWriter, FrameReader) {
    let mut dice = Seeded::new(2);
    let (ours, theirs) = (ecies::draw_key(&mut dice), ecies::draw_key(&mut dice));
    let seen = Transcript { initiator_nonce: &[1; 32], responder_nonce: &[2; 32], auth: b"auth", ack: b"ack" };
    let (mut writer, _) = Secrets::derive(Role::Initiator, &ours, &theirs.public_key().into(), seen).into_frames();
    let (_, mut reader) = Secrets::derive(Role::Responder, &theirs, &ours.public_key().into(), seen).into_frames();
    writer.compress(true);
    reader.decompress(true);
    (writer, reader)
}

/// Returns what keccak-256 of so many bytes costs.
pub(crate) fn keccak_us(len: usize) -> f64 {
    let bytes = vec![7; len];
    cost_us(|| proto::keccak256(&[&bytes]))
}

/// Returns what encrypting so many bytes costs.
pub(crate) fn cipher_us(len: usize) -> f64 {
    let mut bytes = vec![7; len];
    let key = Secret::<32>::fill(|room| room.fill(1));
    let mut cipher = Ctr128BE::<Aes256>::new(key.expose().into(), &[0; 16].into());
    cost_us(|| cipher.apply_keystream(&mut bytes))
}

/// Returns what compressing and decompressing costs.
fn snappy_us(payload: &[u8]) -> Result<f64, Trouble> {
    let (mut encoder, mut decoder) = (snap::raw::Encoder::new(), snap::raw::Decoder::new());
    let mut block = vec![0; snap::raw::max_compress_len(payload.len())];
    let len = encoder.compress(payload, &mut block)?;
    let compress = cost_us(|| encoder.compress(payload, &mut block));
    let (block, mut room) = (block.get(..len).unwrap_or(&[]).to_vec(), vec![0; payload.len()]);
    Ok(compress + cost_us(|| decoder.decompress(&block, &mut room)))
}

fn mb_per_s(us: f64) -> f64 {
    LEN as f64 / us
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    Seeded::new(3).fill_bytes(&mut bytes);
    bytes
}

/// As dense as prose: words in an order that does not repeat. The peer program writes the same.
fn text() -> Vec<u8> {
    let words: Vec<&str> = WORDS.split(' ').collect();
    let (mut text, mut seed) = (Vec::new(), 1u32);
    while text.len() < LEN {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = words.get((seed >> 16) as usize % words.len()).copied().unwrap_or_default();
        text.extend_from_slice(word.as_bytes());
        text.push(b' ');
    }
    text.truncate(LEN);
    text
}

const LEN: usize = 64 << 10;
const WORDS: &str = "the quick brown fox jumps over a lazy dog while seven wizards mix potions in old jugs";
