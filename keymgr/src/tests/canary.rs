//! Known secrets go through everything at TRACE; nothing that leaves the manager may contain one in any encoding.

use std::io::{self, Write};

use prost::Message as _;
use proto::leak;
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
    assert!(String::from_utf8_lossy(&trace).contains("private key exported"), "the trace is there to be searched");
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
        for form in leak::forms(secret) {
            let found = out.iter().any(|text| form.find(text).is_some());
            assert!(!found, "{name} ({}) is in what the manager gave out", form.encoding);
        }
    }
}
