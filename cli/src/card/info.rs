//! `cardinal card info|slots|verify-identity|label|duress`: what a card says, and what is remembered of it.

use proto::rpc::Fault;
use proto::rpc::api::{CardDescription, DescribeRequest, DuressRequest, KnownCard, LabelRequest};
use serde_json::{Value, json};

use crate::card::args::{DuressArgs, LabelArgs, TargetArgs};
use crate::card::manager::Manager;
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;

/// Asks for the description of a card.
///
/// # Errors
/// What the manager answered.
pub(crate) async fn describe(manager: &mut Manager) -> Result<CardDescription, CliError> {
    let target = manager.target();
    answer(manager.cards.describe(DescribeRequest { target })).await
}

/// `card info`
pub(crate) async fn info(out: Output, args: &TargetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(args).await?;
    let card = describe(&mut manager).await?;
    let tries = |tries: u32| if card.tries_known { json!(tries) } else { Value::Null };
    out.report(vec![
        ("profile", json!(manager.profile())),
        ("reader", json!(card.reader)),
        ("card", json!(card.card)),
        ("label", json!(card.label)),
        ("fingerprint", json!(card.fingerprint)),
        ("vouched_by", json!(card.vouched_by)),
        ("authority", json!(card.authority)),
        ("applet", json!(card.applet)),
        ("generation", json!(card.generation)),
        ("capabilities", json!(card.capabilities)),
        ("initialised", json!(card.initialised)),
        ("has_key", json!(card.has_key)),
        ("key_uid", json!(card.key_uid)),
        ("pin_tries", tries(card.pin_tries)),
        ("puk_tries", tries(card.puk_tries)),
        ("pairing", json!(card.pairing)),
        ("free_slots", json!(card.free_slots)),
        ("duress", json!(card.duress)),
        ("trouble", json!(card.trouble)),
    ])
}

/// `card slots`
pub(crate) async fn slots(out: Output, args: &TargetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(args).await?;
    let card = describe(&mut manager).await?;
    if !card.pairs {
        let message = "a card of applet 4.0 has no pairing slots: nothing has to be paired with it";
        return Err(CliError::found(Fault::Unsupported, message));
    }
    out.report(vec![
        ("card", json!(card.card)),
        ("free_slots", json!(card.free_slots)),
        ("ours", json!(card.pairing)),
        ("trouble", json!(card.trouble)),
    ])
}

/// `card verify-identity`
pub(crate) async fn verify_identity(out: Output, args: &TargetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(args).await?;
    let target = manager.target();
    let identity = answer(manager.cards.verify_identity(DescribeRequest { target })).await?;
    let proves = if identity.in_channel {
        "the channel ends in this card"
    } else {
        "a card with this certificate is reachable, not that the channel ends in it"
    };
    out.report(vec![
        ("card", json!(identity.card)),
        ("identity", json!(identity.identity)),
        ("fingerprint", json!(identity.fingerprint)),
        ("authority", json!(identity.authority)),
        ("test_card", json!(identity.test_card)),
        ("proves", json!(proves)),
    ])
}

/// `card label`
pub(crate) async fn label(out: Output, args: &LabelArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let known = manager
        .contact(&args.contact, async |manager: &mut Manager, access| {
            let request = LabelRequest {
                target: access.target,
                label: args.name.clone(),
                forget: args.forget,
                confirm: access.confirm,
            };
            answer(manager.cards.label(request)).await
        })
        .await?;
    report(out, known)
}

/// `card duress`
pub(crate) async fn duress(out: Output, args: &DuressArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let known = manager
        .contact(&args.contact, async |manager: &mut Manager, access| {
            let mode = args.mode.clone().unwrap_or_default();
            let request = DuressRequest { target: access.target, mode, confirm: access.confirm };
            answer(manager.cards.duress(request)).await
        })
        .await?;
    report(out, known)
}

fn report(out: Output, known: KnownCard) -> Result<(), CliError> {
    out.report(vec![
        ("card", json!(known.card)),
        ("label", json!(known.label)),
        ("duress", json!(known.duress)),
        ("generation", json!(known.generation)),
        ("key_uid", json!(known.key_uid)),
        ("fingerprint", json!(known.fingerprint)),
    ])
}
