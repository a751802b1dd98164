//! NDEF: what a phone reads when it touches the card (NFC Forum, NDEF 1.0, RTD Text 1.0, RTD URI 1.0, Type 4 Tag 2.0).
//!
//! ```text
//! file     length(2) || message
//! message  record, record, ..
//! record   flags and TNF(1) || type length(1) || payload length(1 or 4) || [id length(1)] || type || [id] || payload
//! flags    80 first, 40 last, 20 chunk (refused), 10 short payload length, 08 id
//! Text     type "T": language length(1) || language || UTF-8      URI     type "U": prefix number(1) || rest
//! ```

/// The longest file of an applet, its length included (3.2 and later; older ones hold less).
pub(crate) const LONGEST_FILE: usize = 512;

/// One record of an NDEF message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NdefRecord {
    /// A link.
    Uri(String),
    /// Text in a language.
    Text {
        /// Its IANA code, for example `en`.
        language: String,
        /// The text.
        text: String,
    },
    /// Anything else: an app to be started, a business card.
    Other {
        /// The type name format, 0 to 7.
        format: u8,
        /// The type.
        kind: Vec<u8>,
        /// The payload.
        payload: Vec<u8>,
    },
}

/// Bytes that are no NDEF message, or a record that does not fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an NDEF message: {what}")]
pub struct NotNdef {
    /// What is wrong.
    pub what: &'static str,
}

impl NdefRecord {
    /// Returns the message of these records.
    ///
    /// # Errors
    /// [`NotNdef`] for a language code of more than 63 bytes, or a type of more than 255.
    pub fn encode(records: &[Self]) -> Result<Vec<u8>, NotNdef> {
        let mut message = Vec::new();
        for (record, number) in records.iter().zip(1..) {
            let mut flags = if number == 1 { FIRST } else { 0 };
            if number == records.len() {
                flags |= LAST;
            }
            record.write(flags, &mut message)?;
        }
        Ok(message)
    }

    /// Returns the records of a message; an empty one has none.
    ///
    /// # Errors
    /// [`NotNdef`].
    pub fn decode(message: &[u8]) -> Result<Vec<Self>, NotNdef> {
        let mut records = Vec::new();
        let mut rest = message;
        while let Some((flags, after)) = rest.split_first() {
            if (flags & FIRST != 0) != records.is_empty() {
                return Err(NotNdef { what: "a first record that is not the first" });
            }
            let (record, after) = Self::read(*flags, after)?;
            records.push(record);
            if (flags & LAST != 0) != after.is_empty() {
                return Err(NotNdef { what: "a last record that is not the last" });
            }
            rest = after;
        }
        Ok(records)
    }

    fn write(&self, flags: u8, message: &mut Vec<u8>) -> Result<(), NotNdef> {
        let (format, kind, payload) = match self {
            Self::Uri(uri) => {
                let (number, rest) = abbreviate(uri);
                (WELL_KNOWN, b"U".as_slice(), [&[number], rest.as_bytes()].concat())
            }
            Self::Text { language, text } => {
                let length = u8::try_from(language.len()).ok().filter(|length| *length <= LANGUAGE);
                let length = length.ok_or(NotNdef { what: "a language code of more than 63 bytes" })?;
                (WELL_KNOWN, b"T".as_slice(), [&[length], language.as_bytes(), text.as_bytes()].concat())
            }
            Self::Other { format, kind, payload } => (*format & FORMAT, kind.as_slice(), payload.clone()),
        };
        let kind_length = u8::try_from(kind.len()).map_err(|_| NotNdef { what: "a type of more than 255 bytes" })?;
        let length = u32::try_from(payload.len()).map_err(|_| NotNdef { what: "a payload of more than 4 GiB" })?;
        match u8::try_from(length) {
            Ok(short) => message.extend([flags | SHORT | format, kind_length, short]),
            Err(_) => {
                message.extend([flags | format, kind_length]);
                message.extend(length.to_be_bytes());
            }
        }
        message.extend_from_slice(kind);
        message.extend_from_slice(&payload);
        Ok(())
    }

