//! `cardinal bot`: a node behind JSON lines on stdin and stdout, for scripts and bridges.
//!
//! Commands are done in order, one at a time, and each gets one reply; events come whenever something happens. Nothing that
//! stands in a line ends the bot: only the end of stdin, `quit`, a signal, or the end of the node does.

mod act;
mod command;
mod ephemeral;
mod event;
mod teller;

use std::pin::Pin;
use std::time::Instant;

use proto::ChatKey;
use proto::rpc::Fault;
use proto::rpc::api::{AddPeerRequest, NodeEvent, WatchRequest};
use serde_json::{Value, json};
use tonic::{Code, Status, Streaming};

use crate::args::BotArgs;
use crate::client::{self, Node, prompt_answer};
use crate::error::CliError;
use crate::folder::Folder;
use crate::lines::Lines;
use crate::network;
use crate::output::Output;
use crate::paths::Layout;
use crate::process::Crew;
use crate::signals::Signals;

use act::Failed;
use command::{Command, Request};
use teller::Teller;

/// Serves stdin until it ends, or until `quit`. However it ends, what it started is stopped and removed.
///
/// # Errors
/// A node that cannot be reached, or went away, which is also told as `fatal`; the signal that came.
pub(crate) async fn run(out: Output, args: BotArgs) -> Result<(), CliError> {
    let began = Instant::now();
    let mut signals = Signals::listen()?;
    let mut teller = Teller::start(out)?;
    let mut crew = Crew::new(false);
    let mut folder = None;
    let served = tokio::select! {
        served = serve(&mut teller, &args, &mut crew, &mut folder, began) => served,
        signal = signals.received() => Err(signal),
    };
    crew.stop().await;
    let removed = folder.map_or(Ok(()), Folder::remove);
    let ended = served.and(removed);
    match &ended {
        Ok(()) | Err(CliError::Interrupted { .. }) => teller.tell_last(&json!({ "event": "stopped" })).await?,
        // Nobody is there to be told.
        Err(CliError::BrokenPipe) => {}
        Err(error) => {
            let fatal = json!({
                "event": "fatal",
                "error": error.to_string(),
                "fault": error.fault().map(Fault::name),
                "code": error.exit_code(),
            });
            teller.tell_last(&fatal).await?;
        }
    }
    ended
}

async fn serve(
    teller: &mut Teller,
    args: &BotArgs,
    crew: &mut Crew,
    folder: &mut Option<Folder>,
    began: Instant,
) -> Result<(), CliError> {
    let mut node = if args.ephemeral {
        ephemeral::start(crew, folder.insert(Folder::make()?).path(), args).await?
    } else {
        let profile = Layout::of_user()?.choose(args.profile.profile.as_deref())?;
        let mut node = client::node(&profile.node_socket).await?;
        for enode in &args.peers {
            prompt_answer(node.add_peer(AddPeerRequest { enode: enode.clone() })).await?;
        }
        node
    };
    let events = watch(&mut node).await?;
    let bot = Bot { teller, node, events, own: args.own, began };
    let who = started(&mut bot.node.clone(), began).await?;
    bot.teller.tell(&who).await?;
    tokio::select! {
        held = bot.hold() => held,
        lost = crew.lost() => Err(lost),
    }
}

/// Returns who the bot is: the event `started`, and the result of `info`.
async fn started(node: &mut Node, began: Instant) -> Result<Value, CliError> {
    let status = network::node_status(node).await?;
    let compressed = hex::decode(status.chat_key.strip_prefix("0x").unwrap_or_default())
        .ok()
        .and_then(|bytes| ChatKey::try_from(bytes.as_slice()).ok())
        .map(|key| format!("0x{}", hex::encode(key.to_compressed())));
    Ok(json!({
        "event": "started",
        "identity_pk": status.chat_key,
        "identity_compressed": compressed,
        "enode": status.enode,
        "transport": "waku",
        "datasync": false,
        "delivered_events": false,
        "peer": concat!("cardinal ", env!("CARGO_PKG_VERSION")),
        "pid": std::process::id(),
        "node_pid": status.pid,
        "uptime_ms": millis(began),
    }))
}

async fn watch(node: &mut Node) -> Result<Streaming<NodeEvent>, CliError> {
    prompt_answer(node.watch(WatchRequest {})).await
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

struct Bot<'t> {
    teller: &'t mut Teller,
    node: Node,
    events: Streaming<NodeEvent>,
    own: bool,
    began: Instant,
}

/// A command that is being done; it ends with its reply.
type Work = Pin<Box<dyn Future<Output = Value> + Send>>;

