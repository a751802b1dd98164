//! Our bot in the place of one chat: public chats with a program of theirs.

use scenarios::peer::{Outcome, Tool, World};
use serde_json::{Value, json};

use super::chat::{Chat, hold};
use super::relay::{Between, stage};
use super::{Cast, REDIAL};

/// A message each way, an answer each way, and the confirmation that ours has arrived.
pub(super) fn talk(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut bot, mut bob) = stage(world, cast)?;
    let (bot_key, bob_key) = (bot.key()?, bob.key()?);
    for chat in [&mut bot, &mut bob] {
        chat.call("join_public", json!({ "chat": CHAT }))?;
    }
    let question = bot.says(CHAT, "is anybody there?")?;
    bot.event("envelope_sent", |it| it["message_ids"] == json!([question]))?;
    let heard = bob.hears("is anybody there?")?;
    hold(heard["id"] == *question && heard["from"] == *bot_key, || format!("another message: {heard}"))?;
    hold(heard["message_type"] == "PUBLIC_GROUP", || format!("not public: {heard}"))?;

    let sent = bob.answers(CHAT, "I am", &question)?;
    let heard = bot.hears("I am")?;
    let same = heard["id"] == *sent && heard["from"] == *bob_key && heard["chat"] == CHAT;
    hold(same && heard["response_to"] == *question, || format!("another message: {heard}"))?;
    hold(heard["content_type"] == "TEXT_PLAIN" && heard["message_type"] == "PUBLIC_GROUP", || heard.to_string())?;

    bot.answers(CHAT, "good", &sent)?;
    let heard = bob.hears("good")?;
    hold(heard["response_to"] == *sent, || format!("not an answer: {heard}"))?;
    let stored = bot.call("messages", json!({ "chat": CHAT }))?;
    let texts: Vec<&Value> = stored["messages"].as_array().into_iter().flatten().map(|it| &it["text"]).collect();
    hold(texts == ["good", "I am", "is anybody there?"], || format!("stored otherwise: {texts:?}"))
}

/// Texts of every kind arrive as they were written, both ways; one that no peer may send is refused here.
pub(super) fn texts(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut bot, mut bob) = stage(world, cast)?;
    for chat in [&mut bot, &mut bob] {
        chat.call("join_public", json!({ "chat": CHAT }))?;
    }
    let longest = "é".repeat(4096);
    for text in ["Grüße, 你好, שלום", "👋🏽🏴󠁧󠁢󠁥󠁮󠁧󠁿", "two\nlines\tand \"quotes\"", "\u{202e}backwards", &longest]
    {
        bot.says(CHAT, text)?;
        bob.hears(text)?;
        bob.says(CHAT, text)?;
        bot.hears(text)?;
    }
    for refused in [" \n\t", &"x".repeat(4097)] {
        hold(bot.says(CHAT, refused).is_err(), || format!("{} characters were taken", refused.len()))?;
    }
    Ok(())
}

/// Many messages at once all arrive, both ways.
pub(super) fn many(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut bot, mut bob) = stage(world, cast)?;
    for chat in [&mut bot, &mut bob] {
        chat.call("join_public", json!({ "chat": CHAT }))?;
    }
    bot.call("send_public", json!({ "chat": CHAT, "text": "bot", "count": MANY }))?;
    bob.call("send_public", json!({ "chat": CHAT, "text": "bob", "count": MANY }))?;
    for number in 0..MANY {
        bob.hears(&format!("bot {number}"))?;
        bot.hears(&format!("bob {number}"))?;
    }
    Ok(())
}

/// Content that is more than text, reactions and junk are no trouble; the text is shown.
pub(super) fn content(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut bot, mut bob) = stage(world, cast)?;
    bot.call("join_public", json!({ "chat": CHAT }))?;
    let sticker = json!({ "hash": "e30101701220", "pack": 7 });
    bob.call("send_public", json!({ "chat": CHAT, "text": "a sticker", "sticker": sticker }))?;
    let heard = bot.hears("a sticker")?;
    hold(heard["content_type"] == "STICKER", || format!("no sticker: {heard}"))?;
    bob.call("send_public", json!({ "chat": CHAT, "text": "😀", "content_type": "EMOJI" }))?;
    let heard = bot.hears("😀")?;
    hold(heard["content_type"] == "EMOJI", || format!("no emoji: {heard}"))?;
    bob.call("emoji", json!({ "chat": CHAT, "message_id": heard["id"], "emoji": 2 }))?;
    bob.call("send_raw", json!({ "type": "CHAT_MESSAGE", "payload": "ff00ff00", "chat": CHAT }))?;
    bob.says(CHAT, "still there?")?;
    bot.hears("still there?")?;
    Ok(())
}

