//! OPEN SECURE CHANNEL `80 10 slot 00 41 client ephemeral(65)` → `salt(32) || IV(16)`, and MUTUALLY AUTHENTICATE
//! `80 11 00 00 20 random(32)` → `random(32)`, the first command inside: applets 2.x and 3.x.
//!
//! The card's 32 bytes say nothing; that they come under the channel's MAC says that the card has the pairing key.

use k256::elliptic_curve::Generate as _;
use proto::ChatKey;
use rand_core::CryptoRng;

use crate::apdu::Command;
use crate::card::Session;
use crate::channel::Channel;
use crate::channel::cbc::BLOCK;
use crate::channel::v1::ChannelV1;
use crate::error::{CardError, Lost};
use crate::opening::{Opening, PairedOpening};
use crate::pairing::{Pairing, Unpaired};
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};

const OPEN: &str = "OPEN SECURE CHANNEL";
const AUTHENTICATE: &str = "MUTUALLY AUTHENTICATE";

/// Opens a channel with a pairing; `opening` says to which card.
pub(crate) fn handshake<T: CardTransport>(
    transport: &mut T,
    opening: PairedOpening,
    pairing: &Pairing,
    rng: &mut dyn CryptoRng,
) -> Result<Session, CardError> {
    let not_taken = Unpaired::NotTaken { slot: pairing.slot };
    let ours = k256::SecretKey::generate_from_rng(rng);
    let client = ChatKey::from(ours.public_key()).to_bytes();
    let answer = exchange(transport, Command::with_body([0x80, 0x10, pairing.slot, 0x00], &[&client])?)?;
    if answer.status == StatusWord::WRONG_PARAMETERS {
        return Err(not_taken.into());
    }
    let data = answer.success(OPEN)?;
    let (salt, iv) = split(&data)?;
    let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), opening.channel_key.as_point().as_affine());
    let channel = ChannelV1::derive(shared.raw_secret_bytes(), pairing.key.expose(), salt, *iv);
    let mut session = Session { channel: Channel::V1(Box::new(channel)), opening: Opening::V1(Box::new(opening)) };
    let mut challenge = [0; 32];
    rng.fill_bytes(&mut challenge);
    let command = Command::with_body([0x80, 0x11, 0x00, 0x00], &[&challenge])?;
    let answer = session.call(transport, &command).map_err(|error| match error {
        // Not able to read our MAC, or not able to write one: it has another key in that slot.
        CardError::ChannelLost(Lost::Outside { status: StatusWord::CHANNEL_BROKEN } | Lost::Unverifiable) => {
            not_taken.into()
        }
        other => other,
    })?;
    if answer.success(AUTHENTICATE)?.len() == challenge.len() {
        Ok(session)
    } else {
        Err(CardError::Answer { what: "a malformed answer to MUTUALLY AUTHENTICATE" })
    }
}

fn split(data: &[u8]) -> Result<(&[u8; 32], &[u8; BLOCK]), CardError> {
    const MALFORMED: CardError = CardError::Answer { what: "a malformed answer to OPEN SECURE CHANNEL" };
    let (salt, iv) = data.split_first_chunk().ok_or(MALFORMED)?;
    Ok((salt, iv.try_into().map_err(|_| MALFORMED)?))
}
