//! `cardinal policy`: what a policy file allows, and whether it would allow one request, asked of the key manager's program
//! without a card; and the policy that a running key manager has in force.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proto::rpc::Fault;
use proto::rpc::api::policies_client::PoliciesClient;
use proto::rpc::api::{PolicyInForce, ReloadPolicyRequest, ShowPolicyRequest};
use proto::shell::file;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::ProfileArg;
use crate::client::{self, answer};
use crate::error::CliError;
use crate::output::{Output, Tone, shown};
use crate::paths::{Layout, Profile};
use crate::process::{self, KEYMGR};

/// Verbs about the policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check a policy file: what it allows, in a table, and what in it can never apply.
    Check {
        /// The file; without it, the profile's own.
        #[arg(value_name = "FILE", conflicts_with = "profile")]
        file: Option<PathBuf>,
        #[command(flatten)]
        profile: ProfileArg,
    },
    /// Say whether a policy would allow a request, and why. No card and no key manager are asked.
    ///
    /// The exit code is 0 when it would, 20 when it would not.
    Test(TestArgs),
    /// Show the policy in force, its file and its hash.
    Show(ProfileArg),
    /// Have the key manager read its policy file again. A file that is no policy changes nothing.
    Reload(ProfileArg),
}

/// Options of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    profile: ProfileArg,
    /// The policy file; without it, the profile's own.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    policy: Option<PathBuf>,
    /// The user who would ask.
    #[arg(long, value_name = "N")]
    uid: u32,
    /// The program that would ask; its file is hashed, if it can be read.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// What would be done: export-private, public, extended, sign, ecdh, derive, bip85, lee or pinless.
    #[arg(long, value_name = "WORD")]
    operation: String,
    /// The path of the key.
    #[arg(long)]
    path: String,
    /// What for.
    #[arg(long, value_name = "WORDS")]
    purpose: String,
    /// The card whose key it would be, by its label, its id or its account (key UID); more than one of them, one option each.
    #[arg(long, value_name = "NAME")]
    card: Vec<String>,
    /// After what: an export log, for what was allowed before and what left.
    #[arg(long, value_name = "LOG")]
    history: Option<PathBuf>,
}

/// What the key manager's program says of a policy.
#[derive(Debug, Deserialize)]
struct Checked {
    sha256: String,
    owners: Vec<u32>,
    allows: Vec<Row>,
    warnings: Vec<String>,
}

/// One thing that is allowed.
#[derive(Debug, Deserialize)]
struct Row {
    key: String,
    operation: String,
    path: String,
    cards: Option<Vec<String>>,
    client: String,
    uid: u32,
    binary: Option<String>,
    sha256: Option<String>,
    purposes: Vec<String>,
    rate: Option<String>,
    approval: String,
}

