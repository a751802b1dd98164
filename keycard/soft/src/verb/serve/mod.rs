//! `softcard serve`: the card in a virtual reader, so that every PC/SC program on this machine sees it.
//!
//! vpcd shows two readers, at a port and at the next one. It connects to both (`--listen`: the second slot is served and
//! stays empty) or listens on both (`--connect`: nobody comes to the second).
//!
//! The invariant: a card that lost its reader, for whatever reason, has lost its power, and with it its session.

mod address;
mod control;
mod vpcd;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use control::{Control, Lines};
use proto::shell::dice;
use serde_json::json;
use softcard::{Faults, Faulty, Reply, SoftCard};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use vpcd::{Message, Peer};

use crate::exit::Failure;
use crate::print_line;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The card's file, which `softcard create` makes.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    #[command(flatten)]
    way: Way,
    /// Take an address that other machines reach. Whoever reaches it can use the card.
    #[arg(long)]
    beyond_loopback: bool,
    /// Obey the lines remove, insert, power and quit on stdin, each answered with a line of JSON on stdout; the end of
    /// stdin is quit.
    #[arg(long)]
    control: bool,
    /// What goes wrong between the card and the reader: KIND@N[+],.. (see below).
    #[arg(long, value_name = "SPEC")]
    faults: Option<Faults>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Way {
    /// Wait for vpcd here and, for its second reader, at the next port (DEVICENAME 127.0.0.1:PORT). Port 0: any.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Connect to the vpcd that listens here (DEVICENAME /dev/null:PORT), again whenever it comes back.
    #[arg(long, value_name = "ADDR")]
    connect: Option<SocketAddr>,
}

/// Serves the card until a signal or a line ends it.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let Args { card: path, way, beyond_loopback, control, faults } = args;
    for address in [way.listen, way.connect].into_iter().flatten() {
        address::check(address, beyond_loopback)?;
    }
    let card = SoftCard::load(&path, Box::new(dice()))?;
    let about = json!({
        "ready": true,
        "card": path.display().to_string(),
        "applet": card.model().to_string(),
        "identity": card.identity().map(hex::encode),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let card = Faulty::new(card, faults.unwrap_or_default(), Box::new(dice()));
    let result = runtime.block_on(serve(card, &way, Lines::new(control), about));
    // A read of stdin cannot be given up.
    runtime.shutdown_background();
    result
}

async fn serve(mut card: Faulty, way: &Way, mut lines: Lines, mut about: serde_json::Value) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut link = Link::open(way).await?;
    link.describe(&mut about)?;
    print_line(&about)?;
    let mut peer = None;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            line = lines.next() => match line? {
                Control::Quit => return Ok(print_line(&json!({ "ok": true, "quit": true }))?),
                Control::Unknown => {
                    print_line(&json!({ "ok": false, "error": "the lines are remove, insert, power and quit" }))?;
                }
                control => {
                    obey(&mut card, &control);
                    peer = peer.filter(|_| card.is_inserted());
                    print_line(&json!({ "ok": true, "inserted": card.is_inserted() }))?;
                }
            },
            // A reader that comes anew has lost the old connection, whether or not we heard of it.
            stream = link.next(peer.is_none() && card.is_inserted()) => {
                card.power_cycle();
                peer = Peer::new(stream?).ok();
            }
            message = next(&mut peer) => {
                // The reader has gone, or asks in vain: an end of the connection tells it that there is no card.
                let answered = match (message, &mut peer) {
                    (Ok(message), Some(peer)) => handle(&mut card, &message, peer),
                    _ => false,
                };
                if !answered {
                    card.power_cycle();
                    peer = None;
                }
            }
        }
    }
}

async fn next(peer: &mut Option<Peer>) -> io::Result<Message> {
    match peer {
        Some(peer) => peer.next().await,
        None => std::future::pending().await,
    }
}

fn obey(card: &mut Faulty, control: &Control) {
    match control {
        Control::Remove => card.remove(),
        Control::Insert => card.insert(),
        Control::Power => card.power_cycle(),
        Control::Quit | Control::Unknown => {}
    }
}

