//! The search for secrets, as it is shipped.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]
#![allow(dead_code, reason = "each test file uses its part")]

mod programs;

use std::process::Command;

use serde_json::Value;

#[test]
fn attack_no_secret_is_in_an_output_a_log_a_file_an_environment_a_socket_or_a_core() {
    let output = Command::new(programs::cardinal()).args(["--json", "selftest", "--leaks"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["leaks"], Value::Array(Vec::new()));
    // Every verb, and what they say, do and send.
    assert!(report["commands"].as_u64().unwrap() >= 60 && report["places"].as_u64().unwrap() >= 200, "{report}");
    assert!(report["bytes"].as_u64().unwrap() > 1_000_000, "{report}");
}
