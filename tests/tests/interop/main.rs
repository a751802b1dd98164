//! Scenarios with real peers: `make interop` sets the peers up and runs this.
//!
//! Each group has its files and a list `SCENARIOS`. Arguments choose: a group, or any part of `group::name`; without any,
//! every group runs but `live`, whose peers somebody has to have at hand. Nothing may be missing when `CI` is set.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is a test from end to end: what goes wrong here fails it"
)]

mod card;
mod discovery;
mod geth;
mod live;
mod ratchet;
mod report;
mod rlpx;
mod system;
mod waku;

use std::process::ExitCode;

use scenarios::peer::scenario::Plan;
use scenarios::peer::{Place, Scenario, place};

/// Every group.
#[rustfmt::skip]
const GROUPS: &[&[Scenario]] = &[
    rlpx::session::SCENARIOS,
    rlpx::node::SCENARIOS,
    rlpx::hostile::SCENARIOS,
    rlpx::ethereumjs::SCENARIOS,
    waku::relaying::SCENARIOS,
    waku::modes::SCENARIOS,
    waku::updates::SCENARIOS,
    waku::confirmations::SCENARIOS,
    waku::limits::SCENARIOS,
    waku::hostile::SCENARIOS,
    waku::chat::SCENARIOS,
    discovery::SCENARIOS,
    card::reader::SCENARIOS,
    card::doctor::SCENARIOS,
    card::manager::SCENARIOS,
    ratchet::SCENARIOS,
    card::flow::SCENARIOS,
    card::pypi::SCENARIOS,
    card::scwallet::SCENARIOS,
    card::install::SCENARIOS,
    card::together::SCENARIOS,
    system::SCENARIOS,
    report::SCENARIOS,
    live::SCENARIOS,
];

/// The group that runs only when it is asked for.
const BY_HAND: &str = "live";

/// Most scenarios wait most of the time.
const AT_A_TIME: usize = 4;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<Scenario> =
        GROUPS.iter().copied().flatten().filter(|scenario| is_wanted(scenario, &wanted)).copied().collect();
    if chosen.is_empty() {
        eprintln!("no scenario is called {}", wanted.join(" or "));
        return ExitCode::from(2);
    }
    let plan = Plan { place: Place::here(), strict: place::is_ci(), at_a_time: AT_A_TIME };
    if plan.run(&chosen, std::io::stdout()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_wanted(scenario: &Scenario, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        return scenario.group != BY_HAND;
    }
    let name = format!("{}::{}", scenario.group, scenario.name);
    wanted.iter().any(|wanted| {
        let by_hand = scenario.group == BY_HAND && !wanted.starts_with(BY_HAND);
        wanted == scenario.group || (!by_hand && name.contains(wanted.as_str()))
    })
}