impl Bot<'_> {
    async fn hold(mut self) -> Result<(), CliError> {
        let mut lines = Lines::of_stdin();
        let mut work: Option<Work> = None;
        loop {
            tokio::select! {
                event = self.events.message() => self.event(event).await?,
                line = lines.next(), if work.is_none() => match line.map(|line| line.map(|it| command::parse(&it))) {
                    Ok(None) => return Ok(()),
                    Ok(Some(Ok(Request { id, command: Command::Quit {} }))) => {
                        return self.teller.tell(&json!({ "id": id, "cmd": "quit", "ok": true, "us": 0 })).await;
                    }
                    Ok(Some(Ok(request))) => work = Some(Box::pin(work_on(self.node.clone(), request, self.began))),
                    Ok(Some(Err(refused))) => self.teller.tell(&refused.reply()).await?,
                    Err(bad) => self.teller.tell(&json!({ "ok": false, "us": 0, "error": bad.to_string() })).await?,
                },
                reply = done(&mut work) => self.teller.tell(&reply).await?,
            }
        }
    }

    async fn event(&mut self, event: Result<Option<NodeEvent>, Status>) -> Result<(), CliError> {
        match event {
            Ok(Some(event)) => {
                if let Some(told) = event::told(event, self.own) {
                    self.teller.tell(&told).await?;
                }
                Ok(())
            }
            Ok(None) => Err(CliError::found(Fault::NotRunning, "the node stopped; `cardinal up` starts it")),
            // Who reads us was too slow. What it missed is in the history.
            Err(status) if status.code() == Code::ResourceExhausted => {
                self.events = watch(&mut self.node).await?;
                let error = "events were not read in time and are lost; `messages` has the messages among them";
                self.teller.tell(&json!({ "event": "retrieve_error", "error": error })).await
            }
            Err(status) => Err(status.into()),
        }
    }
}

async fn work_on(mut node: Node, Request { id, command }: Request, began: Instant) -> Value {
    let asked = Instant::now();
    let name = command.name();
    let done = match command {
        Command::Info {} => started(&mut node, began).await.map_err(Failed::from),
        other => act::act(&mut node, other).await,
    };
    let us = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut reply = json!({ "id": id, "cmd": name, "ok": done.is_ok(), "us": us });
    let (result, error) = match done {
        Ok(result) => (result, None),
        Err(Failed { error, result }) => (result, Some(error.to_string())),
    };
    if let Value::Object(fields) = &mut reply {
        fields.extend((!result.is_null()).then(|| ("result".to_owned(), result)));
        fields.extend(error.map(|error| ("error".to_owned(), error.into())));
    }
    reply
}

async fn done(work: &mut Option<Work>) -> Value {
    let Some(under_way) = work else { return std::future::pending().await };
    let reply = under_way.await;
    *work = None;
    reply
}

/// What `cardinal bot --help` says.
pub(crate) const INTERFACE: &str = "\
Speak JSON lines on stdin and stdout, for scripts and bridges: commands in, replies and events out.

It speaks for a profile whose services run (`cardinal up`), or with --ephemeral for an identity of its own. It ends when
stdin closes, on `quit`, or on a signal.

A command is one JSON object on a line of at most 64 KiB: {\"id\": any, \"cmd\": name, arguments}. Commands are done in order,
and each gets one reply: {\"id\", \"cmd\", \"ok\", \"us\", \"result\"?, \"error\"?}. A bad line gets a reply with an error, too.

Commands:
  info                                          as `started`
  peers                                         id, name, caps, inbound, remote of each connected peer
  add_peer, remove_peer {enode}                 stay connected to a peer, or do so no more
  wait_peers {count?}                           answers once so many (1) are connected; gives up after 20 s
  transport                                     min_pow, topic_interest, full, pool, max_message_size
  set_minpow {pow}                              takes less, or more, proof of work from here on; peers are told
  join_public, leave_public {chat}
  send_public {chat, text, response_to?, count?}
                                                joins if need be; id, or with count ids of `text 0`, `text 1`, ...
                                                The message is kept and on its way; `envelope_sent` says it arrived.
  chats                                         the joined chats
  messages {chat, limit?}                       the latest stored messages (100, at most 1000), newest first
  quit

Events are objects with \"event\". First comes `started` (identity_pk, identity_compressed, enode, peer, pid, ...) or `fatal`
(error, fault, code), last `stopped`, or `fatal` when the node goes away. Between them:
  peer_add, peer_drop       id; on a drop, error says why
  chat                      chat {id, name, active}: it was joined or left
  message                   chat, from, text, id, clock, timestamp (ms), whisper_timestamp (ms, of the envelope),
                            content_type, message_type, response_to, own
  envelope_sent             message_ids: these went out, and who confirms has confirmed
  envelope_expired          message_ids: nobody took them in two minutes; they are given up
  retrieve_error            error: events were lost, because nobody read them

Keys, ids and hashes are lower-case hexadecimal with 0x.";
