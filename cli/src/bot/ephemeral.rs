//! An identity that nobody needs afterwards: a software card with a key of its own, a key manager and a node.

use std::path::Path;

use proto::rpc::api::LockRequest;
use proto::shell::dice;
use proto::{Pin, Puk};

use crate::args::BotArgs;
use crate::client::{self, Node, answer};
use crate::error::CliError;
use crate::network::{self, KeySource, Network};
use crate::paths::{Layout, ProfileName};
use crate::process::Crew;

/// Makes it in this folder and starts what it needs.
///
/// # Errors
/// What a part of it says.
pub(super) async fn start(crew: &mut Crew, folder: &Path, args: &BotArgs) -> Result<Node, CliError> {
    let network = Network::new(Layout::new(folder.join("data"), folder.join("run"))?)?;
    let profile = network.layout().profile(ProfileName::try_from("bot")?);
    network.create(&profile).await?;
    let mut manager = network.start_keymgr(crew, &profile).await?.client;
    // They are good for this once.
    let (pin, puk) = (Pin::random(&mut dice()), Puk::random(&mut dice()));
    network::provision(&mut manager, &pin, &puk, KeySource::Generated).await?;
    client::unlock(&mut manager, &pin, false, 0).await?;
    let listen = args.listen.to_string();
    let mut options = vec!["--listen", &listen];
    options.extend(args.peers.iter().flat_map(|peer| ["--peer", peer]));
    options.extend(args.options.iter().map(String::as_str));
    let node = network.start_node(crew, &profile, &options).await?.client;
    answer(manager.lock(LockRequest { all: true, ..LockRequest::default() })).await?;
    Ok(node)
}
