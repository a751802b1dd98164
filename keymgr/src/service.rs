//! The local API (`proto/schema/local/keymgr.proto`): checks who asks, opens what is sealed, and asks the worker.
//!
//! The invariant: who asks is who the kernel names; [`crate::roles`] has let the call pass before any of this, and nothing in
//! a request names anybody.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use audit::{Asked, LogStore};
use keycard::{CardTransport, Mnemonic};
use proto::rpc::api::keymgr_server::Keymgr;
use proto::rpc::api::{
    CardInfo, CardRequest, CardTarget, ExportPrivateReply, ExportPrivateRequest, ExportPublicReply,
    ExportPublicRequest, KeymgrStatus, KeymgrStatusRequest, LockReply, LockRequest, MetricsReply, MetricsRequest,
    ProvisionReply, ProvisionRequest, ReadersReply, ReadersRequest, Sealed, SealingKeyReply, SealingKeyRequest,
    UnlockReply, UnlockRequest, provision_request,
};
use proto::rpc::{Fault, seal};
use proto::shell::dice;
use proto::{ChatKey, Fingerprint, KeyPath, Pin, Puk};
use readers::Readers;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::approval::{Needed, Wish};
use crate::broker::Broker;
use crate::caller::{Asker, Programs};
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::desk::{Desk, Waiting};
use crate::error::BrokerError;
use crate::export::asked_public;
use crate::front::Front;
use crate::hardening::{Hardening, Measure};
use crate::journal::Why;
use crate::metrics::Metrics;
use crate::policy::Role;
use crate::provision::{Enrolling, KeySource};
use crate::reader::ReaderName;
use crate::reader::view::{self, Seen};
use crate::roles::InForce;
use crate::sealing::SealingKeys;
use crate::seats::Validity;
use crate::unlock::Unlocking;
use crate::worker::{NoAnswer, Worker};

/// The local API in front of one worker.
pub struct Service<T: CardTransport, S: LogStore> {
    worker: Worker<T, S>,
    place: Place,
    keys: Mutex<SealingKeys>,
    programs: Programs,
    metrics: Metrics,
    hardening: Hardening,
    policy: InForce,
    pub(crate) desk: Desk,
}

/// Where the manager's card and log are.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its reader.
    pub reader: ReaderName,
    /// All readers.
    pub readers: Readers,
    /// What is in them.
    pub seen: Seen,
    /// The log's file.
    pub log: PathBuf,
}

impl<T, S> Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    /// Returns the service in front of `worker`.
    #[must_use]
    pub fn new(worker: Worker<T, S>, place: Place, front: Front, policy: InForce) -> Self {
        let Front { programs, metrics, hardening, .. } = front;
        Self { worker, place, keys: Mutex::default(), programs, metrics, hardening, policy, desk: Desk::default() }
    }

    /// Asks the broker for what the policy decides on, after the owner's approval where that is wanted.
    pub(crate) async fn ask_for<R: Send + 'static>(
        &self,
        wish: Wish,
        why: Why,
        work: impl FnOnce(&mut Broker<T, S>, &Why) -> Result<R, BrokerError> + Send + 'static,
    ) -> Result<R, Status> {
        let needed = if self.policy.policy().asks_its_owner() {
            let (wish, why) = (wish.clone(), why.clone());
            self.ask(move |broker| broker.wants_approval(&wish, &why)).await?
        } else {
            None
        };
        let (Some(needed), Ok(question)) = (needed, wish.question.clone()) else {
            return self.ask(move |broker| work(broker, &why)).await;
        };
        let Needed { key, approval, card } = needed.clone();
        let waiting = Waiting { id: 0, key, approval, question, asked: wish.words(), card, why: why.clone() };
        match self.desk.put(waiting).await {
            Ok((id, yes)) => {
                let result = self.ask(move |broker| broker.with_approval(yes, needed, wish, why, work)).await;
                let how = result.as_ref().map_or_else(|status| status.message().to_owned(), |_| "done".to_owned());
                self.desk.settle(id, &how);
                result
            }
            Err(no) => self.ask(move |broker| Err(broker.not_approved(needed, &no, wish, &why))).await,
        }
    }

    /// Returns whether this is the manager's owner.
    pub(crate) fn is_owner(&self, asker: &Asker) -> bool {
        self.policy.policy().role(asker.uid, rustix::process::geteuid().as_raw()) == Role::Owner
    }

    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Broker<T, S>) -> Result<R, BrokerError> + Send + 'static,
    ) -> Result<R, Status> {
        let span = tracing::Span::current();
        let ask = move |broker: &mut Broker<T, S>| span.in_scope(|| ask(broker));
        self.worker.ask(ask).await.map_err(unanswered)?.map_err(|error| status(&error))
    }

    /// Opens a sealed secret; its one-time key is spent whatever comes of it.
    pub(crate) fn open(&self, context: &'static str, sealed: Option<&Sealed>) -> Result<Zeroizing<Vec<u8>>, Status> {
        let sealed = sealed.ok_or_else(|| bad_input(format!("the sealed {context} is missing")))?;
        let opened = lock(&self.keys).open(context, sealed);
        opened.map_err(|_| bad_input(format!("the sealed {context} does not open; ask for a new sealing key")))
    }

    /// Returns who asks and what for.
    pub(crate) async fn why(&self, asker: Asker, purpose: &str, one_time_key: Option<[u8; 33]>) -> Result<Why, Status> {
        let purpose = purpose.parse().map_err(|error: audit::text::NotAPurpose| bad_input(error.to_string()))?;
        let (caller, doubt) = self.programs.caller(&asker, one_time_key).await;
        Ok(Why { caller, doubt, purpose, granted: None })
    }
}