    /// Reads what follows the flags, and returns what follows the record.
    fn read(flags: u8, after: &[u8]) -> Result<(Self, &[u8]), NotNdef> {
        const SHORTER: NotNdef = NotNdef { what: "it ends within a record" };
        if flags & CHUNK != 0 {
            return Err(NotNdef { what: "a record in chunks" });
        }
        let (kind_length, after) = after.split_first().ok_or(SHORTER)?;
        let (length, after) = if flags & SHORT == 0 {
            let (length, after) = after.split_first_chunk::<4>().ok_or(SHORTER)?;
            (u32::from_be_bytes(*length), after)
        } else {
            let (length, after) = after.split_first().ok_or(SHORTER)?;
            (u32::from(*length), after)
        };
        let (id_length, after) = if flags & ID == 0 { (&0, after) } else { after.split_first().ok_or(SHORTER)? };
        let (kind, after) = after.split_at_checked(usize::from(*kind_length)).ok_or(SHORTER)?;
        let (_, after) = after.split_at_checked(usize::from(*id_length)).ok_or(SHORTER)?;
        let length = usize::try_from(length).map_err(|_| SHORTER)?;
        let (payload, after) = after.split_at_checked(length).ok_or(SHORTER)?;
        Ok((Self::of(flags & FORMAT, kind, payload), after))
    }

    fn of(format: u8, kind: &[u8], payload: &[u8]) -> Self {
        let read = match (format, kind) {
            (WELL_KNOWN, b"U") => uri(payload),
            (WELL_KNOWN, b"T") => text(payload),
            _ => None,
        };
        read.unwrap_or_else(|| Self::Other { format, kind: kind.to_vec(), payload: payload.to_vec() })
    }
}

fn uri(payload: &[u8]) -> Option<NdefRecord> {
    let (number, rest) = payload.split_first()?;
    let prefix = PREFIXES.get(usize::from(*number))?;
    Some(NdefRecord::Uri(format!("{prefix}{}", std::str::from_utf8(rest).ok()?)))
}

/// Reads UTF-8; UTF-16 (bit 80) stays a payload.
fn text(payload: &[u8]) -> Option<NdefRecord> {
    let (length, rest) = payload.split_first().filter(|(length, _)| **length <= LANGUAGE)?;
    let (language, text) = rest.split_at_checked(usize::from(*length))?;
    let string = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some(NdefRecord::Text { language: string(language)?, text: string(text)? })
}

/// Returns the number of the longest prefix of `uri`, and what follows it.
fn abbreviate(uri: &str) -> (u8, &str) {
    let mut best = (0, uri);
    for (prefix, number) in PREFIXES.iter().zip(0..) {
        if let Some(rest) = uri.strip_prefix(prefix)
            && rest.len() < best.1.len()
        {
            best = (number, rest);
        }
    }
    best
}

/// Returns the file of a message of at most 65,535 bytes.
pub(crate) fn file(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// Returns how long the file is that begins with these bytes.
pub(crate) fn file_length(file: &[u8]) -> Option<usize> {
    file.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)) + 2)
}

/// Returns the message of a whole file: none when it is not as long as it says. An empty file has an empty message.
pub(crate) fn message_of_file(file: &[u8]) -> Option<&[u8]> {
    match file.split_first_chunk::<2>() {
        Some((_, message)) => (file_length(file) == Some(file.len())).then_some(message),
        None => file.is_empty().then_some(file),
    }
}

