//! `cardinal up`: the private network, for as long as this process lives.

use proto::rpc::Fault;
use proto::rpc::api::LockRequest;
use proto::shell::dice;
use proto::{Pin, Puk};
use zeroize::Zeroizing;

use crate::args::{PinArgs, UpArgs};
use crate::client::{self, Keymgr, answer};
use crate::error::CliError;
use crate::hold::Hold;
use crate::network::{self, KeySource, Network, Started};
use crate::output::{Output, Tone, read_or_not, shown};
use crate::paths::{Layout, Profile, ProfileName};
use crate::pin::PinSource;
use crate::process::Crew;
use crate::signals::Signals;

/// The people of the private network, in the order in which PINs are asked for.
pub(crate) const PEOPLE: [&str; 2] = ["alice", "bob"];

/// Starts the network and stays until a signal comes, the parent dies, or a part of it ends.
///
/// # Errors
/// [`Fault::InUse`] when it runs already, and whatever a part says. A signal is no error: that is how it ends.
pub(crate) async fn run(out: Output, args: UpArgs) -> Result<(), CliError> {
    let mut signals = Signals::listen()?;
    signals.follow_parent();
    let network = Network::new(Layout::of_user()?)?;
    let _hold = Hold::take(&network.layout().lock())?;
    let mut crew = Crew::new(args.verbose);
    let ended = tokio::select! {
        ended = stay(out, &network, &mut crew, &args.pin) => ended,
        signal = signals.received() => Err(signal),
    };
    crew.stop().await;
    match ended {
        Err(CliError::Interrupted { name, .. }) => say(out, format!("Stopped by {name}; nothing is left running.")),
        other => other,
    }
}

async fn stay(out: Output, network: &Network, crew: &mut Crew, pin: &PinArgs) -> Result<(), CliError> {
    let mut pins = PinSource::new(pin.pin_fd)?;
    let (relay, enode) = network.start_relay(crew).await?;
    say(out, format!("relay   process {}, {}", relay.pid, shown(&enode)))?;
    for name in PEOPLE {
        let profile = network.layout().profile(ProfileName::try_from(name)?);
        let mut manager = start_keymgr(out, network, crew, &profile, &mut pins, pin.last_try).await?;
        let mut node = network.start_node(crew, &profile, &["--listen", network::LOOPBACK, "--peer", &enode]).await?;
        // The node has its two keys: the PIN has done its work.
        answer(manager.client.lock(LockRequest { all: true, ..LockRequest::default() })).await?;
        let status = network::node_status(&mut node.client).await?;
        say(
            out,
            format!(
                "{name:7} key manager process {}, node process {}, chat key {}",
                manager.pid,
                node.pid,
                shown(&status.chat_fingerprint)
            ),
        )?;
    }
    say(out, "")?;
    say(out, out.tone(Tone::Strong, "The private network runs. Chat in two other terminals:"))?;
    for name in PEOPLE {
        say(out, format!("  cardinal chat --profile {name} '#demo'"))?;
    }
    say(
        out,
        "The cards are locked again; `cardinal unlock` opens one. Ctrl-C here or `cardinal down` ends everything.",
    )?;
    Err(crew.lost().await)
}

/// Says how far it is. The network runs also for nobody.
fn say(out: Output, text: impl AsRef<str>) -> Result<(), CliError> {
    read_or_not(out.line(text))
}

/// Starts a key manager and sees to it that its card has a key and is unlocked.
async fn start_keymgr(
    out: Output,
    network: &Network,
    crew: &mut Crew,
    profile: &Profile,
    pins: &mut PinSource,
    last_try: bool,
) -> Result<Started<Keymgr>, CliError> {
    let is_new = !profile.dir.exists();
    if is_new {
        let card = network.create(profile).await?;
        let name = &profile.name;
        say(out, format!("{name:7} new software card {} (no secure element: it protects nothing)", card.identity))?;
    }
    let mut manager = network.start_keymgr(crew, profile).await?;
    // With two cards, an error that does not say whose it is costs the wrong one a try.
    let whose = |error: CliError| error.about(profile.name.as_str());
    let card = network::card(&mut manager.client).await.map_err(whose)?;
    if !card.initialised {
        provision(out, &mut manager.client, profile).await.map_err(whose)?;
    } else if !card.has_key {
        let message = format!(
            "the making of profile {} was cut off, and its card holds no key; remove {} and run `cardinal up` again",
            profile.name,
            profile.dir.display()
        );
        return Err(CliError::found(Fault::StateDamaged, message));
    } else {
        unlock(&mut manager.client, profile, pins, last_try).await.map_err(whose)?;
    }
    Ok(manager)
}

/// Shows a fresh PIN and PUK, once, before the card gets them: whatever happens then, the owner has them.
async fn provision(out: Output, manager: &mut Keymgr, profile: &Profile) -> Result<(), CliError> {
    let pin = Pin::random(&mut dice());
    let puk = Puk::random(&mut dice());
    let text = |digits: &[u8]| Zeroizing::new(String::from_utf8_lossy(digits).into_owned());
    let shown = out.line(&*Zeroizing::new(format!(
        "{:7} PIN {}  PUK {}  write them down: they are shown once and stored nowhere",
        profile.name,
        *text(pin.expose()),
        *text(puk.expose())
    )));
    shown.map_err(|error| match error {
        CliError::BrokenPipe => {
            let message = "nobody reads the PIN, so the card was left blank; run `cardinal up` where you see it";
            CliError::Other(message.to_owned())
        }
        other => other,
    })?;
    network::provision(manager, &pin, &puk, KeySource::Generated).await?;
    client::unlock(manager, &pin, false, 0).await.map(drop)
}

/// Asks for the PIN. A person may try again; a script may not, because every wrong PIN costs a try.
async fn unlock(manager: &mut Keymgr, profile: &Profile, pins: &mut PinSource, last_try: bool) -> Result<(), CliError> {
    loop {
        let pin = pins.next(profile.name.as_str()).await?;
        match client::unlock(manager, &pin, last_try, 0).await {
            Err(error) if matches!(error.fault(), Some(Fault::WrongPin | Fault::TooSoon)) && pins.is_terminal() => {
                eprintln!("{}: {}", profile.name, shown(&error.to_string()));
            }
            done => return done.map(drop),
        }
    }
}
