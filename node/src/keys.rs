//! The client of the key manager: two private keys, asked for once, sealed to a one-time key each.
//!
//! While the card is locked nothing is asked for, so that no refusal fills the export log: the manager's status is
//! polled until somebody has unlocked the card, or the deadline passes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k256::SecretKey;
use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::api::{ExportPrivateRequest, KeymgrStatusRequest};
use proto::rpc::socket::{self, SocketError};
use proto::rpc::{Fault, SealingKey, seal};
use proto::shell::dice;
use proto::{ChatKey, ExportPath, Fingerprint, Secret, purpose};
use tonic::Status;
use tonic::transport::Channel;

/// What a chat node gets from its key manager.
pub struct Keys {
    /// The chat ("whisper") key: the identity.
    pub chat: ExportedKey,
    /// The database key: its hash opens the store.
    pub database: ExportedKey,
}

/// A private key that left the card for us, with its public half.
pub struct ExportedKey {
    /// The private key.
    pub secret: Secret<32>,
    /// Its public key.
    pub public: ChatKey,
}

/// Why the key manager gave no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Nothing serves the manager's socket, or not for us alone.
    #[error("the key manager cannot be reached: {source}{}", advice(source))]
    Unreachable {
        /// Why.
        #[from]
        source: SocketError,
    },
    /// Nobody unlocked the card in time.
    #[error("the card stayed locked for {} s; run `cardinal unlock` and start the node again", within.as_secs())]
    Locked {
        /// How long was waited.
        within: Duration,
    },
    /// The manager said no, and why.
    #[error("the key manager at {} does not export the {purpose} key: {}", socket.display(), status.message())]
    Refused {
        /// Its socket.
        socket: PathBuf,
        /// Which key.
        purpose: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
    /// The answer does not open, is no key, or is another key than it says.
    #[error("the key manager's answer for the {purpose} key is wrong ({what}); see `cardinal audit show`")]
    BadAnswer {
        /// Which key.
        purpose: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl KeysError {
    /// Returns the cause that names the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { source: SocketError::Untrusted(_) } => Fault::BadInput,
            Self::Unreachable { .. } => Fault::NotRunning,
            Self::Locked { .. } => Fault::Locked,
            Self::Refused { status, .. } => Fault::of(status).unwrap_or(Fault::Refused),
            Self::BadAnswer { .. } => Fault::BadCardAnswer,
        }
    }
}

fn advice(source: &SocketError) -> &'static str {
    // The others say themselves what to do.
    if matches!(source, SocketError::NotRunning(_)) { "; start cardinal-keymgr first" } else { "" }
}

/// Asks the key manager at `socket` for both keys, waiting until the card is unlocked, but no longer than `within`.
///
/// # Errors
/// [`KeysError`].
pub async fn fetch(socket: &Path, within: Duration) -> Result<Keys, KeysError> {
    let mut manager = Manager { client: KeymgrClient::new(socket::connect(socket).await?), socket };
    let deadline = tokio::time::Instant::now() + within;
    loop {
        manager.unlocked(within, deadline).await?;
        match manager.both().await {
            // The PIN's lifetime ended in between.
            Err(KeysError::Refused { status, .. }) if Fault::of(&status) == Some(Fault::Locked) => {
                pause(within, deadline).await?;
            }
            done => return done,
        }
    }
}

struct Manager<'a> {
    client: KeymgrClient<Channel>,
    socket: &'a Path,
}

impl Manager<'_> {
    async fn unlocked(&mut self, within: Duration, deadline: tokio::time::Instant) -> Result<(), KeysError> {
        let mut said = false;
        loop {
            let status = self.client.status(KeymgrStatusRequest {}).await.map_err(|s| self.refused("chat", s))?;
            if status.into_inner().unlocked {
                return Ok(());
            }
            if !said {
                tracing::warn!("the card is locked: waiting for `cardinal unlock`");
                said = true;
            }
            pause(within, deadline).await?;
        }
    }

    async fn both(&mut self) -> Result<Keys, KeysError> {
        let chat = self.export(&ExportPath::chat(), purpose::CHAT).await?;
        let database = self.export(&ExportPath::database(), purpose::DATABASE).await?;
        Ok(Keys { chat, database })
    }

    async fn export(&mut self, path: &ExportPath, purpose: &'static str) -> Result<ExportedKey, KeysError> {
        let wrong = |what| KeysError::BadAnswer { purpose, what };
        let one_time = SealingKey::generate(&mut dice());
        let request = ExportPrivateRequest {
            path: path.to_string(),
            purpose: purpose.to_owned(),
            caller: one_time.public().to_vec(),
            ..ExportPrivateRequest::default()
        };
        let reply = self.client.export_private(request).await.map_err(|s| self.refused(purpose, s))?.into_inner();
        let sealed = reply.key.ok_or(wrong("no key in it"))?;
        let opened = one_time.open(seal::KEY, &sealed).map_err(|_| wrong("it does not open"))?;
        let secret = Secret::<32>::copy_from(&opened).ok_or(wrong("it has another length"))?;
        let key = SecretKey::from_slice(secret.expose()).map_err(|_| wrong("it is no key of the curve"))?;
        let public = ChatKey::from(key.public_key());
        if Fingerprint::of(&public).to_string() != reply.fingerprint {
            return Err(wrong("it is another key than its fingerprint says"));
        }
        tracing::info!(purpose, fingerprint = reply.fingerprint, log_entry = reply.log_entry, "key received");
        Ok(ExportedKey { secret, public })
    }

    fn refused(&self, purpose: &'static str, status: Status) -> KeysError {
        KeysError::Refused { socket: self.socket.to_owned(), purpose, status: Box::new(status) }
    }
}

async fn pause(within: Duration, deadline: tokio::time::Instant) -> Result<(), KeysError> {
    if tokio::time::Instant::now() >= deadline {
        return Err(KeysError::Locked { within });
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

/// Between two looks at a locked card: a person who has just typed a PIN does not notice it.
const POLL: Duration = Duration::from_millis(200);
