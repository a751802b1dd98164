//! Secured commands, spoiled in the ways that the recordings name.

use rand_core::CryptoRng;

use super::channel::{Channel, body, with_length};
use super::script::Tamper;
use crate::channel::cbc;

/// Wraps a command and spoils it; nothing when it does not fit into a short one.
pub(super) fn spoil(channel: &Channel, send: &[u8], kind: Tamper, dice: &mut dyn CryptoRng) -> Option<Vec<u8>> {
    let inner = with_length(send);
    let mut bytes = match (channel, kind) {
        (Channel::V1(channel), Tamper::WrongIv) => {
            let mut iv = [0; 16];
            dice.fill_bytes(&mut iv);
            return channel.wrap_under(send, &iv);
        }
        (Channel::V1(channel), Tamper::BadPadding) => return channel.wrap_unpadded(send),
        (Channel::V2(channel), Tamper::WrongCounter) => return channel.wrap(&inner, 1),
        (Channel::V2(channel), Tamper::InnerLc) => {
            let mut lying = inner;
            *lying.get_mut(4)? = lying.get(4)?.wrapping_add(1);
            return channel.wrap(&lying, 0);
        }
        (Channel::V2(channel), Tamper::InnerShort) => return channel.wrap(inner.get(..4)?, 0),
        (Channel::V1(channel), _) => channel.wrap(send)?,
        (Channel::V2(channel), _) => channel.wrap(&inner, 0)?,
    };
    let is_v1 = matches!(channel, Channel::V1(_));
    match kind {
        Tamper::BadMac if is_v1 => *bytes.get_mut(5)? ^= 1,
        Tamper::BadMac => *bytes.last_mut()? ^= 1,
        Tamper::BadBody if is_v1 => *bytes.last_mut()? ^= 1,
        Tamper::BadBody => *bytes.get_mut(5)? ^= 1,
        Tamper::BadHeader => *bytes.get_mut(3)? ^= 1,
        Tamper::BadCla => *bytes.first_mut()? = 0,
        Tamper::Truncated => {
            let cut = if is_v1 { cbc::BLOCK } else { 1 };
            bytes.truncate(bytes.len().saturating_sub(cut));
            let length = u8::try_from(body(&bytes).len()).ok()?;
            *bytes.get_mut(4)? = length;
        }
        // Those of the other channel spoil nothing.
        _ => {}
    }
    Some(bytes)
}
