//! The part of the story that happens between the key managers and the cards.

use proto::rpc::Fault;
use proto::rpc::api::{ExportPrivateRequest, ExportPublicRequest};
use proto::shell::dice;
use proto::{Pin, Puk};

use crate::client::{self, answer};
use crate::error::CliError;
use crate::network::{self, KeySource, Network};
use crate::paths::Profile;
use crate::process::Crew;

use super::hold;
use super::scribe::Scribe;
use super::story::Person;

/// Starts a key manager, initialises the card, gives it a key, and unlocks it.
///
/// # Errors
/// The step that failed.
pub(crate) async fn enrol(
    scribe: &Scribe,
    network: &Network,
    crew: &mut Crew,
    name: &'static str,
    profile: &Profile,
    source: KeySource,
) -> Result<Person, CliError> {
    let mut manager = network.start_keymgr(crew, profile).await?;
    scribe.say(format!("{name}'s key manager is process {}; only this user may use its socket.", manager.pid))?;
    let blank = network::card(&mut manager.client).await?;
    hold(!blank.initialised && !blank.has_key, format!("{name}'s new card is not blank"))?;
    // They live as long as the demo and are shown to nobody.
    let (pin, puk) = (Pin::random(&mut dice()), Puk::random(&mut dice()));
    let (reply, words) = network::provision(&mut manager.client, &pin, &puk, source).await?;
    let how = match source {
        KeySource::FreshWords(asked) => {
            let asked = usize::try_from(asked).unwrap_or(usize::MAX);
            hold(words == asked, format!("{words} words came back instead of {asked}"))?;
            format!("a BIP-39 seed of {words} fresh words was loaded; the words came back sealed and were wiped unread")
        }
        KeySource::Generated => "the card generated its key itself; nobody has ever seen its seed".to_owned(),
    };
    scribe.say(format!("{name}'s card: PIN, PUK and a random duress PIN are set; {how}."))?;
    let unlocked = client::unlock(&mut manager.client, &pin, false, 0).await?;
    hold(unlocked.key_uid == reply.key_uid, format!("{name}'s card holds another key than it was given"))?;
    scribe.good(format!(
        "{name}'s account {} is enrolled, chat key {}; the PIN went over sealed.",
        reply.key_uid.get(..16).unwrap_or(&reply.key_uid),
        reply.chat_fingerprint
    ))?;
    Ok(Person { name, profile: profile.clone(), manager, chat_fingerprint: reply.chat_fingerprint })
}

/// Asks for three keys that must not leave the card, and is refused three times.
///
/// # Errors
/// When one of them is not refused.
pub(crate) async fn refusals(scribe: &Scribe, person: &mut Person) -> Result<(), CliError> {
    // The answers would be sealed to this key, and there must be none.
    let caller = proto::rpc::SealingKey::generate(&mut dice()).public().to_vec();
    let private = ExportPrivateRequest {
        path: WALLET.to_owned(),
        purpose: PURPOSE.to_owned(),
        caller: caller.clone(),
        ..ExportPrivateRequest::default()
    };
    let answered = answer(person.manager.client.export_private(private)).await.map(drop);
    refused(scribe, &format!("The private key {WALLET} (a wallet)"), answered)?;
    for path in [SUBTREE, MASTER] {
        let (path_text, purpose, caller) = (path.to_owned(), PURPOSE.to_owned(), caller.clone());
        let public =
            ExportPublicRequest { path: path_text, extended: true, purpose, caller, ..ExportPublicRequest::default() };
        let answered = answer(person.manager.client.export_public(public)).await.map(drop);
        refused(scribe, &format!("The extended public key {path}"), answered)?;
    }
    Ok(())
}

fn refused(scribe: &Scribe, what: &str, answered: Result<(), CliError>) -> Result<(), CliError> {
    match answered {
        Err(error) if error.fault() == Some(Fault::Refused) => {
            let why = error.to_string();
            scribe.refused(format!("{what}: refused; {}.", why.strip_prefix("refused: ").unwrap_or(&why)))
        }
        Err(other) => Err(CliError::Other(format!("{what} failed for another reason than a refusal: {other}"))),
        Ok(()) => Err(CliError::Other(format!("{what} was not refused"))),
    }
}

/// A key outside the exportable range of EIP-1581.
const WALLET: &str = "m/44'/60'/0'/0/0";
/// With one child's private key, its extended public key rebuilds every key below.
const SUBTREE: &str = "m/43'/60'/1581'";
/// The master key.
const MASTER: &str = "m";
/// The word under which the log keeps these attempts.
const PURPOSE: &str = "demo";
