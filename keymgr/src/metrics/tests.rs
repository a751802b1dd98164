use super::*;
use crate::hardening::Hardening;

#[test]
fn everything_that_is_counted_is_in_the_text_and_in_short() {
    let metrics = Metrics::default();
    metrics.command(0xC2, Duration::from_millis(3));
    metrics.command(0x99, Duration::from_millis(3));
    metrics.append(Duration::from_micros(200));
    metrics.lag(Duration::from_millis(9));
    metrics.refused("refused");
    metrics.request("ExportPrivate", "ok", Duration::from_millis(10));
    metrics.request("ExportPrivate", "refused", Duration::from_millis(1));
    metrics.connections(2);
    metrics.turned_away("too many of this user");
    let card = HeldCard {
        card: "ab".to_owned(),
        label: "alice".to_owned(),
        unlocked: true,
        pin_tries: Some(2),
        puk_tries: None,
    };
    let text = metrics.text(
        &Held { cards: vec![card], leases: [("unlocked".to_owned(), 1)].into(), log_entries: 7 },
        &Hardening::default(),
    );
    for line in [
        "cardinal_keymgr_card_command_seconds_count{ins=\"EXPORT KEY\"} 1",
        "cardinal_keymgr_card_command_seconds_count{ins=\"other\"} 1",
        "cardinal_keymgr_requests_total{operation=\"ExportPrivate\",result=\"ok\"} 1",
        "cardinal_keymgr_requests_total{operation=\"ExportPrivate\",result=\"refused\"} 1",
        "cardinal_keymgr_request_seconds_count{operation=\"ExportPrivate\"} 2",
        "cardinal_keymgr_refusals_total{reason=\"refused\"} 1",
        "cardinal_keymgr_log_append_seconds_count 1",
        "cardinal_keymgr_log_lag_seconds_bucket{le=\"0.01\"} 1",
        "cardinal_keymgr_connections 2",
        "cardinal_keymgr_connections_turned_away_total{reason=\"too many of this user\"} 1",
        "cardinal_keymgr_log_entries 7",
        "cardinal_keymgr_leases{state=\"unlocked\"} 1",
        "cardinal_keymgr_card_unlocked{card=\"ab\",label=\"alice\"} 1",
        "cardinal_keymgr_pin_tries_left{card=\"ab\",label=\"alice\"} 2",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(!text.contains("puk_tries_left{"), "what is not known is not told");
    let health = metrics.health();
    assert_eq!((health.requests, health.card_commands, health.turned_away, health.connections), (2, 2, 1, 2));
    assert_eq!((health.card_p99_us, health.append_p99_us, health.lag_p99_us), (5_000, 250, 10_000));
    assert_eq!(health.refusals.get("refused"), Some(&1));
    assert!(health.resident_bytes > 0);
}

#[test]
fn every_line_is_a_comment_or_a_sample_of_the_family_before_it() {
    let metrics = Metrics::default();
    metrics.command(0xC0, Duration::from_millis(1));
    metrics.request("Status", "ok", Duration::from_millis(1));
    let text = metrics.text(&Held::default(), &Hardening::default());
    let mut family = String::new();
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => rest.split(' ').next().unwrap().clone_into(&mut family),
            None if line.starts_with("# HELP ") => {}
            None => {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(&family) && value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
    assert!(text.ends_with('\n'));
}
