//! Every command once, and where it matters once more as an error.

use proto::rpc::api::ExportPrivateRequest;
use proto::rpc::seal;
use serde_json::Value;

use crate::client;
use crate::error::CliError;

use super::captured::Captured;
use super::secrets::{Line, Secrets};
use super::stage::Stage;

/// One command.
struct Step {
    /// Its words; `{card}` and `{fingerprint}` are the id and the fingerprint of the card that it is about.
    words: &'static str,
    /// The options that read a secret.
    secrets: &'static [(&'static str, Line)],
    /// Whether the test means nothing unless it is done.
    must: bool,
}

const fn must(words: &'static str, secrets: &'static [(&'static str, Line)]) -> Step {
    Step { words, secrets, must: true }
}

/// It may be refused: what is searched is what it says then.
const fn may(words: &'static str, secrets: &'static [(&'static str, Line)]) -> Step {
    Step { words, secrets, must: false }
}

/// Performs everything, and returns how many commands that were.
///
/// # Errors
/// A step that must work and does not.
pub(super) async fn perform(
    stage: &mut Stage,
    secrets: &mut Secrets,
    captured: &mut Captured,
) -> Result<usize, CliError> {
    let mut count = 0;
    for (reader, steps) in [("alice", FIRST), ("old", OLD), ("alice", UNLOCKED)] {
        for step in steps {
            perform_one(stage, captured, reader, step).await?;
            count += 1;
        }
    }
    export(stage, secrets).await?;
    stage.start_node().await?;
    for (reader, steps) in [("alice", RUNNING), ("old", LAST)] {
        for step in steps {
            perform_one(stage, captured, reader, step).await?;
            count += 1;
        }
    }
    Ok(count)
}

async fn perform_one(stage: &Stage, captured: &mut Captured, reader: &str, step: &Step) -> Result<(), CliError> {
    let mut line = step.words.to_owned();
    if line.contains('{') {
        let info = stage.cardinal(&["--json", "card", "info", "--reader", &format!("soft:{reader}")], &[]).await?;
        let info: Value = serde_json::from_slice(&info.stdout).unwrap_or_default();
        for field in ["card", "fingerprint"] {
            let value = info.get(field).and_then(Value::as_str).unwrap_or("none");
            line = line.replace(&format!("{{{field}}}"), value);
        }
    }
    let words: Vec<&str> = line.split(' ').collect();
    let output = stage.cardinal(&words, step.secrets).await?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    captured.keep(format!("the output of `cardinal {}`", step.words), output.stdout);
    captured.keep(format!("the errors of `cardinal {}`", step.words), output.stderr);
    if step.must && !output.status.success() {
        return Err(CliError::Other(format!("`cardinal {}` failed: {said}", step.words)));
    }
    Ok(())
}

/// Exports both keys of a node as a node does: what comes back is opened here, and is among the secrets from then on.
async fn export(stage: &Stage, secrets: &mut Secrets) -> Result<(), CliError> {
    let mut manager = client::keymgr(&stage.socket()).await?;
    for (path, purpose, name) in [
        (proto::ExportPath::chat().to_string(), "chat identity", "the chat key"),
        (proto::ExportPath::database().to_string(), "database", "the database key"),
    ] {
        let ours = secrets.one_time_key("a caller's one-time key");
        let request = ExportPrivateRequest {
            path,
            purpose: purpose.to_owned(),
            caller: ours.public().to_vec(),
            ..ExportPrivateRequest::default()
        };
        let sealed = client::answer(manager.export_private(request)).await?.key.unwrap_or_default();
        let key = ours
            .open(seal::KEY, &sealed)
            .map_err(|_| CliError::Other(format!("{name} does not open with our one-time key")))?;
        secrets.add(name, &key);
    }
    Ok(())
}

/// The first card, from blank to a key.
const FIRST: &[Step] = &[
    may("readers", &[]),
    may("doctor", &[]),
    must("keymgr status", &[]),
    must("card info", &[]),
    may("card init", &[("--pin-fd", Line::Pin), ("--puk-fd", Line::Puk)]),
    must(
        "card init --confirm {fingerprint}",
        &[("--pin-fd", Line::Pin), ("--puk-fd", Line::Puk), ("--duress-fd", Line::Duress)],
    ),
    may("card init --confirm {fingerprint}", &[("--pin-fd", Line::Pin), ("--puk-fd", Line::Puk)]),
    must("card key load", &[("--pin-fd", Line::Pin), ("--seed-fd", Line::Seed)]),
    may("card key load", &[("--pin-fd", Line::Pin), ("--private-key-fd", Line::PrivateKey)]),
    may(
        "card key load",
        &[("--pin-fd", Line::Pin), ("--words-fd", Line::Words), ("--passphrase-fd", Line::Passphrase)],
    ),
    may("card key load", &[("--pin-fd", Line::Pin), ("--words-fd", Line::Password)]),
    must("card key load", &[("--pin-fd", Line::Pin), ("--words-fd", Line::Words)]),
    must("card pin change", &[("--pin-fd", Line::Pin), ("--new-pin-fd", Line::NewPin)]),
    must("card pin change", &[("--pin-fd", Line::NewPin), ("--new-pin-fd", Line::Pin)]),
    must("card puk change", &[("--pin-fd", Line::Pin), ("--new-puk-fd", Line::NewPuk)]),
    may("card pin unblock", &[("--puk-fd", Line::Puk), ("--new-pin-fd", Line::NewPin)]),
    may("card pin unblock", &[("--puk-fd", Line::NewPuk), ("--new-pin-fd", Line::Pin)]),
    must("card data set --hex 00112233", &[("--pin-fd", Line::Pin)]),
    must("card data get", &[]),
    may("card ndef set --text hello", &[("--pin-fd", Line::Pin)]),
    may("card ndef get", &[]),
    may("card label alice", &[]),
    may("card duress", &[]),
    may("card challenge", &[]),
    may("card cash", &[]),
    may("card verify-identity", &[]),
    may("card slots", &[]),
    may("card recover", &[]),
    may("card install --cap none.cap", &[]),
    may("card mnemonic --words 12", &[]),
    may("card pinless --clear", &[("--pin-fd", Line::Pin)]),
    may("card key export-public m/43'/60'/1581'/0'/0", &[("--pin-fd", Line::Pin)]),
    may(
        "card sign --path m/44'/60'/0'/0/0 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        &[("--pin-fd", Line::Pin)],
    ),
    may(
        "card ecdh --path m/44'/1237'/0'/0/0 0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        &[("--pin-fd", Line::Pin)],
    ),
    may("card bip85 --path m/83696968'/39'/0'/12'/0'", &[("--pin-fd", Line::Pin)]),
    may("card lee", &[("--pin-fd", Line::Pin)]),
];

/// A card of the older generation, which is paired.
const OLD: &[Step] = &[
    must(
        "card init --reader soft:old --confirm {fingerprint}",
        &[("--pin-fd", Line::Pin), ("--puk-fd", Line::Puk), ("--pairing-password-fd", Line::Password)],
    ),
    may("card pair --reader soft:old", &[("--password-fd", Line::WrongPin)]),
    may("card pair --reader soft:old", &[("--password-fd", Line::Password)]),
    may("card slots --reader soft:old", &[]),
    must("card key load --reader soft:old", &[("--pin-fd", Line::Pin), ("--words-fd", Line::Words)]),
    may("card key generate --reader soft:old", &[("--pin-fd", Line::Pin)]),
    may("card key remove --reader soft:old", &[("--pin-fd", Line::Pin)]),
    may("card verify-identity --reader soft:old", &[]),
    may("card pairings import missing.json", &[]),
    may("card pairings export --reader soft:old", &[]),
    may("card pairings password --reader soft:old", &[("--pin-fd", Line::Pin), ("--password-fd", Line::Password)]),
    may("card unpair --reader soft:old --ours", &[("--pin-fd", Line::Pin)]),
];

/// The first card under its PIN.
const UNLOCKED: &[Step] = &[may("unlock", &[("--pin-fd", Line::Password)]), must("unlock", &[("--pin-fd", Line::Pin)])];

/// While the node runs.
const RUNNING: &[Step] = &[
    must("keymgr status", &[]),
    must("keymgr metrics", &[]),
    must("node status", &[]),
    may("node set --min-pow 0.002", &[]),
    may("chat #leaks", &[]),
    may("node leave #leaks", &[]),
    may("policy check", &[]),
    must("policy show", &[]),
    may("policy test --uid 0 --operation export-private --path m/43'/60'/1581'/1'/0 --purpose database", &[]),
    may("policy reload", &[]),
    may("keys sign --path m/43'/60'/1581'/0'/0 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", &[]),
    may(
        "keys ecdh --path m/43'/60'/1581'/0'/0 0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        &[],
    ),
    may("keys derive --path m/43'/60'/1581'/2'/0 name", &[]),
    may("keymgr leases", &[]),
    may("keymgr lend", &[]),
    may("keymgr take-back", &[]),
    must("audit show", &[]),
    may("audit anchor", &[]),
    may("audit sign", &[("--pin-fd", Line::Pin)]),
    may("audit adopt", &[]),
    may("audit closure", &[]),
    may("audit report", &[]),
    may("audit prove --line 1", &[]),
    may("audit push --to file:sent", &[]),
    may("audit verify --ca test", &[]),
    must("lock", &[]),
    may("unlock", &[("--pin-fd", Line::WrongPin)]),
    may("unlock", &[("--pin-fd", Line::Pin)]),
];

const LAST: &[Step] = &[may("card reset --reader soft:old --yes-wipe {card}", &[])];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    /// What the script leaves out, and why.
    const LEFT_OUT: [(&str, &str); 8] = [
        ("demo", "it draws its secrets itself"),
        ("up", "it draws its secrets itself"),
        ("down", "it ends what `up` started"),
        ("bot", "it reads commands, and no secret"),
        ("audit drill", "it draws its secrets itself"),
        ("agent", "it waits for questions; what it sends of a PIN is what `unlock` sends"),
        ("keymgr run", "the test starts the program itself"),
        ("selftest", "it is this"),
    ];

    fn verbs(command: &clap::Command, before: &str, all: &mut Vec<String>) {
        for verb in command.get_subcommands() {
            let name = format!("{before} {}", verb.get_name()).trim().to_owned();
            if verb.has_subcommands() {
                verbs(verb, &name, all);
            } else {
                all.push(name);
            }
        }
    }

    #[test]
    fn every_verb_is_performed_or_left_out_for_a_reason() {
        let mut all = Vec::new();
        verbs(&Cli::command(), "", &mut all);
        let performed = [FIRST, OLD, UNLOCKED, RUNNING, LAST].concat_words();
        all.retain(|verb| {
            let done = performed.iter().any(|words| *words == verb || words.starts_with(&format!("{verb} ")));
            let left_out = LEFT_OUT.iter().any(|(name, _)| name == verb);
            done == left_out
        });
        assert!(all.is_empty(), "neither performed nor left out, or both: {all:?}");
    }

    #[test]
    fn every_step_is_a_command_that_exists() {
        for words in [FIRST, OLD, UNLOCKED, RUNNING, LAST].concat_words() {
            let args = ["cardinal"].into_iter().chain(words.split(' '));
            // Options that read a secret are added to it, so that some are missing here.
            if let Err(error) = Cli::command().try_get_matches_from(args) {
                let kind = error.kind();
                assert_eq!(kind, clap::error::ErrorKind::MissingRequiredArgument, "{words}: {error}");
            }
        }
    }

    trait ConcatWords {
        fn concat_words(&self) -> Vec<&'static str>;
    }

    impl ConcatWords for [&'static [Step]; 5] {
        fn concat_words(&self) -> Vec<&'static str> {
            self.iter().flat_map(|steps| steps.iter().map(|step| step.words)).collect()
        }
    }
}
