//! Envelopes: read as a relay reads them, at 400 bytes on the wire and at 558 (a signed payload of 400 bytes, padded), and
//! the latter opened as its reader opens it.

use k256::SecretKey;
use proto::{RecoverableSignature, Secret, Topic, UnixSecs};
use rand_core::Rng;
use scenarios::dice::Seeded;
use wire::ecies;
use wire::payload::plaintext::ToSign;
use wire::payload::{SymKey, open_symmetric};
use wire::waku::Envelope;
use wire::waku::envelope::Draft;

use crate::clock::cost_us;
use crate::frames::keccak_us;
use crate::geth::Figures;
use crate::handshake::recover_us;
use crate::row::{Row, Unit};
use crate::{Bench, Trouble};

/// Measures reading an envelope as a relay does, and opening it as its reader does.
pub(crate) fn rows(bench: &mut Bench, geth: &Figures) -> Result<(), Trouble> {
    let mut dice = Seeded::new(4);
    let identity = ecies::draw_key(&mut dice);
    let key = SymKey::new(&Secret::fill(|room| dice.fill_bytes(room)));
    let envelope = sealed(&identity, &key, &mut dice)?;
    let raw = envelope.as_bytes();
    let short = Draft::new(UnixSecs::new(1_600_000_000), 10, Topic::from([1, 2, 3, 4]), &[7; 380]).seal(0x41a5)?;
    for (raw, what, operation, target) in [
        (short.as_bytes(), DECODE, "envelope-decode-400", Some(3.0)),
        (raw, DECODE_PADDED, "envelope-decode-558", None),
    ] {
        if bench.wants(what) {
            let ours = cost_us(|| Envelope::decode(raw).map(|envelope| (envelope.hash(), envelope.pow(0))));
            // The work is over the same bytes but for list header and nonce, which changes no number of blocks.
            let row = Row::new(what, Unit::Us).ours(ours).peer(geth.figure(operation), geth.name());
            bench.add(Row { target, ..row.floor(2.0 * keccak_us(raw.len())) });
        }
    }
    if bench.wants(OPEN) {
        let ours = cost_us(|| open_symmetric(&envelope, &key));
        let peer = geth.figure("envelope-open-symmetric");
        let floor = keccak_us(PADDED) + recover_us(&identity);
        bench.add(Row::new(OPEN, Unit::Us).ours(ours).peer(peer, geth.name()).floor(floor).target(60.0));
    }
    Ok(())
}

fn sealed(identity: &SecretKey, key: &SymKey, dice: &mut Seeded) -> Result<Envelope, Trouble> {
    let mut payload = [0; 400];
    dice.fill_bytes(&mut payload);
    let plaintext = ToSign::new(&payload, &[7; PADDED - 1 - 2 - 400 - 65]).ok_or("the payload is too long")?;
    let signature = RecoverableSignature::sign(&identity.into(), &plaintext.digest());
    let data = key.encrypt([9; 12], &plaintext.signed(&signature)).ok_or("the key does not seal")?;
    let envelope = Draft::new(UnixSecs::new(1_600_000_000), 10, Topic::from([1, 2, 3, 4]), &data).seal(0x41a5)?;
    let opened = open_symmetric(&envelope, key)?;
    if opened.signer() == Some(identity.public_key().into()) { Ok(envelope) } else { Err("another signer".into()) }
}

const PADDED: usize = 512;
const DECODE: &str = "envelope decode, hash and PoW check, 400 B";
const DECODE_PADDED: &str = "envelope decode, hash and PoW check, 558 B";
const OPEN: &str = "envelope open, symmetric signed, 400 B";
