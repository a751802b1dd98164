//! Every cause, from facts.

use super::super::facts::{CardFact, ClientFact, ServiceFact, UsbFact, View};
use super::*;

fn service(installed: bool, socket: SocketFact, unit: bool) -> ServiceFact {
    ServiceFact { installed, path: "/run/pcscd/pcscd.comm".to_owned(), socket, unit }
}

fn without_list(fault: Fault, service: ServiceFact) -> Facts {
    let view = View { fault: fault.name().to_owned(), trouble: "why".to_owned(), ..View::default() };
    Facts { service, view, user: "ada".to_owned(), ..Facts::default() }
}

fn with_readers(readers: Vec<ReaderFact>) -> Facts {
    let view = View { readers, ..View::default() };
    Facts { service: service(true, SocketFact::Alive, true), view, user: "ada".to_owned(), ..Facts::default() }
}

fn reader(state: &str) -> ReaderFact {
    ReaderFact { name: "pcsc:R".to_owned(), state: state.to_owned(), ..ReaderFact::default() }
}

fn usb(driver: bool, open: Option<bool>) -> UsbFact {
    UsbFact { name: "CCID R".to_owned(), id: "1234:5678".to_owned(), package: "libccid", driver, open }
}

fn keycard(initialised: bool, pin_tries: Option<u32>) -> ReaderFact {
    let card =
        CardFact { card: "identity:02".to_owned(), applet: "4.0".to_owned(), initialised, ..CardFact::default() };
    ReaderFact { card: Some(card), pin_tries, ..reader("card") }
}

/// Asserts that there is one finding of this cause, that it says this, and that it is mended so.
#[track_caller]
fn says(facts: &Facts, cause: Fault, what: &str, mend: &str) {
    let found = findings(facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].cause, cause);
    assert!(found[0].what.contains(what), "{found:?}");
    assert!(found[0].mend.iter().any(|way| way.contains(mend)), "{found:?}");
    assert!(!facts.view.readers.iter().any(is_usable));
}

#[test]
fn pcscd_that_is_not_installed_is_to_be_installed() {
    for fault in [Fault::NoPcscd, Fault::PcscdStopped] {
        for socket in [SocketFact::Absent, SocketFact::Dead] {
            let facts = without_list(fault, service(false, socket, false));
            says(&facts, Fault::NoPcscd, "not installed", "sudo apt install pcscd");
        }
    }
}

#[test]
fn a_library_that_is_missing_beside_a_service_that_runs_is_named() {
    let facts = without_list(Fault::NoPcscd, service(true, SocketFact::Alive, true));
    says(&facts, Fault::NoPcscd, "libpcsclite", "libpcsclite1");
}

#[test]
fn pcscd_that_does_not_run_is_started_the_way_the_system_does_it() {
    for (unit, mend) in [(true, "systemctl enable --now pcscd.socket"), (false, "sudo pcscd")] {
        let facts = without_list(Fault::PcscdStopped, service(true, SocketFact::Absent, unit));
        says(&facts, Fault::PcscdStopped, "does not run", mend);
    }
    let hung = without_list(Fault::ReaderFailed, service(true, SocketFact::Alive, true));
    says(&hung, Fault::ReaderFailed, "does not answer", "systemctl restart pcscd");
    let deaf = without_list(Fault::PcscdStopped, service(true, SocketFact::Alive, true));
    says(&deaf, Fault::PcscdStopped, "listens", "systemctl restart pcscd");
}

#[test]
fn a_user_whom_polkit_keeps_out_gets_the_rule_that_lets_him_in() {
    let facts = without_list(Fault::ReaderDenied, service(true, SocketFact::Alive, true));
    says(&facts, Fault::ReaderDenied, "ada", "subject.user == \"ada\"");
    let facts = without_list(Fault::PcscdStopped, service(true, SocketFact::Denied, true));
    for mend in ["chmod 666 /run/pcscd/pcscd.comm", "--keymgr /run/cardinal/keymgr.sock"] {
        says(&facts, Fault::ReaderDenied, "/run/pcscd/pcscd.comm", mend);
    }
}

