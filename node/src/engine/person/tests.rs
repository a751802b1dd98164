//! The chat side alone: two people whose envelopes are carried by hand, on disks that fill up.

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::super::command::{Posted, Until};
use super::*;
use crate::keys::ExportedKey;
use crate::store::{Location, StoreKey};

const RELAYED: Arrival = Arrival { pow: 1.0, direct: false };

struct Someone {
    person: Person,
    room: Arc<Room>,
    key: u8,
    rooms: Rooms,
    dir: TempDir,
}

fn exported(byte: u8) -> ExportedKey {
    let secret = proto::Secret::fill(|room| *room = [byte; 32]);
    let public = ChatKey::from(k256::SecretKey::from_slice(secret.expose()).unwrap().public_key());
    ExportedKey { secret, public }
}

async fn begin(dir: &TempDir, key: u8, rooms: &Rooms) -> Person {
    let location = Location {
        path: dir.path().join("store"),
        key: StoreKey::derive(&exported(key).secret),
        owner: exported(key).public,
        installation: chat::InstallationId::try_from("one").unwrap(),
        may_create: true,
    };
    let store = Store::open(location).await.unwrap();
    let identity = Identity::hold(exported(key)).unwrap();
    Person::begin(Clock::start(), Counters::default(), identity, store, rooms).await.unwrap()
}

impl Someone {
    async fn new(key: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rooms = Rooms::new(8);
        let room = rooms.of(ChatName::try_from("demo").unwrap()).await.unwrap();
        Self { person: begin(&dir, key, &rooms).await, room, key, rooms, dir }
    }

    async fn follow(&mut self) -> Following {
        self.person.follow(Arc::clone(&self.room), 50).await.unwrap().unwrap_or_else(|why| panic!("{why:?}"))
    }

    async fn post(&mut self, text: &str) -> oneshot::Receiver<Result<Posted, Trouble>> {
        let (reply, answer) = oneshot::channel();
        let (room, until, within) = (Arc::clone(&self.room), Until::Acknowledged, Duration::from_secs(60));
        let post = Post { room, text: text.to_owned(), response_to: None, until, within, reply };
        self.person.post(post).await.unwrap();
        answer
    }

    /// Answers and ticks until an envelope is ready.
    async fn envelope(&mut self) -> Envelope {
        loop {
            match self.person.next_effect() {
                Some(Effect::Post(envelope)) => return envelope,
                Some(Effect::Topics | Effect::Tell(_)) => {}
                None => self.step().await,
            }
        }
    }

    async fn step(&mut self) {
        let (mut alarm, wake) = (crate::clock::Alarm::new(self.person.clock), self.person.wake_at());
        tokio::select! {
            answered = self.person.answer() => self.person.answered(answered).await.unwrap(),
            () = alarm.reach(wake) => self.person.tick(0).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_sent_and_nothing_that_comes_is_lost() {
    let (mut alice, mut bob) = (Someone::new(1).await, Someone::new(2).await);
    let mut followed = alice.follow().await;
    alice.person.store.disk_is_full(true).await;
    let long = "x".repeat(4000);
    let mut sent = Vec::new();
    for n in 0..5 {
        drop(bob.post(&format!("{n}{long}")).await);
        sent.push(bob.envelope().await);
    }
    for envelope in &sent {
        alice.person.received(envelope, RELAYED).await.unwrap();
    }
    assert!(matches!(alice.person.chat, Chat::Suspended { .. }));
    let mut answer = alice.post("can you hear me?").await;
    assert_eq!(answer.try_recv().unwrap().unwrap_err().fault, Some(Fault::DiskFull));
    assert!(!matches!(alice.person.next_effect(), Some(Effect::Post(_))));

    alice.person.store.disk_is_full(false).await;
    while matches!(alice.person.chat, Chat::Suspended { .. }) {
        alice.step().await;
    }
    for n in 0..5 {
        assert_eq!(followed.listening.live.try_recv().unwrap().text, format!("{n}{long}"));
    }
    assert_eq!(alice.person.stored().await.unwrap(), 5);
    let mut answer = alice.post("can you hear me now?").await;
    let envelope = alice.envelope().await;
    alice.person.acknowledged(envelope.hash()).await.unwrap();
    assert_eq!(answer.try_recv().unwrap().unwrap().envelope, Some(envelope.hash()));
}

#[tokio::test]
async fn a_post_that_a_crash_cut_short_is_sent_by_the_next_start() {
    let mut alice = Someone::new(3).await;
    drop(alice.post("before the crash").await);
    // The draft is on the disk; its signature was asked for and never came.
    let Someone { person, key, rooms, dir, room } = alice;
    person.end().await.unwrap();
    let mut alice = Someone { person: begin(&dir, key, &rooms).await, room, key, rooms, dir };
    let mut bob = Someone::new(4).await;
    let mut followed = bob.follow().await;
    let envelope = alice.envelope().await;
    bob.person.received(&envelope, RELAYED).await.unwrap();
    assert_eq!(followed.listening.live.try_recv().unwrap().text, "before the crash");
}

#[tokio::test]
async fn an_envelope_of_another_key_on_the_same_topic_is_only_counted() {
    let (mut alice, mut bob) = (Someone::new(5).await, Someone::new(6).await);
    let mut followed = alice.follow().await;
    drop(bob.follow().await);
    let other = wire::payload::SymKey::new(&proto::Secret::fill(|room| room.fill(9)));
    let impostor = Arc::new(Room { name: bob.room.name.clone(), topic: bob.room.topic, key: Arc::new(other) });
    bob.person.rooms.insert(impostor.name.clone(), impostor);
    drop(bob.post("not for you").await);
    let envelope = bob.envelope().await;
    alice.person.received(&envelope, RELAYED).await.unwrap();
    assert!(followed.listening.live.try_recv().is_err());
    assert!(alice.person.counters.all().contains(&("payload.not-ours".to_owned(), 1)));
}
