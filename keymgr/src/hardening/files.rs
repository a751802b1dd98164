//! Landlock: which files a manager can still open, whatever the code in it wants.
//!
//! Reading is open where programs and libraries are, because the reader's library is looked up when a reader is asked for.
//! Connecting to pcscd is no opening of a file, and stays possible. The kernel denies to look at another process's program as
//! well, so the caller's is told by a witness outside.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Places;

/// Why files are open.
#[derive(Debug, thiserror::Error)]
pub(super) enum Open {
    #[error("this kernel has no landlock")]
    Kernel,
    #[error(transparent)]
    Ruleset(#[from] landlock::RulesetError),
    #[error(transparent)]
    Place(#[from] landlock::PathFdError),
}

/// Restricts this thread, and those that it starts, to these places.
pub(super) fn restrict(places: &Places) -> Result<(), Open> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))
        .map_err(|_| Open::Kernel)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TESTED))?
        .handle_access(AccessNet::from_all(TESTED))?
        .scope(Scope::from_all(TESTED))?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for place in SYSTEM.iter().map(Path::new).chain(places.read.iter().map(AsRef::as_ref)) {
        rules = beneath(rules, place, read)?;
    }
    let written = (AccessFs::from_all(TESTED) & !AccessFs::Execute) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    for place in &places.written {
        rules = beneath(rules, place, written)?;
    }
    rules = beneath(rules, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    match rules.restrict_self()?.ruleset {
        RulesetStatus::NotEnforced => Err(Open::Kernel),
        _ => Ok(()),
    }
}

/// Adds a place, unless there is none: what is missing cannot be opened either.
fn beneath(rules: RulesetCreated, place: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, Open> {
    let Ok(meta) = place.metadata() else { return Ok(rules) };
    let access = if meta.is_dir() { access } else { access & AccessFs::from_file(TESTED) };
    Ok(rules.add_rule(PathBeneath::new(PathFd::new(place)?, access))?)
}

/// Without the rights of this version there is little to enforce (Linux 5.13).
const LEAST: ABI = ABI::V1;
/// Truncation, devices, TCP, signals and abstract sockets: what later kernels add is not asked for before it was tried.
const TESTED: ABI = ABI::V6;
/// Where a system keeps what every program reads.
const SYSTEM: [&str; 9] = ["/usr", "/lib", "/lib64", "/bin", "/opt", "/etc", "/proc", "/sys/devices", "/nix/store"];
