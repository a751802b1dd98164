//! The owner's agent on the socket: what needs approval waits for it.

use proto::rpc::api::approvals_client::ApprovalsClient;
use proto::rpc::api::policies_client::PoliciesClient;
use proto::rpc::api::{
    ApprovalAnswer, ApprovalEvent, ApprovalRequest, ReloadPolicyRequest, ShowPolicyRequest, WatchApprovalsRequest,
    approval_event,
};
use proto::rpc::{Fault, seal};
use tonic::Streaming;
use tonic::transport::Channel;

use super::service::Running;
use super::*;

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
        let mut client = ApprovalsClient::new(running.channel.clone());
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
    drop((agent, request));
    running.stop().await;
    assert!(world.log.report().is_consistent());
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
