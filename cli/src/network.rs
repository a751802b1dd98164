//! The private network that `demo` and `up` share: one relay, and for each profile a software card, a key manager and a
//! node, everything on this machine and as children of this process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proto::rpc::api::{
    CardInfo, CardRequest, KeymgrStatusRequest, NodeStatusRequest, ProvisionReply, ProvisionRequest,
};
use proto::rpc::api::{KeymgrStatus, NodeStatus, provision_request};
use proto::rpc::{Fault, seal};
use proto::shell::{dice, file};
use proto::{ChatKey, Fingerprint, Pin, Puk};
use serde::{Deserialize, Serialize};

use crate::client::{self, Keymgr, Node, answer, prompt_answer};
use crate::error::CliError;
use crate::paths::{self, Layout, Profile};
use crate::process::{self, Crew};

/// Starts the parts of the network and keeps them in a [`Crew`].
#[derive(Debug)]
pub(crate) struct Network {
    layout: Layout,
    keymgr: PathBuf,
    node: PathBuf,
}

/// A software card that was just made.
#[derive(Debug)]
pub(crate) struct NewCard {
    /// Its identity key, which the manifest names.
    pub(crate) identity: Fingerprint,
}

/// A process of the network that is ready.
#[derive(Debug)]
pub(crate) struct Started<C> {
    /// Its process id.
    pub(crate) pid: u32,
    /// Speaks with it.
    pub(crate) client: C,
}

/// Where a card's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// GENERATE KEY on the card.
    Generated,
    /// A mnemonic of so many words, drawn by the manager and loaded.
    FreshWords(u32),
}

impl Network {
    /// Returns the network in these folders, which it makes if needed.
    ///
    /// # Errors
    /// When a program is missing or the folders cannot be ours alone.
    pub(crate) fn new(layout: Layout) -> Result<Self, CliError> {
        let (keymgr, node) = (process::KEYMGR.find()?, process::NODE.find()?);
        layout.make()?;
        Ok(Self { layout, keymgr, node })
    }

    /// Returns the folders.
    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes a profile: a blank software card and a manifest that names it. It appears whole or not at all.
    ///
    /// # Errors
    /// What the key manager or the file system says.
    pub(crate) async fn create(&self, profile: &Profile) -> Result<NewCard, CliError> {
        let name = profile.name.as_str();
        let unfinished = self.layout.profiles_dir().join(format!(".{name}.new"));
        // Left by an earlier creation that was cut off: it never held more than a blank card.
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(CliError::file(&unfinished))?;
        }
        paths::make_private(&unfinished)?;
        let keymgr_dir = unfinished.join("keymgr");
        paths::make_private(&keymgr_dir)?;
        let mut command = process::command(self.keymgr.as_os_str(), "soft-create");
        command.arg("--dir").arg(&keymgr_dir).arg(name);
        let created: SoftCreated = process::run_once(&format!("{name}'s software card"), command).await?;
        let identity = hex::decode(&created.identity)
            .ok()
            .and_then(|bytes| ChatKey::try_from(bytes.as_slice()).ok())
            .ok_or_else(|| CliError::Other("the new card's identity is no public key".to_owned()))?;
        let manifest = Manifest {
            card: vec![ManifestCard {
                label: name.to_owned(),
                identity: hex::encode(identity.to_compressed()),
                generation: "v2".to_owned(),
            }],
        };
        let text = toml::to_string(&manifest).map_err(|error| CliError::Other(error.to_string()))?;
        let manifest = unfinished.join("manifest.toml");
        file::write_whole(&manifest, text.as_bytes()).map_err(CliError::file(&manifest))?;
        fs::rename(&unfinished, &profile.dir).map_err(CliError::file(&profile.dir))?;
        file::sync_folder_of(&profile.dir).map_err(CliError::file(&profile.dir))?;
        Ok(NewCard { identity: Fingerprint::of(&identity) })
    }

    /// Starts a profile's key manager.
    ///
    /// # Errors
    /// Its own reason not to start; [`Fault::StateMissing`] when the manifest is gone.
    pub(crate) async fn start_keymgr(&self, crew: &mut Crew, profile: &Profile) -> Result<Started<Keymgr>, CliError> {
        let manifest = profile.manifest();
        if !manifest.exists() {
            let message = format!(
                "{} is missing; restore it from a backup, or remove {} to begin the profile anew",
                manifest.display(),
                profile.dir.display()
            );
            return Err(CliError::found(Fault::StateMissing, message));
        }
        let mut command = process::command(self.keymgr.as_os_str(), "run");
        command.arg("--dir").arg(profile.keymgr_dir());
        command.arg("--socket").arg(&profile.keymgr_socket);
        command.arg("--reader").arg(format!("soft:{}", profile.name));
        command.arg("--manifest").arg(manifest);
        command.args(["--allow-test-ca", "--until-stdin-closes"]);
        let name = format!("{}'s key manager", profile.name);
        let (Ready { .. }, pid) = crew.start(&name, command, &profile.keymgr_socket, READY).await?;
        Ok(Started { pid, client: client::keymgr(&profile.keymgr_socket).await? })
    }

    /// Starts the relay and returns its address with it.
    ///
    /// # Errors
    /// Its own reason not to start.
    pub(crate) async fn start_relay(&self, crew: &mut Crew) -> Result<(Started<Node>, String), CliError> {
        let socket = self.layout.relay_socket();
        let mut command = process::command(self.node.as_os_str(), "relay");
        command.arg("--dir").arg(self.layout.relay_dir());
        command.arg("--socket").arg(&socket);
        command.args(["--listen", "127.0.0.1:0", "--until-stdin-closes"]);
        let (ready, pid): (Ready, u32) = crew.start("the relay", command, &socket, READY).await?;
        let enode = ready.enode.ok_or_else(|| CliError::Other("the relay did not say its address".to_owned()))?;
        Ok((Started { pid, client: client::node(&socket).await? }, enode))
    }

    /// Starts a profile's node, which asks the key manager for its two keys. `options` say where it listens, whom it dials
    /// and how it behaves.
    ///
    /// # Errors
    /// Its own reason not to start.
    pub(crate) async fn start_node(
        &self,
        crew: &mut Crew,
        profile: &Profile,
        options: &[&str],
    ) -> Result<Started<Node>, CliError> {
        let mut command = process::command(self.node.as_os_str(), "run");
        command.arg("--dir").arg(profile.node_dir());
        command.arg("--socket").arg(&profile.node_socket);
        command.arg("--keymgr").arg(&profile.keymgr_socket);
        command.arg("--until-stdin-closes").args(options);
        let name = format!("{}'s node", profile.name);
        let (Ready { .. }, pid) = crew.start(&name, command, &profile.node_socket, READY).await?;
        Ok(Started { pid, client: client::node(&profile.node_socket).await? })
    }
}