#[tonic::async_trait]
impl<T, S> Keymgr for Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    async fn status(&self, request: Request<KeymgrStatusRequest>) -> Result<Response<KeymgrStatus>, Status> {
        let asker = Asker::of(&request)?;
        let (uid, is_owner) = (asker.uid, self.is_owner(&asker));
        let status =
            move |broker: &mut Broker<T, S>| Ok(if is_owner { broker.status() } else { broker.status_for(uid) });
        let mut reply = self.ask(status).await?;
        reply.reader = self.place.reader.to_string();
        self.place.seen.state_of(&self.place.reader).clone_into(&mut reply.reader_state);
        reply.log_path = self.place.log.display().to_string();
        reply.hardening = self.hardening.measures().iter().map(Measure::shown).collect();
        reply.health = Some(self.metrics.health());
        Ok(Response::new(reply))
    }

    async fn metrics(&self, _: Request<MetricsRequest>) -> Result<Response<MetricsReply>, Status> {
        let held = self.ask(|broker| Ok(broker.held())).await?;
        Ok(Response::new(MetricsReply { text: self.metrics.text(&held, &self.hardening) }))
    }

    async fn card(&self, request: Request<CardRequest>) -> Result<Response<CardInfo>, Status> {
        let target = target_of(request.into_inner().target);
        Ok(Response::new(self.ask(move |broker| broker.at(&target, Broker::card_info)).await?))
    }

    async fn readers(&self, _: Request<ReadersRequest>) -> Result<Response<ReadersReply>, Status> {
        let Place { reader, readers, .. } = self.place.clone();
        Ok(Response::new(self.ask(move |broker| Ok(view::of_manager(&readers, &reader, broker))).await?))
    }

    async fn sealing_key(&self, _: Request<SealingKeyRequest>) -> Result<Response<SealingKeyReply>, Status> {
        let public_key = lock(&self.keys).hand_out(&mut dice()).to_vec();
        Ok(Response::new(SealingKeyReply { public_key }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockReply>, Status> {
        let asker = Asker::of(&request)?;
        let UnlockRequest { pin, last_try, seconds, each_use, target, confirm, first_pairing } = request.into_inner();
        let pin = pin_of(&self.open(seal::PIN, pin.as_ref())?)?;
        let why = self.why(asker, UNLOCK, None).await?;
        let contact = Contact { confirm: some(confirm), first_pairing };
        let validity = Validity { seconds, each_use };
        let unlocking = Unlocking { target: target_of(target), contact, pin, last_try, validity };
        let unlocked = self.ask(move |broker| broker.unlock(unlocking, &why)).await?;
        Ok(Response::new(UnlockReply {
            key_uid: unlocked.key_uid.to_string(),
            decoy: unlocked.decoy,
            card: unlocked.card.to_string(),
            reader: unlocked.reader,
            seconds_left: unlocked.seconds,
        }))
    }

    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockReply>, Status> {
        let LockRequest { target, all } = request.into_inner();
        let target = (!all).then(|| target_of(target));
        let locked = self.ask(move |broker| broker.lock_cards(target.as_ref())).await?;
        Ok(Response::new(LockReply { cards: locked.iter().map(ToString::to_string).collect() }))
    }

    async fn provision(&self, request: Request<ProvisionRequest>) -> Result<Response<ProvisionReply>, Status> {
        let asker = Asker::of(&request)?;
        let ProvisionRequest { pin, puk, key, caller, target } = request.into_inner();
        let pin = pin_of(&self.open(seal::PIN, pin.as_ref())?)?;
        let puk = Puk::try_from(self.open(seal::PUK, puk.as_ref())?.as_slice())
            .map_err(|error| bad_input(format!("the PUK: {error}")))?;
        let mut one_time_key = None;
        let key = match key {
            Some(provision_request::Key::Generate(true)) => KeySource::Generate,
            Some(provision_request::Key::Mnemonic(sealed)) => {
                let words = self.open(seal::MNEMONIC, Some(&sealed))?;
                let words = std::str::from_utf8(&words).map_err(|_| bad_input("the mnemonic is no text"))?;
                KeySource::Mnemonic(Mnemonic::parse(words).map_err(|error| bad_input(error.to_string()))?)
            }
            Some(provision_request::Key::FreshWords(words)) => {
                let caller = one_time(&caller)?;
                one_time_key = Some(caller.to_compressed());
                KeySource::Fresh { words: usize::try_from(words).unwrap_or(usize::MAX), caller }
            }
            Some(provision_request::Key::Generate(false)) | None => {
                return Err(bad_input("say where the key comes from: generate, a mnemonic, or fresh words"));
            }
        };
        let why = self.why(asker, ENROL, one_time_key).await?;
        let enrolling = Enrolling { target: target_of(target), pin, puk, key };
        let enrolled = self.ask(move |broker| broker.provision(enrolling, &why)).await?;
        Ok(Response::new(ProvisionReply {
            card: enrolled.pins.card.to_string(),
            key_uid: enrolled.pins.key_uid.to_string(),
            chat_fingerprint: enrolled.pins.chat.to_string(),
            mnemonic: enrolled.mnemonic,
        }))
    }

    async fn export_private(
        &self,
        request: Request<ExportPrivateRequest>,
    ) -> Result<Response<ExportPrivateReply>, Status> {
        let asker = Asker::of(&request)?;
        let ExportPrivateRequest { path, purpose, caller, target } = request.into_inner();
        let target = target_of(target);
        let path = path_of(&path)?;
        let caller = one_time(&caller)?;
        let why = self.why(asker, &purpose, Some(caller.to_compressed())).await?;
        let wish = Wish::of(Asked::Private(path.clone()), &target);
        let export = move |broker: &mut Broker<T, S>, why: &Why| {
            broker.in_session(&target, |broker| broker.export_private(path, &caller, why))
        };
        let exported = self.ask_for(wish, why, export).await?;
        Ok(Response::new(ExportPrivateReply {
            key: Some(exported.sealed),
            fingerprint: exported.fingerprint.to_string(),
            log_entry: exported.entry,
        }))
    }

    async fn export_public(
        &self,
        request: Request<ExportPublicRequest>,
    ) -> Result<Response<ExportPublicReply>, Status> {
        let asker = Asker::of(&request)?;
        let ExportPublicRequest { path, extended, purpose, caller, target } = request.into_inner();
        let target = target_of(target);
        let path = path_of(&path)?;
        let caller = extended.then(|| one_time(&caller)).transpose()?;
        let why = self.why(asker, &purpose, caller.map(|key| key.to_compressed())).await?;
        let wish = Wish::of(asked_public(path.clone(), extended), &target);
        let export = move |broker: &mut Broker<T, S>, why: &Why| {
            broker.in_session(&target, |broker| broker.export_public(path, caller.as_ref(), why))
        };
        let exported = self.ask_for(wish, why, export).await?;
        Ok(Response::new(ExportPublicReply {
            public_key: exported.key.to_bytes().to_vec(),
            chain_code: exported.chain_code,
            fingerprint: Fingerprint::of(&exported.key).to_string(),
            log_entry: exported.entry,
        }))
    }
}

/// Returns the card that a request means.
pub(crate) fn target_of(target: Option<CardTarget>) -> Target {
    let CardTarget { reader, card } = target.unwrap_or_default();
    Target { reader: some(reader), card: some(card) }
}

/// In a message of protobuf an absent text is an empty one.
pub(crate) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(crate) fn pin_of(digits: &Zeroizing<Vec<u8>>) -> Result<Pin, Status> {
    Pin::try_from(digits.as_slice()).map_err(|error| bad_input(format!("the PIN: {error}")))
}

pub(crate) fn path_of(text: &str) -> Result<KeyPath, Status> {
    text.parse().map_err(|error: proto::path::PathError| bad_input(error.to_string()))
}

pub(crate) fn one_time(key: &[u8]) -> Result<ChatKey, Status> {
    ChatKey::try_from(key).map_err(|_| bad_input("the caller's one-time public key is no public key"))
}

pub(crate) fn bad_input(message: impl Into<String>) -> Status {
    Fault::BadInput.status(message)
}

pub(crate) fn status(error: &BrokerError) -> Status {
    let message = error.to_string();
    tracing::debug!(fault = error.fault().name(), "{message}");
    error.fault().status(message)
}

fn unanswered(why: NoAnswer) -> Status {
    match why {
        NoAnswer::Busy => Status::resource_exhausted(why.to_string()),
        NoAnswer::Stopped => Fault::NotRunning.status(why.to_string()),
    }
}

/// Nothing is left half done while these locks are held, so a panic elsewhere does not spoil what they guard.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The purpose of the public keys that are fetched at each unlocking.
pub(crate) const UNLOCK: &str = "unlock";
const ENROL: &str = "enrol";
