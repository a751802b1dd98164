//! What cards themselves say of a log: `cardinal audit sign` and `adopt`, and the head that a card remembers. These verbs alone
//! ask a running key manager.

use audit::verify::{Anchor, Kept};
use proto::rpc::Fault;
use proto::rpc::api::{AdoptRequest, MirrorRequest, StateRequest};
use serde_json::json;

use crate::args::ProfileArg;
use crate::card::args::{AccessArgs, TargetArgs};
use crate::card::manager::Manager;
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;

/// Has a key of the card state how the log stands, which the card does only after its PIN.
///
/// # Errors
/// What the key manager answered.
pub(super) async fn sign(out: Output, args: &AccessArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let reply = manager
        .with_session(args, async |manager: &mut Manager, access| {
            answer(manager.proof.state(StateRequest { access: Some(access) })).await
        })
        .await?;
    out.report(vec![
        ("head", json!(reply.head)),
        ("random", json!(hex::encode(&reply.random))),
        ("signature", json!(hex::encode(&reply.signature))),
        ("public_key", json!(format!("0x{}", hex::encode(&reply.public_key)))),
        ("log_entry", json!(reply.log_entry)),
    ])
}

/// Goes on with a card that speaks of another log, on the word of its owner.
///
/// # Errors
/// What the key manager answered.
pub(super) async fn adopt(out: Output, args: &TargetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(args).await?;
    let target = manager.target();
    let reply = answer(manager.proof.adopt(AdoptRequest { target })).await?;
    out.report(vec![
        ("card", json!(reply.card)),
        ("in_spite_of", json!(reply.head)),
        ("log_entry", json!(reply.log_entry)),
    ])
}

/// Returns the head that the card of a profile remembers.
///
/// # Errors
/// [`Fault::NotRunning`]; [`Fault::BadInput`] when it remembers none.
pub(super) async fn remembered(profile: &ProfileArg) -> Result<Anchor, CliError> {
    let target = TargetArgs { profile: profile.profile.clone(), ..TargetArgs::default() };
    let mut manager = Manager::of(&target).await?;
    let found = answer(manager.proof.mirror(MirrorRequest { target: manager.target() })).await?;
    let none = |what: &str| {
        CliError::found(Fault::BadInput, format!("the memory of {} {what}; verify without --card", found.card))
    };
    if found.foreign {
        return Err(none("is used by another program"));
    }
    let head = found.head.parse().map_err(|_| none("holds no head of a log"))?;
    Ok(Anchor { head, kept: Kept::OnTheCard })
}
