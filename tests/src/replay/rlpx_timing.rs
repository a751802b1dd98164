//! `rlpx-timing*.jsonl`: how long the peer kept a connection that says little.
//!
//! Our session is given the same in virtual time: it must end at the same second, or stay, and say as much until then.
//! What is said is told by the name of the case alone.

use std::time::Duration;

use wire::p2p::{Capability, Message as BaseMessage};

use super::Outcome;
use super::case::{Case, check, same, same_bytes};
use super::opposite::{Opposite, decompressed};

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    let mut opposite = Opposite::connect(vec![Capability { name: "test", version: 1, length: 16 }])?;
    let mut manner = Manner::default();
    match case.text("id")? {
        "time-silent" => {}
        "time-part-auth" => opposite.begin_to_shake_hands(100)?,
        "time-no-hello" => opposite.shake_hands()?,
        id @ ("time-joined-silent" | "time-half-header" | "time-joined-pongs-only" | "time-joined-pings") => {
            opposite.shake_hands()?;
            opposite.join()?;
            // The hellos are not part of what was noted down.
            opposite.heard.clear();
            match id {
                "time-half-header" => opposite.write(&[0; 10])?,
                "time-joined-pongs-only" => manner.answers_pings = true,
                "time-joined-pings" => manner.ping_interval = Some(Duration::from_secs(10)),
                _ => {}
            }
        }
        _ => return Ok(Outcome::Skipped),
    }
    let expect = case.at("expect")?;
    same("verdict", true, expect.is_accepted()?)?;
    let end = Duration::from_millis(expect.number("observed_for_ms")?);
    manner.live(&mut opposite, end)?;
    match (&opposite.down, expect.find("closed_after_ms")) {
        (None, None) => check(expect.says("still_open"), "ours is still open")?,
        (Some((reason, at)), None) => return Err(format!("ours ended after {at:?}: {reason}")),
        (None, Some(_)) => return Err("ours is still open".to_owned()),
        (Some((reason, at)), Some(_)) => {
            check(!expect.says("still_open"), "the peer's is closed and still open")?;
            let theirs = Duration::from_millis(expect.number("closed_after_ms")?);
            check(
                at.abs_diff(theirs) <= TOLERANCE,
                &format!("ours ended after {at:?} ({reason}), the peer's after {theirs:?}"),
            )?;
        }
    }
    if expect.find("received").is_some() {
        compare_received(&opposite, expect)?;
    }
    Ok(Outcome::Same)
}

/// What the other side does in its time.
#[derive(Default)]
struct Manner {
    answers_pings: bool,
    ping_interval: Option<Duration>,
}

impl Manner {
    fn live(&self, opposite: &mut Opposite, end: Duration) -> Result<(), String> {
        let (mut heard, mut now, mut ping_at) = (0, Duration::ZERO, self.ping_interval);
        while now < end && opposite.down.is_none() {
            now = opposite.pass(ping_at.unwrap_or(end).min(end))?;
            let pings = opposite.heard.iter().skip(heard).filter(|message| message.code == BaseMessage::PING).count();
            heard = opposite.heard.len();
            for _ in 0..if self.answers_pings { pings } else { 0 } {
                opposite.send(BaseMessage::PONG, &BaseMessage::NOTHING)?;
            }
            if ping_at == Some(now) {
                opposite.send(BaseMessage::PING, &BaseMessage::NOTHING)?;
                ping_at = self.ping_interval.map(|interval| now + interval);
            }
        }
        Ok(())
    }
}

fn compare_received(opposite: &Opposite, expect: Case<'_>) -> Result<(), String> {
    let theirs: Vec<_> = expect.list("received")?.collect();
    same("messages received", opposite.heard.len(), theirs.len())?;
    for (ours, theirs) in opposite.heard.iter().zip(theirs) {
        same("code", ours.code, theirs.number("code")?)?;
        // A hello tells who one is, and that is another node here.
        if ours.code != BaseMessage::HELLO {
            same_bytes("payload", &decompressed(&ours.payload)?, &theirs.bytes("payload")?)?;
        }
    }
    Ok(())
}

/// The recording was made by a wall clock.
const TOLERANCE: Duration = Duration::from_secs(1);
