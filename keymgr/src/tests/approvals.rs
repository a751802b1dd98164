//! The owner's agent on the socket: what needs approval waits for it.

use proto::rpc::api::approvals_client::ApprovalsClient;
use proto::rpc::api::cards_client::CardsClient;
use proto::rpc::api::policies_client::PoliciesClient;
use proto::rpc::api::{
    ApprovalAnswer, ApprovalEvent, ApprovalRequest, EcdhRequest, ReloadPolicyRequest, ShowPolicyRequest,
    WatchApprovalsRequest, approval_event,
};
use proto::rpc::{Fault, seal};
use tonic::Streaming;
use tonic::transport::Channel;

use super::seats::{THERE, at, both_enrolled, fault, in_reader, two_cards};
use super::service::Running;
use super::*;
use crate::approval::{Needed, Wish};
use crate::cards::access::Access;
use crate::cards::seat::Target;
use crate::cards::uses::Signing;
use crate::desk::Yes;

/// A world whose policy lets the chat key go with this approval.
fn world(approval: &str) -> World {
    let world = World::new();
    allow(&world, CHAT, "private");
    let file = world.dir.path().join("policy.toml");
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{policy}approval = \"{approval}\"\n")).unwrap();
    world
}

struct Agent {
    client: ApprovalsClient<Channel>,
    events: Streaming<ApprovalEvent>,
}

impl Agent {
    async fn watch(running: &Running) -> Self {
        Self::on(running.channel.clone()).await
    }

    /// An agent at the other end of this connection.
    async fn on(channel: Channel) -> Self {
        let mut client = ApprovalsClient::new(channel);
        let events = client.watch(WatchApprovalsRequest {}).await.unwrap().into_inner();
        Self { client, events }
    }

    async fn event(&mut self) -> approval_event::Event {
        self.events.message().await.unwrap().unwrap().event.unwrap()
    }

    async fn request(&mut self) -> ApprovalRequest {
        match self.event().await {
            approval_event::Event::Waits(request) => request,
            approval_event::Event::Settled(settled) => panic!("settled: {}", settled.how),
        }
    }

    async fn settled(&mut self) -> String {
        match self.event().await {
            approval_event::Event::Settled(settled) => settled.how,
            approval_event::Event::Waits(_) => panic!("another request"),
        }
    }
}

#[tokio::test]
async fn what_needs_approval_is_refused_without_an_agent_and_done_when_its_owner_approves() {
    let world = world("prompt");
    drop(world.enrolled());
    let mut running = Running::start(&world).await;
    running.unlock(PIN, false).await.unwrap();
    let refused = running.export(CHAT, "x").await.err().unwrap();
    assert_eq!(Fault::of(&refused), Some(Fault::Refused));
    assert!(refused.message().contains("cardinal agent") && refused.message().contains("policy.toml"), "{refused}");
    let mut agent = Agent::watch(&running).await;
    let mut other = running.another();
    let export = tokio::spawn(async move { other.export(CHAT, "x").await });
    let request = agent.request().await;
    assert_eq!((request.operation.as_str(), request.path.as_str()), ("export-private", CHAT));
    assert_eq!((request.key.as_str(), request.purpose.as_str(), request.pin), ("0", "x", false));
    assert_eq!(request.asked, format!("the private key of {CHAT}"));
    assert_eq!((request.card, request.reader), (card_id(&world.reader).to_string(), OWN.to_owned()));
    assert_eq!(request.label, "card 0");
    assert_eq!(request.uid, rustix::process::geteuid().as_raw());
    assert!(!request.binary.is_empty() && request.binary_sha256.len() == 64 && request.doubt.is_empty());
    let answer = ApprovalAnswer { id: request.id, approve: true, pin: None };
    agent.client.answer(answer.clone()).await.unwrap();
    assert_eq!(export.await.unwrap().unwrap().1.len(), 32);
    assert_eq!(agent.settled().await, "done");
    assert_eq!(
        Fault::of(&agent.client.answer(answer).await.err().unwrap()),
        Some(Fault::BadInput),
        "it waits no longer"
    );
    let story = world.log.story();
    let approved = story.iter().position(|line| line.starts_with("approves what uid")).unwrap();
    assert!(story[approved + 1].contains("asks the card for the private key"), "{story:?}");

    let mut other = running.another();
    let export = tokio::spawn(async move { other.export(CHAT, "x").await });
    let id = agent.request().await.id;
    agent.client.answer(ApprovalAnswer { id, approve: false, pin: None }).await.unwrap();
    let denied = export.await.unwrap().unwrap_err();
    assert!(Fault::of(&denied) == Some(Fault::Refused) && denied.message().contains("denied"), "{denied}");
    assert!(world.log.story().last().unwrap().contains("denied"), "{:?}", world.log.story());
    drop(agent);
    running.stop().await;
    assert!(world.log.report().is_consistent());
}

