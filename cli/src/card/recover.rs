//! `cardinal card recover`: what is wrong with a card's PIN, PUK or pairing, and the way out, step by step. It only looks.

use proto::rpc::api::CardDescription;
use serde_json::json;

use crate::card::args::TargetArgs;
use crate::card::info::describe;
use crate::card::manager::Manager;
use crate::error::CliError;
use crate::output::{Output, shown};

/// `card recover`
pub(crate) async fn recover(out: Output, args: &TargetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(args).await?;
    let card = describe(&mut manager).await?;
    let (state, steps) = way_out(&card);
    if out.is_json() {
        return out.report(vec![("card", json!(card.card)), ("state", json!(state)), ("steps", json!(steps))]);
    }
    out.line(format!("{}: {state}", shown(&card.card)))?;
    for (n, step) in steps.iter().enumerate() {
        out.line(format!("  {}. {step}", n + 1))?;
    }
    Ok(())
}

/// Returns what is wrong, and what helps.
fn way_out(card: &CardDescription) -> (String, Vec<&'static str>) {
    let anew = if resets(&card.applet) { [RESET, INIT, LOAD] } else { [REPLACE, INIT, LOAD] };
    // The way that is always there comes last, as another one where there is one before it.
    let else_anew = |steps: &[&'static str]| [steps, &anew].concat();
    if !card.initialised {
        return ("blank: it has no PIN yet".to_owned(), vec![INIT, LOAD]);
    }
    if card.pairs && card.pairing.is_empty() {
        let free = card.free_slots();
        let state = format!("this computer has no pairing with it, {free} slot(s) are free");
        return (state, else_anew(&[RESTORE, if free > 0 { PAIR } else { FREE }, ELSE]));
    }
    if !card.tries_known {
        return (format!("its PIN and PUK cannot be asked for: {}", shown(&card.trouble)), vec![LOOK]);
    }
    match (card.pin_tries, card.puk_tries) {
        (0, 0) => ("PIN and PUK are blocked".to_owned(), anew.to_vec()),
        (0, 1) => ("the PIN is blocked and the PUK has one try left".to_owned(), else_anew(&[LAST_PUK, ELSE])),
        (0, tries) => (format!("the PIN is blocked, the PUK has {tries} tries"), else_anew(&[UNBLOCK, ELSE])),
        (1, _) => ("the PIN has one try left".to_owned(), vec![LAST_PIN, BLOCK]),
        (tries, _) => (format!("nothing is blocked, the PIN has {tries} tries"), vec![]),
    }
}

const INIT: &str = "`cardinal card init` gives it PIN and PUK";
const LOAD: &str = "`cardinal card key load --words` loads the key from its words, `key generate` makes a new one";
const RESTORE: &str = "if this computer was paired, pairings.json of its key manager was lost: put it back from a backup, or \
                       `cardinal card pairings import` takes it from another program";
const PAIR: &str = "`cardinal card pair --password` pairs again with the card's pairing password";
const FREE: &str = "on a computer that is still paired, `cardinal card unpair --others` frees slots";
const LOOK: &str = "`cardinal doctor` looks at the reader, `cardinal card info` at the card";
const UNBLOCK: &str = "`cardinal card pin unblock` sets a new PIN with the PUK; each wrong PUK costs one of its tries";
const LAST_PUK: &str =
    "`cardinal card pin unblock --last-try` spends the last try of the PUK: be sure that it is right";
const LAST_PIN: &str = "`cardinal unlock --last-try` spends the last try of the PIN, if you are sure of it";
const BLOCK: &str = "if you are not, `cardinal card pin unblock` sets a new one with the PUK once the PIN is blocked";
const ELSE: &str = "if nothing of that helps, only erasing the card does, its key included:";
const RESET: &str = "`cardinal card reset` erases the card: only with the words of its mnemonic does its key come back";
const REPLACE: &str = "`cardinal card install --erase-owned ID` puts the applet on it anew, for this one cannot be reset: only with \
                       the words of its mnemonic does its key come back";

/// Whether an applet knows FACTORY RESET: those before 3.1 do not.
fn resets(applet: &str) -> bool {
    !(applet.starts_with("2.") || applet.starts_with("3.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_has_its_way_out() {
        let card = CardDescription { initialised: true, tries_known: true, puk_tries: 5, ..CardDescription::default() };
        let told = |card: &CardDescription| {
            let (state, steps) = way_out(card);
            format!("{state}: {}", steps.join("; "))
        };
        for (pin_tries, puk_tries, want) in [
            (0, 5, "pin unblock`"),
            (0, 1, "--last-try"),
            (0, 0, "card reset"),
            (1, 5, "unlock --last-try"),
            (3, 5, "nothing"),
        ] {
            let told = told(&CardDescription { pin_tries, puk_tries, ..card.clone() });
            assert!(told.contains(want), "{told}");
        }
        let lost = CardDescription { pairs: true, ..card.clone() };
        assert!(told(&lost).contains("pairings.json") && told(&lost).contains("unpair --others"));
        assert!(told(&CardDescription { free_slots: Some(2), ..lost }).contains("card pair"));
        assert!(told(&CardDescription::default()).contains("card init"));
        let old = CardDescription { applet: "2.2".to_owned(), pin_tries: 0, puk_tries: 0, ..card };
        assert!(told(&old).contains("card install") && !told(&old).contains("card reset"), "{}", told(&old));
    }
}
