//! What an operator sees of a manager: figures and a log.

use proto::rpc::api::{KeymgrStatusRequest, MetricsRequest, ReadersRequest};
use serde_json::Value;
use std::time::{Duration, Instant};

use crate::world::{PATIENCE, World, read, status};

#[tokio::test]
async fn figures_are_told_over_the_socket_in_short_and_in_a_textfile() {
    let world = World::new();
    let file = world.path("textfiles/cardinal.prom");
    std::fs::create_dir(world.path("textfiles")).unwrap();
    let running = world.start(&["--metrics-file", file.to_str().unwrap()]);
    let mut client = world.client().await;
    client.readers(ReadersRequest {}).await.unwrap();
    let text = client.metrics(MetricsRequest {}).await.unwrap().into_inner().text;
    for line in [
        "cardinal_keymgr_requests_total{operation=\"Readers\",result=\"ok\"} 1",
        "cardinal_keymgr_card_command_seconds_count{ins=\"SELECT\"} 1",
        "cardinal_keymgr_log_append_seconds_count 2",
        "cardinal_keymgr_connections 1",
        "cardinal_keymgr_hardening_in_force{measure=\"system-calls\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    let health = status(&mut client).await.health.unwrap();
    assert!(health.requests >= 2 && health.card_commands >= 1 && health.append_p99_us > 0);
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < PATIENCE, "the textfile is written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(read(&file).contains("cardinal_keymgr_log_entries 2\n"));
    drop(client);
    running.stop();
}

#[tokio::test]
async fn a_log_in_json_has_the_caller_and_the_operation_as_fields() {
    let world = World::new();
    let mut command = world.command(&["--log-format", "json"]);
    command.env("CARDINAL_LOG", "debug,h2=off,hyper=off,tower=off");
    let running = crate::world::Running::ready(command);
    let mut client = world.client().await;
    client.status(KeymgrStatusRequest {}).await.unwrap();
    drop(client);
    let said = running.stop();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let answered = lines.iter().find(|line| line["message"] == "answered").unwrap_or_else(|| panic!("{said}"));
    assert_eq!(answered["span"]["operation"], "Status");
    assert_eq!(answered["span"]["uid"], rustix::process::geteuid().as_raw());
    assert_eq!(answered["result"], "ok");
}