#[tokio::test]
async fn what_waits_is_refused_at_once_when_the_last_agent_goes() {
    let world = world("prompt");
    drop(world.enrolled());
    let mut running = Running::start(&world).await;
    running.unlock(PIN, false).await.unwrap();
    let path = world.dir.path().join("run").join("keymgr.sock");
    let mut agent = Agent::on(proto::rpc::socket::connect(&path).await.unwrap()).await;
    let mut other = running.another();
    let export = tokio::spawn(async move { other.export(CHAT, "x").await });
    agent.request().await;
    drop(agent);
    // Far sooner than the owner would be waited for.
    let refused = tokio::time::timeout(Duration::from_secs(10), export).await.unwrap().unwrap().unwrap_err();
    assert!(Fault::of(&refused) == Some(Fault::Refused) && refused.message().contains("went away"), "{refused}");
    assert!(world.log.story().last().unwrap().contains("went away"), "{:?}", world.log.story());
    running.stop().await;
}

/// The log names the other key of an agreement by its fingerprint, of which others can be made; whoever approves sees all.
#[tokio::test]
async fn attack_whoever_approves_an_agreement_is_shown_the_whole_key_of_the_other_side() {
    let world = World::new();
    allow(&world, CHAT, "ecdh");
    let file = world.dir.path().join("policy.toml");
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{policy}approval = \"prompt\"\n")).unwrap();
    drop(world.enrolled());
    let mut running = Running::start(&world).await;
    running.unlock(PIN, false).await.unwrap();
    let mut agent = Agent::watch(&running).await;
    let (peer, caller) = (one_time().1.to_compressed().to_vec(), one_time().1.to_compressed().to_vec());
    let (path, purpose) = (CHAT.to_owned(), "x".to_owned());
    let request = EcdhRequest { path, purpose, peer: peer.clone(), caller, ..EcdhRequest::default() };
    let mut cards = CardsClient::new(running.channel.clone());
    let agreed = tokio::spawn(async move { cards.ecdh(request).await });
    let request = agent.request().await;
    assert!(request.asked.contains(&hex::encode(&peer)), "{}", request.asked);
    agent.client.answer(ApprovalAnswer { id: request.id, approve: true, pin: None }).await.unwrap();
    agreed.await.unwrap().unwrap();
    drop(agent);
    running.stop().await;
}

#[tokio::test]
async fn where_the_pin_is_wanted_each_time_the_card_itself_says_whether_it_is_right() {
    let world = world("pin");
    drop(world.enrolled());
    let mut running = Running::start(&world).await;
    let mut agent = Agent::watch(&running).await;
    for (pin, want) in [(WRONG, Some(Fault::WrongPin)), (PIN, None)] {
        world.clock.pass(3600);
        let mut other = running.another();
        let export = tokio::spawn(async move { other.export(CHAT, "x").await });
        let request = agent.request().await;
        assert!(request.pin);
        let bare = ApprovalAnswer { id: request.id, approve: true, pin: None };
        assert_eq!(Fault::of(&agent.client.answer(bare).await.err().unwrap()), Some(Fault::BadInput));
        let pin = Some(running.sealed(seal::PIN, pin).await);
        agent.client.answer(ApprovalAnswer { id: request.id, approve: true, pin }).await.unwrap();
        let exported = export.await.unwrap();
        assert_eq!(exported.as_ref().err().and_then(Fault::of), want);
        assert_eq!(exported.is_ok(), want.is_none());
        assert_eq!(agent.settled().await == "done", want.is_none());
        let status = running.client.status(proto::rpc::api::KeymgrStatusRequest {}).await.unwrap().into_inner();
        assert!(!status.unlocked, "it was locked before");
    }
    drop(agent);
    running.stop().await;
}

