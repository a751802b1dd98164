//! The language and the decision, without a card.

use audit::{Asked, Caller, Operation, Purpose, Text};
use proto::path::PathError;
use proto::{CardId, ExportPath, KeyPath, KeyUid, UnixMillis};

use super::*;
use crate::caller::Doubt;
use crate::policy::decide::Request;
use crate::policy::reason::Mismatch;

const HEAD: &str = "[[client]]\nname = \"me\"\nuid = 7\n";

fn block(name: &str, path: &str, rest: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\npath = \"{path}\"\nclients = [\"me\"]\npurposes = [\"chat\", \"x\"]\n{rest}\n")
}

fn policy(blocks: &[String]) -> Policy {
    Policy::parse(&(HEAD.to_owned() + &blocks.concat())).unwrap()
}

fn caller(uid: u32) -> Caller {
    Caller { uid, pid: None, binary: None, binary_hash: None, one_time_key: None }
}

fn question(operation: Use, path: &str) -> Question {
    Question { operation, path: path.parse().unwrap() }
}

fn purpose(text: &str) -> Purpose {
    text.parse().unwrap()
}

fn decide(policy: &Policy, uid: u32, question: &Question, purpose: &str) -> Result<String, Reason> {
    let (caller, purpose) = (caller(uid), self::purpose(purpose));
    decide_for(policy, &caller, None, question, &purpose, &History::default(), 0)
}

fn decide_for(
    policy: &Policy,
    caller: &Caller,
    doubt: Option<&Doubt>,
    question: &Question,
    purpose: &Purpose,
    history: &History,
    at: u64,
) -> Result<String, Reason> {
    let request = Request { caller, doubt, question, purpose, about: &About::default(), at: UnixMillis::new(at) };
    match policy.decide(&request, history) {
        Decision::Allowed { key, .. } => Ok(key),
        Decision::Refused(reason) => Err(reason),
    }
}

#[test]
fn the_initial_policy_allows_two_private_keys_to_our_user_and_no_more() {
    let policy = Policy::parse(&Policy::initial(7)).unwrap();
    assert_eq!(policy.dead_rules(), [""; 0]);
    let (chat, database) = ("m/43'/60'/1581'/0'/0", "m/43'/60'/1581'/1'/0");
    for (operation, path, purpose, key) in [
        (Use::ExportPrivate, chat, "chat identity", "chat"),
        (Use::ExportPrivate, database, "database", "database"),
        (Use::Public, chat, "chat identity", "chat"),
    ] {
        let question = question(operation, path);
        assert_eq!(decide(&policy, 7, &question, purpose).as_deref(), Ok(key));
        assert!(matches!(decide(&policy, 8, &question, purpose), Err(Reason::OtherUser { uid: 8, .. })));
    }
    let reason = |operation, path, purpose| decide(&policy, 7, &question(operation, path), purpose).unwrap_err();
    assert!(matches!(reason(Use::ExportPrivate, chat, "database"), Reason::OtherPurpose { .. }));
    assert!(matches!(reason(Use::Public, database, "database"), Reason::OtherOperation { .. }));
    for (operation, path) in [
        (Use::ExportPrivate, "m/43'/60'/1581'/2'/0"),
        (Use::ExportPrivate, "m/43'/60'/1581'/0'/1"),
        (Use::Public, "m"),
        (Use::Extended, "m/44'/60'/0'/0"),
        (Use::Sign, "m/44'/60'/0'/0/0"),
    ] {
        assert!(matches!(reason(operation, path, "chat"), Reason::NotListed { .. }), "{operation} {path}");
    }
    assert_eq!(Question::of(&Asked::Unlock), Err(Reason::NoExport));
    assert_eq!((policy.role(7, 7), policy.role(8, 7)), (Role::Owner, Role::Stranger));
}

