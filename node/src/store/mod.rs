//! The store: one person's chats, clocks and messages in a SQLCipher file, behind one thread that owns it.
//!
//! The invariant: when [`Store::persist`] returns, the change is synced to the disk; when it fails, nothing of it is
//! there.

mod columns;
mod database;
mod error;
mod history;
mod schema;
mod state;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::thread::JoinHandle;

use chat::{Change, InstallationId, State};
use proto::ChatKey;
use tokio::sync::{mpsc, oneshot};

pub use database::StoreKey;
use database::{Database, Opening};
pub use error::StoreError;
pub use history::Line;

/// The way to the thread that owns the file. When it is dropped, the file is closed.
#[derive(Debug)]
pub struct Store {
    // Dropped before the thread, which ends when no job can come any more.
    jobs: mpsc::Sender<Job>,
    done: oneshot::Receiver<Result<(), StoreError>>,
    _thread: Thread,
}

/// The thread. It is waited for when this is dropped: SQLCipher wipes its memory at the end of the process, and crashes
/// whoever still uses it then.
#[derive(Debug)]
struct Thread(Option<JoinHandle<()>>);

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic in it has printed its reason.
            drop(thread.join());
        }
    }
}

/// A store that is to be opened.
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// Its key.
    pub key: StoreKey,
    /// The identity whose messages it keeps.
    pub owner: ChatKey,
    /// The installation id for a new store.
    pub installation: InstallationId,
    /// Whether it may be made when there is none.
    pub may_create: bool,
}

type Job = Box<dyn FnOnce(&mut Database) + Send>;

impl Store {
    /// Opens the store, or makes a new one where that is allowed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(location: Location) -> Result<Self, StoreError> {
        let (jobs, mut todo) = mpsc::channel::<Job>(WAITING);
        let (opened, opening) = oneshot::channel();
        let (closed, done) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let Location { path, key, owner, installation, may_create } = location;
                let opening =
                    Opening { path: &path, key: &key, owner: &owner, installation: &installation, may_create };
                let mut database = match Database::open(&opening) {
                    Ok(database) => database,
                    Err(error) => {
                        drop(opened.send(Err(error)));
                        return;
                    }
                };
                drop(key);
                drop(opened.send(Ok(())));
                while let Some(job) = todo.blocking_recv() {
                    job(&mut database);
                }
                drop(closed.send(database.close()));
            })
            .map_err(|_| StoreError::Closed)?;
        let store = Self { jobs, done, _thread: Thread(Some(thread)) };
        opening.await.map_err(|_| StoreError::Closed)??;
        Ok(store)
    }

    /// Makes a change and syncs it, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and the other ways of a database to fail.
    pub async fn persist(&self, change: Change) -> Result<(), StoreError> {
        self.run(move |database| database.apply(&change)).await
    }

    /// Returns the state that the changes have led to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn state(&self) -> Result<State, StoreError> {
        self.run(|database| database.state()).await
    }

    /// Returns this installation's id among the owner's devices.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn installation(&self) -> Result<InstallationId, StoreError> {
        self.run(|database| database.installation()).await
    }

    /// Returns the latest messages of a chat, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(&self, chat: String, limit: u32) -> Result<Vec<Line>, StoreError> {
        self.run(move |database| database.history(&chat, limit)).await
    }

    /// Returns how many messages are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        self.run(|database| database.count()).await
    }

    /// Closes the file.
    ///
    /// # Errors
    /// [`StoreError`] when the last changes could not be folded into it; they are safe in its log.
    pub async fn close(self) -> Result<(), StoreError> {
        let Self { jobs, done, _thread } = self;
        drop(jobs);
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Lets the file grow no further, as a full disk would, or lets it grow again.
    #[cfg(test)]
    pub(crate) async fn disk_is_full(&self, full: bool) {
        let limit = self.run(move |database| {
            database.read(|connection| {
                let pages = connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?;
                let limit = if full { pages } else { i64::from(i32::MAX) };
                connection.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(()))
            })
        });
        limit.await.unwrap();
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |database| drop(reply.send(work(database))));
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Jobs that may wait: the engine has one at a time, the status a second.
const WAITING: usize = 4;