#[tokio::test]
async fn a_changed_policy_counts_from_the_moment_it_is_read_and_a_bad_one_changes_nothing() {
    let world = World::new();
    drop(world.enrolled());
    let mut running = Running::start(&world).await;
    running.unlock(PIN, false).await.unwrap();
    let mut policies = PoliciesClient::new(running.channel.clone());
    let file = world.dir.path().join("policy.toml");
    let shown = policies.show(ShowPolicyRequest {}).await.unwrap().into_inner();
    assert!(shown.written && shown.path == file.display().to_string());
    assert!(running.export("m/43'/60'/1581'/2'/0", "x").await.is_err());
    let initial = std::fs::read_to_string(&file).unwrap();
    for bad in [format!("{initial}typo = 1\n"), "[[allow]]".to_owned()] {
        std::fs::write(&file, bad).unwrap();
        let error = policies.reload(ReloadPolicyRequest {}).await.err().unwrap();
        assert!(Fault::of(&error) == Some(Fault::BadInput) && error.message().contains("line"), "{error}");
        running.export(CHAT, crate::policy::CHAT_PURPOSE).await.unwrap();
        assert!(!policies.show(ShowPolicyRequest {}).await.unwrap().into_inner().written);
    }
    let more = "[[key]]\nname = \"vault\"\npath = \"m/43'/60'/1581'/2'\"\nmode = \"export\"\nclients = [\"me\"]\n";
    std::fs::write(&file, format!("{initial}{more}purposes = [\"x\"]\n")).unwrap();
    let reloaded = policies.reload(ReloadPolicyRequest {}).await.unwrap().into_inner();
    assert!(reloaded.written && reloaded.before == shown.sha256 && reloaded.sha256 != shown.sha256);
    running.export("m/43'/60'/1581'/2'/0", "x").await.unwrap();
    assert!(world.log.story().iter().any(|line| line.contains("policy")), "{:?}", world.log.story());
    let again = policies.reload(ReloadPolicyRequest {}).await.unwrap().into_inner();
    assert_eq!(again.before, again.sha256);
    drop(policies);
    running.stop().await;
}

/// Both cards enrolled under a policy that lets a chat key go with the PIN.
fn two_with_pin() -> (World, Reader, Broker<Reader, Memory>) {
    let (world, other) = two_cards();
    allow(&world, CHAT, "private");
    let file = world.dir.path().join("policy.toml");
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{policy}approval = \"pin\"\n")).unwrap();
    let broker = both_enrolled(&world);
    (world, other, broker)
}

fn wish(target: &Target) -> Wish {
    Wish::of(audit::Asked::Private(CHAT.parse().unwrap()), target)
}

fn needed(broker: &mut Broker<Reader, Memory>, target: &Target) -> Result<Needed, BrokerError> {
    broker.wants_approval(&wish(target), &why("x")).map(Option::unwrap)
}

/// Exports the chat key, approved with the PIN, and returns whose it is.
fn approved(
    broker: &mut Broker<Reader, Memory>,
    needed: Needed,
    target: &Target,
) -> Result<proto::Fingerprint, BrokerError> {
    let yes = Yes { by: why("approval"), pin: Some(pin(PIN)) };
    let (_, caller) = one_time();
    let exported = broker.with_approval(yes, needed, wish(target), why("x"), |broker, why| {
        broker.in_session(target, |broker| broker.export_private(path(CHAT), &caller, why))
    });
    exported.map(|exported| exported.fingerprint)
}

fn chats(broker: &Broker<Reader, Memory>) -> Vec<proto::Fingerprint> {
    broker.enrolment.pinned.all().map(|pins| pins.chat).collect()
}

#[test]
fn attack_a_pin_that_approves_for_one_card_never_goes_to_another() {
    let (world, other, mut broker) = two_with_pin();
    let target = Target::default();
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    let needed = needed(&mut broker, &target).unwrap();
    assert_eq!((needed.card.card, needed.card.reader.as_str()), (card_id(&other), THERE));
    let here = world.reader.commands();
    assert_eq!(approved(&mut broker, needed.clone(), &target).unwrap(), chats(&broker)[1]);
    assert_eq!(world.reader.commands(), here, "the locked card in the own reader was not asked");
    // Meanwhile another card is the one that is meant.
    broker.lock_all();
    broker.unlock(at(in_reader(OWN)), &why("unlock")).unwrap();
    let (here, there) = (world.reader.commands(), other.commands());
    let error = approved(&mut broker, needed, &target).unwrap_err();
    assert!(error.fault() == Fault::Refused && error.to_string().contains("another card"), "{error}");
    assert_eq!((world.reader.commands(), other.commands()), (here, there), "no card was asked");
    assert!(world.log.story().last().unwrap().contains("another card"), "{:?}", world.log.story());
}

