//! What messages carry besides text, between two of theirs.

use scenarios::peer::{Outcome, World};
use serde_json::json;

use super::Cast;
use super::chat::hold;
use super::one_to_one::handled;
use super::relay::stage;

/// A picture, a sticker, and a request for a transaction.
pub(super) fn kinds(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    let bob_key = bob.key()?;
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("dot.png");
    std::fs::write(&picture, DOT)?;
    alice.call("send_1to1", json!({ "to": bob_key, "text": "a picture", "image_path": picture }))?;
    let heard = bob.hears("a picture")?;
    hold(heard["content_type"] == "IMAGE", || format!("no picture: {heard}"))?;
    let sticker = json!({ "hash": "e30101701220", "pack": 7 });
    alice.call("send_1to1", json!({ "to": bob_key, "text": "a sticker", "sticker": sticker }))?;
    let heard = bob.hears("a sticker")?;
    hold(heard["content_type"] == "STICKER", || format!("no sticker: {heard}"))?;
    let address = format!("0x{}", "11".repeat(20));
    alice.call("call", json!({ "method": "RequestTransaction", "args": [bob_key, "10", "0x0", address] }))?;
    bob.event("message", |it| it["content_type"] == "TRANSACTION_COMMAND")?;
    Ok(())
}

/// Bytes that are no message, sent with all the care of one, harm nobody.
pub(super) fn junk(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut alice, mut bob) = stage(world, cast)?;
    let (alice_key, bob_key) = (alice.key()?, bob.key()?);
    alice.tells(&bob_key, "before")?;
    bob.hears("before")?;
    let junk = json!({ "type": "CHAT_MESSAGE", "payload": "ff00ff00", "to": bob_key, "resend": true });
    alice.call("send_raw", junk)?;
    alice.tells(&bob_key, "after")?;
    bob.hears("after")?;
    bob.event("envelope", |it| it["sig"] == *alice_key && handled(it, "ChatMessage"))?;
    bob.tells(&alice_key, "and back")?;
    alice.hears("and back")?;
    Ok(())
}

/// A picture of one transparent dot.
const DOT: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0x1f, 0x15, 0xc4, 0x89, 0x00, 0x00, 0x00, 0x0d, 0x49,
    0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60, 0x60, 0x60, 0x60, 0x00, 0x00, 0x00, 0x05, 0x00, 0x01, 0xa5, 0xf6, 0x45,
    0x40, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
