//! `waku-behaviour*.jsonl`, `waku-walk*.jsonl`: a node among scripted peers, step by step.
//!
//! A host, with the filters of those who listen behind it, takes the place of the peer's node. Each step happens to both; what
//! comes out until the next one is compared: packets, ended connections, messages of filters, calls of the mail server,
//! and the pool. The node's own bookkeeping is compared where it is more than that.

mod compare;
mod node;
mod script;
mod settings;

use std::collections::BTreeSet;

use self::compare::compare;
use self::node::{Manner, Node};
use super::Outcome;
use super::case::{Case, same};

/// A rule of `differs` that a case has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    AnnouncedLimits,
    LightNode,
    DirectWork,
    LossyFilter,
    SubscribingWhileFull,
    UnknownKey,
    Unsubscribing,
}

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    if case.text("kind")? != "script" {
        return Ok(Outcome::Skipped);
    }
    let rules = match run(case, Manner::Ours) {
        Ok(rules) => rules,
        // What either side wants decides about all that follows: the case goes again with what is foretold of that.
        Err(what) => run(case, Manner::Peers).map_err(|_| what)?,
    };
    Ok(if rules.is_empty() { Outcome::Same } else { Outcome::Listed })
}

/// Goes through the steps; returns the rules by which ours differs from the peer.
fn run(case: Case<'_>, manner: Manner) -> Result<BTreeSet<Rule>, String> {
    let mut node = Node::new(case, manner)?;
    let mut rules = BTreeSet::new();
    for (number, step) in case.list("steps")?.enumerate() {
        let at = |what: String| format!("step {number}: {what}");
        let seen = node.step(step).map_err(at)?;
        if let Some(result) = step.find("result") {
            same("result", seen.accepted, result.is_accepted()?).map_err(at)?;
        }
        rules.extend(compare(&mut node, &seen, step).map_err(at)?);
    }
    rules.extend(node.rules());
    Ok(rules)
}
