//! What is wrong, decided from facts alone, and what mends it.
//!
//! The invariant: causes come in the order in which they have to be mended, and each names a command or an act.

use proto::rpc::Fault;

use super::facts::{Facts, ManagerFact, ReaderFact, SocketFact};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The cause, which names the exit code.
    pub(crate) cause: Fault,
    /// What it is.
    pub(crate) what: String,
    /// What mends it: commands, one of which is enough, or what a person has to do.
    pub(crate) mend: Vec<String>,
}

/// Returns whether a Keycard answers in a reader and can be worked with.
fn is_usable(reader: &ReaderFact) -> bool {
    reader.card.is_some() && !is_blocked(reader)
}

/// Returns whether there is a card to work with. Whoever uses a software card can do without readers.
pub(crate) fn has_usable(facts: &Facts) -> bool {
    facts.view.readers.iter().any(is_usable) || facts.managers.iter().any(ManagerFact::has_soft_card)
}

/// Returns what is wrong, beginning with what keeps everything else from working.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    if !facts.view.fault.is_empty() {
        return vec![no_list(facts)];
    }
    if facts.view.readers.is_empty() {
        return vec![no_reader(facts)];
    }
    let mut found: Vec<Finding> = facts.view.readers.iter().filter_map(|reader| in_reader(reader, facts)).collect();
    // A card that is wrong says more than a reader that is empty, and an empty one is no trouble beside one with a card.
    let with_card = facts.view.readers.iter().any(|reader| reader.state != "empty");
    if with_card {
        found.retain(|finding| finding.cause != Fault::NoCard || finding.what != EMPTY);
    } else {
        found.truncate(1);
    }
    found
}

fn finding(cause: Fault, what: impl Into<String>, mend: &[&str]) -> Finding {
    Finding { cause, what: what.into(), mend: mend.iter().map(ToString::to_string).collect() }
}

/// There is no list of readers.
fn no_list(facts: &Facts) -> Finding {
    let service = &facts.service;
    if facts.view.fault == Fault::NoPcscd.name() && service.socket == SocketFact::Alive {
        let what = "libpcsclite, through which programs reach pcscd, is not installed";
        return finding(Fault::NoPcscd, what, &["sudo apt install libpcsclite1"]);
    }
    if facts.view.fault == Fault::ReaderDenied.name() {
        let what = format!("pcscd does not let {} use card readers: polkit says no", facts.user);
        return Finding { cause: Fault::ReaderDenied, what, mend: polkit(&facts.user) };
    }
    if facts.view.fault == Fault::ReaderFailed.name() {
        let mend: &[&str] =
            if service.unit { &["sudo systemctl restart pcscd"] } else { &["end pcscd and start it again"] };
        return finding(Fault::ReaderFailed, format!("pcscd does not answer: {}", facts.view.trouble), mend);
    }
    match service.socket {
        SocketFact::Denied => {
            let what = format!("{} may not open {}, pcscd's socket", facts.user, service.path);
            finding(
                Fault::ReaderDenied,
                what,
                &[
                    "cardinal --keymgr /run/cardinal/keymgr.sock card info   # if the system's key manager has the readers",
                    &format!("sudo chmod 666 {}", service.path),
                    "sudo systemctl restart pcscd.socket",
                ],
            )
        }
        SocketFact::Absent | SocketFact::Dead if !service.installed => {
            let what = "pcscd, which speaks to card readers, is not installed";
            finding(
                Fault::NoPcscd,
                what,
                &["sudo apt install pcscd libccid", "sudo dnf install pcsc-lite pcsc-lite-ccid"],
            )
        }
        SocketFact::Absent | SocketFact::Dead if service.unit => {
            finding(Fault::PcscdStopped, "pcscd does not run", &["sudo systemctl enable --now pcscd.socket"])
        }
        SocketFact::Absent | SocketFact::Dead => finding(Fault::PcscdStopped, "pcscd does not run", &["sudo pcscd"]),
        SocketFact::Alive => {
            let what = format!("pcscd listens at {} and does not answer: {}", service.path, facts.view.trouble);
            finding(Fault::PcscdStopped, what, &["sudo systemctl restart pcscd"])
        }
    }
}

/// The rule that lets a user in, in one command.
fn polkit(user: &str) -> Vec<String> {
    let rule = format!(
        "polkit.addRule(function(action, subject) {{ if (action.id.indexOf(\"org.debian.pcsc-lite.\") == 0 && \
         subject.user == \"{user}\") return polkit.Result.YES; }});"
    );
    vec![format!("echo '{rule}' | sudo tee /etc/polkit-1/rules.d/50-cardinal.rules")]
}

