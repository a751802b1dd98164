//! `topics*.jsonl`: topics, keys and bloom filters.
//!
//! Kinds `public` (name to topic and key), `bloom` (topic to the peer's lossy filter) and `bloom_set` (many topics, and
//! what lies inside). The other kinds are about private topics.

use chat::public;
use proto::Topic;
use wire::waku::BloomFilter;

use super::Outcome;
use super::case::{Case, check, same, same_bytes};

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    let expect = case.find("expect");
    match case.text("kind")? {
        "public" => public(case, case.at("expect")?),
        "bloom" => bloom(case, case.at("expect")?),
        "bloom_set" => bloom_set(case, case.at("expect")?),
        _ if expect.is_some() => Ok(Outcome::Skipped),
        kind => Err(format!("a case of kind {kind} without expectations")),
    }
}

fn public(case: Case<'_>, expect: Case<'_>) -> Result<Outcome, String> {
    // A name may be any bytes.
    let name = case.bytes("name_utf8")?;
    let topic = public::topic(&name);
    same("topic", topic.to_string().as_str(), expect.text("topic")?)?;
    if !expect.accepts("filter")? {
        check(name.is_empty(), "the peer refused a name that is not empty")?;
        return Ok(Outcome::Same);
    }
    let filter = expect.at("filter")?.at("value")?;
    same("filter topic", topic.to_string().as_str(), filter.text("topic")?)?;
    same_bytes("bloom", BloomFilter::assigned(topic).as_bytes(), &filter.bytes("bloom")?)?;
    same_bytes("sym_key", public::sym_key(&name).expose(), &filter.bytes("sym_key")?)?;
    // What makes the peer's filter one of a public chat.
    check(filter.says("listen"), "the peer does not listen")?;
    for other in ["one_to_one", "negotiated", "discovery"] {
        check(!filter.says(other), "the peer's filter is not one of a public chat")?;
    }
    same("identity", "", filter.text("identity")?)?;
    Ok(Outcome::Same)
}

fn bloom(case: Case<'_>, expect: Case<'_>) -> Result<Outcome, String> {
    let ours = BloomFilter::assigned(topic(case)?);
    same_bytes("bloom", ours.as_bytes(), &expect.bytes("bloom")?)?;
    same_bytes("bloom_waku", ours.as_bytes(), &expect.bytes("bloom_waku")?)?;
    Ok(Outcome::Same)
}

fn bloom_set(case: Case<'_>, expect: Case<'_>) -> Result<Outcome, String> {
    let topics = case.texts("topics")?.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let theirs = topics.iter().fold(BloomFilter::EMPTY, |all, topic| all.union(&BloomFilter::assigned(*topic)));
    same_bytes("bloom_or", theirs.as_bytes(), &expect.bytes("bloom_or")?)?;
    let ours = BloomFilter::of_topics(topics);
    for probe in expect.list("probes")? {
        let (topic, matches) = (topic(probe)?, probe.says("match"));
        same(&format!("match of {topic} in the peer's filter"), theirs.admits(topic), matches)?;
        check(!matches || ours.admits(topic), "our filter refuses what the peer's admits")?;
    }
    Ok(Outcome::Same)
}

fn topic(case: Case<'_>) -> Result<Topic, String> {
    parse(case.text("topic")?)
}

fn parse(text: &str) -> Result<Topic, String> {
    let bytes = hex::decode(text).map_err(|_| format!("{text} is no topic"))?;
    Topic::try_from(bytes.as_slice()).map_err(|_| format!("{text} is no topic"))
}
