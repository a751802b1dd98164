//! Clients that want too much: connections, bytes, time.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use proto::rpc::api::Sealed;
use proto::rpc::api::UnlockRequest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::world::{PATIENCE, World, status};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MIB: u64 = 1 << 20;

fn connect(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The beginning of a call: preface, settings, and the head of a request without compression (RFC 7541, section 6.2.2).
fn call(path: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "local"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ] {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend(text.as_bytes());
        }
    }
    [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 4, 1, &head)].concat()
}

#[tokio::test]
async fn attack_ten_thousand_connections_are_bounded_and_the_service_stays_up() {
    const MANY: usize = 10_000;
    // As many at a time as this process may have, in as many rounds as it takes.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    let at_a_time =
        raised.current.map_or(MANY, |all| usize::try_from(all).unwrap_or(MANY).saturating_sub(200)).min(MANY);
    let world = World::new();
    let running = world.start(&[]);
    let mut client = world.client().await;
    status(&mut client).await;
    let before = running.resident();
    let (mut opened, mut refused) = (0, 0);
    let mut held = Vec::new();
    while opened < MANY {
        if held.len() == at_a_time {
            held.clear();
        }
        let mut stream = connect(&world);
        // Begins to speak, and neither goes on nor hangs up.
        stream.write_all(&PREFACE[..3]).ok();
        held.push(stream);
        opened += 1;
    }
    assert_eq!(status(&mut client).await.pid, running.pid(), "who is connected is served all the while");
    for stream in &mut held {
        stream.set_nonblocking(true).unwrap();
        let mut room = [0; 128];
        let read = stream.read(&mut room).unwrap_or(0);
        refused += usize::from(String::from_utf8_lossy(&room[..read]).contains("too many connections of this user"));
    }
    assert!(refused > held.len() / 2, "the others hear why: {refused} of {}", held.len());
    let health = status(&mut client).await.health.unwrap();
    assert!(health.turned_away > 5_000 && health.connections <= 64, "{} {}", health.turned_away, health.connections);
    let grown = running.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes more");
    assert!(std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap().count() < 128);
    // Who is silent loses the place, and somebody else has it, though nobody hung up.
    let began = Instant::now();
    let mut late = loop {
        match proto::rpc::socket::connect(&world.socket()).await {
            Ok(channel) => {
                let mut late = proto::rpc::api::keymgr_client::KeymgrClient::new(channel);
                if late.status(proto::rpc::api::KeymgrStatusRequest {}).await.is_ok() {
                    break late;
                }
            }
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        assert!(began.elapsed() < PATIENCE, "no place becomes free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status(&mut late).await.pid, running.pid());
    drop((held, late, client));
    running.stop();
}

#[tokio::test]
async fn attack_a_request_of_a_gibibyte_is_refused_before_it_is_read() {
    const GIB: u32 = 1 << 30;
    let world = World::new();
    let running = world.start(&[]);
    let mut client = world.client().await;
    status(&mut client).await;
    let before = running.resident();
    for path in ["/cardinal.local.v1.Keymgr/Unlock", "/cardinal.local.v1.Cards/Install"] {
        let mut stream = connect(&world);
        // Not compressed (1), length (4), and then as much as is taken.
        let mut bytes = call(path);
        bytes.extend(frame(0, 0, 1, &[&[0], GIB.to_be_bytes().as_slice()].concat()));
        stream.write_all(&bytes).unwrap();
        let mut sent = 0_u64;
        let block = frame(0, 0, 1, &vec![0; 16_384]);
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while sent < u64::from(GIB) && stream.write_all(&block).is_ok() {
            sent += 16_384;
        }
        assert!(sent < 4 * MIB, "{path} took {sent} bytes");
    }
    let grown = running.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes more");
    let pin = Some(Sealed { ciphertext: vec![0; 70_000], ..Sealed::default() });
    let refused = client.unlock(UnlockRequest { pin, ..UnlockRequest::default() }).await.err().unwrap();
    assert!(refused.message().contains("message length too large"), "{refused:?}");
    assert_eq!(status(&mut client).await.pid, running.pid());
    drop(client);
    running.stop();
}

#[tokio::test]
async fn attack_garbage_in_the_place_of_http2_ends_that_connection_and_no_other() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = world.client().await;
    let zeros = vec![0; 100_000];
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let huge = [PREFACE, &[0xff; 4096]].concat();
    let bomb = [&call("/x")[..], &frame(9, 4, 1, &vec![0x40; 16_000])].concat();
    let garbage: [&[u8]; 6] = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02", &zeros, &noise, &huge, &bomb];
    for bytes in garbage {
        let mut stream = connect(&world);
        // It may hang up before it has heard everything.
        stream.write_all(bytes).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(answer.len() < 65_536, "an end, and no more than an error before it");
        assert_eq!(status(&mut client).await.pid, running.pid());
    }
    drop(client);
    let said = running.stop();
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn attack_a_client_that_sends_a_byte_now_and_then_holds_up_nobody() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = world.client().await;
    let mut slow: Vec<UnixStream> = (0..40).map(|_| connect(&world)).collect();
    let bytes = call("/cardinal.local.v1.Keymgr/Status");
    let began = Instant::now();
    let mut ended = false;
    for byte in bytes.iter().cycle() {
        for stream in &mut slow {
            ended |= stream.write_all(&[*byte]).is_err();
        }
        let asked = Instant::now();
        status(&mut client).await;
        assert!(asked.elapsed() < Duration::from_secs(5), "others do not wait");
        if ended {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "a greeting that takes too long ends");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drop((slow, client));
    running.stop();
}

#[tokio::test]
async fn an_idle_manager_has_little_memory_of_its_own() {
    let world = World::new();
    let running = world.start(&[]);
    status(&mut world.client().await).await;
    // Without the program itself, which is large when it is built for debugging; the benches measure the whole.
    let own: u64 = running.kernel_says("RssAnon").trim_end_matches(" kB").parse().unwrap();
    assert!(own < 8 * 1024, "{own} kB");
    running.stop();
}
