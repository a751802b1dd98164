//! What the steps of a script hold.

use proto::{EnvelopeHash, Topic};
use wire::rlp::{Reader, Writer};
use wire::waku::{Completion, Envelope, MessagesRequest};

use super::super::case::Case;

/// Reads one envelope.
pub(super) fn envelope(raw: &[u8]) -> Result<Envelope, String> {
    Envelope::decode(raw).map_err(|error| format!("an envelope that does not decode: {error}"))
}

/// Returns the names of the envelopes in a packet.
pub(super) fn hashes(payload: &[u8]) -> Result<Vec<EnvelopeHash>, String> {
    let mut list = Reader::new(payload).list().map_err(|error| error.to_string())?;
    let mut hashes = Vec::new();
    while !list.is_empty() {
        hashes.push(envelope(list.raw().map_err(|error| error.to_string())?)?.hash());
    }
    Ok(hashes)
}

/// Returns the topics of a step.
pub(super) fn topics(step: Case<'_>) -> Result<Vec<Topic>, String> {
    let parse = |text: &str| {
        let bytes = hex::decode(text).unwrap_or_default();
        Topic::try_from(bytes.as_slice()).map_err(|_| format!("{text} is no topic"))
    };
    step.texts("topics")?.into_iter().map(parse).collect()
}

/// Returns a request for old envelopes.
pub(super) fn request(said: Case<'_>) -> Result<MessagesRequest, String> {
    let number = |name: &str| u32::try_from(said.number(name)?).map_err(|_| name.to_owned());
    Ok(MessagesRequest {
        // What is not hexadecimal is no id.
        id: hex::decode(said.text("id")?).unwrap_or_default(),
        from_s: number("from_unix_s")?,
        to_s: number("to_unix_s")?,
        limit: number("limit")?,
        cursor: said.bytes("cursor")?,
        bloom: said.bytes("bloom")?,
        topics: topics(said)?.iter().map(|topic| topic.as_bytes().to_vec()).collect(),
    })
}

/// Reads the body of a completion, as it is inside its RLP string.
pub(super) fn completion(body: &[u8]) -> Result<Completion, String> {
    let mut packet = Writer::new();
    packet.bytes(body);
    Completion::decode(&packet.into_vec()).map_err(|error| error.to_string())
}
