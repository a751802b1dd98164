//! Frames in any pieces, and frames that break the rules.

use proptest::prelude::*;

use super::*;

fn pair() -> (FrameWriter, FrameReader) {
    let (aes, mac) = (Secret::fill(|b| *b = [1; 32]), Secret::fill(|b| *b = [2; 32]));
    (FrameWriter::new(&aes, Mac::new(&mac, &[b"auth"])), FrameReader::new(&aes, Mac::new(&mac, &[b"auth"])))
}

fn compressing_pair() -> (FrameWriter, FrameReader) {
    let (mut writer, mut reader) = pair();
    writer.compress(true);
    reader.decompress(true);
    (writer, reader)
}

/// Returns a frame with this body as it is: no compression, no code.
fn frame_of(writer: &mut FrameWriter, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    frame.extend_from_slice(body);
    frame.resize(HEADER + padded(body.len()) + TAG, 0);
    writer.encrypt(&mut frame, body.len()).unwrap();
    frame
}

#[test]
fn the_first_frame_is_laid_out_as_the_text_says() {
    let (mut writer, _) = pair();
    let frame = writer.seal(0x11, &[0xc0]).unwrap();
    assert_eq!(frame.len(), 16 + 16 + 16 + 16);
    let mut plain = frame.clone();
    let mut cipher = cipher(&Secret::fill(|b| *b = [1; 32]));
    cipher.apply_keystream(&mut plain[..16]);
    assert_eq!(plain[..16], [0, 0, 2, 0xc2, 0x80, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    cipher.apply_keystream(&mut plain[32..48]);
    assert_eq!(plain[32..48], [0x11, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn every_altered_bit_of_a_frame_is_noticed() {
    let (mut writer, _) = pair();
    let frame = writer.seal(16, b"hello").unwrap();
    for bit in 0..frame.len() * 8 {
        let (_, mut reader) = pair();
        let mut altered = frame.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        reader.extend(&altered);
        let error = if bit < HEADER * 8 { FrameError::HeaderMac } else { FrameError::BodyMac };
        assert_eq!(reader.next_message(), Err(error), "bit {bit}");
        reader.extend(&frame);
        assert_eq!(reader.next_message(), Err(error), "the stream stays broken");
    }
}

#[test]
fn a_frame_that_is_dropped_repeated_or_moved_is_noticed() {
    let (mut writer, _) = pair();
    let frames: Vec<_> = (16..19).map(|code| writer.seal(code, b"x").unwrap()).collect();
    for order in [[1, 2, 0], [0, 0, 1], [0, 2, 1]] {
        let (_, mut reader) = pair();
        order.iter().for_each(|i| reader.extend(&frames[*i]));
        let mut last = reader.next_message();
        while let Ok(Some(_)) = last {
            last = reader.next_message();
        }
        assert_eq!(last, Err(FrameError::HeaderMac), "{order:?}");
    }
}

/// The peer's rules for bodies: not empty, the code a canonical integer of at most 64 bits.
#[test]
fn bodies_without_a_canonical_code_are_refused() {
    for (body, error) in [
        (&[][..], FrameError::Empty),
        (&[0x00], FrameError::Code),
        (&[0x81, 0x05], FrameError::Code),
        (&[0x82, 0x00, 0x10], FrameError::Code),
        (&[0xc0], FrameError::Code),
        (&[0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1], FrameError::Code),
    ] {
        let (mut writer, mut reader) = pair();
        reader.extend(&frame_of(&mut writer, body));
        assert_eq!(reader.next_message(), Err(error), "{body:?}");
    }
    let (mut writer, mut reader) = pair();
    reader.extend(&frame_of(&mut writer, &[0x80, 7]));
    assert_eq!(reader.next_message(), Ok(Some(Message { code: 0, payload: vec![7] })));
    reader.extend(&writer.seal(u64::MAX, &[]).unwrap());
    assert_eq!(reader.next_message(), Ok(Some(Message { code: u64::MAX, payload: vec![] })));
    assert!(reader.is_between_frames());
}

#[test]
fn room_grows_with_the_bytes_received_and_not_with_the_bytes_announced() {
    let (mut writer, mut reader) = pair();
    let frame = frame_of(&mut writer, &vec![1; 1 << 20]);
    reader.extend(&frame[..100]);
    assert_eq!(reader.next_message(), Ok(None));
    assert!(reader.received.capacity() < 1000, "{}", reader.received.capacity());
    reader.extend(&frame[100..]);
    assert_eq!(reader.next_message().unwrap().unwrap().payload.len(), (1 << 20) - 1);
    assert_eq!(reader.next_message(), Ok(None));
    assert_eq!(reader.received.capacity(), 0, "the room is given back");
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_header_alone() {
    let (mut writer, mut reader) = pair();
    reader.limit(100);
    let fits = frame_of(&mut writer, &[1; 100]);
    let frame = frame_of(&mut writer, &[1; 101]);
    reader.extend(&fits);
    assert!(reader.next_message().unwrap().is_some());
    reader.extend(&frame[..HEADER]);
    assert_eq!(reader.next_message(), Err(FrameError::TooLong { size: 101 }));
}

#[test]
fn what_does_not_fit_is_not_sealed_and_does_no_harm() {
    let (mut writer, mut reader) = compressing_pair();
    assert_eq!(writer.seal(16, &vec![0; MAX_BODY + 1]), Err(TooLong { len: MAX_BODY + 1 }));
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(MAX_BODY)
    .collect();
    assert_eq!(writer.seal(16, &noise), Err(TooLong { len: MAX_BODY }), "longer when compressed");
    reader.extend(&writer.seal(16, &vec![0; MAX_BODY]).unwrap());
    assert_eq!(reader.next_message().unwrap().unwrap().payload.len(), MAX_BODY);
}

#[test]
fn a_snappy_bomb_is_refused() {
    let (mut writer, mut reader) = compressing_pair();
    reader.extend(&frame_of(&mut writer, &[0x10, 0xff, 0xff, 0xff, 0x7f, 0]));
    assert_eq!(reader.next_message(), Err(BadSnappy::Bomb { declared: 0x0fff_ffff }.into()));
    let (mut writer, mut reader) = compressing_pair();
    reader.extend(&frame_of(&mut writer, &[0x10]));
    assert_eq!(reader.next_message(), Err(BadSnappy::Corrupt.into()));
}

/// status-go writes the disconnect that refuses a hello uncompressed, whatever the reader has read of its hello.
#[test]
fn a_disconnect_that_was_not_compressed_is_read_anyway() {
    let (mut writer, mut reader) = compressing_pair();
    reader.extend(&frame_of(&mut writer, &[0x01, 0xc1, 0x04]));
    assert_eq!(reader.next_message(), Ok(Some(Message { code: 1, payload: vec![0xc1, 4] })));
    reader.extend(&frame_of(&mut writer, &[0x02, 0xc1, 0x04]));
    assert_eq!(reader.next_message(), Err(BadSnappy::Corrupt.into()), "a ping is not");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_survive_any_pieces(
        messages in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..3000)), 1..6),
        switch in 0..6usize,
        cuts in prop::collection::vec(1..700usize, 1..20),
    ) {
        let (mut writer, mut reader) = pair();
        let mut stream = Vec::new();
        for (i, (code, payload)) in messages.iter().enumerate() {
            writer.compress(i >= switch);
            stream.extend(writer.seal(*code, payload).unwrap());
        }
        let (mut got, mut rest, mut cuts) = (Vec::new(), stream.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            rest = more;
            reader.extend(piece);
            loop {
                reader.decompress(got.len() >= switch);
                let Some(message) = reader.next_message().unwrap() else { break };
                got.push((message.code, message.payload));
            }
        }
        prop_assert_eq!(got, messages);
        prop_assert!(reader.is_between_frames());
    }

    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>, body in prop::collection::vec(any::<u8>(), 1..200)) {
        let (mut writer, mut reader) = compressing_pair();
        reader.extend(&frame_of(&mut writer, &body));
        let _ = reader.next_message();
        let (_, mut reader) = pair();
        reader.extend(&bytes);
        prop_assert_eq!(reader.next_message().is_err(), bytes.len() >= HEADER);
    }
}
