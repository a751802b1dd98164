use proptest::prelude::*;

use super::*;

const SENT: UnixSecs = UnixSecs::new(1_600_000_000);
const NOW: u64 = 1_600_000_000_000;

/// A good message, to be spoilt.
fn good() -> pb::ChatMessage {
    pb::ChatMessage {
        clock: NOW,
        timestamp: NOW,
        text: "hello".into(),
        chat_id: "status".into(),
        message_type: 2,
        content_type: 1,
        ..pb::ChatMessage::default()
    }
}

fn decode(message: &pb::ChatMessage) -> Result<Decoded, MessageError> {
    ChatMessage::decode(&message.encode_to_vec(), SENT)
}

fn error(spoil: impl FnOnce(&mut pb::ChatMessage)) -> Option<MessageError> {
    let mut message = good();
    spoil(&mut message);
    decode(&message).err()
}

fn content_of(message: &pb::ChatMessage) -> Result<Content, MessageError> {
    match decode(message)? {
        Decoded::Public(message) => Ok(message.content),
        Decoded::Elsewhere => panic!("not public"),
    }
}

fn with(content_type: i32, payload: Option<Payload>) -> pb::ChatMessage {
    pb::ChatMessage { content_type, payload, ..good() }
}

/// PAY-05, PAY-07, PAY-37: the chat message of "MVDS and application layer", made by status-go 0.62.18.
#[test]
fn a_text_message_is_the_peers_byte_for_byte() {
    let (chat, clock) = (ChatName::try_from("status").unwrap(), Lamport::new(NOW));
    let draft = Draft { chat, clock, timestamp: UnixMillis::new(NOW), text: "hello".into(), response_to: None };
    let bytes = encode_text(&draft);
    assert_eq!(hex::encode(&bytes), "088080babbc82e108080babbc82e1a0568656c6c6f320673746174757338024001");
    let read = ChatMessage::decode(&bytes, SENT).unwrap();
    let want = ChatMessage {
        clock,
        timestamp: UnixMillis::new(NOW),
        text: "hello".into(),
        response_to: String::new(),
        chat: draft.chat.clone(),
        content: Content::Text,
    };
    assert_eq!(read, Decoded::Public(want));
}

#[test]
fn an_answer_names_the_message_that_it_answers() {
    let (chat, clock) = (ChatName::try_from("status").unwrap(), Lamport::new(NOW));
    let response_to = Some(proto::MessageId::from([0xab; 32]));
    let draft = Draft { chat, clock, timestamp: UnixMillis::new(NOW), text: "yes".into(), response_to };
    let Ok(Decoded::Public(read)) = ChatMessage::decode(&encode_text(&draft), SENT) else { panic!("no message") };
    assert_eq!(read.response_to, format!("0x{}", "ab".repeat(32)));
}

/// PAY-34: against the envelope's send time, not against our clock.
#[test]
fn the_clock_is_checked_against_the_envelope() {
    assert_eq!(error(|m| m.clock = NOW + 120_000), None);
    assert_eq!(error(|m| m.clock = NOW + 120_001), Some(MessageError::Clock(ClockError::Ahead)));
    assert_eq!(error(|m| m.clock = u64::MAX), Some(MessageError::Clock(ClockError::Ahead)));
    assert_eq!(error(|m| m.clock = 0), Some(MessageError::Clock(ClockError::Zero)));
    assert_eq!(error(|m| m.clock = 1), None);
}

#[test]
fn a_message_needs_a_timestamp_and_a_chat() {
    assert_eq!(error(|m| m.timestamp = 0), Some(MessageError::NoTimestamp));
    assert_eq!(error(|m| m.timestamp = u64::MAX), None);
    assert_eq!(error(|m| m.chat_id.clear()), Some(MessageError::NoChat));
    assert_eq!(error(|m| m.chat_id = "x".repeat(513)), Some(MessageError::NoChat));
}

/// PAY-53: blank is what Go's white space leaves blank, for every content type.
#[test]
fn a_text_of_white_space_is_blank() {
    for blank in
        ["", " ", "\t\n\u{b}\u{c}\r", "\u{85}\u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}"]
    {
        assert_eq!(error(|m| m.text = blank.into()), Some(MessageError::Blank), "{blank:?}");
        assert_eq!(error(|m| (m.text, m.content_type) = (blank.into(), 4)), Some(MessageError::Blank));
    }
    for visible in ["\u{200b}", "\u{200d}", "\u{2060}", "\u{feff}", "\u{180e}", "\0", "\u{1c}", "\u{1f}", " . "] {
        assert_eq!(error(|m| m.text = visible.into()), None, "{visible:?}");
    }
}

/// PAY-54: code points, not bytes, and white space counts.
#[test]
fn a_text_has_at_most_4096_code_points() {
    assert_eq!(error(|m| m.text = "é".repeat(4096)), None);
    assert_eq!(error(|m| m.text = "é".repeat(4097)), Some(MessageError::TooLong));
    assert_eq!(error(|m| m.text = "x".repeat(4096) + " "), Some(MessageError::TooLong));
}

