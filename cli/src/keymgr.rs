//! `cardinal keymgr`: runs a key manager in the places of a profile, or says what it holds, without touching the card.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use proto::rpc::api::{Health, Measure, MetricsRequest, Seat};
use proto::shell::file;
use serde_json::{Value, json};

use crate::args::{KeymgrVerb, ProfileArg, RunArgs};
use crate::error::CliError;
use crate::output::{Output, shown};
use crate::paths::{self, Layout, Profile, ProfileName};
use crate::process::KEYMGR;
use crate::{client, lend, network};

/// Does what the verb says.
///
/// # Errors
/// What the key manager answered, or why it was not started.
pub(crate) async fn run(out: Output, verb: KeymgrVerb) -> Result<(), CliError> {
    match verb {
        KeymgrVerb::Run(args) => Err(become_manager(&args)),
        KeymgrVerb::Status(profile) => status(out, profile).await,
        KeymgrVerb::Metrics(profile) => metrics(out, profile).await,
        KeymgrVerb::Leases(profile) => lend::leases(out, profile).await,
        KeymgrVerb::Lend(args) => lend::lend(out, args).await,
        KeymgrVerb::TakeBack(args) => lend::take_back(out, args).await,
    }
}

/// Goes on as the key manager's program, and returns why not.
fn become_manager(args: &RunArgs) -> CliError {
    let RunArgs { profile, reader, allow_test_ca } = args;
    let mut command = match prepare(profile) {
        Ok((program, profile)) => {
            let mut command = Command::new(program);
            command.arg("run").arg("--dir").arg(profile.keymgr_dir()).arg("--socket").arg(&profile.keymgr_socket);
            command.arg("--manifest").arg(profile.manifest()).arg("--reader").arg(reader);
            command
        }
        Err(error) => return error,
    };
    if *allow_test_ca {
        command.arg("--allow-test-ca");
    }
    CliError::Other(format!("{} does not start: {}", KEYMGR.name(), command.exec()))
}

fn prepare(name: &str) -> Result<(std::path::PathBuf, Profile), CliError> {
    let program = KEYMGR.find()?;
    let layout = Layout::of_user()?;
    layout.make()?;
    let profile = layout.profile(ProfileName::try_from(name)?);
    if !profile.dir.exists() {
        make(&layout, &profile)?;
    }
    Ok((program, profile))
}

/// Makes a profile without a card of its own. It appears whole or not at all.
fn make(layout: &Layout, profile: &Profile) -> Result<(), CliError> {
    let unfinished = layout.profiles_dir().join(format!(".{}.new", profile.name));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(CliError::file(&unfinished))?;
    }
    paths::make_private(&unfinished.join("keymgr"))?;
    paths::make_private(&unfinished)?;
    let manifest = unfinished.join("manifest.toml");
    file::write_whole(&manifest, NOBODY.as_bytes()).map_err(CliError::file(&manifest))?;
    fs::rename(&unfinished, &profile.dir).map_err(CliError::file(&profile.dir))?;
    file::sync_folder_of(&profile.dir).map_err(CliError::file(&profile.dir))
}

async fn metrics(out: Output, ProfileArg { profile }: ProfileArg) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    let text = client::prompt_answer(manager.metrics(MetricsRequest {})).await?.text;
    if out.is_json() {
        return out.object(&json!({ "metrics": text }));
    }
    // Its labels are foreign text: each line passes as a line.
    text.lines().try_for_each(|line| out.line(shown(line)))
}

async fn status(out: Output, ProfileArg { profile }: ProfileArg) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    let status = network::keymgr_status(&mut manager).await?;
    let left = match (status.unlocked, status.pin_seconds_left) {
        (false, _) => json!(0),
        // Not a number of seconds: the PIN stays until the manager stops.
        (true, u64::MAX) => Value::Null,
        (true, seconds) => json!(seconds),
    };
    out.report(vec![
        ("profile", json!(profile.name.as_str())),
        ("version", json!(status.version)),
        ("pid", json!(status.pid)),
        ("reader", json!(status.reader)),
        ("reader_state", json!(status.reader_state)),
        ("card", json!(status.card)),
        ("label", json!(status.label)),
        ("enrolled", json!(status.enrolled)),
        ("key_uid", json!(status.key_uid)),
        ("unlocked", json!(status.unlocked)),
        ("decoy", json!(status.decoy)),
        ("pin_seconds_left", left),
        ("log_path", json!(status.log_path)),
        ("log_entries", json!(status.log_entries)),
        ("log_head", json!(status.log_head)),
        ("test_ca_allowed", json!(status.test_ca_allowed)),
        ("leases", status.seats.iter().map(if out.is_json() { lend::json_of } else { told_lease }).collect()),
        ("hardening", status.hardening.iter().map(if out.is_json() { measure } else { told_measure }).collect()),
        ("health", if out.is_json() { health } else { told_health }(&status.health.unwrap_or_default())),
    ])
}

fn told_lease(seat: &Seat) -> Value {
    json!(lend::line_of(seat))
}

fn measure(measure: &Measure) -> Value {
    let Measure { name, in_force, missing } = measure;
    match in_force {
        true => json!({ "measure": name, "in_force": true }),
        false => json!({ "measure": name, "in_force": false, "why_not": missing }),
    }
}

fn told_measure(measure: &Measure) -> Value {
    let Measure { name, in_force, missing } = measure;
    if *in_force { json!(name) } else { json!(format!("not {name}: {missing}")) }
}

fn told_health(health: &Health) -> Value {
    let Health { requests, card_commands, card_p99_us, lag_p99_us, resident_bytes, .. } = health;
    let Health { heads_waiting, oldest_head_seconds, .. } = health;
    let refused: Vec<String> = health.refusals.iter().map(|(fault, times)| format!(", {times} {fault}")).collect();
    let refused = refused.concat();
    let unsent = match heads_waiting {
        0 => String::new(),
        heads => format!("; {heads} signed heads not sent off this computer, the oldest for {oldest_head_seconds} s"),
    };
    json!(format!(
        "{requests} requests{refused}, {card_commands} card commands (99 % within {card_p99_us} us), \
         99 % of outcomes on disk within {lag_p99_us} us, {} MiB of memory{unsent}",
        resident_bytes >> 20
    ))
}

fn health(health: &Health) -> Value {
    json!({
        "connections": health.connections,
        "connections_turned_away": health.turned_away,
        "requests": health.requests,
        "refusals": health.refusals,
        "card_commands": health.card_commands,
        "card_p99_us": health.card_p99_us,
        "log_append_p99_us": health.append_p99_us,
        "log_lag_p99_us": health.lag_p99_us,
        "resident_bytes": health.resident_bytes,
        "spool_heads": health.heads_waiting,
        "spool_bytes": health.head_bytes_waiting,
        "spool_oldest_seconds": health.oldest_head_seconds,
    })
}

/// A manifest without cards.
const NOBODY: &str = "\
# Cards that are taken on first contact without asking, one [[card]] each: label, generation, and identity (v2, 66
# hexadecimal digits) or instance (v1, 32). Of any other card its owner is asked to compare the fingerprint.
";
