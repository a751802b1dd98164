//! `cardinal chat`: a public chat, line by line. Lines of stdin go out, one after the other; messages come in.

mod print;

use std::io::IsTerminal as _;

use proto::rpc::Fault;
use proto::rpc::api::{ChatEvent, ChatLine, JoinRequest, PostReply, PostRequest, chat_event};
use tokio::task::JoinHandle;
use tonic::Streaming;

use crate::args::ChatArgs;
use crate::client::{self, Node, answer};
use crate::error::CliError;
use crate::lines::Lines;
use crate::network;
use crate::output::{Output, Tone, read_or_not, shown};
use crate::paths::Layout;

use print::Printer;

/// Joins the chat and stays until stdin ends, and until its last line is acknowledged.
///
/// # Errors
/// [`Fault::NotAcknowledged`] when stdin is not a terminal and no peer acknowledged a line in time; what the node says.
pub(crate) async fn run(out: Output, args: ChatArgs) -> Result<(), CliError> {
    let chat = args.chat.strip_prefix('#').unwrap_or(&args.chat).to_owned();
    if chat.is_empty() {
        return Err(CliError::found(Fault::BadInput, "name the chat, for example '#demo'"));
    }
    let profile = Layout::of_user()?.choose(args.profile.profile.as_deref())?;
    let mut node = client::node(&profile.node_socket).await?;
    let request = JoinRequest { chat: chat.clone(), history: HISTORY };
    let events = answer(node.join(request)).await?;
    let interactive = std::io::stdin().is_terminal();
    if interactive && !out.is_json() {
        let me = network::node_status(&mut node).await?.chat_fingerprint;
        let hello = format!("#{} as {}; times are UTC, Ctrl-D leaves", shown(&chat), shown(&me));
        out.line(out.tone(Tone::Faint, &hello))?;
    }
    let printer = Printer::new(out, interactive);
    Conversation { node, chat, events, printer, interactive, live: false, post: None, ended: false }.hold().await
}

/// One person in one chat.
struct Conversation {
    node: Node,
    chat: String,
    events: Streaming<ChatEvent>,
    printer: Printer,
    interactive: bool,
    live: bool,
    post: Option<Post>,
    /// No more lines are taken from stdin.
    ended: bool,
}

/// A line on its way: one at a time, so that lines arrive in order.
struct Post {
    text: String,
    task: JoinHandle<Result<PostReply, CliError>>,
}

impl Conversation {
    async fn hold(mut self) -> Result<(), CliError> {
        let mut lines = Lines::of_stdin();
        while !(self.ended && self.post.is_none()) {
            tokio::select! {
                event = self.events.message() => {
                    let shown = self.take(event?);
                    self.heed(shown)?;
                }
                // Nothing is posted into the middle of the history.
                line = lines.next(), if self.live && self.post.is_none() && !self.ended => match line? {
                    Some(text) => self.post(text),
                    None => self.ended = true,
                },
                done = finished(&mut self.post) => {
                    let shown = self.posted(done);
                    self.heed(shown)?;
                }
            }
        }
        let shown = self.printer.flush();
        self.heed(shown)
    }

    /// Without a reader, a person leaves; what a script gives us is still posted to its last line.
    fn heed(&mut self, shown: Result<(), CliError>) -> Result<(), CliError> {
        self.ended |= self.interactive && matches!(shown, Err(CliError::BrokenPipe));
        read_or_not(shown)
    }

    fn take(&mut self, event: Option<ChatEvent>) -> Result<(), CliError> {
        match event {
            Some(ChatEvent { event: Some(chat_event::Event::Message(line)) }) => self.show(line),
            Some(ChatEvent { event: Some(chat_event::Event::Live(_)) }) => {
                self.live = true;
                self.printer.live()
            }
            // A kind of event that this version does not know.
            Some(ChatEvent { event: None }) => Ok(()),
            None => Err(CliError::found(Fault::NotRunning, "the node stopped; `cardinal up` starts it")),
        }
    }

    fn show(&mut self, line: ChatLine) -> Result<(), CliError> {
        let ours_to_come = self.live && line.own && self.post.is_some();
        self.printer.message(line, self.live, ours_to_come)
    }

    fn post(&mut self, text: String) {
        let mut node = self.node.clone();
        let request = PostRequest {
            chat: self.chat.clone(),
            text: text.clone(),
            timeout_ms: PATIENCE_MS,
            ..PostRequest::default()
        };
        let task = tokio::spawn(async move { answer(node.post(request)).await });
        self.post = Some(Post { text, task });
    }

    fn posted(&mut self, (text, done): (String, Result<PostReply, CliError>)) -> Result<(), CliError> {
        match done {
            Ok(reply) => self.printer.posted(&text, &reply),
            // A person sees it and goes on; a script must know.
            Err(error)
                if self.interactive && matches!(error.fault(), Some(Fault::NotAcknowledged | Fault::BadInput)) =>
            {
                eprintln!("cardinal: {}", shown(&error.to_string()));
                self.printer.flush()
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns the end of the post that is under way; never when there is none.
async fn finished(post: &mut Option<Post>) -> (String, Result<PostReply, CliError>) {
    let Some(under_way) = post else { return std::future::pending().await };
    let done = (&mut under_way.task).await;
    let text = post.take().map(|post| post.text).unwrap_or_default();
    (text, done.unwrap_or_else(|error| Err(CliError::Other(error.to_string()))))
}

/// How many stored messages are shown first.
const HISTORY: u32 = 50;
/// How long a peer has to acknowledge a line.
const PATIENCE_MS: u64 = 10_000;
