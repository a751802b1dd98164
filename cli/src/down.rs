//! `cardinal down`: ends what `up` started, and says so only when it is gone.

use std::time::Duration;

use serde_json::json;

use crate::error::CliError;
use crate::hold::{self, Holder};
use crate::output::Output;
use crate::paths::Layout;

/// Asks the running `up` to end and waits until it has.
///
/// # Errors
/// `NotRunning` when there is none; [`CliError::Other`] when it does not end.
pub(crate) async fn run(out: Output) -> Result<(), CliError> {
    let lock = Layout::of_user()?.lock();
    let holder = Holder::find(&lock)?;
    holder.ask_to_end()?;
    let gone = async {
        while hold::is_held(&lock)? {
            tokio::time::sleep(POLL).await;
        }
        Ok::<(), CliError>(())
    };
    let pid = holder.pid;
    match tokio::time::timeout(PATIENCE, gone).await {
        Ok(ended) => ended?,
        Err(_) => {
            let message = format!("process {pid} did not end within {} s; end it by its id", PATIENCE.as_secs());
            return Err(CliError::Other(message));
        }
    }
    if out.is_json() {
        return out.object(&json!({ "stopped": pid }));
    }
    out.line(format!("The private network is stopped (it was process {pid})."))
}

/// Between two looks at the lock.
const POLL: Duration = Duration::from_millis(50);
/// Longer than `up` needs even when it must end every child by force.
const PATIENCE: Duration = Duration::from_secs(70);