/// Initialises the blank card in the manager's reader and gives it a key. With fresh words, the second value is how many
/// came back, sealed to us; they are wiped here.
///
/// # Errors
/// What the manager answered.
pub(crate) async fn provision(
    manager: &mut Keymgr,
    pin: &Pin,
    puk: &Puk,
    source: KeySource,
) -> Result<(ProvisionReply, usize), CliError> {
    let ours = proto::rpc::SealingKey::generate(&mut dice());
    let request = ProvisionRequest {
        pin: Some(client::sealed(manager, seal::PIN, pin.expose()).await?),
        puk: Some(client::sealed(manager, seal::PUK, puk.expose()).await?),
        key: Some(match source {
            KeySource::Generated => provision_request::Key::Generate(true),
            KeySource::FreshWords(words) => provision_request::Key::FreshWords(words),
        }),
        caller: ours.public().to_vec(),
        ..ProvisionRequest::default()
    };
    let reply = answer(manager.provision(request)).await?;
    let words = match (&reply.mnemonic, source) {
        (Some(sealed), KeySource::FreshWords(_)) => {
            let opened = ours
                .open(seal::MNEMONIC, sealed)
                .map_err(|_| CliError::Other("the key manager's mnemonic does not open".to_owned()))?;
            opened.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count()
        }
        _ => 0,
    };
    Ok((reply, words))
}

/// Returns what the card in the manager's reader says of itself.
///
/// # Errors
/// What the manager answered.
pub(crate) async fn card(manager: &mut Keymgr) -> Result<CardInfo, CliError> {
    answer(manager.card(CardRequest::default())).await
}

/// Returns what the manager says of itself.
///
/// # Errors
/// What the manager answered.
pub(crate) async fn keymgr_status(manager: &mut Keymgr) -> Result<KeymgrStatus, CliError> {
    prompt_answer(manager.status(KeymgrStatusRequest {})).await
}

/// Returns what the node says of itself.
///
/// # Errors
/// What the node answered.
pub(crate) async fn node_status(node: &mut Node) -> Result<NodeStatus, CliError> {
    prompt_answer(node.status(NodeStatusRequest {})).await
}

/// What `cardinal-keymgr soft-create` prints.
#[derive(Debug, Deserialize)]
struct SoftCreated {
    identity: String,
}

/// What a service prints when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    enode: Option<String>,
}

/// The cards that a key manager may meet.
#[derive(Debug, Serialize)]
struct Manifest {
    card: Vec<ManifestCard>,
}

#[derive(Debug, Serialize)]
struct ManifestCard {
    label: String,
    identity: String,
    generation: String,
}

/// A free port of this machine alone.
pub(crate) const LOOPBACK: &str = "127.0.0.1:0";
/// A service is ready within this, the key exports and the opening of the store included.
const READY: Duration = Duration::from_secs(30);
