//! `cardinal card key load|generate|remove|export-public` and `mnemonic`.

use proto::rpc::api::{CardDone, LoadKeyRequest, MnemonicReply, MnemonicRequest, PublicKeyRequest, load_key_request};
use proto::rpc::{Fault, seal};
use serde_json::json;
use zeroize::Zeroizing;

use crate::card::args::{AccessArgs, ContactArgs, ExportPublicArgs, LoadArgs, MnemonicArgs};
use crate::card::done;
use crate::card::manager::{Manager, OneTime};
use crate::card::words::Place;
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;
use crate::secret;

/// What is loaded, in the memory of this program until it is sealed.
enum Source {
    Words(Zeroizing<Vec<u8>>),
    Seed(Zeroizing<Vec<u8>>),
    KeyPair(Zeroizing<Vec<u8>>),
}

/// `card key load`
pub(crate) async fn load(out: Output, args: &LoadArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.access.contact.target).await?;
    // What is on the card stays there until somebody has the words of what replaces it.
    let source = match args.fresh {
        Some(count) => {
            let place = Place::find(args.write_words_fd)?;
            let (_, words) = drawn(&mut manager, &args.access.contact, count).await?;
            place.show(&words, args.read_back).await?;
            Source::Words(words)
        }
        None => source(args).await?,
    };
    let passphrase = match args.passphrase_fd {
        Some(_) => Some(secret::ask(args.passphrase_fd, String::new(), "passphrase", LONGEST).await?),
        None => None,
    };
    let reply = manager
        .with_pin(&args.access, async |manager: &mut Manager, access| {
            let key = match &source {
                Source::Words(words) => load_key_request::Key::Mnemonic(manager.sealed(seal::MNEMONIC, words).await?),
                Source::Seed(seed) => load_key_request::Key::Seed(manager.sealed(seal::SEED, seed).await?),
                Source::KeyPair(key) => load_key_request::Key::KeyPair(manager.sealed(seal::KEY, key).await?),
            };
            let passphrase = match &passphrase {
                Some(passphrase) => Some(manager.sealed(seal::PASSPHRASE, passphrase).await?),
                None => None,
            };
            let request = LoadKeyRequest { access: Some(access), passphrase, lee: args.lee, key: Some(key) };
            answer(manager.cards.load_key(request)).await
        })
        .await?;
    loaded(out, reply.done, "seen by this computer")
}

async fn source(args: &LoadArgs) -> Result<Source, CliError> {
    if args.seed_fd.is_some() {
        return Ok(Source::Seed(digits(args.seed_fd, "seed").await?));
    }
    if args.private_key_fd.is_some() {
        return Ok(Source::KeyPair(digits(args.private_key_fd, "private key").await?));
    }
    secret::ask(args.words_fd, "Words of the mnemonic: ".to_owned(), "mnemonic", LONGEST).await.map(Source::Words)
}

async fn digits(fd: Option<u32>, what: &'static str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let text = secret::ask(fd, String::new(), what, LONGEST).await?;
    let text = text.trim_ascii();
    let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| CliError::found(Fault::BadInput, format!("the {what} is not in hexadecimal; nothing was sent")))?;
    Ok(bytes)
}

/// `card key generate`
pub(crate) async fn generate(out: Output, args: &AccessArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let reply = manager
        .with_pin(args, async |manager: &mut Manager, access| {
            let key = Some(load_key_request::Key::Generate(true));
            answer(manager.cards.load_key(LoadKeyRequest { access: Some(access), key, ..Default::default() })).await
        })
        .await?;
    loaded(out, reply.done, "generated on the card, without any backup")
}

fn loaded(out: Output, reply: Option<CardDone>, seed: &str) -> Result<(), CliError> {
    let account = reply.as_ref().map(|done| done.key_uid.clone()).unwrap_or_default();
    let more = if out.is_json() {
        vec![("seed", json!(seed))]
    } else {
        vec![("account", json!(account)), ("seed", json!(seed))]
    };
    done(out, reply, "The card has its key", more)
}

/// `card key remove`
pub(crate) async fn remove(out: Output, args: &AccessArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let reply = manager
        .with_pin(args, async |manager: &mut Manager, access| answer(manager.cards.remove_key(access)).await)
        .await?;
    done(out, Some(reply), "The card has no key", Vec::new())
}

/// `card key export-public`
pub(crate) async fn export_public(out: Output, args: &ExportPublicArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let (reply, chain_code) = manager
        .with_session(&args.access, async |manager: &mut Manager, access| {
            let ours = OneTime::fresh();
            let request = PublicKeyRequest {
                access: Some(access),
                path: args.path.clone(),
                extended: args.extended,
                purpose: args.purpose.purpose.clone(),
                caller: if args.extended { ours.caller() } else { Vec::new() },
            };
            let reply = answer(manager.cards.public_key(request)).await?;
            let chain_code = match &reply.chain_code {
                Some(_) => Some(ours.open(seal::CHAIN, reply.chain_code.as_ref())?),
                None => None,
            };
            Ok((reply, chain_code))
        })
        .await?;
    let mut fields = vec![
        ("path", json!(args.path)),
        ("public_key", json!(format!("0x{}", hex::encode(&reply.public_key)))),
        ("fingerprint", json!(reply.fingerprint)),
        ("log_entry", json!(reply.log_entry)),
    ];
    if let Some(code) = &chain_code {
        fields.push(("chain_code", json!(hex::encode(code))));
    }
    out.report(fields)
}

/// `card mnemonic`
pub(crate) async fn mnemonic(out: Output, args: &MnemonicArgs) -> Result<(), CliError> {
    let place = Place::find(args.write_words_fd)?;
    let mut manager = Manager::of(&args.contact.target).await?;
    let (reply, words) = drawn(&mut manager, &args.contact, args.words).await?;
    place.show(&words, args.read_back).await?;
    done(out, reply.done, "The card drew the words and keeps nothing of them", Vec::new())
}

/// Has the card draw a mnemonic, of which it keeps nothing.
async fn drawn(
    manager: &mut Manager,
    contact: &ContactArgs,
    words: u32,
) -> Result<(MnemonicReply, Zeroizing<Vec<u8>>), CliError> {
    manager
        .contact(contact, async |manager: &mut Manager, access| {
            let ours = OneTime::fresh();
            let request = MnemonicRequest { access: Some(access), words, caller: ours.caller() };
            let reply = answer(manager.cards.mnemonic(request)).await?;
            let words = ours.open(seal::MNEMONIC, reply.mnemonic.as_ref())?;
            Ok((reply, words))
        })
        .await
}

/// 24 words of 8 letters, and room for the longest passphrase that anybody remembers.
const LONGEST: usize = 1024;