/// EIP1581-03: key types are hardened; one that is not never leaves, whatever the policy says. Nor does what would give
/// the subtree away: DESIGN promise 3, attack 11.
#[test]
fn attack_11_no_policy_allows_what_would_give_the_subtree_away() {
    let never = [
        (Use::Extended, "m", Reason::ExtendedMaster),
        (Use::Extended, "m/43'/60'/1581'", Reason::ExtendedSubtree),
        (Use::Extended, "m/43'/60'/1581'/0'", Reason::ExtendedSubtree),
        (Use::Extended, "m/43'/60'/1581'/5", Reason::ExtendedSubtree),
        (Use::Extended, "m/43'/60'/1581'/0'/0", Reason::ExtendedSubtree),
        (Use::ExportPrivate, "m/43'/60'/1581'/5/6", Reason::NotExportable(PathError::NotHardened)),
        (Use::ExportPrivate, "m/43'/60'/1581'/0'/1/0", Reason::NotExportable(PathError::NotHardened)),
        (Use::ExportPrivate, "m/43'/60'/1581'/0'", Reason::NotExportable(PathError::OutsideExportableRange)),
        (Use::ExportPrivate, "m", Reason::NotExportable(PathError::OutsideExportableRange)),
        (Use::ExportPrivate, "m/44'/60'/0'/0/0", Reason::NotExportable(PathError::OutsideExportableRange)),
        (Use::Ecdh, "m/44'/60'/0'/0/0", Reason::NoAgreement),
        (Use::Derive, "m/43'/60'/1581'/0'", Reason::NoAgreement),
        (Use::Bip85, "m/83696968'", Reason::NoBip85),
        (Use::Bip85, "m/83696968'/39", Reason::NoBip85),
        (Use::Bip85, "m/44'/60'", Reason::NoBip85),
    ];
    for (operation, path, want) in never {
        // As no text can say it: the decision does not trust the reader of the language.
        let key = Key { path: path.parse().unwrap(), ..anything() };
        let policy = Policy { keys: vec![key], ..policy(&[]) };
        let question = question(operation, path);
        assert_eq!(decide(&policy, 7, &question, "x"), Err(want), "{operation} {path}");
        assert_eq!(policy.block_for(&caller(7), None, &question, &purpose("x"), None), None);
        assert!(!policy.dead_rules().is_empty());
    }
}

/// A block that allows everything that it can name.
fn anything() -> Key {
    Key {
        name: "all".to_owned(),
        path: KeyPath::master(),
        cards: None,
        mode: Mode::Export,
        operations: Use::ALL.into_iter().filter(|it| !matches!(it, Use::ExportPrivate | Use::Derive)).collect(),
        clients: vec!["me".to_owned()],
        purposes: vec![purpose("x")],
        rate: None,
        approval: Approval::None,
    }
}

#[test]
fn a_key_type_is_one_block_and_covers_every_key_below_it() {
    let policy = policy(&[block("vault", "m/43'/60'/1581'/2'", "mode = \"export\"\noperations = [\"public\"]")]);
    for path in ["m/43'/60'/1581'/2'/0", "m/43'/60'/1581'/2'/7", "m/43'/60'/1581'/2'/1'/0"] {
        assert!(decide(&policy, 7, &question(Use::ExportPrivate, path), "x").is_ok(), "{path}");
        assert!(decide(&policy, 7, &question(Use::Public, path), "x").is_ok(), "{path}");
    }
    for path in ["m/43'/60'/1581'/2'", "m/43'/60'/1581'/3'/0", "m/43'/60'/1581'", "m"] {
        assert!(decide(&policy, 7, &question(Use::Public, path), "x").is_err(), "{path}");
    }
    let open = question(Use::ExportPrivate, "m/43'/60'/1581'/2'/1/0");
    assert_eq!(decide(&policy, 7, &open, "x"), Err(Reason::NotExportable(PathError::NotHardened)));
}

/// DESIGN section 9, uses as oracle: a wallet key does nothing unless a block names its exact path and the operation.
#[test]
fn attack_uses_as_oracle_a_wallet_key_is_used_only_where_a_block_names_its_exact_path() {
    let listed = policy(&[block("wallet", "m/44'/60'/0'/0/0", "operations = [\"public\"]")]);
    for operation in [Use::Sign, Use::Pinless, Use::Lee] {
        let asked = question(operation, "m/44'/60'/0'/0/0");
        assert!(matches!(decide(&listed, 7, &asked, "x"), Err(Reason::OtherOperation { .. })), "{operation}");
        let whole = policy(&[block("wallet", "m/44'/60'/0'/0", &format!("operations = [\"{operation}\"]"))]);
        assert!(matches!(decide(&whole, 7, &asked, "x"), Err(Reason::NotListed { .. })), "{operation}");
        let exact = policy(&[block("wallet", "m/44'/60'/0'/0/0", &format!("operations = [\"{operation}\"]"))]);
        assert!(decide(&exact, 7, &asked, "x").is_ok(), "{operation}");
    }
    let place = Operation::Sign(audit::Signing {
        key: "current".parse().unwrap(),
        makes_current: false,
        scheme: audit::Scheme::Ecdsa,
        digest: [7; 32].into(),
    });
    assert_eq!(Question::of_operation(&place), Err(Reason::NotFromMaster));
}