const FIRST: u8 = 0x80;
const LAST: u8 = 0x40;
const CHUNK: u8 = 0x20;
const SHORT: u8 = 0x10;
const ID: u8 = 0x08;
const FORMAT: u8 = 0x07;
/// TNF of the NFC Forum's own types.
const WELL_KNOWN: u8 = 0x01;
/// The bits of a Text record's first byte that are the length of the language code.
const LANGUAGE: u8 = 0x3f;
/// RTD URI 1.0, table 3.
const PREFIXES: [&str; 36] = [
    "",
    "http://www.",
    "https://www.",
    "http://",
    "https://",
    "tel:",
    "mailto:",
    "ftp://anonymous:anonymous@",
    "ftp://ftp.",
    "ftps://",
    "sftp://",
    "smb://",
    "nfs://",
    "ftp://",
    "dav://",
    "news:",
    "telnet://",
    "imap:",
    "rtsp://",
    "urn:",
    "pop:",
    "sip:",
    "sips:",
    "tftp:",
    "btspp://",
    "btl2cap://",
    "btgoep://",
    "tcpobex://",
    "irdaobex://",
    "file://",
    "urn:epc:id:",
    "urn:epc:tag:",
    "urn:epc:pat:",
    "urn:epc:raw:",
    "urn:epc:",
    "urn:nfc:",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(language: &str, text: &str) -> NdefRecord {
        NdefRecord::Text { language: language.to_owned(), text: text.to_owned() }
    }

    /// RTD URI 1.0, example 1 of its appendix; RTD Text 1.0, its "Hello, World!".
    #[test]
    fn the_examples_of_the_specifications_are_written_and_read() {
        for (record, bytes) in [
            (NdefRecord::Uri("http://www.nfc.com".to_owned()), "d1010855016e66632e636f6d"),
            (text("en", "Hello, world!"), "d1011054 02656e48656c6c6f2c20776f726c6421"),
        ] {
            let bytes = hex::decode(bytes.replace(' ', "")).unwrap();
            assert_eq!(NdefRecord::encode(std::slice::from_ref(&record)).unwrap(), bytes);
            assert_eq!(NdefRecord::decode(&bytes).unwrap(), [record]);
        }
    }

    #[test]
    fn the_longest_prefix_of_a_link_is_taken() {
        for (uri, number, rest) in [
            ("https://www.keycard.tech", 2, "keycard.tech"),
            ("https://keycard.tech", 4, "keycard.tech"),
            ("urn:epc:id:1", 30, "1"),
            ("ethereum:0x00", 0, "ethereum:0x00"),
        ] {
            assert_eq!(abbreviate(uri), (number, rest));
        }
    }

    #[test]
    fn several_records_and_long_ones_are_read_back() {
        let records = [
            NdefRecord::Uri(format!("https://{}", "a".repeat(300))),
            text("de", "Grüße"),
            NdefRecord::Other { format: 4, kind: b"android.com:pkg".to_vec(), payload: b"im.status.ethereum".to_vec() },
        ];
        let message = NdefRecord::encode(&records).unwrap();
        assert_eq!(NdefRecord::decode(&message).unwrap(), records);
        assert_eq!(NdefRecord::decode(&[]).unwrap(), []);
        assert_eq!(NdefRecord::encode(&[]).unwrap(), [0u8; 0]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let message = NdefRecord::encode(&[text("en", "a"), text("en", "b")]).unwrap();
        for cut in 1..message.len() {
            assert!(NdefRecord::decode(&message[..cut]).is_err(), "{cut}");
        }
        for (bytes, why) in [
            ("510100540000", "not the first"),
            ("9101015400", "not the last"),
            ("f1010154", "chunks"),
            ("c101ffffffff54", "a payload longer than the message"),
        ] {
            assert!(NdefRecord::decode(&hex::decode(bytes).unwrap()).is_err(), "{why}");
        }
        assert!(NdefRecord::encode(&[text(&"x".repeat(64), "")]).is_err());
    }

    #[test]
    fn a_file_is_as_long_as_it_says() {
        assert_eq!(file(b"abc"), [0, 3, b'a', b'b', b'c']);
        assert_eq!(message_of_file(&file(b"abc")), Some(b"abc".as_slice()));
        assert_eq!(message_of_file(&[]), Some([].as_slice()));
        assert_eq!(message_of_file(&[0, 0]), Some([].as_slice()));
        for other in [&[0][..], &[0, 1], &[0, 0, 0]] {
            assert_eq!(message_of_file(other), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(records) = NdefRecord::decode(&bytes) {
                let again = NdefRecord::encode(&records).unwrap();
                prop_assert_eq!(NdefRecord::decode(&again).unwrap(), records);
            }
        }
    }
}
