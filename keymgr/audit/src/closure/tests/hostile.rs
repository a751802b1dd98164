//! Logs of 200,000 lines that are written to make the closure slow, large or wrong.

use super::current::{lent, signs};
use super::*;
use crate::Text;
use crate::closure::history::Node;

const LINES: u64 = 200_000;

/// The time that this thread had a core: other programs do not count.
fn spent() -> std::time::Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Lets a log be told and closed. Work that grows with the square of the lines takes hours.
fn closes(what: &str, tell: impl FnOnce(&mut Story)) -> (Story, Closure) {
    let before = spent();
    let mut story = Story::default();
    tell(&mut story);
    let closure = Closure::of(&story.history, &Filter::default());
    let spent = spent() - before;
    println!("{what}: {} lines, {} keys, {spent:?}", story.seq, closure.computable.len());
    assert!(spent < std::time::Duration::from_secs(100), "{what}: {spent:?}");
    (story, closure)
}

fn node(n: u64) -> KeyPath {
    KeyPath::new(&[(n >> 16) as u32, (n & 0xffff) as u32]).unwrap()
}

fn account(n: u64) -> KeyUid {
    let mut uid = [0; 32];
    uid[..8].copy_from_slice(&n.to_be_bytes());
    KeyUid::from(uid)
}

fn failed() -> Outcome {
    Outcome::Failed { reason: Text::lossy("pulled") }
}

/// Each export of `m` would leak all nodes of the commands that never ended.
#[test]
fn attack_commands_without_an_end_and_exports_that_leak_all_of_them() {
    let (story, closure) = closes("open commands", |story| {
        for n in 0..LINES / 4 {
            story.intent(1, &on(OLD, Operation::ExportPublic(node(n))));
        }
        for _ in 0..LINES / 4 {
            story.done(1, &extended(OLD, "m"));
        }
    });
    // Nodes past the room are not followed, and that is told.
    assert_eq!(story.history.cut_off(), Some(65));
    assert_eq!(closure.cut_off, Some(65));
}

#[test]
fn attack_failures_and_exports_that_leak_all_of_them_to_user_after_user() {
    let (story, _) = closes("failures", |story| {
        for n in 0..LINES / 4 {
            let line = story.intent(1, &on(OLD, Operation::ExportPublic(node(n))));
            story.outcome(line, failed());
            story.done(n as u32, &extended(OLD, "m"));
        }
    });
    assert_eq!(story.history.cut_off(), Some(64 * 4 + 2 - 1), "the 65th command that failed");
}

#[test]
fn attack_one_account_after_another_with_a_list_by_hand_that_counts_to_all() {
    let accounts = LINES / 2;
    let tell = |list: &'static str| {
        move |story: &mut Story| {
            story.history.take_written(list).unwrap();
            for n in 0..accounts {
                story.done(1, &Request { key_uid: Some(account(n)), ..sign(NEW, "m/44'") });
            }
        }
    };
    let private = |closure: &Closure| closure.computable.iter().filter(|it| it.what.extent.is_private()).count() as u64;
    let (_, closure) = closes("accounts", tell("m/1 private 4.0\n"));
    assert_eq!((private(&closure), closure.not_counted), (accounts, 0));
    // What would be too much stands by itself, and that is told.
    let long: String = (1..20).map(|n| format!("m/{n} private 4.0\n")).collect();
    let (_, closure) = closes("accounts and a longer list", tell(long.leak()));
    assert_eq!((private(&closure), closure.not_counted), (19, accounts + 1));
}

/// Each line stands for its ancestors too: what is closed is bounded in nodes, not in lines.
#[test]
fn attack_long_paths_by_hand_that_count_to_a_thousand_accounts() {
    let list: String = (0..1_000)
        .map(|n| format!("m/{n}'{} private 4.0\n", (0..9).map(|step| format!("/{step}'")).collect::<String>()))
        .collect();
    let mut history = History::default();
    history.take_written(&list).unwrap();
    for n in 0..1_000 {
        let uid = account(n);
        history.take_written(&format!("account {uid}\nm/44' public 4.0\n")).unwrap();
    }
    let all = history.wallets();
    let nodes: usize = close(history.trees(&all, None), &[]).values().map(Closed::nodes).sum();
    assert!(nodes < 1 << 18, "{nodes} nodes");
    let closure = Closure::of(&history, &Filter::default());
    assert_eq!((closure.not_counted, closure.count().private_keys), (1_001, 1_000), "told, and for itself");
}

#[test]
fn attack_readers_that_are_lent_while_card_after_card_has_a_current_key() {
    closes("lent readers", |story| {
        for n in 0..LINES / 4 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            story.done(1, &signs(CardId::Instance(id), "m/1", true));
        }
        for n in 0..LINES / 2 {
            let Event::Owner(mut owner) = lent(OLD) else { panic!("a deed of the owner") };
            owner.card = if n % 2 == 0 { None } else { Some(OLD) };
            story.line(Event::Owner(owner));
        }
    });
}

/// Every key shares a nonce with the next one; the last one leaves, and so do all.
#[test]
fn attack_a_chain_of_shared_nonces_through_all_keys() {
    let wallet = |n| Wallet { account: Account::KeyUid(account(n % 3)), decoy: false };
    let key = |n: u64| -> Node { (wallet(n), node(n)) };
    let (_, closure) = closes("a chain of nonces", |story| {
        for n in 0..LINES {
            story.history.tie(key(n), key(n + 1), [Source::Line(n), Source::Line(n + 1)]);
        }
        let last = key(LINES);
        let Account::KeyUid(uid) = last.0.account else { panic!("an account") };
        story.history.take_written(&format!("account {uid}\n{} private 4.0\n", last.1)).unwrap();
    });
    let private = closure.computable.iter().filter(|it| it.what.extent.is_private());
    assert_eq!(private.clone().count() as u64, LINES + 1);
    assert!(private.clone().all(|it| it.what.from.len() <= 65));
}

/// From bond to bond through the tree: each private key gives a child's, which is bound to the next parent.
#[test]
fn attack_bonds_that_are_broken_one_after_the_other_through_the_tree() {
    let rounds = LINES / 8;
    let wallet = Wallet { account: Account::KeyUid(account(7)), decoy: false };
    let (_, closure) = closes("a chain of bonds", |story| {
        for n in 0..rounds {
            let parent = node(n);
            let request = |operation| Request { card: NEW, key_uid: Some(account(7)), operation };
            story.done(1, &request(Operation::ExportExtendedPublic(parent.clone())));
            let next = (wallet, node(n + 1));
            story.history.tie((wallet, below(&parent, 0)), next, [Source::Line(n), Source::Line(n + 1)]);
        }
        story.history.take_written(&format!("account {}\n{} private 4.0\n", account(7), node(0))).unwrap();
    });
    let private = closure.computable.iter().filter(|it| it.what.extent.is_private()).count() as u64;
    assert_eq!(private, rounds + 1);
}

/// Nodes of a wide tree, and children that betray their parents.
#[test]
fn attack_a_wide_tree_in_which_everything_follows() {
    let (_, closure) = closes("a wide tree", |story| {
        story.done(1, &extended(NEW, "m/1"));
        for n in 0..LINES / 2 {
            story.done(1, &on(NEW, Operation::ExportPublic(below(&path("m/1"), n as u32))));
        }
        let list = format!("account {}\nm/1/77 private 4.0\n", KeyUid::from([7; 32]));
        story.history.take_written(&list).unwrap();
    });
    assert_eq!(closure.computable.len(), 1);
    assert_eq!(closure.computable[0].what.extent, Extent::PrivateSubtree);
}