/// What it says of one request.
#[derive(Debug, Deserialize)]
struct Tested {
    allowed: bool,
    file: String,
    key: Option<String>,
    approval: Option<String>,
    reason: Option<String>,
    block: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// What is wrong with the file, [`Fault::Refused`] when it would not allow a request, or what the key manager answered.
pub(crate) async fn run(out: Output, verb: PolicyVerb) -> Result<(), CliError> {
    match verb {
        PolicyVerb::Check { file, profile } => check(out, &file_of(file, profile)?).await,
        PolicyVerb::Test(args) => test(out, args).await,
        PolicyVerb::Show(profile) => show(out, profile).await,
        PolicyVerb::Reload(profile) => reload(out, profile).await,
    }
}

async fn check(out: Output, file: &Path) -> Result<(), CliError> {
    let mut command = process::command(KEYMGR.find()?.as_os_str(), "policy");
    command.arg("check").arg(file);
    let (said, _) = process::ask_once("the key manager", command).await?;
    if out.is_json() {
        return out.object(&said);
    }
    let checked: Checked = read(said)?;
    out.line(format!("{} is a policy (SHA-256 {}).", shown(&file.display().to_string()), checked.sha256))?;
    print_table(out, &checked)
}

fn print_table(out: Output, checked: &Checked) -> Result<(), CliError> {
    let Checked { owners, allows, warnings, .. } = checked;
    let owners: Vec<String> = owners.iter().map(u32::to_string).collect();
    let beside = if owners.is_empty() { String::new() } else { format!(", and uid {}", owners.join(", ")) };
    out.line(format!("Owners: the key manager's own user{beside}."))?;
    let head = ["key", "operation", "path", "cards", "client", "purposes", "rate", "approval"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(allows.iter().map(Row::cells)).collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        out.line(if number == 0 { out.tone(Tone::Strong, line) } else { line.to_owned() })?;
    }
    for warning in warnings {
        out.line(out.tone(Tone::Bad, &format!("warning: {}", shown(warning))))?;
    }
    Ok(())
}

impl Row {
    fn cells(&self) -> [String; 8] {
        let Self { key, operation, path, cards, client, uid, binary, sha256, purposes, rate, approval } = self;
        let mut who = format!("{client} (uid {uid}");
        if let Some(binary) = binary {
            who.push_str(&format!(", {binary}"));
        }
        if let Some(digits) = sha256 {
            who.push_str(&format!(", SHA-256 {}…", digits.get(..8).unwrap_or(digits)));
        }
        who.push(')');
        let rate = rate.as_deref().unwrap_or("any");
        let cards = cards.as_ref().map_or_else(|| "any".to_owned(), |cards| cards.join(", "));
        let cells = [key, operation, path, &cards, &who, &purposes.join(", "), rate, approval];
        cells.map(shown)
    }
}

async fn test(out: Output, args: TestArgs) -> Result<(), CliError> {
    let TestArgs { profile, policy, uid, binary, operation, path, purpose, card, history } = args;
    let file = file_of(policy, profile)?;
    let mut command = process::command(KEYMGR.find()?.as_os_str(), "policy");
    command.arg("test").arg("--policy").arg(&file).args(["--uid", &uid.to_string()]);
    command.args([format!("--operation={operation}"), format!("--path={path}"), format!("--purpose={purpose}")]);
    command.args(card.iter().map(|name| format!("--card={name}")));
    for (option, value) in [("--binary", binary), ("--history", history)] {
        if let Some(value) = value {
            command.arg(option).arg(value);
        }
    }
    let (said, code) = process::ask_once("the key manager", command).await?;
    if out.is_json() {
        out.object(&said)?;
    } else {
        let Tested { allowed, file, key, approval, reason, block } = read(said)?;
        let file = shown(&file);
        if allowed {
            let key = shown(&key.unwrap_or_default());
            let after = match approval.as_deref() {
                None => String::new(),
                Some("pin") => ", once the owner enters the PIN".to_owned(),
                Some(_) => ", once the owner approves".to_owned(),
            };
            out.line(format!("allowed{after}: block \"{key}\" of {file}"))?;
        } else {
            out.line(format!("refused: {}", shown(&reason.unwrap_or_default())))?;
            match block {
                Some(block) => {
                    out.line(format!("to allow it, add this to {file}:"))?;
                    out.line("")?;
                    block.lines().try_for_each(|line| out.line(shown(line)))?;
                }
                None => out.line(format!("nothing that is added to {file} allows it"))?,
            }
        }
    }
    if code == 0 { Ok(()) } else { Err(CliError::Said { code }) }
}

async fn show(out: Output, ProfileArg { profile }: ProfileArg) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(profile.as_deref())?;
    let manager = client::channel(&profile.keymgr_socket).await;
    let (in_force, path) = match manager {
        Ok(channel) => {
            let mut policies = PoliciesClient::new(channel);
            let in_force = answer(policies.show(ShowPolicyRequest {})).await?;
            let path = PathBuf::from(&in_force.path);
            (Some(in_force), path)
        }
        Err(error) if error.fault() == Some(Fault::NotRunning) => (None, policy_of(&profile)),
        Err(error) => return Err(error),
    };
    let text = file::read_bounded(&path, LONGEST).ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    if out.is_json() {
        return out.object(&json!({
            "file": path,
            "running": in_force.is_some(),
            "sha256": in_force.as_ref().map(|it| &it.sha256),
            "written": in_force.as_ref().map(|it| it.written),
            "text": text,
        }));
    }
    let file = shown(&path.display().to_string());
    match &in_force {
        Some(PolicyInForce { sha256, written, .. }) => {
            out.line(format!("file    {file}"))?;
            out.line(format!("SHA-256 {} (in force)", shown(sha256)))?;
            if !written {
                let note = "the file has another text, or none: `cardinal policy reload` puts it in force";
                out.line(out.tone(Tone::Bad, note))?;
            }
        }
        None => out.line(format!("file    {file} (the key manager does not run)"))?,
    }
    out.line("")?;
    match text {
        Some(text) => text.lines().try_for_each(|line| out.line(shown(line))),
        None => out.line(out.tone(Tone::Faint, "No file is written yet: the first enrolment writes it.")),
    }
}

async fn reload(out: Output, ProfileArg { profile }: ProfileArg) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(profile.as_deref())?;
    let mut policies = PoliciesClient::new(client::channel(&profile.keymgr_socket).await?);
    let PolicyInForce { path, sha256, before, .. } = answer(policies.reload(ReloadPolicyRequest {})).await?;
    let changed = sha256 != before;
    if out.is_json() {
        return out.object(&json!({ "file": path, "sha256": sha256, "before": before, "changed": changed }));
    }
    let what = if changed { "is in force; the log says so" } else { "was in force already" };
    out.line(format!("{} {what} (SHA-256 {}).", shown(&path), shown(&sha256)))
}

/// Returns the file that was named, or a profile's own.
fn file_of(file: Option<PathBuf>, ProfileArg { profile }: ProfileArg) -> Result<PathBuf, CliError> {
    match file {
        Some(file) => Ok(file),
        None => Ok(policy_of(&Layout::of_user()?.choose(profile.as_deref())?)),
    }
}

fn policy_of(profile: &Profile) -> PathBuf {
    profile.keymgr_dir().join("policy.toml")
}

fn read<R: for<'de> Deserialize<'de>>(said: Value) -> Result<R, CliError> {
    serde_json::from_value(said)
        .map_err(|_| CliError::Other("the key manager's program is of another version".to_owned()))
}

/// No policy is longer.
const LONGEST: usize = 1 << 20;