/// pcscd has no reader.
fn no_reader(facts: &Facts) -> Finding {
    let closed = facts.usb.iter().find(|reader| reader.driver && reader.open == Some(false));
    if let Some(reader) = facts.usb.iter().find(|reader| !reader.driver) {
        let what = format!("there is no driver for {} ({})", reader.name, reader.id);
        return finding(Fault::NoDriver, what, &[&format!("sudo apt install {}", reader.package)]);
    }
    if let Some(reader) = closed {
        let what = format!("pcscd may not open {} ({}): the rules of udev give it no right", reader.name, reader.id);
        return finding(
            Fault::ReaderDenied,
            what,
            &["sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=usb"],
        );
    }
    if let Some(reader) = facts.usb.first() {
        let what = format!("pcscd does not show {} ({}), which is plugged in", reader.name, reader.id);
        return finding(
            Fault::NoReader,
            what,
            &["sudo systemctl restart pcscd", "unplug the reader and plug it in again"],
        );
    }
    finding(
        Fault::NoReader,
        "there is no card reader",
        &["plug a reader in; `lsusb` shows whether the computer sees it"],
    )
}

/// What is wrong with one reader, or the card in it.
fn in_reader(reader: &ReaderFact, facts: &Facts) -> Option<Finding> {
    let name = &reader.name;
    match reader.state.as_str() {
        "empty" => return Some(finding(Fault::NoCard, EMPTY, &["insert the card, chip first and up"])),
        "mute" => {
            let what = format!("the card in {name} does not come up");
            return Some(finding(Fault::NoCard, what, &["turn the card, or clean its contacts, and insert it again"]));
        }
        "hung" => {
            let what = format!("{name} does not answer");
            return Some(finding(
                Fault::ReaderFailed,
                what,
                &["unplug the reader and plug it in again", "sudo systemctl restart pcscd"],
            ));
        }
        "held" | "shared" => return Some(in_use(reader, facts)),
        _ => {}
    }
    if is_blocked(reader) {
        let what = format!("the PIN of the card in {name} is blocked");
        let unblock = format!("cardinal card pin unblock --reader '{name}'");
        return Some(finding(
            Fault::PinBlocked,
            what,
            &[&unblock, &format!("cardinal card recover --reader '{name}'")],
        ));
    }
    let cause = Fault::ALL.iter().copied().find(|fault| fault.name() == reader.fault)?;
    let what = format!("{name}: {}", reader.trouble);
    Some(match cause {
        Fault::NoApplet => {
            let install = format!("cardinal card install --reader '{name}' --cap FILE...");
            finding(cause, what, &[&install])
        }
        Fault::ForeignCard => finding(cause, what, &["insert a Keycard"]),
        Fault::Lent => finding(cause, what, &["cardinal keymgr take-back"]),
        Fault::NoCard => finding(cause, what, &["insert the card again, and leave it in"]),
        _ => finding(cause, what, &["draw the card, insert it again, and repeat `cardinal doctor`"]),
    })
}

/// Another program has the card.
fn in_use(reader: &ReaderFact, facts: &Facts) -> Finding {
    let how = if reader.state == "held" { "holds" } else { "uses" };
    let name = &reader.name;
    let manager =
        facts.managers.iter().find(|ManagerFact { pid, .. }| facts.clients.iter().any(|client| client.pid == *pid));
    let others = facts.clients.iter().filter(|client| Some(client.pid) != manager.map(|manager| manager.pid));
    let named: Vec<String> = others.map(|client| format!("{} (process {})", client.name, client.pid)).collect();
    match (named.as_slice(), manager) {
        ([], Some(manager)) => {
            let what = format!("the key manager of profile {} {how} {name}", manager.profile);
            finding(Fault::ReaderHeld, what, &[&format!("cardinal lock --profile {}", manager.profile)])
        }
        ([], None) => {
            let what = format!("another program, which this user cannot see, {how} {name}");
            finding(Fault::ReaderHeld, what, &["sudo ss -xp | grep pcscd"])
        }
        (named, _) => {
            let what = format!("another program {how} {name}; connected to pcscd: {}", named.join(", "));
            let ends: Vec<String> = facts.clients.iter().map(|client| format!("kill {}", client.pid)).collect();
            Finding { cause: Fault::ReaderHeld, what, mend: ends }
        }
    }
}

fn is_blocked(reader: &ReaderFact) -> bool {
    reader.card.as_ref().is_some_and(|card| card.initialised) && reader.pin_tries == Some(0)
}

const EMPTY: &str = "there is no card in any reader";

#[cfg(test)]
mod tests;
