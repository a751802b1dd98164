//! The local API for what cards say of the log (`proto/schema/local/proof.proto`), which is for owners.

use audit::LogStore;
use keycard::CardTransport;
use proto::rpc::api::proof_server::Proof;
use proto::rpc::api::{AdoptReply, AdoptRequest, MirrorReply, MirrorRequest, StateReply, StateRequest};
use tonic::{Request, Response, Status};

use crate::caller::Asker;
use crate::mirror::Mirror;
use crate::service::{Service, target_of};

#[tonic::async_trait]
impl<T, S> Proof for Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    async fn state(&self, request: Request<StateRequest>) -> Result<Response<StateReply>, Status> {
        let asker = Asker::of(&request)?;
        let access = self.access(request.into_inner().access)?;
        let why = self.why(asker, "audit sign", None).await?;
        let stated = self.ask(move |broker| broker.state(access, &why)).await?;
        Ok(Response::new(StateReply {
            head: stated.head.to_string(),
            random: stated.random.to_vec(),
            signature: stated.signature.to_vec(),
            public_key: stated.key.to_bytes().to_vec(),
            log_entry: stated.entry,
        }))
    }

    async fn mirror(&self, request: Request<MirrorRequest>) -> Result<Response<MirrorReply>, Status> {
        let target = target_of(request.into_inner().target);
        let found = self.ask(move |broker| broker.mirror(&target)).await?;
        let head = match found.mirror {
            Mirror::Of(head) => head.to_string(),
            Mirror::Empty | Mirror::Foreign => String::new(),
        };
        Ok(Response::new(MirrorReply {
            card: found.card.to_string(),
            slot: found.slot.to_string(),
            head,
            foreign: found.mirror == Mirror::Foreign,
            ours: found.is_ours,
        }))
    }

    async fn adopt(&self, request: Request<AdoptRequest>) -> Result<Response<AdoptReply>, Status> {
        let asker = Asker::of(&request)?;
        let target = target_of(request.into_inner().target);
        let why = self.why(asker, "audit adopt", None).await?;
        let (found, log_entry) = self.ask(move |broker| broker.adopt(&target, &why)).await?;
        let head = match found.mirror {
            Mirror::Of(head) => head.to_string(),
            Mirror::Empty | Mirror::Foreign => String::new(),
        };
        Ok(Response::new(AdoptReply { card: found.card.to_string(), head, log_entry }))
    }
}
