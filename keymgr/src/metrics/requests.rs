//! Counts the requests of a service, and gives what is traced about one of them its caller and its operation.

use std::task::{Context, Poll};
use std::time::Instant;

use proto::rpc::Fault;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::Metrics;
use crate::caller::Asker;
use crate::roles::NotHeard;

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    service: S,
    metrics: Metrics,
}

impl<S> Counted<S> {
    pub(crate) const fn new(service: S, metrics: Metrics) -> Self {
        Self { service, metrics }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let began = Instant::now();
        let operation: String =
            request.uri().path().rsplit('/').next().unwrap_or_default().chars().take(LONGEST).collect();
        let uid = request.extensions().get::<Asker>().map(|asker| asker.uid);
        let span = tracing::info_span!("request", operation, uid);
        let metrics = self.metrics.clone();
        let answer = self.service.call(request);
        let counted = async move {
            let response = answer.await?;
            // Only names of calls that there are become labels: what is not heard may be called anything.
            let heard = response.extensions().get::<NotHeard>().is_none();
            let (operation, result) = match result(response.headers()) {
                Some(result) if heard => (operation.as_str(), result),
                Some(result) => ("unheard", result),
                None => ("unknown", "error"),
            };
            let took = began.elapsed();
            metrics.request(operation, result, took);
            let ms = took.as_secs_f64() * 1e3;
            if result == OK {
                tracing::debug!(result, ms, "answered");
            } else {
                tracing::info!(fault = result, ms, "not done");
            }
            Ok(response)
        };
        Box::pin(counted.instrument(span))
    }
}

/// Returns what came of a request: the name of a fault, `ok`, or `error`; nothing when there is no such operation.
fn result(headers: &http::HeaderMap) -> Option<&'static str> {
    let Some(status) = Status::from_header_map(headers) else { return Some(OK) };
    match (Fault::of(&status), status.code()) {
        (Some(fault), _) => Some(fault.name()),
        (None, Code::Ok) => Some(OK),
        (None, Code::Unimplemented) => None,
        (None, Code::PermissionDenied) => Some("denied"),
        (None, Code::ResourceExhausted) => Some("busy"),
        (None, _) => Some("error"),
    }
}

/// The longest name of a call is a third of it.
const LONGEST: usize = 64;
const OK: &str = "ok";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is not heard chooses the name of what was called: ten thousand names would be ten thousand histograms.
    #[tokio::test]
    async fn attack_a_call_that_is_not_heard_becomes_no_label() {
        let metrics = Metrics::default();
        let refuses = tower::service_fn(async |_: http::Request<Body>| {
            let mut response = Fault::Refused.status("no").into_http();
            response.extensions_mut().insert(NotHeard);
            Ok::<_, std::convert::Infallible>(response)
        });
        let mut counted = Counted::new(refuses, metrics.clone());
        for n in 0..100 {
            let request = http::Request::get(format!("/cardinal/name{n}")).body(Body::empty()).unwrap();
            counted.call(request).await.unwrap();
        }
        let text = metrics.text(&crate::metrics::Held::default(), &crate::hardening::Hardening::default());
        assert!(text.contains("unheard") && !text.contains("name7"), "{text}");
    }
}
