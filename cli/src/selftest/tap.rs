//! A socket between the commands and the key manager that keeps what goes through it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use proto::rpc::socket::{self, Served};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::error::CliError;

/// What went through, a piece for each direction of each connection, so that nothing stands between two of its bytes.
type Pieces = Arc<Mutex<Vec<Vec<u8>>>>;

/// A tap; dropping it ends it.
pub(super) struct Tap {
    pieces: Pieces,
    task: JoinHandle<()>,
}

impl Tap {
    /// Serves `path` and passes everything on to `target`.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(super) fn open(path: &Path, target: PathBuf) -> Result<Self, CliError> {
        let Served { listener, guard } = socket::serve(path)?;
        let pieces = Pieces::default();
        let kept = Arc::clone(&pieces);
        let task = tokio::spawn(async move {
            let _guard = guard;
            while let Ok((client, _)) = listener.accept().await {
                let (target, kept) = (target.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(target).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(pass(from_client, to_server, Arc::clone(&kept)), pass(from_server, to_client, kept));
                });
            }
        });
        Ok(Self { pieces, task })
    }

    /// Returns what went through so far.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.pieces.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes one direction on until it ends.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, kept: Pieces) {
    let index = {
        let mut pieces = kept.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.push(Vec::new());
        pieces.len().saturating_sub(1)
    };
    let mut room = vec![0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut room).await {
        let Some(bytes) = room.get(..read) else { break };
        if let Some(piece) = kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            piece.extend_from_slice(bytes);
        }
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    // Whoever reads learns that there is no more.
    let _ = to.shutdown().await;
}
