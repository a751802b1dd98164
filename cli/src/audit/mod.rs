//! `cardinal audit`: reads an export log offline. No service, card or PIN is needed, and none is asked, but by the verbs of
//! `proof`.

mod anchor;
pub(crate) mod args;
mod closure;
mod drill;
mod file;
mod heads;
mod judgement;
mod proof;
mod prove;
mod push;
mod report;
mod row;
mod select;
mod show;
mod trust;
mod verify;

use crate::error::CliError;
use crate::output::Output;

use self::args::AuditVerb;

pub(crate) use self::file::LogFiles;
pub(crate) use self::verify::verified;

/// Does what the verb says.
///
/// # Errors
/// What was found wrong: a fault for each verdict, and for each kind of input that is none.
pub(crate) async fn run(out: Output, verb: AuditVerb) -> Result<(), CliError> {
    match verb {
        AuditVerb::Show(args) => show::run(out, &args),
        AuditVerb::Verify(args) => verify::run(out, &args).await,
        AuditVerb::Closure(args) => closure::run(out, &args),
        AuditVerb::Report(args) => report::run(out, &args),
        AuditVerb::Drill(args) => drill::run(out, args).await,
        AuditVerb::Anchor(args) => anchor::run(out, &args),
        AuditVerb::Prove(args) => prove::run(out, &args),
        AuditVerb::Sign(args) => proof::sign(out, &args).await,
        AuditVerb::Adopt(args) => proof::adopt(out, &args).await,
        AuditVerb::Push(args) => push::run(out, args).await,
    }
}
