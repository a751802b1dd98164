//! `cardinal audit anchor`: the newest head of a log as one line, to be kept where nobody who owns this computer can change it.

use audit::evidence::Authorities;
use audit::verify::{Anchor, Auditor, Kept};
use proto::rpc::Fault;
use serde_json::json;

use super::args::LogArgs;
use super::file::LogFiles;
use super::judgement;
use crate::error::CliError;
use crate::output::Output;

/// Prints the head of a log whose lines fit together.
///
/// # Errors
/// The fault of the verdict where they do not; [`Fault::StateMissing`], [`Fault::BadInput`].
pub(super) fn run(out: Output, args: &LogArgs) -> Result<(), CliError> {
    let files = LogFiles::of(args)?;
    let beside = files.remembered()?.map(|head| Anchor { head, kept: Kept::Beside });
    let report = files.audited(Auditor::new(Authorities::default()).with_anchors(beside))?;
    let Some(head) = report.head.filter(|_| report.is_consistent()) else {
        let fault = judgement::fault(report.verdict()).unwrap_or(Fault::LogBad);
        return Err(CliError::found(fault, format!("{}: {report}", files.newest().display())));
    };
    if out.is_json() {
        return out.object(&json!({ "head": head.to_string(), "log": head.log.to_string(), "entries": head.entries }));
    }
    out.line(head.to_string())
}