/// Who has left a chat hears nothing of it, and hears again after joining again.
pub(super) fn leave_and_join(world: &World, cast: Cast) -> Outcome {
    let (_relay, mut bot, mut bob) = stage(world, cast)?;
    let join = |bot: &mut Chat, chat: &str| bot.call("join_public", json!({ "chat": chat })).map(drop);
    join(&mut bot, CHAT)?;
    join(&mut bot, OTHER)?;
    bob.says(CHAT, "one")?;
    bot.hears("one")?;
    bot.call("leave_public", json!({ "chat": CHAT }))?;
    bot.event("chat", |it| it["chat"]["id"] == CHAT && it["chat"]["active"] == false)?;
    hold(bot.call("leave_public", json!({ "chat": CHAT })).is_err(), || "a chat was left twice".to_owned())?;
    bob.says(CHAT, "unheard")?;
    bob.says(OTHER, "heard")?;
    bot.hears("heard")?;
    let unheard = bot.unheard();
    hold(unheard.is_empty(), || format!("a chat that was left is still told of: {unheard:?}"))?;
    join(&mut bot, CHAT)?;
    bob.says(CHAT, "two")?;
    bot.hears("two")?;
    Ok(())
}

/// The two alone, each dialling the other in turn.
pub(super) fn direct(world: &World) -> Outcome {
    for bot_dials in [true, false] {
        let (mut bot, mut bob);
        if bot_dials {
            bob = Chat::alone(world, super::CHAT, &[])?;
            bot = Chat::start(world, Tool::Cardinal, bob.is("enode")?)?;
        } else {
            bot = Chat::alone(world, Tool::Cardinal, &[])?;
            bob = Chat::start(world, super::CHAT, bot.is("enode")?)?;
        }
        for chat in [&mut bot, &mut bob] {
            chat.connected()?;
            chat.call("join_public", json!({ "chat": CHAT }))?;
        }
        bot.says(CHAT, "hello")?;
        bob.hears("hello")?;
        bob.says(CHAT, "hello, bot")?;
        bot.hears("hello, bot")?;
    }
    Ok(())
}

/// The program of theirs that the bot dials is killed and starts again where it was: the bot finds it by itself, and what was
/// said meanwhile arrives.
pub(super) fn peer_restarts(world: &World, cast: Cast) -> Outcome {
    let home = tempfile::tempdir()?;
    let home = home.path().to_str().ok_or("the temporary directory has a name that is no text")?;
    let same = ["-nodekey", NODE_KEY, "-identity", NODE_KEY, "-dir", home];
    let mut bob = Chat::alone(world, cast.bob, &same)?;
    bob.call("join_public", json!({ "chat": CHAT }))?;
    let enode = bob.is("enode")?.to_owned();
    let address = enode.split_once('@').map_or("", |(_, address)| address);
    let address = address.split_once('?').map_or(address, |(address, _)| address).to_owned();
    let mut bot = Chat::start(world, cast.alice, &enode)?;
    bot.says(CHAT, "before")?;
    bob.hears("before")?;
    bob.kill();
    bot.event("peer_drop", |_| true)?;
    bot.says(CHAT, "while you were away")?;
    let mut bob = Chat::alone(world, cast.bob, &[&same[..], &["-listen", &address]].concat())?;
    bot.event_within(REDIAL, "peer_add", |_| true)?;
    bob.connected()?;
    bob.event_within(REDIAL, "message", |it| it["text"] == "while you were away")?;
    bob.says(CHAT, "back again")?;
    bot.hears("back again")?;
    Ok(())
}

/// What is said without a peer is kept, and sent to the first one that comes.
pub(super) fn waits_for_a_peer(world: &World, cast: Cast) -> Outcome {
    let relay = Between::start(world, cast.relay)?;
    let mut bob = Chat::start(world, cast.bob, &relay.enode())?;
    bob.call("join_public", json!({ "chat": CHAT }))?;
    let mut bot = Chat::alone(world, cast.alice, &[])?;
    let sent = bot.says(CHAT, "to whom it may concern")?;
    bot.call("add_peer", json!({ "enode": relay.enode() }))?;
    bot.event_within(REDIAL, "envelope_sent", |it| it["message_ids"] == json!([sent]))?;
    bob.hears("to whom it may concern")?;
    bot.call("remove_peer", json!({ "enode": relay.enode() }))?;
    bot.event("peer_drop", |_| true)?;
    Ok(())
}

const CHAT: &str = "interop-bot";
const OTHER: &str = "interop-bot-2";
/// More than a packet of theirs, less than the bot sends at once.
const MANY: usize = 120;
/// Any key will do.
const NODE_KEY: &str = "2222222222222222222222222222222222222222222222222222222222222222";
