//! Calls to the two local services: each with a deadline, each secret sealed to a one-time key of the manager.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use proto::Pin;
use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::api::node_client::NodeClient;
use proto::rpc::api::{Sealed, SealingKeyRequest, UnlockReply, UnlockRequest};
use proto::rpc::{Fault, seal, socket};
use proto::shell::dice;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::error::CliError;
use crate::system;

/// A key manager that answers.
pub(crate) type Keymgr = KeymgrClient<Channel>;
/// A node that answers.
pub(crate) type Node = NodeClient<Channel>;

/// Connects to a key manager.
///
/// # Errors
/// [`CliError::Socket`] when none answers there.
pub(crate) async fn keymgr(socket: &Path) -> Result<Keymgr, CliError> {
    Ok(KeymgrClient::new(connect(socket).await?))
}

/// Connects to a node.
///
/// # Errors
/// [`CliError::Socket`] when none answers there.
pub(crate) async fn node(socket: &Path) -> Result<Node, CliError> {
    Ok(NodeClient::new(connect(socket).await?))
}

/// Waits for the answer to a call.
///
/// # Errors
/// What the service answered, or [`Fault::NotRunning`] when it does not answer at all.
pub(crate) async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CliError> {
    within(DEADLINE, call).await
}

/// Waits for the answer to a call that needs no card: a service that is well gives it at once.
///
/// # Errors
/// As [`answer`].
pub(crate) async fn prompt_answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CliError> {
    within(PROMPT, call).await
}

/// Waits for the answer to a call that moves much to a card.
///
/// # Errors
/// As [`answer`].
pub(crate) async fn long_answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CliError> {
    within(LONG, call).await
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CliError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(silent(limit)),
    }
}

/// Returns `secret` sealed to a fresh one-time key of the manager.
///
/// # Errors
/// What the manager answered, or [`CliError::Other`] when its key is none.
pub(crate) async fn sealed(manager: &mut Keymgr, context: &str, secret: &[u8]) -> Result<Sealed, CliError> {
    let key = answer(manager.sealing_key(SealingKeyRequest {})).await?.public_key;
    seal::seal(&key, context, secret, &mut dice())
        .map_err(|_| CliError::Other("the key manager's one-time key is no key".to_owned()))
}

/// Gives the PIN to the manager, for `seconds` (0: until it stops).
///
/// # Errors
/// What the manager answered: wrong PIN, last try, blocked, another card.
pub(crate) async fn unlock(
    manager: &mut Keymgr,
    pin: &Pin,
    last_try: bool,
    seconds: u64,
) -> Result<UnlockReply, CliError> {
    let pin = Some(sealed(manager, seal::PIN, pin.expose()).await?);
    answer(manager.unlock(UnlockRequest { pin, last_try, seconds, ..UnlockRequest::default() })).await
}

/// Connects to whatever serves this socket.
///
/// # Errors
/// [`CliError::Socket`] when nobody answers there.
pub(crate) async fn channel(socket: &Path) -> Result<Channel, CliError> {
    connect(socket).await
}

async fn connect(path: &Path) -> Result<Channel, CliError> {
    Ok(tokio::time::timeout(PROMPT, socket::connect_to(path, system::whose(path)))
        .await
        .map_err(|_| silent(PROMPT))??)
}

fn silent(limit: Duration) -> CliError {
    let message = format!("the service did not answer within {} s; see `cardinal up --verbose`", limit.as_secs());
    CliError::found(Fault::NotRunning, message)
}

/// No call takes longer, key generation on a card included.
const DEADLINE: Duration = Duration::from_secs(30);
/// An installation sends some hundred blocks, each of which a card takes its time for.
const LONG: Duration = Duration::from_secs(600);
/// How long a service may take for what it only has to look up.
const PROMPT: Duration = Duration::from_secs(5);
