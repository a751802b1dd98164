//! The whole way: a client on the Unix socket, the service, the worker, the card.

use prost::Message as _;
use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::api::{
    CardRequest, ExportPrivateRequest, ExportPublicRequest, KeymgrStatusRequest, LockRequest, ProvisionRequest, Sealed,
    SealingKeyRequest, UnlockRequest, provision_request,
};
use proto::rpc::{Fault, SealingKey, seal, socket};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::transport::Channel;

use super::*;
use crate::daemon::{DaemonError, serve};
use crate::front::Front;
use crate::policy::{CHAT_PURPOSE, DATABASE_PURPOSE};
use crate::reader::view::Seen;
use crate::service::Place;

/// A served manager; it stops when told.
fn place(world: &World) -> Place {
    Place {
        reader: "soft:test".parse().unwrap(),
        readers: readers::Readers::default(),
        seen: Seen::default(),
        log: world.dir.path().join("export.log"),
    }
}

pub(super) struct Running {
    pub(super) client: KeymgrClient<Channel>,
    pub(super) channel: Channel,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) async fn start(world: &World) -> Self {
        Self::start_with(world, Front::default()).await
    }

    pub(super) async fn start_with(world: &World, front: Front) -> Self {
        let path = world.dir.path().join("run").join("keymgr.sock");
        let served = socket::serve(&path).unwrap();
        let place = place(world);
        let (stop, stopped) = oneshot::channel();
        let broker = world.broker();
        let server = tokio::spawn(async move {
            serve(broker, place, served, front, async { drop(stopped.await) }).await.unwrap();
        });
        let channel = socket::connect(&path).await.unwrap();
        Self { client: KeymgrClient::new(channel.clone()), channel, stop, server }
    }

    pub(super) async fn stop(self) {
        drop((self.client, self.channel));
        drop(self.stop);
        self.server.await.unwrap();
    }

    pub(super) async fn sealed(&mut self, context: &str, secret: &str) -> Sealed {
        let key = self.client.sealing_key(SealingKeyRequest {}).await.unwrap().into_inner().public_key;
        seal::seal(&key, context, secret.as_bytes(), &mut dice()).unwrap()
    }

    pub(super) async fn provision(&mut self, key: provision_request::Key, caller: &[u8]) -> Result<Vec<u8>, Status> {
        let pin = Some(self.sealed(seal::PIN, PIN).await);
        let puk = Some(self.sealed(seal::PUK, PUK).await);
        let request =
            ProvisionRequest { pin, puk, key: Some(key), caller: caller.to_vec(), ..ProvisionRequest::default() };
        Ok(self.client.provision(request).await?.into_inner().encode_to_vec())
    }

    pub(super) async fn unlock(&mut self, pin: &str, last_try: bool) -> Result<Vec<u8>, Status> {
        let pin = Some(self.sealed(seal::PIN, pin).await);
        Ok(self
            .client
            .unlock(UnlockRequest { pin, last_try, ..UnlockRequest::default() })
            .await?
            .into_inner()
            .encode_to_vec())
    }

    /// Exports a private key and returns the reply's bytes and the opened key.
    pub(super) async fn export(&mut self, path: &str, purpose: &str) -> Result<(Vec<u8>, Vec<u8>), Status> {
        self.another().export(path, purpose).await
    }

    /// Returns another client.
    pub(super) fn another(&self) -> Another {
        Another(self.client.clone())
    }

    async fn generated(world: &World) -> Self {
        let mut running = Self::start(world).await;
        running.provision(provision_request::Key::Generate(true), &[]).await.unwrap();
        running
    }
}

/// A client that can go elsewhere.
pub(super) struct Another(KeymgrClient<Channel>);

impl Another {
    /// Exports a private key and returns the reply's bytes and the opened key.
    pub(super) async fn export(&mut self, path: &str, purpose: &str) -> Result<(Vec<u8>, Vec<u8>), Status> {
        let ours = SealingKey::generate(&mut dice());
        let caller = ours.public().to_vec();
        let request = ExportPrivateRequest {
            path: path.to_owned(),
            purpose: purpose.to_owned(),
            caller,
            ..ExportPrivateRequest::default()
        };
        let reply = self.0.export_private(request).await?.into_inner();
        let bytes = reply.encode_to_vec();
        Ok((bytes, ours.open(seal::KEY, &reply.key.unwrap()).unwrap().to_vec()))
    }
}

fn fault<V>(result: &Result<V, Status>) -> Option<Fault> {
    Fault::of(result.as_ref().err()?)
}

