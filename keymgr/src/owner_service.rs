//! The local API of the owner's policy and of the owner's agent (`policy.proto`, `approvals.proto`).

use std::pin::Pin;
use std::task::{Context, Poll};

use audit::LogStore;
use keycard::CardTransport;
use proto::rpc::api::approvals_server::Approvals;
use proto::rpc::api::policies_server::Policies;
use proto::rpc::api::{
    ApprovalAnswer, ApprovalAnswerReply, ApprovalEvent, ApprovalRequest, ApprovalSettled, PolicyInForce,
    ReloadPolicyRequest, ShowPolicyRequest, WatchApprovalsRequest, approval_event,
};
use proto::rpc::{Fault, seal};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::caller::Asker;
use crate::desk::{Heard, PATIENCE, Place, Waiting, Yes};
use crate::policy::Approval;
use crate::service::{Service, bad_input, pin_of};

/// What an agent hears, as long as it listens.
pub struct Events(Place);

impl Stream for Events {
    type Item = Result<ApprovalEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx).map(|heard| heard.map(|heard| Ok(heard.into())))
    }
}

#[tonic::async_trait]
impl<T, S> Approvals for Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    type WatchStream = Events;

    async fn watch(&self, _: Request<WatchApprovalsRequest>) -> Result<Response<Events>, Status> {
        let place = self.desk.sit();
        let place = place.ok_or_else(|| Fault::InUse.status("enough agents watch; end one of them"))?;
        Ok(Response::new(Events(place)))
    }

    async fn answer(&self, request: Request<ApprovalAnswer>) -> Result<Response<ApprovalAnswerReply>, Status> {
        let asker = Asker::of(&request)?;
        let ApprovalAnswer { id, approve, pin } = request.into_inner();
        let gone = || bad_input(format!("request {id} waits no longer"));
        let approval = self.desk.wants(id).ok_or_else(gone)?;
        let pin = match (approve, approval, pin) {
            (true, Approval::Pin, pin) => Some(pin_of(&self.open(seal::PIN, pin.as_ref())?)?),
            (_, _, None) => None,
            (..) => return Err(bad_input(format!("request {id} wants no PIN; nothing was sent to a card"))),
        };
        let by = self.why(asker, APPROVAL, None).await?;
        let answer = if approve { Ok(Yes { by, pin }) } else { Err(by.caller) };
        if self.desk.answer(id, answer) { Ok(Response::new(ApprovalAnswerReply {})) } else { Err(gone()) }
    }
}

#[tonic::async_trait]
impl<T, S> Policies for Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    async fn show(&self, _: Request<ShowPolicyRequest>) -> Result<Response<PolicyInForce>, Status> {
        let (path, sha256, written) = self.ask(|broker| broker.policy_file()).await?;
        let sha256 = hex::encode(sha256);
        Ok(Response::new(PolicyInForce { path: path.display().to_string(), sha256, before: String::new(), written }))
    }

    async fn reload(&self, _: Request<ReloadPolicyRequest>) -> Result<Response<PolicyInForce>, Status> {
        let ((before, _), (path, sha256, written)) =
            self.ask(|broker| Ok((broker.reload_policy()?, broker.policy_file()?))).await?;
        let (sha256, before) = (hex::encode(sha256), hex::encode(before));
        Ok(Response::new(PolicyInForce { path: path.display().to_string(), sha256, before, written }))
    }
}

impl From<Heard> for ApprovalEvent {
    fn from(heard: Heard) -> Self {
        let event = match heard {
            Heard::Waits(waiting) => approval_event::Event::Waits((*waiting).into()),
            Heard::Settled(id, how) => approval_event::Event::Settled(ApprovalSettled { id, how }),
        };
        Self { event: Some(event) }
    }
}

impl From<Waiting> for ApprovalRequest {
    fn from(waiting: Waiting) -> Self {
        let Waiting { id, key, approval, question, asked, card, why } = waiting;
        let caller = why.caller;
        Self {
            id,
            key,
            operation: question.operation.to_string(),
            path: question.path.to_string(),
            purpose: why.purpose.to_string(),
            uid: caller.uid,
            pid: caller.pid.unwrap_or_default(),
            binary: caller.binary.map(|path| path.to_string()).unwrap_or_default(),
            binary_sha256: caller.binary_hash.map(hex::encode).unwrap_or_default(),
            doubt: why.doubt.map(|doubt| doubt.to_string()).unwrap_or_default(),
            pin: approval == Approval::Pin,
            card: card.card.to_string(),
            label: card.label.unwrap_or_default(),
            reader: card.reader,
            asked,
            seconds: u32::try_from(PATIENCE.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

const APPROVAL: &str = "approval";
