//! `cardinal card install`: the applets of a Keycard on a bare card.

use proto::rpc::api::InstallRequest;
use proto::rpc::seal;
use proto::shell::file;
use serde_json::json;

use crate::card::args::InstallArgs;
use crate::card::manager::Manager;
use crate::client::long_answer;
use crate::error::CliError;
use crate::output::Output;

/// `card install`
pub(crate) async fn install(out: Output, args: &InstallArgs) -> Result<(), CliError> {
    let mut caps = Vec::new();
    for path in &args.cap {
        caps.push(file::read_bounded(path, LONGEST_CAP).map_err(CliError::file(path))?.to_vec());
    }
    let mut manager = Manager::of(&args.target).await?;
    let ca_key = match &args.ca_key {
        Some(path) => {
            let key = file::read_bounded(path, LONGEST_KEY).map_err(CliError::file(path))?;
            Some(manager.sealed(seal::KEY, &key).await?)
        }
        None => None,
    };
    let erase_owned = args.erase_owned.clone().unwrap_or_default();
    let request = InstallRequest { target: manager.target(), caps, ca_key, test_ca: args.test_ca, erase_owned };
    let reply = long_answer(manager.cards.install(request)).await?;
    out.report(vec![
        ("card", json!(reply.card)),
        ("fingerprint", json!(reply.fingerprint)),
        ("authority", json!(reply.authority)),
        ("domain_key", json!(reply.domain_key)),
        ("log_entry", json!(reply.log_entry)),
    ])
}

/// Many times the largest CAP of a Keycard.
const LONGEST_CAP: usize = 512 * 1024;
/// 64 digits and white space around them.
const LONGEST_KEY: usize = 256;