/// KC-06, KC-16: unlock by PIN, get the keys; the key UID names the account.
#[tokio::test]
async fn a_client_enrols_unlocks_exports_and_locks() {
    let world = World::new();
    let mut running = Running::generated(&world).await;
    let status = running.client.status(KeymgrStatusRequest {}).await.unwrap().into_inner();
    assert!(status.enrolled && !status.unlocked, "locked after the enrolment");
    assert_eq!((status.reader.as_str(), status.label.as_str()), ("soft:test", "card 0"));
    assert_eq!(fault(&running.export(CHAT, CHAT_PURPOSE).await), Some(Fault::Locked));
    running.unlock(PIN, false).await.unwrap();
    let (_, chat) = running.export(CHAT, CHAT_PURPOSE).await.unwrap();
    let (_, database) = running.export(DATABASE, DATABASE_PURPOSE).await.unwrap();
    assert_ne!(chat, database);
    world.log.signed().await;
    let status = running.client.status(KeymgrStatusRequest {}).await.unwrap().into_inner();
    assert!(status.unlocked && status.pin_seconds_left == u64::MAX);
    assert_eq!(status.log_entries, world.log.report().entries());
    assert_eq!(status.log_head, world.log.report().head.unwrap().hash.to_string());
    running.client.lock(LockRequest::default()).await.unwrap();
    assert_eq!(fault(&running.export(CHAT, CHAT_PURPOSE).await), Some(Fault::Locked));
    running.stop().await;
    assert!(!world.dir.path().join("run").join("keymgr.sock").exists());
}

#[tokio::test]
async fn the_log_names_the_caller_and_its_one_time_key() {
    let world = World::new();
    let mut running = Running::generated(&world).await;
    running.unlock(PIN, false).await.unwrap();
    running.export(CHAT, CHAT_PURPOSE).await.unwrap();
    let mut callers = Vec::new();
    audit::read(world.log.bytes().as_slice(), |line| {
        if let audit::Event::Intent(intent) = &line.event {
            callers.push(intent.caller.clone());
        }
    })
    .unwrap();
    let last = callers.pop().unwrap();
    assert_eq!(last.uid, rustix::process::geteuid().as_raw());
    assert_eq!(last.pid, i32::try_from(std::process::id()).ok());
    assert!(last.binary.is_some() && last.binary_hash.is_some() && last.one_time_key.is_some());
    running.stop().await;
}

/// KC-08: the tries left cross the socket.
#[tokio::test]
async fn wrong_pins_last_try_and_a_blocked_card_are_told_with_what_to_do() {
    let world = World::new();
    let mut running = Running::generated(&world).await;
    for (last_try, want, says) in [
        (false, Fault::WrongPin, "2 tries left"),
        (false, Fault::WrongPin, "1 try left"),
        (false, Fault::LastTry, "--last-try"),
        (true, Fault::PinBlocked, "PUK"),
        (true, Fault::PinBlocked, "PUK"),
    ] {
        world.clock.pass(3600);
        let result = running.unlock(WRONG, last_try).await;
        assert_eq!(fault(&result), Some(want));
        assert!(result.unwrap_err().message().contains(says), "{says}");
    }
    running.stop().await;
}

#[tokio::test]
async fn other_keys_unknown_cards_and_unknown_authorities_are_told() {
    let mut world = World::new();
    let running = Running::generated(&world).await;
    running.stop().await;
    let good = std::fs::read(world.pins_path()).unwrap();
    world.pin(Pins { key_uid: [9; 32].into(), ..world.pins().unwrap() });
    let mut running = Running::start(&world).await;
    assert_eq!(fault(&running.unlock(PIN, false).await), Some(Fault::OtherKey));
    running.stop().await;
    std::fs::write(world.pins_path(), good).unwrap();
    let manifest = std::mem::take(&mut world.manifest);
    let mut running = Running::start(&world).await;
    assert_eq!(fault(&running.unlock(PIN, false).await), Some(Fault::UnknownCard));
    running.stop().await;
    world.manifest = manifest;
    world.test_authority = false;
    let mut running = Running::start(&world).await;
    assert_eq!(fault(&running.unlock(PIN, false).await), Some(Fault::UnknownAuthority));
    running.stop().await;
}

#[tokio::test]
async fn a_truncated_answer_and_a_full_disk_are_told_and_export_nothing() {
    let world = World::new();
    let mut running = Running::generated(&world).await;
    running.unlock(PIN, false).await.unwrap();
    world.log.signed().await;
    world.reader.tamper(0, Tamper::Cut(9));
    assert_eq!(fault(&running.export(CHAT, CHAT_PURPOSE).await), Some(Fault::BadCardAnswer));
    assert_eq!(fault(&running.export(CHAT, CHAT_PURPOSE).await), Some(Fault::Locked));
    running.unlock(PIN, false).await.unwrap();
    world.log.signed().await;
    let commands = world.reader.commands();
    world.log.full_after(0);
    let result = running.export(CHAT, CHAT_PURPOSE).await;
    assert_eq!(fault(&result), Some(Fault::LogUnwritable));
    assert_eq!(
        result.unwrap_err().message(),
        "nothing was exported: the export log cannot be written: the disk is full; free some space and try again"
    );
    assert_eq!(world.reader.commands(), commands);
    running.stop().await;
}

