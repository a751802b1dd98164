//! `cardinal keys`: the keys of the unlocked card for other programs. No PIN is asked, the policy decides, and everything is
//! in the export log.

use std::fs::File;
use std::io::Write as _;

use clap::{Args, Subcommand};
use proto::rpc::api::{CardAccess, DeriveRequest, EcdhRequest, SecretReply, SignRequest};
use proto::rpc::seal;
use serde_json::json;
use zeroize::Zeroizing;

use crate::card::args::TargetArgs;
use crate::card::manager::{Manager, OneTime, bytes32, public_key};
use crate::client::answer;
use crate::error::CliError;
use crate::output::{Output, unwritten};
use crate::secret;

/// Verbs about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Sign a hash. A block of the policy must list `sign` for the path.
    Sign(SignArgs),
    /// Agree on a secret with a public key: the X coordinate, 32 bytes. A block of the policy must list `ecdh` for the path.
    Ecdh(EcdhArgs),
    /// Derive a secret that only this card gives again, for example the key of a database. A block of the policy must list
    /// `derive` for the path; nobody may then agree on other secrets with that key.
    Derive(DeriveArgs),
}

/// Which key, and what for.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The path of the key.
    #[arg(long)]
    path: String,
    /// What for, as the policy's blocks and the log name it.
    #[arg(long, value_name = "WORDS", default_value = "command line")]
    purpose: String,
}

/// Where a secret goes.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// Write the secret to this open file descriptor instead of standard output, in hexadecimal.
    #[arg(long, value_name = "N")]
    write_fd: Option<u32>,
}

/// Options of `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The hash, 64 hexadecimal digits.
    hash: String,
    /// A signature of BIP-340 (applet 4.0).
    #[arg(long)]
    schnorr: bool,
    /// What is added to the key for that, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", requires = "schnorr")]
    tweak: Option<String>,
}

/// Options of `ecdh`.
#[derive(Debug, Args)]
pub(crate) struct EcdhArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The other public key, in hexadecimal.
    peer: String,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Options of `derive`.
#[derive(Debug, Args)]
pub(crate) struct DeriveArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// What the secret is for: another name gives another secret.
    name: String,
    /// How many bytes, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=64))]
    length: u32,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Does what the verb says.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn run(out: Output, verb: KeysVerb) -> Result<(), CliError> {
    match verb {
        KeysVerb::Sign(args) => sign(out, args).await,
        KeysVerb::Ecdh(EcdhArgs { key, peer, secret }) => {
            let peer = public_key(&peer)?.to_compressed().to_vec();
            let KeyArgs { target, path, purpose } = key;
            with_secret(out, &target, &secret, async |manager, access, caller| {
                answer(manager.cards.ecdh(EcdhRequest { access, path, peer, purpose, caller })).await
            })
            .await
        }
        KeysVerb::Derive(DeriveArgs { key, name, length, secret }) => {
            let KeyArgs { target, path, purpose } = key;
            with_secret(out, &target, &secret, async |manager, access, caller| {
                answer(manager.cards.derive(DeriveRequest { access, path, name, length, purpose, caller })).await
            })
            .await
        }
    }
}

async fn sign(out: Output, args: SignArgs) -> Result<(), CliError> {
    let SignArgs { key: KeyArgs { target, path, purpose }, hash, schnorr, tweak } = args;
    let hash = bytes32(&hash, "hash")?;
    let tweak = tweak.as_deref().map(|tweak| bytes32(tweak, "tweak")).transpose()?.unwrap_or_default();
    let mut manager = Manager::of(&target).await?;
    let access = session(&manager);
    let reply = answer(manager.cards.sign(SignRequest { access, path, hash, schnorr, tweak, purpose })).await?;
    let signature = hex::encode(&reply.signature);
    if !out.is_json() {
        return out.line(signature);
    }
    out.object(&json!({
        "scheme": if schnorr { "schnorr" } else { "ecdsa" },
        "signature": signature,
        "public_key": format!("0x{}", hex::encode(&reply.public_key)),
        "log_entry": reply.log_entry,
    }))
}

/// Asks for secret bytes and hands them over: on a line of their own, or in a JSON object.
async fn with_secret(
    out: Output,
    target: &TargetArgs,
    SecretArgs { write_fd }: &SecretArgs,
    call: impl AsyncFnOnce(&mut Manager, Option<CardAccess>, Vec<u8>) -> Result<SecretReply, CliError>,
) -> Result<(), CliError> {
    secret::check_writable(*write_fd)?;
    let mut manager = Manager::of(target).await?;
    let access = session(&manager);
    let ours = OneTime::fresh();
    let caller = ours.caller();
    let reply = call(&mut manager, access, caller).await?;
    let bytes = ours.open(seal::SECRET, reply.secret.as_ref())?;
    let mut digits = Zeroizing::new(vec![0; bytes.len() * 2]);
    hex::encode_to_slice(&bytes, &mut digits).map_err(|error| CliError::Other(error.to_string()))?;
    if let Some(number) = *write_fd {
        secret::write(number, &digits)?;
        let entry = reply.log_entry;
        return if out.is_json() { out.object(&json!({ "log_entry": entry })) } else { Ok(()) };
    }
    let (head, tail) = match out.is_json() {
        true => ("{\"secret\":\"", format!("\",\"log_entry\":{}}}\n", reply.log_entry)),
        false => ("", "\n".to_owned()),
    };
    let mut line = Zeroizing::new(Vec::with_capacity(head.len() + digits.len() + tail.len()));
    line.extend_from_slice(head.as_bytes());
    line.extend_from_slice(&digits);
    line.extend_from_slice(tail.as_bytes());
    // Past the standard library's own buffer, which nobody wipes.
    let stdout = rustix::io::dup(rustix::stdio::stdout()).map_err(|error| unwritten(&error.into()))?;
    File::from(stdout).write_all(&line).map_err(|error| unwritten(&error))
}

/// Returns the session of the card that is meant, which its owner unlocked.
fn session(manager: &Manager) -> Option<CardAccess> {
    Some(CardAccess { target: manager.target(), ..CardAccess::default() })
}
