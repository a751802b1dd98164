//! Known secrets go through everything at TRACE; nothing that leaves the manager may contain one in any encoding.

use std::io::{self, Write};

use prost::Message as _;
use proto::rpc::api::{CardRequest, KeymgrStatusRequest, provision_request};
use proto::rpc::seal;
use tracing_subscriber::fmt::MakeWriter;

use super::service::Running;
use super::*;
use crate::policy::{CHAT_PURPOSE, DATABASE_PURPOSE};

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// What the program would write to stderr.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Returns every form in which these bytes could be found.
fn encodings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex::encode(secret);
    let list = secret.iter().map(u8::to_string).collect::<Vec<_>>();
    let mut forms = vec![
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        list.join(", ").into_bytes(),
        list.join(",").into_bytes(),
        secret.escape_ascii().to_string().into_bytes(),
        secret.iter().rev().copied().collect(),
    ];
    for alphabet in ["+/", "-_"] {
        // In a longer text a secret begins at any of three places of a base64 group.
        for skipped in 0..3 {
            let rest = &secret[skipped..];
            let whole = &rest[..rest.len() / 3 * 3];
            forms.push(base64(whole, alphabet.as_bytes()));
        }
    }
    forms
}

fn base64(bytes: &[u8], last: &[u8]) -> Vec<u8> {
    let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last.iter().copied()).collect();
    let mut text = Vec::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        text.extend([18, 12, 6, 0].map(|shift| alphabet[bits >> shift & 63]));
    }
    text
}

/// Finds `needle` where it is not a part of a longer run of letters and digits: six digits occur by chance in long hashes.
fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let alone = needle.len() < 12 && needle.iter().all(u8::is_ascii_alphanumeric);
    haystack.windows(needle.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|i| haystack.get(i)).is_some_and(u8::is_ascii_alphanumeric);
        let after = haystack.get(at + needle.len()).is_some_and(u8::is_ascii_alphanumeric);
        window == needle && !(alone && (before || after))
    })
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let secret = b"0123456789abcdef";
    assert_eq!(base64(b"Many hands", b"+/")[..12], *b"TWFueSBoYW5k");
    for form in encodings(secret) {
        assert!(contains(&[b"x ".as_slice(), &form, b" y"].concat(), &form));
    }
    for before in ["", "a", "ab"] {
        let text = base64(&[before.as_bytes(), secret, b"  "].concat()[..18], b"+/");
        assert!(encodings(secret).iter().any(|form| contains(&text, form)), "{before:?}");
    }
    assert!(contains(b"pin=493817,", b"493817") && !contains(b"ab493817cd", b"493817"));
}

#[tokio::test]
async fn no_secret_is_in_the_log_the_trace_or_a_reply() {
    let captured = Captured::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .try_init()
        .unwrap();
    let world = World::new();
    let mut out = Vec::new();
    let mut running = Running::start(&world).await;
    let mnemonic = running.sealed(seal::MNEMONIC, WORDS).await;
    out.push(running.provision(provision_request::Key::Mnemonic(mnemonic), &[]).await.unwrap());
    let wrong = running.unlock("870316", false).await.unwrap_err();
    out.push(format!("{wrong:?}").into_bytes());
    world.clock.pass(2);
    out.push(running.unlock(PIN, false).await.unwrap());
    let (reply, chat) = running.export(CHAT, CHAT_PURPOSE).await.unwrap();
    out.push(reply);
    let (reply, database) = running.export(DATABASE, DATABASE_PURPOSE).await.unwrap();
    out.push(reply);
    out.push(running.client.card(CardRequest::default()).await.unwrap().into_inner().encode_to_vec());
    out.push(running.client.status(KeymgrStatusRequest {}).await.unwrap().into_inner().encode_to_vec());
    world.reader.tamper(0, Tamper::Cut(30));
    let failed = running.export(CHAT, CHAT_PURPOSE).await.unwrap_err();
    out.push(format!("{failed:?}").into_bytes());
    running.unlock(PIN, false).await.unwrap();
    world.log.full_after(1);
    let unwritten = running.export(CHAT, CHAT_PURPOSE).await.unwrap_err();
    out.push(format!("{unwritten:?}").into_bytes());
    running.stop().await;
    out.push(world.log.bytes());
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            out.push(std::fs::read(path).unwrap());
        }
    }
    let trace = captured.0.lock().unwrap().clone();
    assert!(contains(&trace, b"private key exported"), "the trace is there to be searched");
    out.push(trace);

    let seed = keycard::Seed::from_mnemonic(WORDS, "").unwrap();
    let secrets: [(&str, &[u8]); 9] = [
        ("PIN", PIN.as_bytes()),
        ("wrong PIN", b"870316"),
        ("PUK", PUK.as_bytes()),
        ("words", WORDS.as_bytes()),
        ("two words", b"sausage worth"),
        ("seed", seed.expose()),
        ("half a seed", &seed.expose()[..32]),
        ("chat key", &chat),
        ("database key", &database),
    ];
    assert_eq!((chat.len(), database.len()), (32, 32));
    for (name, secret) in secrets {
        for form in encodings(secret) {
            assert!(!out.iter().any(|text| contains(text, &form)), "{name} is in what the manager gave out");
        }
    }
}
