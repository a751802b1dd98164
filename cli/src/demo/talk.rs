//! The conversation, and how long each message takes from one person to the other.

use std::time::{Duration, Instant};

use proto::rpc::api::{ChatEvent, ChatLine, JoinRequest, PostRequest, chat_event};
use tonic::Streaming;

use crate::client::{Node, answer};
use crate::error::CliError;

use super::hold;
use super::scribe::Scribe;
use super::story::Person;

/// Somebody who has joined the chat.
pub(crate) struct Talker {
    name: &'static str,
    fingerprint: String,
    node: Node,
    events: Streaming<ChatEvent>,
}

impl Talker {
    /// Joins the chat and waits until what arrives is live.
    ///
    /// # Errors
    /// What the node says.
    pub(crate) async fn join(person: &Person, mut node: Node) -> Result<Self, CliError> {
        let request = JoinRequest { chat: CHAT.to_owned(), history: 0 };
        let events = answer(node.join(request)).await?;
        let mut talker = Self { name: person.name, fingerprint: person.chat_fingerprint.clone(), node, events };
        while !matches!(talker.event().await?, chat_event::Event::Live(_)) {}
        Ok(talker)
    }

    async fn event(&mut self) -> Result<chat_event::Event, CliError> {
        let late = || CliError::Other(format!("{}'s node showed nothing for {} s", self.name, PATIENCE.as_secs()));
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.message()).await.map_err(|_| late())??;
            match next {
                Some(ChatEvent { event: Some(event) }) => return Ok(event),
                Some(ChatEvent { event: None }) => {}
                None => return Err(CliError::Other(format!("{}'s node stopped", self.name))),
            }
        }
    }

    /// Waits for the next message of somebody else.
    async fn heard(&mut self) -> Result<ChatLine, CliError> {
        loop {
            if let chat_event::Event::Message(line) = self.event().await?
                && !line.own
            {
                return Ok(line);
            }
        }
    }
}

/// Lets them talk, checks that each message arrives as it was sent and from whom, and writes how long it took.
///
/// # Errors
/// When a message does not arrive, or arrives changed.
pub(crate) async fn converse(scribe: &Scribe, alice: &mut Talker, bob: &mut Talker) -> Result<(), CliError> {
    let mut times = Vec::new();
    for (number, text) in LINES.iter().enumerate() {
        let took = if number % 2 == 0 { say(alice, bob, text).await? } else { say(bob, alice, text).await? };
        let (from, fingerprint) =
            if number % 2 == 0 { (alice.name, &alice.fingerprint) } else { (bob.name, &bob.fingerprint) };
        scribe.say(format!("{from:5} {fingerprint}  {:>4} ms  {text}", took.as_millis()))?;
        times.push(took);
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    scribe.good(format!(
        "{} messages, each acknowledged by a peer and checked against its author's key: median {} ms, slowest {} ms.",
        times.len(),
        median.as_millis(),
        slowest.as_millis()
    ))
}

/// Posts at one node and waits for it at the other. Returns how long that took.
async fn say(from: &mut Talker, to: &mut Talker, text: &str) -> Result<Duration, CliError> {
    let mut node = from.node.clone();
    let request = PostRequest {
        chat: CHAT.to_owned(),
        text: text.to_owned(),
        timeout_ms: ACKNOWLEDGED_MS,
        ..PostRequest::default()
    };
    let began = Instant::now();
    let heard = async {
        let line = to.heard().await?;
        Ok::<_, CliError>((line, began.elapsed()))
    };
    let ((line, took), posted) = tokio::try_join!(heard, answer(node.post(request)))?;
    hold(line.text == text, format!("{} heard something else than {} said", to.name, from.name))?;
    hold(line.fingerprint == from.fingerprint, format!("{}'s message came with another key", from.name))?;
    hold(line.id == posted.id, format!("{}'s message came with another id", from.name))?;
    Ok(took)
}

/// The public chat, without its `#`.
const CHAT: &str = "demo";
/// What they say, in turns.
const LINES: [&str; 6] = [
    "Hello Bob. My identity key comes from a card.",
    "Hello Alice. So does mine; I have never seen my seed.",
    "Who can prove what left our cards?",
    "Our export logs: two private keys each, and every refusal.",
    "And my wallet?",
    "Stayed on the card. Bye!",
];
/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a peer has to acknowledge it.
const ACKNOWLEDGED_MS: u64 = 10_000;
