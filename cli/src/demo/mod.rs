//! `cardinal demo`: the whole story once, in a temporary folder, with nothing left behind.
//!
//! Every sentence of the transcript that claims something was checked before it was written; a claim that does not hold ends
//! the demo with an error.

mod cards;
mod evidence;
mod scribe;
mod story;
mod talk;

use std::time::Instant;

use crate::error::CliError;
use crate::folder::Folder;
use crate::network::Network;
use crate::output::Output;
use crate::paths::Layout;
use crate::process::Crew;
use crate::signals::Signals;

use scribe::Scribe;

/// Tells the story. However it ends, the children are stopped and the folder is removed.
///
/// # Errors
/// The step that failed, or the signal that came.
pub(crate) async fn run(out: Output) -> Result<(), CliError> {
    let began = Instant::now();
    let mut signals = Signals::listen()?;
    signals.follow_parent();
    let folder = Folder::make()?;
    let network = Network::new(Layout::new(folder.path().join("data"), folder.path().join("run"))?)?;
    let mut crew = Crew::new(false);
    let mut scribe = Scribe::new(out);
    let told = tokio::select! {
        told = story::tell(&mut scribe, &network, &mut crew) => told,
        signal = signals.received() => Err(signal),
    };
    crew.stop().await;
    let removed = folder.remove();
    told?;
    removed?;
    scribe.say("The temporary folder is removed; nothing is left running.")?;
    scribe.headline(&format!("\nDone in {:.1} s.", began.elapsed().as_secs_f64()))
}

/// Returns `Ok` when a claim holds, and otherwise an error that says which does not.
fn hold(claim: bool, otherwise: impl Into<String>) -> Result<(), CliError> {
    if claim { Ok(()) } else { Err(CliError::Other(otherwise.into())) }
}