/// An owner's own PIN opens the card that lies in the reader, whichever is unlocked: that one is shown, and no other asked.
#[test]
fn attack_what_is_approved_of_one_card_is_not_done_with_the_one_whose_pin_came_along() {
    let (world, other) = two_cards();
    allow(&world, CHAT, "sign");
    let file = world.dir.path().join("policy.toml");
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{policy}approval = \"prompt\"\n")).unwrap();
    let mut broker = both_enrolled(&world);
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    let access = || {
        let (target, contact) = Default::default();
        Access { target, contact, pin: Some(pin(PIN)), last_try: false }
    };
    let signing = || Signing { path: path(CHAT), hash: proto::Digest::from([7; 32]), schnorr: false, tweak: None };
    let wish = || Wish::by(audit::Asked::Operation(audit::Operation::Sign(signing().recorded().unwrap())), &access());
    let needed = broker.wants_approval(&wish(), &why("x")).unwrap().unwrap();
    assert_eq!(needed.card.card, card_id(&world.reader), "the one that the PIN is for");
    let there = other.commands();
    let yes = || Yes { by: why("approval"), pin: None };
    let sign = |broker: &mut Broker<Reader, Memory>, why: &Why| broker.card_sign(access(), signing(), why);
    let signed = broker.with_approval(yes(), needed.clone(), wish(), why("x"), sign).unwrap();
    assert_eq!(proto::Fingerprint::of(&signed.key), chats(&broker)[0]);
    assert_eq!(other.commands(), there, "the unlocked card was not asked");
    // Meanwhile another card lies there.
    world.reader.draw();
    let error = broker.with_approval(yes(), needed, wish(), why("x"), sign).unwrap_err();
    assert!(error.to_string().contains("another card"), "{error}");
}

#[test]
fn where_several_cards_may_be_meant_the_owner_is_not_asked() {
    let (_world, _, mut broker) = two_with_pin();
    for reader in [OWN, THERE] {
        broker.unlock(at(in_reader(reader)), &why("unlock")).unwrap();
    }
    assert_eq!(fault(needed(&mut broker, &Target::default())), Some(Fault::Ambiguous));
    let target = in_reader(THERE);
    let needed = needed(&mut broker, &target).unwrap();
    assert_eq!(approved(&mut broker, needed, &target).unwrap(), chats(&broker)[1]);
    assert_eq!(broker.unlocked_cards().len(), 2);
}

#[test]
fn a_pin_that_approves_leaves_the_sessions_lifetime_as_it_was() {
    let (world, _, mut broker) = two_with_pin();
    let target = in_reader(OWN);
    for each_use in [false, true] {
        let validity = Validity { seconds: 600, each_use };
        broker.unlock(Unlocking { validity, ..unlocking(PIN) }, &why("unlock")).unwrap();
        world.clock.pass(100);
        let shown = needed(&mut broker, &target).unwrap();
        approved(&mut broker, shown, &target).unwrap();
        let left: Vec<_> = broker.seats().filter(|seat| seat.is_unlocked()).map(|seat| broker.pin_left(seat)).collect();
        let want = if each_use { vec![] } else { vec![Some(Duration::from_secs(500))] };
        assert_eq!(left, want, "{each_use}");
    }
    // A failed use is none: what was left is left.
    let validity = Validity { seconds: 0, each_use: true };
    broker.unlock(Unlocking { validity, ..unlocking(PIN) }, &why("unlock")).unwrap();
    let shown = needed(&mut broker, &target).unwrap();
    let yes = Yes { by: why("approval"), pin: Some(pin(PIN)) };
    let nothing = broker.with_approval(yes, shown, wish(&target), why("x"), |_, _| Ok(()));
    assert!(nothing.is_ok() && broker.seat.is_unlocked());
    broker.used();
    assert!(!broker.seat.is_unlocked(), "the first use ends it");
}

#[test]
fn the_result_of_what_was_approved_is_told_whatever_else_was_unlocked_meanwhile() {
    let (_world, _, mut broker) = two_with_pin();
    let target = Target::default();
    let shown = needed(&mut broker, &target).unwrap();
    assert_eq!(shown.card.reader, OWN);
    let yes = Yes { by: why("approval"), pin: Some(pin(PIN)) };
    let result = broker.with_approval(yes, shown, wish(&target), why("x"), |broker, why| {
        assert!(broker.seat.is_unlocked());
        broker.unlock(at(in_reader(THERE)), why).map(|_| "the key")
    });
    assert_eq!(result.unwrap(), "the key");
    let unlocked: Vec<_> = broker.unlocked_cards().into_iter().map(|candidate| candidate.reader).collect();
    assert_eq!(unlocked, [THERE], "the one that was locked is locked again");
}
