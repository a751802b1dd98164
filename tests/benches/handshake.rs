//! The RLPx handshake: both sides of it, without a network between them.

use k256::{ProjectivePoint, Scalar, SecretKey};
use proto::{ChatKey, Digest, RecoverableSignature};
use scenarios::dice::Seeded;
use wire::ecies;
use wire::rlpx::handshake::{Initiator, NodeKey, Progress, answer, open_ack, open_auth};

use crate::clock::{cost_us, quantile, wall_ms};
use crate::geth::Figures;
use crate::row::{Row, Unit};
use crate::{Bench, Trouble};

/// Measures handshakes.
pub(crate) fn rows(bench: &mut Bench, geth: &Figures) -> Result<(), Trouble> {
    let (cpu, p50, p99) = (WHAT.to_owned(), format!("{WHAT}, wall p50"), format!("{WHAT}, wall p99"));
    if ![&cpu, &p50, &p99].into_iter().any(|what| bench.wants(what)) {
        return Ok(());
    }
    let mut dice = Seeded::new(1);
    let dialer = NodeKey::from(ecies::draw_key(&mut dice));
    let listener = NodeKey::from(ecies::draw_key(&mut dice));
    shake(&dialer, &listener, &mut dice).ok_or("the handshake fails")?;
    let ours = cost_us(|| shake(&dialer, &listener, &mut dice)) / 1e3;
    let mut wall = wall_ms(500, || shake(&dialer, &listener, &mut dice));
    let peer = geth.figure("handshake").map(|us| us / 1e3);
    bench.add(Row::new(cpu, Unit::Ms).ours(ours).peer(peer, geth.name()).floor(floor_us(&mut dice) / 1e3).target(0.6));
    bench.add(Row::new(p50, Unit::Ms).ours(quantile(&mut wall, 0.5)));
    bench.add(Row::new(p99, Unit::Ms).ours(quantile(&mut wall, 0.99)));
    Ok(())
}

fn shake(dialer: &NodeKey, listener: &NodeKey, dice: &mut Seeded) -> Option<()> {
    let initiator = Initiator::start(dialer, listener.id(), dice);
    let Progress::Done(auth) = open_auth(listener, initiator.auth()).ok()? else { return None };
    let (packet, theirs) = answer(&auth, initiator.auth(), dice);
    let Progress::Done(ack) = open_ack(dialer, &packet).ok()? else { return None };
    let ours = initiator.finish(&ack, &packet);
    std::hint::black_box((ours, theirs));
    Some(())
}

/// The curve operations that the specification asks for: each side agrees on four secrets (static keys, ephemeral keys,
/// and one in each of two ECIES messages), makes two points of the generator (the dialer for a signature and an ECIES
/// message, the listener for an ephemeral key and an ECIES message), and the listener recovers one signer.
fn floor_us(dice: &mut Seeded) -> f64 {
    let key = ecies::draw_key(dice);
    let scalar = *key.to_nonzero_scalar();
    let point = ChatKey::from(ecies::draw_key(dice).public_key());
    let agree = cost_us(|| ecies::agree(&key, &point));
    let generate = cost_us(|| generated(&scalar));
    let recover = recover_us(&key);
    8.0 * agree + 4.0 * generate + recover
}

/// Returns what recovering a signer costs.
pub(crate) fn recover_us(key: &SecretKey) -> f64 {
    let digest = Digest::from([7; 32]);
    let signature = RecoverableSignature::sign(&key.into(), &digest);
    cost_us(|| signature.recover(&digest))
}

fn generated(scalar: &Scalar) -> k256::AffinePoint {
    ProjectivePoint::mul_by_generator(scalar).to_affine()
}

const WHAT: &str = "RLPx handshake, both sides";