#[tokio::test]
async fn what_is_refused_crosses_the_socket_with_its_reason() {
    let world = World::new();
    let mut running = Running::generated(&world).await;
    running.unlock(PIN, false).await.unwrap();
    for (path, extended) in [("m", true), ("m/43'/60'/1581'", true), ("m/43'/60'/1581'/0'/0", true), ("m", false)] {
        let caller = if extended { SealingKey::generate(&mut dice()).public().to_vec() } else { Vec::new() };
        let request = ExportPublicRequest {
            path: path.to_owned(),
            extended,
            purpose: "demo".to_owned(),
            caller,
            ..ExportPublicRequest::default()
        };
        assert_eq!(fault(&running.client.export_public(request).await), Some(Fault::Refused), "{path}");
    }
    for path in ["m/43'/60'/1581'/5/6", "m/44'/60'/0'/0/0", "m/43'/60'/1581'/7'/0"] {
        assert_eq!(fault(&running.export(path, "demo").await), Some(Fault::Refused), "{path}");
    }
    assert_eq!(world.log.report().refusals, 7);
    let public = |extended| {
        let (path, purpose) = (CHAT.to_owned(), CHAT_PURPOSE.to_owned());
        ExportPublicRequest { path, extended, purpose, ..ExportPublicRequest::default() }
    };
    let reply = running.client.export_public(public(false)).await.unwrap().into_inner();
    assert!(reply.public_key.len() == 65 && reply.chain_code.is_none());
    assert_eq!(fault(&running.client.export_public(public(true)).await), Some(Fault::BadInput), "no one-time key");
    running.stop().await;
}

#[tokio::test]
async fn malformed_requests_are_bad_input_and_reach_no_card() {
    let world = World::new();
    let mut running = Running::start(&world).await;
    let replayed = running.sealed(seal::PIN, "12345").await;
    for pin in [Some(replayed.clone()), Some(replayed), None, Some(Sealed::default())] {
        let request = UnlockRequest { pin, ..UnlockRequest::default() };
        assert_eq!(fault(&running.client.unlock(request).await), Some(Fault::BadInput));
    }
    for (path, purpose, caller) in [
        ("m/x", "chat", SealingKey::generate(&mut dice()).public().to_vec()),
        (CHAT, "Not a purpose!", SealingKey::generate(&mut dice()).public().to_vec()),
        (CHAT, "chat", vec![4; 33]),
        (CHAT, "chat", Vec::new()),
    ] {
        let request = ExportPrivateRequest {
            path: path.to_owned(),
            purpose: purpose.to_owned(),
            caller,
            ..ExportPrivateRequest::default()
        };
        assert_eq!(fault(&running.client.export_private(request).await), Some(Fault::BadInput), "{path} {purpose}");
    }
    let mnemonic = running.sealed(seal::MNEMONIC, "abandon abandon about").await;
    for key in [
        provision_request::Key::Generate(false),
        provision_request::Key::Mnemonic(mnemonic),
        provision_request::Key::FreshWords(12),
    ] {
        assert_eq!(fault(&running.provision(key, &[]).await), Some(Fault::BadInput));
    }
    assert_eq!(world.reader.commands(), 0);
    let info = running.client.card(CardRequest::default()).await.unwrap().into_inner();
    assert!(!info.initialised);
    running.stop().await;
}

#[tokio::test]
async fn a_manager_whose_card_thread_dies_ends_with_an_error_that_says_so() {
    let world = World::new();
    let path = world.dir.path().join("run").join("keymgr.sock");
    let served = socket::serve(&path).unwrap();
    let place = place(&world);
    let server = tokio::spawn(serve(world.broker(), place, served, Front::default(), std::future::pending()));
    let mut client = KeymgrClient::new(socket::connect(&path).await.unwrap());
    world.reader.tamper(0, Tamper::Panic);
    assert!(client.card(CardRequest::default()).await.is_err());
    assert!(matches!(server.await.unwrap(), Err(DaemonError::Worker { .. })));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_second_manager_on_the_same_socket_is_turned_away() {
    let world = World::new();
    let running = Running::start(&world).await;
    let path = world.dir.path().join("run").join("keymgr.sock");
    assert!(matches!(socket::serve(&path), Err(socket::SocketError::InUse(_))));
    running.stop().await;
}