/// Does what the reader wants; returns whether there is a card that did.
fn handle(card: &mut Faulty, message: &Message, peer: &mut Peer) -> bool {
    match message {
        Message::Power => card.power_cycle(),
        Message::Atr => peer.answer(card.card().atr(), Duration::ZERO),
        Message::Command(command) => {
            let Reply { delay, answer } = card.transmit(command);
            if let Some(fault) = card.card().fault() {
                drop(writeln!(io::stderr(), "softcard: {fault}"));
            }
            match answer {
                Some(answer) if !answer.is_empty() => peer.answer(&answer, delay),
                _ => return false,
            }
        }
    }
    card.is_inserted()
}

/// What `--faults` takes, for `--help`.
pub(crate) const FAULTS: &str = "\
Faults, several separated by commas: KIND@N for command N since the start, KIND@N+ for that one and every later one
  delay=MS@N       the answer comes so many milliseconds late
  remove@N         the card carries the command out, and is pulled before it answers
  cut=BYTES@N      so many bytes are missing at the end of the answer
  garbage=BYTES@N  so many random bytes come instead of the answer
  signature@N      the signature in the answer is wrong, the channel around it right
  sw1=XX@N         another first byte of the status word
  sw=XXXX@N        this status word comes instead of the answer
  endless@N        61FF from then on
";

/// The way to the reader.
enum Link {
    Listen { card: TcpListener, empty: SocketAddr },
    Connect(SocketAddr),
}

impl Link {
    async fn open(way: &Way) -> Result<Self, Failure> {
        match (way.listen, way.connect) {
            (Some(address), _) => {
                let (card, empty) = address::bind_pair(address).await?;
                let link = Self::Listen { card, empty: empty.local_addr()? };
                tokio::spawn(empty_slot(empty));
                Ok(link)
            }
            (None, Some(address)) => Ok(Self::Connect(address)),
            (None, None) => Err(Failure::Usage { what: "one of --listen and --connect is needed".to_owned() }),
        }
    }

    fn describe(&self, about: &mut serde_json::Value) -> io::Result<()> {
        let Some(about) = about.as_object_mut() else { return Ok(()) };
        match self {
            Self::Listen { card, empty } => {
                about.insert("listening".to_owned(), json!([card.local_addr()?, empty]));
            }
            Self::Connect(address) => {
                about.insert("connecting".to_owned(), json!(address));
            }
        }
        Ok(())
    }

    /// Waits for a connection to a reader; for a new one we go only when `wanted`.
    async fn next(&mut self, wanted: bool) -> io::Result<TcpStream> {
        match self {
            Self::Listen { card, .. } => accept(card).await,
            Self::Connect(_) if !wanted => std::future::pending().await,
            Self::Connect(address) => loop {
                match TcpStream::connect(*address).await {
                    Ok(stream) => return Ok(stream),
                    Err(_) => tokio::time::sleep(BEFORE_ANOTHER_TRY).await,
                }
            },
        }
    }
}

/// Serves the second slot, in which there is no card that would answer.
async fn empty_slot(listener: TcpListener) {
    let mut peer = None;
    loop {
        tokio::select! {
            stream = accept(&listener) => peer = stream.and_then(Peer::new).ok(),
            message = next(&mut peer) => match (message, &mut peer) {
                (Ok(Message::Power), _) => {}
                (Ok(_), Some(peer)) => peer.answer(&MUTE, Duration::ZERO),
                _ => peer = None,
            },
        }
    }
}

/// Takes the next connection. What fails is that one connection, or for want of descriptors, which does not last.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(_) => tokio::time::sleep(BEFORE_ANOTHER_TRY).await,
        }
    }
}

/// vpcd asks for the card every 200 ms or so.
const BEFORE_ANOTHER_TRY: Duration = Duration::from_millis(200);

/// No card can be told of without ending the connection, after which vpcd 3.3 takes pcscd down with it (`waitforclient`
/// of no socket). An ATR that is too long for one is the next best: pcscd shows a card that does not answer.
const MUTE: [u8; 34] = [0; 34];
