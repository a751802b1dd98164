//! `cardinal card sign|ecdh|bip85|lee|pinless|challenge|cash`: what a card does with its keys.

use proto::rpc::api::{
    Bip85Request, CashRequest, ChallengeRequest, EcdhRequest, LeeRequest, PinlessRequest, SecretReply, SignRequest,
};
use proto::rpc::seal;
use serde_json::json;
use zeroize::Zeroizing;

use crate::card::args::{
    AccessArgs, Bip85Args, CashArgs, ChallengeArgs, EcdhArgs, LeeArgs, PinlessArgs, SecretArgs, SignArgs,
};
use crate::card::manager::{Manager, OneTime, bytes32, public_key};
use crate::card::{done, words};
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;

/// `card sign`
pub(crate) async fn sign(out: Output, args: &SignArgs) -> Result<(), CliError> {
    let hash = bytes32(&args.hash, "hash")?;
    let tweak = args.tweak.as_deref().map(|tweak| bytes32(tweak, "tweak")).transpose()?.unwrap_or_default();
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let reply = manager
        .with_session(&args.access, async |manager: &mut Manager, access| {
            let request = SignRequest {
                access: Some(access),
                path: args.path.clone(),
                hash: hash.clone(),
                schnorr: args.schnorr,
                tweak: tweak.clone(),
                purpose: args.purpose.purpose.clone(),
            };
            answer(manager.cards.sign(request)).await
        })
        .await?;
    out.report(vec![
        ("path", json!(args.path)),
        ("scheme", json!(if args.schnorr { "schnorr" } else { "ecdsa" })),
        ("signature", json!(hex::encode(&reply.signature))),
        ("public_key", json!(format!("0x{}", hex::encode(&reply.public_key)))),
        ("log_entry", json!(reply.log_entry)),
    ])
}

/// `card ecdh`
pub(crate) async fn ecdh(out: Output, args: &EcdhArgs) -> Result<(), CliError> {
    let peer = public_key(&args.peer)?;
    let call = async |manager: &mut Manager, access, caller| {
        let request = EcdhRequest {
            access: Some(access),
            path: args.path.clone(),
            peer: peer.to_compressed().to_vec(),
            purpose: args.secret.purpose.purpose.clone(),
            caller,
        };
        answer(manager.cards.ecdh(request)).await
    };
    secret_use(out, &args.access, &args.secret, "shared secret", call).await
}

/// `card bip85`
pub(crate) async fn bip85(out: Output, args: &Bip85Args) -> Result<(), CliError> {
    let call = async |manager: &mut Manager, access, caller| {
        let request = Bip85Request {
            access: Some(access),
            path: args.path.clone(),
            length: args.length,
            purpose: args.secret.purpose.purpose.clone(),
            caller,
        };
        answer(manager.cards.bip85(request)).await
    };
    secret_use(out, &args.access, &args.secret, "entropy", call).await
}

/// `card lee`
pub(crate) async fn lee(out: Output, args: &LeeArgs) -> Result<(), CliError> {
    let call = async |manager: &mut Manager, access, caller| {
        let purpose = args.secret.purpose.purpose.clone();
        let request = LeeRequest { access: Some(access), path: args.path.clone(), purpose, caller };
        answer(manager.cards.lee(request)).await
    };
    secret_use(out, &args.access, &args.secret, "key pair of LEE", call).await
}

/// Asks for secret bytes and hands them over in hexadecimal.
async fn secret_use(
    out: Output,
    access: &AccessArgs,
    secret: &SecretArgs,
    what: &str,
    mut call: impl AsyncFnMut(&mut Manager, proto::rpc::api::CardAccess, Vec<u8>) -> Result<SecretReply, CliError>,
) -> Result<(), CliError> {
    words::check(secret.write_fd, what)?;
    let mut manager = Manager::of(&access.contact.target).await?;
    let (bytes, log_entry) = manager
        .with_session(access, async |manager: &mut Manager, access| {
            let ours = OneTime::fresh();
            let reply = call(manager, access, ours.caller()).await?;
            Ok((ours.open(seal::SECRET, reply.secret.as_ref())?, reply.log_entry))
        })
        .await?;
    let mut digits = Zeroizing::new(vec![0; bytes.len() * 2]);
    hex::encode_to_slice(&bytes, &mut digits).map_err(|error| CliError::Other(error.to_string()))?;
    words::hand_over(out, secret.write_fd, what, &digits)?;
    if secret.write_fd.is_some() {
        return out.report(vec![("written", json!(what)), ("log_entry", json!(log_entry))]);
    }
    Ok(())
}

/// `card pinless`
pub(crate) async fn pinless(out: Output, args: &PinlessArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let path = args.path.clone().unwrap_or_default();
    let reply = manager
        .with_pin(&args.access, async |manager: &mut Manager, access| {
            let purpose = args.purpose.purpose.clone();
            answer(manager.cards.pinless(PinlessRequest { access: Some(access), path: path.clone(), purpose })).await
        })
        .await?;
    let said = if args.clear { "No key signs without a PIN" } else { "One key signs without a PIN" };
    done(out, Some(reply), said, vec![("path", json!(args.path))])
}

/// `card challenge`
pub(crate) async fn challenge(out: Output, args: &ChallengeArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let reply = manager
        .contact(&args.contact, async |manager: &mut Manager, access| {
            answer(manager.cards.challenge(ChallengeRequest { access: Some(access), length: args.length })).await
        })
        .await?;
    out.report(vec![("random", json!(hex::encode(&reply.random)))])
}

/// `card cash`
pub(crate) async fn cash(out: Output, args: &CashArgs) -> Result<(), CliError> {
    let hash = args.sign.as_deref().map(|hash| bytes32(hash, "hash")).transpose()?.unwrap_or_default();
    let mut manager = Manager::of(&args.target).await?;
    let target = manager.target();
    let reply = answer(manager.cards.cash(CashRequest { target, hash })).await?;
    let mut fields = vec![
        ("applet", json!(reply.applet)),
        ("public_key", json!(format!("0x{}", hex::encode(&reply.public_key)))),
        ("data", json!(hex::encode(&reply.data))),
    ];
    if args.sign.is_some() {
        fields.push(("signature", json!(hex::encode(&reply.signature))));
        fields.push(("log_entry", json!(reply.log_entry)));
    }
    out.report(fields)
}