#[test]
fn a_key_that_derives_secrets_agrees_on_no_others() {
    let path = "m/43'/60'/1581'/3'/0";
    let policy = policy(&[
        block("derives", "m/43'/60'/1581'/3'", "operations = [\"derive\"]"),
        block("agrees", path, "operations = [\"ecdh\"]"),
    ]);
    assert!(decide(&policy, 7, &question(Use::Derive, path), "x").is_ok());
    let kept = Err(Reason::KeptForDeriving { key: "derives".to_owned() });
    assert_eq!(decide(&policy, 7, &question(Use::Ecdh, path), "x"), kept);
    assert_eq!(policy.dead_rules().len(), 1, "{:?}", policy.dead_rules());
}

#[test]
fn every_refusal_that_a_block_can_change_names_the_block_that_does() {
    let base = [
        block("chat", "m/43'/60'/1581'/0'/0", "mode = \"export\""),
        block("often", "m/43'/60'/1581'/4'/0", "operations = [\"sign\"]\nrate = \"1/day\""),
    ];
    let text = HEAD.to_owned() + &base.concat();
    let policy = Policy::parse(&text).unwrap();
    for (uid, operation, path, purpose) in [
        (7, Use::Sign, "m/44'/60'/0'/0/0", "x"),
        (7, Use::Public, "m/43'/60'/1581'/0'/0", "x"),
        (7, Use::ExportPrivate, "m/43'/60'/1581'/0'/0", "other"),
        (8, Use::ExportPrivate, "m/43'/60'/1581'/0'/0", "x"),
        (9, Use::Ecdh, "m/43'/60'/1581'/0'/5", "team vault"),
        (9, Use::Bip85, "m/83696968'/39'", "x"),
    ] {
        let question = question(operation, path);
        let reason = decide(&policy, uid, &question, purpose).unwrap_err();
        assert!(reason.can_be_allowed(), "{reason}");
        let block = policy.block_for(&caller(uid), None, &question, &self::purpose(purpose), None).unwrap();
        let refusal = Refusal { reason, block: Some(block.clone()), file: "/home/u/policy.toml".into() };
        let said = refusal.to_string();
        assert!(said.contains("/home/u/policy.toml") && said.ends_with(block.trim_end()), "{said}");
        let amended = Policy::parse(&format!("{text}\n{block}")).unwrap();
        assert!(decide(&amended, uid, &question, purpose).is_ok(), "{block}");
    }
}