#[test]
fn no_reader_is_told_from_one_that_has_no_driver_or_no_rights() {
    let with_usb = |usb: Vec<UsbFact>| Facts { usb, ..with_readers(Vec::new()) };
    says(&with_usb(Vec::new()), Fault::NoReader, "there is no card reader", "plug a reader in");
    says(&with_usb(vec![usb(false, None)]), Fault::NoDriver, "CCID R (1234:5678)", "apt install libccid");
    says(&with_usb(vec![usb(true, Some(false))]), Fault::ReaderDenied, "udev", "udevadm trigger");
    for open in [None, Some(true)] {
        says(&with_usb(vec![usb(true, open)]), Fault::NoReader, "plugged in", "systemctl restart pcscd");
    }
}

#[test]
fn readers_without_a_card_are_one_finding() {
    says(&with_readers(vec![reader("empty"), reader("empty")]), Fault::NoCard, "no card in any reader", "insert");
    says(&with_readers(vec![reader("empty"), reader("mute")]), Fault::NoCard, "does not come up", "turn the card");
}

#[test]
fn a_card_that_cannot_be_used_says_why() {
    let faulty = |fault: Fault| {
        let card = ReaderFact { fault: fault.name().to_owned(), trouble: "so it is".to_owned(), ..reader("card") };
        with_readers(vec![reader("empty"), card])
    };
    says(&faulty(Fault::ForeignCard), Fault::ForeignCard, "so it is", "insert a Keycard");
    says(&faulty(Fault::NoApplet), Fault::NoApplet, "so it is", "cardinal card install --reader 'pcsc:R'");
    says(&faulty(Fault::Lent), Fault::Lent, "so it is", "cardinal keymgr take-back");
    says(&with_readers(vec![reader("hung")]), Fault::ReaderFailed, "does not answer", "unplug");
    let blocked = with_readers(vec![keycard(true, Some(0))]);
    says(&blocked, Fault::PinBlocked, "blocked", "cardinal card pin unblock --reader 'pcsc:R'");
}

#[test]
fn whoever_holds_the_reader_is_named_where_that_can_be_seen() {
    let held = |clients: Vec<ClientFact>| Facts { clients, ..with_readers(vec![reader("held")]) };
    let scdaemon = ClientFact { pid: 7, name: "scdaemon".to_owned() };
    says(&held(vec![scdaemon.clone()]), Fault::ReaderHeld, "scdaemon (process 7)", "kill 7");
    says(&held(Vec::new()), Fault::ReaderHeld, "cannot see", "sudo ss -xp");
    says(&with_readers(vec![reader("shared")]), Fault::ReaderHeld, "uses pcsc:R", "ss");
    let manager = ManagerFact { profile: "alice".to_owned(), reader: "auto".to_owned(), pid: 9 };
    let ours = ClientFact { pid: 9, name: "cardinal-keymgr".to_owned() };
    let facts = Facts { managers: vec![manager.clone()], ..held(vec![ours.clone()]) };
    says(&facts, Fault::ReaderHeld, "the key manager of profile alice", "cardinal lock --profile alice");
    let facts = Facts { managers: vec![manager], ..held(vec![ours, scdaemon]) };
    says(&facts, Fault::ReaderHeld, "scdaemon (process 7)", "kill 7");
}

#[test]
fn a_keycard_that_answers_is_no_finding_blank_or_not() {
    for card in [keycard(false, None), keycard(true, Some(3)), keycard(true, None)] {
        let facts = with_readers(vec![reader("empty"), card]);
        assert_eq!(findings(&facts), []);
        assert!(facts.view.readers.iter().any(is_usable));
    }
}

#[test]
fn trouble_in_one_reader_is_told_beside_a_card_that_can_be_used() {
    let facts = with_readers(vec![reader("mute"), keycard(true, Some(3))]);
    assert_eq!(findings(&facts).len(), 1);
    assert!(facts.view.readers.iter().any(is_usable));
}

#[test]
fn whoever_uses_a_software_card_can_do_without_readers_and_is_told_what_is_wrong_with_them() {
    let mut facts = without_list(Fault::NoPcscd, service(false, SocketFact::Absent, false));
    let manager = |reader: &str| ManagerFact { profile: "alice".to_owned(), reader: reader.to_owned(), pid: 1 };
    facts.managers = vec![manager("auto")];
    assert!(!has_usable(&facts));
    facts.managers.push(manager("soft:alice"));
    assert!(has_usable(&facts));
    assert_eq!(findings(&facts)[0].cause, Fault::NoPcscd);
}
