//! A desk: a card of ours in a reader, and clients of others that find it there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, PeerError, Program, Tool, VirtualReader, World};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A release of the applet. Those before 3.1 are modelled from descriptions alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Applet {
    V2_2,
    V3_0,
    V3_1,
    V3_2,
    V4_0,
}

impl Applet {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V2_2 => "2.2",
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
            Self::V3_2 => "3.2",
            Self::V4_0 => "4.0",
        }
    }

    /// Whether its secure channel is the one that wants a pairing, and whether it has a current key.
    pub(crate) fn is_of_channel_1(self) -> bool {
        self < Self::V4_0
    }

    /// How many persistent pairings it keeps.
    pub(crate) const fn slots(self) -> Option<u64> {
        match self {
            Self::V2_2 | Self::V3_0 | Self::V3_1 => Some(5),
            Self::V3_2 => Some(10),
            Self::V4_0 => None,
        }
    }
}

impl fmt::Display for Applet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A reader with a card in it.
pub(crate) struct Desk {
    reader: VirtualReader,
    folder: TempDir,
    /// The key that the card proves to be its own, if it has one.
    pub(crate) identity: Option<String>,
}

impl Desk {
    pub(crate) fn with_blank_card(world: &World, applet: Applet) -> Outcome<Self> {
        Self::with_card(world, applet, &[])
    }

    /// A card without applets: those of this release are what its files are taken for.
    pub(crate) fn with_bare_card(world: &World, applet: Applet) -> Outcome<Self> {
        Self::with_card(world, applet, &["--bare"])
    }

    fn with_card(world: &World, applet: Applet, options: &[&str]) -> Outcome<Self> {
        let (folder, card, identity) = new_card(world, applet, options)?;
        let mut reader = VirtualReader::start(world)?;
        reader.insert(world, &card, &[])?;
        Ok(Self { reader, folder, identity })
    }

    /// As [`Desk::with_blank_card`], but the reader connects to the card.
    pub(crate) fn with_card_that_listens(world: &World, applet: Applet) -> Outcome<Self> {
        let (folder, card, identity) = new_card(world, applet, &[])?;
        let mut reader = VirtualReader::without_service(world)?;
        reader.lay_out(world, &card, &[])?;
        reader.start_service_that_connects(world)?;
        Ok(Self { reader, folder, identity })
    }

    /// A folder where a client may keep what it wants.
    pub(crate) fn folder(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Starts a client, which does not talk to the card yet.
    pub(crate) fn client(&self, world: &World, tool: Tool) -> Outcome<Client> {
        let arguments: &[&str] = match tool {
            Tool::KeycardGo => &["keycard-go"],
            Tool::Scwallet => &["scwallet"],
            _ => &[],
        };
        let mut program = self.reader.client(world, tool, arguments)?;
        World::started(tool, &mut program)?;
        Ok(Client { program, tool })
    }

    /// Starts a client and has it connect to the card.
    pub(crate) fn connected(&self, world: &World, tool: Tool) -> Outcome<Client> {
        let mut client = self.client(world, tool)?;
        client.until_there_is_a_card("connect", &json!({}))?;
        Ok(client)
    }
}

/// Makes a card: the folder it is in, its file, and the key that it proves to be its own.
fn new_card(world: &World, applet: Applet, options: &[&str]) -> Outcome<(TempDir, PathBuf, Option<String>)> {
    let folder = tempfile::tempdir()?;
    let card = folder.path().join("card.json");
    let create = ["create", "--card", text(&card)?, "--applet", applet.name()];
    let mut maker = world.start(Tool::Softcard, &[&create, options].concat())?;
    let made = maker.wait_for("the card that it made", SOON, |line| line.get("card").is_some())?;
    maker.close(SOON)?;
    let identity = made["identity"].as_str().map(str::to_owned);
    Ok((folder, card, identity))
}

/// A Keycard client of somebody else.
pub(crate) struct Client {
    program: Program,
    pub(crate) tool: Tool,
}

impl Client {
    /// Gives a command that it has to do.
    pub(crate) fn ask(&mut self, command: &str, arguments: Value) -> Outcome<Value> {
        Ok(self.program.call(command, arguments)?)
    }

    /// Gives a command without arguments that it has to do.
    pub(crate) fn tell(&mut self, command: &str) -> Outcome<Value> {
        self.ask(command, json!({}))
    }

    /// Gives a command that fails, and returns what the client says of it: the status word first, if it tells one.
    pub(crate) fn failure(&mut self, command: &str, arguments: Value) -> Outcome<String> {
        match self.program.call(command, arguments) {
            Err(PeerError::Refused { why, .. }) => Ok(why),
            Err(error) => Err(error.into()),
            Ok(result) => Err(format!("{command} came through: {result}").into()),
        }
    }

    /// Gives a command that the card refuses with this status word.
    pub(crate) fn refused(&mut self, command: &str, arguments: Value, status: &str) -> Outcome {
        let why = self.failure(command, arguments)?;
        match why.starts_with(&format!("{status}: ")) {
            true => Ok(()),
            false => Err(format!("{command} failed with {why:?}, expected {status}").into()),
        }
    }

    /// Gives a command that the client itself refuses, in these words.
    pub(crate) fn declined(&mut self, command: &str, arguments: Value, words: &str) -> Outcome {
        let why = self.failure(command, arguments)?;
        match why.to_lowercase().contains(words) {
            true => Ok(()),
            false => Err(format!("{command} failed with {why:?}, expected {words:?}").into()),
        }
    }

    /// Repeats a command until pcscd has seen the card that was put into the reader.
    pub(crate) fn until_there_is_a_card(&mut self, command: &str, arguments: &Value) -> Outcome<Value> {
        let until = Instant::now() + SOON;
        loop {
            match self.program.call(command, arguments.clone()) {
                Err(PeerError::Refused { .. }) if Instant::now() < until => std::thread::sleep(TICK),
                answer => return Ok(answer?),
            }
        }
    }

    /// Says what the card cost this client, and fails if APDUs took as long as stock socket settings make them.
    pub(crate) fn tell_times(&mut self, applet: Applet) -> Outcome {
        let times = self.tell("apdus")?;
        self.judge_times(applet, &times)
    }

    /// As [`Client::tell_times`], of these milliseconds.
    pub(crate) fn judge_times(&self, applet: Applet, times: &Value) -> Outcome {
        let mut times: Vec<f64> = times.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        times.sort_by(f64::total_cmp);
        let (count, last) = (times.len(), times.last().ok_or("no APDU was sent")?);
        let median = times[count / 2];
        println!("{}, applet {applet}: {count} APDUs, {median:.2} ms at the median, {last:.2} ms at most", self.tool);
        // A machine that is busy makes some of them slow, a socket with stock settings all.
        let quick = times[count / 4];
        if quick < SLOW { Ok(()) } else { Err(format!("three in four APDUs take more than {quick:.2} ms").into()) }
    }
}

/// The path of a folder as a client is told it.
pub(crate) fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| "an odd temporary directory".into())
}

/// Reads hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Outcome<Vec<u8>> {
    Ok(hex::decode(digits).map_err(|error| format!("{digits:?}: {error}"))?)
}

/// For what comes at once, on a machine that is busy with something else.
const SOON: Duration = Duration::from_secs(20);
/// Between two looks for the card.
const TICK: Duration = Duration::from_millis(50);
/// Milliseconds: the delayed acknowledgement that vpcd runs into costs 40.
const SLOW: f64 = 30.0;