#[test]
fn a_program_of_the_right_user_that_is_another_one_is_refused_with_the_difference() {
    let client = format!("[[client]]\nname = \"me\"\nuid = 7\nbinary = \"/bin/a\"\nsha256 = \"{}\"\n", "ab".repeat(32));
    let text = client + &block("chat", "m/43'/60'/1581'/0'/0", "mode = \"export\"");
    let policy = Policy::parse(&text).unwrap();
    let asked = question(Use::ExportPrivate, "m/43'/60'/1581'/0'/0");
    let program =
        |path: &str, hash: u8| Caller { binary: Some(Text::lossy(path)), binary_hash: Some([hash; 32]), ..caller(7) };
    let decide = |caller: &Caller, doubt: Option<&Doubt>| {
        decide_for(&policy, caller, doubt, &asked, &purpose("x"), &History::default(), 0)
    };
    assert!(decide(&program("/bin/a", 0xab), None).is_ok());
    let why = |result: Result<String, Reason>| match result {
        Err(Reason::OtherProgram { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(why(decide(&program("/bin/b", 0xab), None)), Mismatch::Path { .. }));
    assert!(matches!(why(decide(&program("/bin/a", 0xac), None)), Mismatch::Hash { .. }));
    assert_eq!(why(decide(&caller(7), None)), Mismatch::Doubtful(Doubt::Unreadable));
    for doubt in [Doubt::Gone, Doubt::Deleted, Doubt::Replaced, Doubt::Became { before: "/bin/b".to_owned() }] {
        assert_eq!(why(decide(&program("/bin/a", 0xab), Some(&doubt))), Mismatch::Doubtful(doubt.clone()));
        assert_eq!(policy.block_for(&program("/bin/a", 0xab), Some(&doubt), &asked, &purpose("x"), None), None);
    }
    let other = program("/bin/b", 0xac);
    let block = policy.block_for(&other, None, &asked, &purpose("x"), None).unwrap();
    assert!(block.contains("binary = \"/bin/b\"") && block.contains(&"ac".repeat(32)), "{block}");
    let amended = Policy::parse(&(text + &block)).unwrap();
    assert!(decide_for(&amended, &other, None, &asked, &purpose("x"), &History::default(), 0).is_ok());
}

/// Tells a history of one use.
fn used(history: &mut History, seq: u64, at: u64, caller: &Caller, operation: Operation, purpose: &Purpose) {
    let request = audit::Request { card: CardId::Instance([1; 16]), key_uid: None, operation };
    let (purpose, caller) = (purpose.clone(), caller.clone());
    let intent = audit::Intent { request, purpose, caller, policy: [0; 32] };
    history.tell(seq, UnixMillis::new(at), &audit::Event::Intent(intent));
}

fn done(history: &mut History, seq: u64, operation: Operation) {
    used(history, seq, 0, &caller(7), operation, &purpose("x"));
    let outcome = audit::Outcome::done(None, None);
    history.tell(seq + 1, UnixMillis::new(0), &audit::Event::Outcome { intent: seq, outcome });
}

/// What user 7 is told who asks for this of this card.
fn decide_of(policy: &Policy, operation: Use, path: &str, about: &About, history: &History) -> Result<(), Reason> {
    let (caller, question, purpose) = (caller(7), question(operation, path), purpose("x"));
    let at = UnixMillis::new(0);
    let request = Request { caller: &caller, doubt: None, question: &question, purpose: &purpose, about, at };
    if let Decision::Refused(reason) = policy.decide(&request, history) { Err(reason) } else { Ok(()) }
}

#[test]
fn a_rate_is_of_each_client_and_block_and_ends_with_its_period() {
    let path = "m/43'/60'/1581'/0'/0";
    let policy = policy(&[block("chat", path, "mode = \"export\"\nrate = \"2/hour\"")]);
    let asked = question(Use::ExportPrivate, path);
    let export = || Operation::ExportPrivate(ExportPath::chat());
    let mut history = History::default();
    let decide = |history: &History, at| decide_for(&policy, &caller(7), None, &asked, &purpose("x"), history, at);
    let seconds = |result| match result {
        Err(Reason::TooOften { seconds, .. }) => seconds,
        other => panic!("{other:?}"),
    };
    used(&mut history, 1, 1_000, &caller(7), export(), &purpose("x"));
    used(&mut history, 2, 1_000, &caller(8), export(), &purpose("x"));
    used(&mut history, 3, 1_000, &caller(7), export(), &purpose("unlock"));
    used(&mut history, 4, 1_000, &caller(7), Operation::ExportPublic(path.parse().unwrap()), &purpose("x"));
    assert!(decide(&history, 2_000).is_ok(), "others and other uses do not count");
    used(&mut history, 5, 601_000, &caller(7), export(), &purpose("chat"));
    assert_eq!(seconds(decide(&history, 661_000)), 2_940, "the first is 11 minutes old");
    assert!(decide(&history, 3_601_000).is_ok(), "it is an hour old");
    assert_eq!(seconds(decide(&history, 0)), 3_600, "a clock that went back gains nothing");
}

/// Attack 21: each envelope on our topic may ask the card for a secret, and a card takes a tenth of a second for one. The
/// budget is the block's rate, whoever floods.
#[test]
fn attack_21_a_flood_of_questions_spends_the_budget_of_its_block_and_no_more() {
    let path = "m/43'/60'/1581'/0'/0";
    let policy = policy(&[block("chat", path, "operations = [\"ecdh\"]\nrate = \"100/hour\"")]);
    let peer = "0001-0203-0405-06ff".parse().unwrap();
    let agree = || Operation::Ecdh(audit::Agreement { path: path.parse().unwrap(), peer });
    let mut history = History::default();
    let mut answered = 0;
    for at in 0..10_000_u64 {
        let asked = question(Use::Ecdh, path);
        if decide_for(&policy, &caller(7), None, &asked, &purpose("x"), &history, at).is_ok() {
            used(&mut history, at, at, &caller(7), agree(), &purpose("x"));
            answered += 1;
        }
    }
    assert_eq!(answered, 100);
}

#[test]
fn what_is_remembered_of_uses_is_bounded_and_blocks_with_a_rate_refuse_when_it_is_full() {
    let path = "m/43'/60'/1581'/0'/0";
    let policy = policy(&[block("chat", path, "mode = \"export\"\nrate = \"1000/day\"")]);
    let mut history = History::default();
    for n in 0..80_000_u64 {
        let uid = u32::try_from(n / 500).unwrap() + 100;
        used(&mut history, n, n, &caller(uid), Operation::ExportPublic(KeyPath::master()), &purpose("x"));
        let outcome = audit::Outcome::done(None, None);
        history.tell(n, UnixMillis::new(n), &audit::Event::Outcome { intent: n, outcome });
    }
    let asked = question(Use::ExportPrivate, path);
    let refused = decide_for(&policy, &caller(7), None, &asked, &purpose("x"), &history, 80_000);
    assert!(matches!(refused, Err(Reason::TooOften { .. })));
    used(&mut history, 1, 90_000_000, &caller(7), Operation::ExportPublic(KeyPath::master()), &purpose("x"));
    assert!(decide_for(&policy, &caller(7), None, &asked, &purpose("x"), &history, 90_000_000).is_ok());
}

/// Attack 11: an extended public key that left in another time, by another program, and one child's private key.
#[test]
fn attack_11_an_export_from_which_another_private_key_would_follow_is_refused() {
    let policy = Policy::parse(&Policy::initial(7)).unwrap();
    let asked = question(Use::ExportPrivate, "m/43'/60'/1581'/0'/0");
    let decide = |history: &History| {
        decide_for(&policy, &caller(7), None, &asked, &purpose("chat identity"), history, 0).map(drop)
    };
    let extended = || Operation::ExportExtendedPublic("m/43'/60'/1581'/0'".parse().unwrap());
    let mut history = History::default();
    used(&mut history, 1, 0, &caller(7), extended(), &purpose("x"));
    assert!(matches!(decide(&history), Err(Reason::Enlarges { .. })), "nobody knows whether it left");
    let mut left = history.clone();
    let ended = |outcome| audit::Event::Outcome { intent: 1, outcome };
    left.tell(2, UnixMillis::new(0), &ended(audit::Outcome::Failed { reason: Text::lossy("?") }));
    assert!(matches!(decide(&left), Err(Reason::Enlarges { .. })));
    history.tell(2, UnixMillis::new(0), &ended(audit::Outcome::RefusedByCard { status: 0x6985 }));
    assert_eq!(decide(&history), Ok(()));
}

/// Whoever asks for public keys without end does not make what left be forgotten.
#[test]
fn attack_what_left_is_not_forgotten_when_there_is_no_more_room_and_no_other_key_leaves_then() {
    let [chat, other] = ["m/43'/60'/1581'/0'/0", "m/43'/60'/1581'/0'/1"];
    let blocks = [chat, other].map(|path| block(path.rsplit('/').next().unwrap(), path, "mode = \"export\""));
    let policy = policy(&blocks);
    let mut history = History::default();
    let decide = |history: &History, path: &str, card: Option<CardId>| {
        decide_of(&policy, Use::ExportPrivate, path, &About { card, ..About::default() }, history)
    };
    let card = Some(CardId::Instance([1; 16]));
    done(&mut history, 1, Operation::ExportPrivate(ExportPath::chat()));
    assert_eq!((decide(&history, chat, card), decide(&history, other, card)), (Ok(()), Ok(())));
    for n in 0..17_000_u32 {
        let path = format!("m/43'/60'/1581'/2'/{n}").parse().unwrap();
        done(&mut history, 3 + 2 * u64::from(n), Operation::ExportPublic(path));
    }
    assert!(history.left().cut_off().is_some());
    assert_eq!(decide(&history, chat, card), Ok(()), "it left before");
    assert_eq!(decide(&history, other, card), Err(Reason::TooMuchLeft));
    // Of a card that is not known, every card of the log counts, and there may be more than are remembered.
    let mut history = History::default();
    for n in 0..1001_u64 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let operation = Operation::ExportPublic(KeyPath::master());
        let request = audit::Request { card: CardId::Instance(id), key_uid: None, operation };
        let intent = audit::Intent { request, purpose: purpose("x"), caller: caller(7), policy: [0; 32] };
        history.tell(n, UnixMillis::new(0), &audit::Event::Intent(intent));
    }
    assert_eq!(decide(&history, chat, None), Err(Reason::TooMuchLeft));
    assert_eq!(decide(&history, chat, card), Ok(()));
}

/// Whoever may use any key of a type, as often as he likes, takes the room to remember exports from nobody.
#[test]
fn attack_uses_of_ever_more_keys_end_before_the_room_to_remember_exports_does() {
    let path = |n: u32| format!("m/43'/60'/1581'/2'/{n}");
    let policy = policy(&[
        block("many", "m/43'/60'/1581'/2'", "operations = [\"public\", \"sign\", \"ecdh\"]"),
        block("chat", "m/43'/60'/1581'/0'/0", "mode = \"export\""),
    ]);
    let mut history = History::default();
    let about = About { card: Some(CardId::Instance([1; 16])), ..About::default() };
    let decide = |history: &History, operation: Use, path: &str, about: &About| {
        decide_of(&policy, operation, path, about, history)
    };
    let refused = (0..17_000_u32).find(|n| {
        let asked = decide(&history, Use::Public, &path(*n), &about);
        assert!(matches!(asked, Ok(()) | Err(Reason::TooManyUsed)), "{asked:?}");
        done(&mut history, 1 + 2 * u64::from(*n), Operation::ExportPublic(path(*n).parse().unwrap()));
        asked.is_err()
    });
    assert!(refused.is_some_and(|n| n > 12_000), "{refused:?}");
    assert_eq!(history.left().cut_off(), None);
    let unknown = About::default();
    for about in [&about, &unknown] {
        assert_eq!(decide(&history, Use::Sign, &path(16_999), about), Err(Reason::TooManyUsed));
        assert_eq!(decide(&history, Use::Ecdh, &path(0), about), Err(Reason::TooManyUsed), "secrets of it are new");
        assert_eq!(decide(&history, Use::Sign, &path(0), about), Ok(()), "its public key is known");
        assert_eq!(decide(&history, Use::ExportPrivate, "m/43'/60'/1581'/0'/0", about), Ok(()));
    }
}

#[test]
fn what_is_no_policy_is_named_with_its_line_and_column() {
    let key = |line: &str| format!("{HEAD}[[key]]\nname = \"k\"\n{line}\nclients = [\"me\"]\npurposes = [\"x\"]\n");
    for (text, at, want) in [
        ("owners = 1\n".to_owned(), (1, 10), "invalid type"),
        ("[[allow]]\n".to_owned(), (1, 3), "unknown field `allow`"),
        (format!("{HEAD}typo = 1\n"), (4, 1), "unknown field `typo`"),
        (key("path = \"m/0''\""), (6, 8), "key path"),
        (key("path = \"m\"\nmode = \"export\""), (6, 8), "key type"),
        (key("path = \"m\"\noperations = [\"secret\"]"), (7, 15), "unknown variant"),
        (key("path = \"m\"\noperations = [\"export-private\"]"), (7, 15), "unknown variant"),
        (key("path = \"m\"\nrate = \"many\""), (7, 8), "10/hour"),
        (key("path = \"m\"\ncards = [\"blue\", \" \"]"), (7, 18), "a card is named"),
        (key("path = \"m\""), (5, 8), "allows nothing"),
        (key("path = \"m\"\noperations = [\"public\"]").replace("\"me\"]", "\"you\"]"), (8, 12), "no [[client]]"),
        (key("path = \"m\"\noperations = [\"public\"]").replace("\"x\"", "\"X!\""), (9, 12), "purpose"),
        (HEAD.to_owned() + HEAD, (5, 8), "already"),
        (HEAD.replace("\"me\"", "\"m\\u001be\""), (2, 8), "letters"),
        (format!("{HEAD}sha256 = \"ab\"\n"), (4, 10), "64 hexadecimal"),
        (format!("{HEAD}binary = \"a\"\n"), (4, 10), "stroke"),
        ("[[key]]\npath = \"m\"\n".to_owned(), (1, 1), "missing field"),
        ("a = \n".to_owned(), (1, 5), ""),
    ] {
        let error = Policy::parse(&text).unwrap_err();
        assert!(error.what.contains(want) && !error.to_string().contains('\n'), "{error}\n{text}");
        assert_eq!((error.line, error.column), at, "{error}\n{text}");
    }
}

/// Two clients want what its owner approves; one of them is its owner.
#[test]
fn attack_a_client_that_could_approve_for_itself_is_warned_of() {
    let own = rustix::process::geteuid().as_raw();
    for (uid, approval, want) in [(own, "prompt", 1), (7, "pin", 1), (8, "prompt", 0), (7, "none", 0)] {
        let text = format!("owners = [7]\n[[client]]\nname = \"me\"\nuid = {uid}\n")
            + &block("chat", "m/43'/60'/1581'/0'/0", "mode = \"export\"")
            + &format!("approval = \"{approval}\"\n");
        let warned = Policy::parse(&text).unwrap().dead_rules();
        assert_eq!(warned.iter().filter(|it| it.contains("approve itself")).count(), want, "{uid} {approval}");
    }
}

#[test]
fn a_client_whose_program_only_a_right_of_root_shows_is_warned_of() {
    let with = |more: &str| Policy::parse(&(HEAD.to_owned() + more)).unwrap();
    for named in ["binary = \"/usr/bin/x\"\n".to_owned(), format!("sha256 = \"{}\"\n", "ab".repeat(32))] {
        let policy = with(&named);
        let warned = policy.unseen_programs(8);
        assert!(warned.len() == 1 && warned[0].contains("uid 7") && warned[0].contains("CAP_SYS_PTRACE"), "{warned:?}");
        assert_eq!(policy.unseen_programs(7), [""; 0], "its own user's programs it sees");
    }
    assert_eq!(with("").unseen_programs(8), [""; 0], "a client that names none");
}

#[test]
fn what_is_allowed_stands_in_a_table_and_what_never_applies_in_warnings() {
    let text = HEAD.to_owned()
        + "[[client]]\nname = \"idle\"\nuid = 9\n"
        + &block("chat", "m/43'/60'/1581'/0'/0", "mode = \"export\"\noperations = [\"public\", \"extended\"]");
    let policy = Policy::parse(&text).unwrap();
    let rows: Vec<_> = policy.rows().into_iter().map(|row| (row.key, row.operation, row.uid)).collect();
    assert_eq!(rows, [("chat".to_owned(), Use::ExportPrivate, 7), ("chat".to_owned(), Use::Public, 7)]);
    let dead = policy.dead_rules();
    assert!(dead.len() == 2 && dead[0].contains("extended") && dead[1].contains("idle"), "{dead:?}");
    assert_eq!((policy.role(7, 0), policy.role(9, 0)), (Role::Client, Role::Stranger), "no key names it");
}

#[test]
fn a_block_for_certain_cards_allows_nothing_of_another_one() {
    let path = "m/43'/60'/1581'/2'/0";
    let (id, account) = (CardId::Instance([0xab; 16]), KeyUid::from([0xcd; 32]));
    let names = format!("cards = [\"blue\", \"{}\", \"{account}\"]", id.to_string().to_uppercase());
    let listed = |rest: &str| format!("mode = \"export\"\noperations = [\"sign\"]\n{rest}");
    let policy = policy(&[block("vault", path, &listed(&names))]);
    assert!(policy.names_cards());
    let decide = |policy: &Policy, about: About| {
        let (caller, question, purpose) = (caller(7), question(Use::Sign, path), purpose("x"));
        let at = UnixMillis::new(0);
        let request =
            Request { caller: &caller, doubt: None, question: &question, purpose: &purpose, about: &about, at };
        match policy.decide(&request, &History::default()) {
            Decision::Allowed { key, .. } => Ok(key),
            Decision::Refused(reason) => Err(reason),
        }
    };
    let other = || About { card: Some(CardId::Instance([1; 16])), key_uid: Some(KeyUid::from([2; 32])), label: None };
    let labelled = |label: &str| About { label: Some(label.to_owned()), ..other() };
    for about in [About { card: Some(id), ..other() }, About { key_uid: Some(account), ..other() }, labelled("blue")] {
        assert!(decide(&policy, about.clone()).is_ok(), "{about}");
        // Of the whole name only: who has a card of the same beginning has another card.
        let begins = policy.keys[0].cards.clone().unwrap().iter().map(|name| name[..3].to_owned()).collect();
        let short = Policy { keys: vec![Key { cards: Some(begins), ..policy.keys[0].clone() }], ..policy.clone() };
        assert!(matches!(decide(&short, about), Err(Reason::OtherCard { .. })));
    }
    for about in [other(), labelled("Blue"), labelled("")] {
        let reason = decide(&policy, about.clone()).unwrap_err();
        assert!(matches!(reason, Reason::OtherCard { .. }), "{reason}");
        assert!(reason.to_string().contains("blue") && reason.to_string().contains(&about.to_string()), "{reason}");
        // What would allow it allows it of that card alone.
        let block =
            policy.block_for(&caller(7), None, &question(Use::Sign, path), &purpose("x"), reason.card()).unwrap();
        let text = HEAD.to_owned() + &self::block("vault", path, &listed(&names)) + &block;
        let amended = Policy::parse(&text).unwrap();
        assert!(decide(&amended, about).is_ok(), "{block}");
        let third = About { card: Some(CardId::Instance([3; 16])), ..About::default() };
        assert!(matches!(decide(&amended, third), Err(Reason::OtherCard { .. })), "{block}");
    }
    let unknown = decide(&policy, About::default()).unwrap_err();
    assert!(matches!(unknown, Reason::WhichCard { .. }) && !unknown.can_be_allowed(), "{unknown}");
    let stranger =
        decide_for(&policy, &caller(8), None, &question(Use::Sign, path), &purpose("x"), &History::default(), 0);
    assert!(matches!(stranger, Err(Reason::OtherUser { .. })), "nobody else learns for which cards it is");
    assert_eq!(policy.rows()[0].cards.as_ref().map(Vec::len), Some(3));
    let none = Policy::parse(&(HEAD.to_owned() + &block("vault", path, &listed("cards = []")))).unwrap();
    assert!(none.dead_rules().iter().any(|rule| rule.contains("no card")), "{:?}", none.dead_rules());
    // Whom a rule lets use one card, the others do not concern.
    let concerned = |uid: u32, label: &str| policy.concerns(uid, &labelled(label));
    assert!(concerned(7, "blue") && !concerned(7, "red") && !concerned(8, "blue"));
    let named = About::named(&[id.to_string(), account.to_string(), "blue".to_owned()]);
    assert_eq!(named, About { card: Some(id), key_uid: Some(account), label: Some("blue".to_owned()) });
}

#[test]
fn the_hash_is_of_the_text() {
    let text = Policy::initial(0);
    assert_ne!(Policy::parse(&text).unwrap().hash(), Policy::parse(&(text + "\n")).unwrap().hash());
}

mod any {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;

    /// Paths around those that matter, and others.
    fn path() -> impl Strategy<Value = KeyPath> {
        let hardened = |n: u32| n | 0x8000_0000;
        let part = prop_oneof![
            select(vec![0, 1, 2, hardened(0), hardened(1), hardened(43), hardened(44), hardened(60), hardened(1581)]),
            any::<u32>()
        ];
        let eip = vec![hardened(43), hardened(60), hardened(1581)];
        (prop_oneof![2 => Just(eip), 1 => Just(Vec::new())], vec(part, 0..4))
            .prop_map(|(head, tail)| KeyPath::new(&[head, tail].concat()).unwrap())
    }

    fn key() -> impl Strategy<Value = Key> {
        let approval = select(vec![Approval::None, Approval::Prompt, Approval::Pin]);
        (path(), any::<bool>(), subsequence(Use::ALL.to_vec(), 0..9), approval, any::<u16>()).prop_map(
            |(path, export, operations, approval, name)| Key {
                name: name.to_string(),
                path,
                mode: if export { Mode::Export } else { Mode::OnCard },
                operations,
                approval,
                ..anything()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// DESIGN promise 3: whatever the configuration, and whatever was asked before.
        #[test]
        fn no_policy_and_no_history_allow_what_promise_3_refuses(
            keys in vec(key(), 1..6),
            asked in vec((path(), select(Use::ALL.to_vec())), 1..40),
        ) {
            let paths: Vec<KeyPath> = keys.iter().map(|key| key.path.clone()).collect();
            let policy = Policy { keys, ..policy(&[]) };
            let mut history = History::default();
            let mut private = BTreeSet::new();
            let mut extended = BTreeSet::new();
            let of_blocks = paths.into_iter().flat_map(|path| Use::ALL.map(|operation| (path.clone(), operation)));
            for (n, (path, operation)) in of_blocks.chain(asked).enumerate() {
                let question = Question { operation, path: path.clone() };
                if decide_for(&policy, &caller(7), None, &question, &purpose("x"), &history, 0).is_err() {
                    continue;
                }
                let operation = match operation {
                    Use::ExportPrivate => {
                        prop_assert!(ExportPath::try_from(path.clone()).is_ok());
                        private.insert(path.clone());
                        Operation::ExportPrivate(path.try_into().unwrap())
                    }
                    Use::Extended => {
                        prop_assert!(!path.is_master() && !path.is_in_eip_1581());
                        extended.insert(path.clone());
                        Operation::ExportExtendedPublic(path)
                    }
                    _ => continue,
                };
                used(&mut history, u64::try_from(n).unwrap(), 0, &caller(7), operation, &purpose("x"));
            }
            // No extended key has a private descendant over open steps: nothing follows but what left.
            for above in &extended {
                let open = |below: &&KeyPath| {
                    let rest = below.components().strip_prefix(above.components());
                    rest.is_some_and(|rest| rest.iter().all(|part| part & 0x8000_0000 == 0))
                };
                prop_assert_eq!(private.iter().find(open), None);
            }
        }

        #[test]
        fn no_text_panics_the_reader(text in "\\PC{0,200}", cut in 0_usize..400) {
            drop(Policy::parse(&text));
            let initial = Policy::initial(7);
            drop(Policy::parse(&initial.chars().take(cut).chain(text.chars()).collect::<String>()));
        }
    }
}
