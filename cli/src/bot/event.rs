//! What happens to the node, as the objects that a bot prints.

use proto::pb::chat_message::{ContentType, MessageType};
use proto::rpc::api::{ChatLine, NodeEvent, PeerGone, node_event};
use serde_json::{Value, json};

/// Returns the event to print, if it is one. Messages of ours are told only to those who want them.
pub(super) fn told(event: NodeEvent, own: bool) -> Option<Value> {
    use node_event::Event;
    Some(match event.event? {
        Event::PeerUp(peer) => json!({ "event": "peer_add", "id": peer.id }),
        Event::PeerDown(PeerGone { id, why }) => json!({ "event": "peer_drop", "id": id, "error": why }),
        Event::Joined(name) => json!({ "event": "chat", "chat": chat(&name, true) }),
        Event::Left(name) => json!({ "event": "chat", "chat": chat(&name, false) }),
        Event::Message(message) if message.own && !own => return None,
        Event::Message(message) => {
            let mut told = line(&message);
            if let Value::Object(fields) = &mut told {
                fields.insert("event".to_owned(), "message".into());
            }
            told
        }
        Event::Sent(id) => json!({ "event": "envelope_sent", "message_ids": [id] }),
        Event::Expired(id) => json!({ "event": "envelope_expired", "message_ids": [id] }),
        Event::Watching(_) => return None,
    })
}

/// Returns a chat as it is shown.
pub(super) fn chat(name: &str, active: bool) -> Value {
    json!({ "id": name, "name": name, "active": active })
}

/// Returns a message as it is shown.
pub(super) fn line(line: &ChatLine) -> Value {
    json!({
        "chat": line.chat,
        "from": line.from,
        "text": line.text,
        "id": line.id,
        "clock": line.clock,
        "timestamp": line.timestamp_ms,
        "whisper_timestamp": line.sent_ms,
        "content_type": content_type(line.content_type),
        // The node follows no other chats.
        "message_type": MessageType::PublicGroup.as_str_name(),
        "response_to": line.response_to,
        "own": line.own,
    })
}

/// Returns the specification's name of a content type, or the number of one that it does not name.
fn content_type(number: i32) -> Value {
    ContentType::try_from(number).map_or_else(|_| number.into(), |known| known.as_str_name().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(own: bool) -> NodeEvent {
        let line = ChatLine { text: "hi".to_owned(), content_type: 1, own, ..ChatLine::default() };
        NodeEvent { event: Some(node_event::Event::Message(line)) }
    }

    #[test]
    fn a_bot_hears_itself_only_when_it_wants_to() {
        assert_eq!(told(message(true), false), None);
        assert_eq!(told(message(true), true).unwrap()["own"], true);
        let heard = told(message(false), false).unwrap();
        assert_eq!((&heard["event"], &heard["text"]), (&json!("message"), &json!("hi")));
        assert_eq!((&heard["content_type"], &heard["message_type"]), (&json!("TEXT_PLAIN"), &json!("PUBLIC_GROUP")));
    }

    #[test]
    fn content_of_later_versions_is_told_by_its_number() {
        assert_eq!(content_type(4), "EMOJI");
        assert_eq!(content_type(77), 77);
    }
}
