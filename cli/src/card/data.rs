//! `cardinal card data get|set` and `ndef get|set`.

use std::path::Path;

use proto::rpc::Fault;
use proto::rpc::api::set_data_request::Content;
use proto::rpc::api::{
    AccountRange, CardSlot, DataReply, DataRequest, NdefEntry, NdefText, SetDataRequest, StatusMetadata, ndef_entry,
};
use proto::shell::file;
use serde_json::{Value, json};

use crate::card::args::{AccessArgs, ContactArgs, DataGetArgs, DataSetArgs, NdefSetArgs, Slot};
use crate::card::done;
use crate::card::manager::Manager;
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;

/// `card data get`
pub(crate) async fn get(out: Output, args: &DataGetArgs) -> Result<(), CliError> {
    let reply = read(&args.contact, slot(args.slot)).await?;
    let mut fields = vec![("data", json!(hex::encode(&reply.data)))];
    if let Some(StatusMetadata { name, accounts }) = reply.metadata {
        let ranges: Vec<String> = accounts.iter().map(|range| format!("{}-{}", range.first, range.last)).collect();
        fields.push(("name", json!(name)));
        fields.push(("accounts", json!(ranges)));
    }
    out.report(fields)
}

/// `card ndef get`
pub(crate) async fn ndef_get(out: Output, args: &ContactArgs) -> Result<(), CliError> {
    let reply = read(args, CardSlot::Ndef).await?;
    let records: Vec<Value> = reply.records.into_iter().filter_map(|entry| entry.record).map(shown).collect();
    out.report(vec![("data", json!(hex::encode(&reply.data))), ("records", json!(records))])
}

/// `card data set`
pub(crate) async fn set(out: Output, args: &DataSetArgs) -> Result<(), CliError> {
    let slot = slot(args.slot);
    let content = match &args.name {
        Some(name) => {
            let accounts = args.accounts.iter().map(|number| AccountRange { first: *number, last: *number });
            Content::Metadata(StatusMetadata { name: name.clone(), accounts: accounts.collect() })
        }
        None => Content::Data(bytes(args.hex.as_deref(), args.file.as_deref())?),
    };
    write(out, &args.access, slot, content, "The slot is written").await
}

/// `card ndef set`
pub(crate) async fn ndef_set(out: Output, args: &NdefSetArgs) -> Result<(), CliError> {
    let record = match (&args.uri, &args.text) {
        (Some(uri), _) => Some(ndef_entry::Record::Uri(uri.clone())),
        (None, Some(text)) => {
            Some(ndef_entry::Record::Text(NdefText { language: args.language.clone(), text: text.clone() }))
        }
        (None, None) => None,
    };
    let content = match record {
        Some(record) => Content::Record(NdefEntry { record: Some(record) }),
        None => Content::Data(bytes(args.ndef_hex.as_deref(), args.ndef_file.as_deref())?),
    };
    write(out, &args.access, CardSlot::Ndef, content, "The NDEF message is written").await
}

async fn read(contact: &ContactArgs, slot: CardSlot) -> Result<DataReply, CliError> {
    let mut manager = Manager::of(&contact.target).await?;
    manager
        .contact(contact, async |manager: &mut Manager, access| {
            answer(manager.cards.data(DataRequest { access: Some(access), slot: slot.into() })).await
        })
        .await
}

async fn write(out: Output, args: &AccessArgs, slot: CardSlot, content: Content, said: &str) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let reply = manager
        .with_pin(args, async |manager: &mut Manager, access| {
            let content = Some(content.clone());
            answer(manager.cards.set_data(SetDataRequest { access: Some(access), slot: slot.into(), content })).await
        })
        .await?;
    done(out, Some(reply), said, Vec::new())
}

fn shown(record: ndef_entry::Record) -> Value {
    match record {
        ndef_entry::Record::Uri(uri) => json!({ "uri": uri }),
        ndef_entry::Record::Text(NdefText { language, text }) => json!({ "language": language, "text": text }),
        ndef_entry::Record::Other(payload) => json!({ "other": hex::encode(payload) }),
    }
}

const fn slot(slot: Slot) -> CardSlot {
    match slot {
        Slot::Public => CardSlot::Public,
        Slot::Cash => CardSlot::Cash,
    }
}

fn bytes(digits: Option<&str>, path: Option<&Path>) -> Result<Vec<u8>, CliError> {
    match (digits, path) {
        (Some(digits), _) => {
            hex::decode(digits).map_err(|_| CliError::found(Fault::BadInput, "the bytes are not in hexadecimal"))
        }
        (None, Some(path)) => Ok(file::read_bounded(path, LONGEST).map_err(CliError::file(path))?.to_vec()),
        (None, None) => Ok(Vec::new()),
    }
}

/// More than any slot holds.
const LONGEST: usize = 4096;
