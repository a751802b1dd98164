//! The order of the story.

use std::path::Path;

use proto::rpc::api::LockRequest;

use crate::client::{Keymgr, Node, answer};
use crate::error::CliError;
use crate::network::{KeySource, LOOPBACK, Network, Started};
use crate::paths::{Profile, ProfileName};
use crate::process::Crew;

use super::cards;
use super::evidence;
use super::hold;
use super::scribe::Scribe;
use super::talk::{self, Talker};

/// Somebody in the story.
pub(crate) struct Person {
    /// With a capital.
    pub(crate) name: &'static str,
    /// Their folder and sockets.
    pub(crate) profile: Profile,
    /// Their key manager.
    pub(crate) manager: Started<Keymgr>,
    /// The fingerprint of their chat key, as the key manager told it when the card was provisioned.
    pub(crate) chat_fingerprint: String,
}

/// Tells it from the first card to the altered log.
///
/// # Errors
/// The step that failed.
pub(crate) async fn tell(scribe: &mut Scribe, network: &Network, crew: &mut Crew) -> Result<(), CliError> {
    scribe.headline("Cardinal: a card-backed public chat on a private network")?;

    let layout = network.layout();
    scribe.step("Two blank cards")?;
    scribe.say(format!("Everything happens in {}, which only this user may enter.", base(layout.lock().as_path())))?;
    let mut profiles = Vec::new();
    for name in ["alice", "bob"] {
        let profile = layout.profile(ProfileName::try_from(name)?);
        let card = network.create(&profile).await?;
        scribe.say(format!(
            "{}: a software card (applet 4.0), identity key {}, named in a manifest.",
            capital(name),
            card.identity
        ))?;
        profiles.push(profile);
    }
    scribe
        .refused("A software card is no secure element, and the test CA that signed its certificate proves nothing:")?;
    scribe.refused("the key managers take it only because they are started with --allow-test-ca.")?;

    scribe.step("Two key managers, and a key for each card")?;
    let [alice, bob] = profiles.as_slice() else {
        return Err(CliError::Other("the demo has two people".to_owned()));
    };
    let mut alice = cards::enrol(scribe, network, crew, "Alice", alice, KeySource::FreshWords(12)).await?;
    let mut bob = cards::enrol(scribe, network, crew, "Bob", bob, KeySource::Generated).await?;

    scribe.step("A relay and two nodes; each node asks its key manager for its two keys")?;
    let (relay, enode) = network.start_relay(crew).await?;
    scribe.say(format!("The relay is process {} and listens at {}.", relay.pid, short(&enode)))?;
    let alice_node = start_node(scribe, network, crew, &mut alice, &enode).await?;
    let bob_node = start_node(scribe, network, crew, &mut bob, &enode).await?;

    scribe.step("What must not leave a card is refused")?;
    cards::refusals(scribe, &mut alice).await?;

    scribe.step("Alice and Bob talk in #demo over TCP, RLPx and Waku v1, through the relay")?;
    let mut alice_talks = Talker::join(&alice, alice_node.client).await?;
    let mut bob_talks = Talker::join(&bob, bob_node.client).await?;
    talk::converse(scribe, &mut alice_talks, &mut bob_talks).await?;

    scribe.step("The cards are locked, and everything stops")?;
    for person in [&mut alice, &mut bob] {
        answer(person.manager.client.lock(LockRequest::default())).await?;
        let status = crate::network::keymgr_status(&mut person.manager.client).await?;
        hold(!status.unlocked, format!("{}'s card is still unlocked", person.name))?;
        scribe.say(format!("{}'s card was reset; its PIN is forgotten.", person.name))?;
    }
    drop((alice_talks, bob_talks));
    crew.stop().await;
    scribe.say("Two nodes, the relay and two key managers have ended.")?;

    scribe.step("The export logs are verified offline, by the command line alone")?;
    evidence::verify(scribe, &alice)?;
    evidence::verify(scribe, &bob)?;

    scribe.step("One bit of a copy of Alice's log is flipped")?;
    evidence::tamper(scribe, &alice)
}

async fn start_node(
    scribe: &Scribe,
    network: &Network,
    crew: &mut Crew,
    person: &mut Person,
    relay: &str,
) -> Result<Started<Node>, CliError> {
    let mut node = network.start_node(crew, &person.profile, &["--listen", LOOPBACK, "--peer", relay]).await?;
    let status = crate::network::node_status(&mut node.client).await?;
    hold(
        status.chat_fingerprint == person.chat_fingerprint,
        format!("{}'s node has the chat key {}, not the card's", person.name, status.chat_fingerprint),
    )?;
    scribe.say(format!("{}'s node is process {}. Its export log says what left the card:", person.name, node.pid))?;
    evidence::exports(scribe, person)?;
    Ok(node)
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

/// The temporary folder, from a file two levels below it.
fn base(file: &Path) -> String {
    file.ancestors().nth(2).unwrap_or(file).display().to_string()
}

/// `enode://ab12cd34…@127.0.0.1:1234`.
fn short(enode: &str) -> String {
    match enode.split_once('@') {
        Some((id, address)) => format!("{}…@{address}", id.chars().take(16).collect::<String>()),
        None => enode.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{base, capital, short};

    #[test]
    fn names_and_addresses_are_shown_short() {
        assert_eq!(capital("alice"), "Alice");
        assert_eq!(short("enode://00112233445566@127.0.0.1:30303"), "enode://00112233…@127.0.0.1:30303");
        assert_eq!(base("/tmp/x/data/up.lock".as_ref()), "/tmp/x");
    }
}