/// PAY-30: system messages are local only; other chats' messages are good, but not for here.
#[test]
fn only_messages_to_public_chats_are_for_public_chats() {
    for local in [0, 4] {
        assert_eq!(error(|m| m.message_type = local), Some(MessageError::LocalOnly));
    }
    for elsewhere in [1, 3, 5, 50, -1] {
        assert_eq!(decode(&pb::ChatMessage { message_type: elsewhere, ..good() }), Ok(Decoded::Elsewhere));
    }
}

/// PAY-09: the peers accept some of these, we do not.
#[test]
fn local_content_is_not_taken_from_the_network() {
    for local in [0, 5, 6, 10, 14, 15, 16, 17] {
        assert_eq!(content_of(&with(local, None)), Err(MessageError::LocalOnly), "{local}");
    }
}

/// PAY-51: content of later versions is shown by its text.
#[test]
fn content_of_later_versions_is_kept_by_number() {
    for later in [11, 12, 13, 18, 1000, i32::MAX, -1] {
        assert_eq!(content_of(&with(later, None)), Ok(Content::Other(later)));
    }
    assert_eq!(content_of(&with(9, None)), Err(MessageError::Content));
}

/// The peers do not check that emoji is emoji.
#[test]
fn status_and_emoji_are_text() {
    assert_eq!(content_of(&with(3, None)), Ok(Content::Status));
    assert_eq!(content_of(&with(4, None)), Ok(Content::Emoji));
}

/// PAY-16: the peers refuse a sticker without its hash.
#[test]
fn a_sticker_needs_its_hash() {
    let sticker = |hash: &str| Some(Payload::Sticker(pb::StickerMessage { hash: hash.into(), pack: 7 }));
    assert_eq!(content_of(&with(2, sticker("e3"))), Ok(Content::Sticker { hash: "e3".into(), pack: 7 }));
    assert_eq!(content_of(&with(2, sticker(""))), Err(MessageError::Content));
    assert_eq!(content_of(&with(2, None)), Err(MessageError::Content));
}

/// PAY-23: sound needs its bytes and a known coding.
#[test]
fn sound_needs_bytes_and_a_known_coding() {
    let audio = |payload: &[u8], number| {
        Some(Payload::Audio(pb::AudioMessage { payload: payload.into(), r#type: number, duration_ms: 9 }))
    };
    let heard = |coding| Ok(Content::Audio { sound: vec![1], coding, duration_ms: 9 });
    assert_eq!(content_of(&with(8, audio(&[1], 1))), heard(AudioCoding::Aac));
    assert_eq!(content_of(&with(8, audio(&[1], 2))), heard(AudioCoding::Amr));
    for bad in [audio(&[], 1), audio(&[1], 0), audio(&[1], 3), None] {
        assert_eq!(content_of(&with(8, bad)), Err(MessageError::Content));
    }
}

#[test]
fn pictures_are_refused_in_public_chats() {
    let image = Some(Payload::Image(pb::ImageMessage { payload: vec![0xff, 0xd8, 0xff], r#type: 2 }));
    assert_eq!(content_of(&with(7, image)), Err(MessageError::Content));
}

#[test]
fn text_that_is_not_utf_8_refuses_the_message() {
    let mut bytes = good().encode_to_vec();
    let at = bytes.windows(5).position(|five| five == b"hello").unwrap();
    bytes[at] = 0xff;
    assert_eq!(ChatMessage::decode(&bytes, SENT), Err(MessageError::Malformed));
}

#[test]
fn enum_numbers_are_cut_to_32_bits() {
    let mut bytes = pb::ChatMessage { message_type: 0, ..good() }.encode_to_vec();
    bytes.extend([0x38, 0x82, 0x80, 0x80, 0x80, 0x10]); // field 7 = 2^32 + 2
    assert!(matches!(ChatMessage::decode(&bytes, SENT), Ok(Decoded::Public(_))));
}

#[test]
fn debug_does_not_show_what_was_written() {
    let Ok(Decoded::Public(message)) = decode(&good()) else { panic!("not public") };
    let shown = format!("{message:?}");
    assert!(!shown.contains("hello") && !shown.contains("\"status\""), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>, sent: u64) {
        let _ = ChatMessage::decode(&bytes, UnixSecs::new(sent));
    }

    #[test]
    fn a_damaged_message_keeps_the_rules_or_is_refused(at in 0_usize..33, bit in 0_u8..8) {
        let mut bytes = good().encode_to_vec();
        bytes[at] ^= 1 << bit;
        if let Ok(Decoded::Public(read)) = ChatMessage::decode(&bytes, SENT) {
            prop_assert!(read.clock.check(SENT).is_ok() && check_text(&read.text).is_ok());
        }
    }

    #[test]
    fn what_we_encode_is_what_we_read(text in ".{1,40}", clock in 1_u64..NOW, name in "[a-z]{1,20}") {
        prop_assume!(check_text(&text).is_ok());
        let chat = ChatName::try_from(name.as_str()).unwrap();
        let (clock, timestamp) = (Lamport::new(clock), UnixMillis::new(NOW));
        let draft = Draft { chat, clock, timestamp, text, response_to: None };
        let Ok(Decoded::Public(read)) = ChatMessage::decode(&encode_text(&draft), SENT) else { panic!("refused") };
        prop_assert_eq!((read.text, read.clock, read.chat), (draft.text, draft.clock, draft.chat));
    }
}
