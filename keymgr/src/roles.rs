//! Who may call what: the owner everything, a client what its rules are asked for, anybody else nothing.
//!
//! The invariant: the kernel's uid decides before a byte of the request's body is read, and what is not in the list of
//! calls for clients is for owners.

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

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
}

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
    pub const fn new(policy: InForce, ours: u32) -> Self {
        Self { policy, ours }
    }

    /// Checks that whoever is at the other end may make this call.
    ///
    /// # Errors
    /// [`Fault::Refused`], with the reason.
    fn pass(&self, asker: Option<&Asker>, call: &str) -> Result<(), Status> {
        let Some(Asker { uid, .. }) = asker else {
            return Err(Fault::Refused.status("the user of this connection is not known, so nothing is answered"));
        };
        match self.policy.policy().role(*uid, self.ours) {
            Role::Owner => Ok(()),
            Role::Client if FOR_CLIENTS.contains(&call) => Ok(()),
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
        match self.gate.pass(asker, request.uri().path()) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => {
                tracing::info!(call = request.uri().path(), "refused: {}", status.message());
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}

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
