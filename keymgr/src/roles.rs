//! Who may call what: the owner everything, a client what its rules are asked for, anybody else nothing.
//!
//! The invariant: the kernel's uid decides before a byte of the request's body is read, and what is not in the list of
//! calls for clients is for owners. Clients wait for few calls at a time, so that the owner is always heard.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};

use http_body_util::Limited;
use proto::rpc::Fault;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tower::{Layer, Service};

use crate::caller::Asker;
use crate::policy::{Policy, Role};

/// The policy in force, for all who ask: the broker changes it.
#[derive(Debug, Clone)]
pub struct InForce(Arc<RwLock<Arc<Policy>>>);

/// Puts the question of the role before a service.
#[derive(Debug, Clone)]
pub struct Gate {
    policy: InForce,
    ours: u32,
    waiting: Waiting,
}

/// The calls of clients that are under way, by user.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<Mutex<BTreeMap<u32, usize>>>);

/// One of them.
struct Wait {
    waiting: Waiting,
    uid: u32,
}

/// Marks the answer to a call that was not heard, whose name is anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotHeard;

/// A service behind the question of the role.
#[derive(Debug, Clone)]
pub struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl From<Policy> for InForce {
    fn from(policy: Policy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }
}

impl InForce {
    /// Returns the policy that is in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another one in force.
    pub(crate) fn replace(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

impl Gate {
    /// Returns the gate of a manager that runs as this user.
    #[must_use]
    pub fn new(policy: InForce, ours: u32) -> Self {
        Self { policy, ours, waiting: Waiting::default() }
    }

    /// Checks that whoever is at the other end may make this call. A client's call counts until its [`Wait`] ends.
    ///
    /// # Errors
    /// [`Fault::Refused`], with the reason; a client that has too many calls under way is told to try again.
    fn pass(&self, asker: Option<&Asker>, call: &str) -> Result<Option<Wait>, Status> {
        let Some(Asker { uid, .. }) = asker else {
            return Err(Fault::Refused.status("the user of this connection is not known, so nothing is answered"));
        };
        match self.policy.policy().role(*uid, self.ours) {
            Role::Owner => Ok(None),
            Role::Client if FOR_CLIENTS.contains(&call) => self
                .waiting
                .begin(*uid)
                .map(Some)
                .ok_or_else(|| Status::resource_exhausted("too many calls of clients are under way; try again")),
            Role::Client => Err(Fault::Refused.status(format!(
                "uid {uid} is a client of this key manager; this call is for its owner (uid {}, and `owners` of policy.toml)",
                self.ours
            ))),
            Role::Stranger => Err(Fault::Refused.status(format!(
                "uid {uid} is neither the owner of this key manager (uid {}, and `owners` of policy.toml) nor a client that \
                 a [[key]] block of policy.toml names",
                self.ours
            ))),
        }
    }
}

impl Waiting {
    fn begin(&self, uid: u32) -> Option<Wait> {
        let mut calls = self.lock();
        let all: usize = calls.values().sum();
        let of_user = calls.get(&uid).copied().unwrap_or_default();
        if all >= MOST_WAITING || of_user >= MOST_OF_USER {
            return None;
        }
        calls.insert(uid, of_user.saturating_add(1));
        Some(Wait { waiting: self.clone(), uid })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut calls = self.waiting.lock();
        if let Some(of_user) = calls.get_mut(&self.uid) {
            *of_user = of_user.saturating_sub(1);
            if *of_user == 0 {
                calls.remove(&self.uid);
            }
        }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asker = request.extensions().get::<Asker>();
        let call = request.uri().path();
        match self.gate.pass(asker, call) {
            Ok(wait) => {
                let most = if call == INSTALL { MAX_INSTALLATION } else { MAX_REQUEST };
                let request = request.map(|body| Body::new(Limited::new(body, most)));
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let answer = answer.await;
                    drop(wait);
                    answer
                })
            }
            Err(status) => {
                tracing::info!("a call is not heard: {}", status.message());
                let mut response = status.into_http();
                response.extensions_mut().insert(NotHeard);
                Box::pin(async move { Ok(response) })
            }
        }
    }
}

/// What is read of a request at most, its frame included: no request is larger than a few sealed secrets.
pub(crate) const MAX_REQUEST: usize = 64 * 1024;
/// The CAP files of a Keycard are a tenth of it.
pub(crate) const MAX_INSTALLATION: usize = 2 * 1024 * 1024;
/// The one call that brings such files.
const INSTALL: &str = "/cardinal.local.v1.Cards/Install";
/// Fewer than fit into the queue of the thread that owns the cards: the rest is the owner's.
const MOST_WAITING: usize = 24;
const MOST_OF_USER: usize = 8;

/// The calls that a client may make; the policy decides on what they ask for.
const FOR_CLIENTS: [&str; 8] = [
    "/cardinal.local.v1.Keymgr/Status",
    "/cardinal.local.v1.Keymgr/ExportPrivate",
    "/cardinal.local.v1.Keymgr/ExportPublic",
    "/cardinal.local.v1.Cards/Sign",
    "/cardinal.local.v1.Cards/Ecdh",
    "/cardinal.local.v1.Cards/Derive",
    "/cardinal.local.v1.Cards/Bip85",
    "/cardinal.local.v1.Cards/Lee",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_few_calls_under_way_and_never_all_places() {
        let waiting = Waiting::default();
        let mut calls: Vec<Wait> = (0..MOST_OF_USER).map(|_| waiting.begin(1).unwrap()).collect();
        assert!(waiting.begin(1).is_none(), "one user has had its share");
        for uid in 2.. {
            match waiting.begin(uid) {
                Some(call) => calls.push(call),
                None => break,
            }
        }
        assert_eq!(calls.len(), MOST_WAITING);
        calls.clear();
        assert!(waiting.begin(1).is_some(), "what ended counts no more");
        assert!(waiting.lock().is_empty());
    }
}
