//! `cardinal audit drill`: the verifier is shown every kind of forgery, and must name each.
//!
//! The histories are performed by `cardinal-keymgr` with software cards; the edits of those who have no card are made here.
//! What the verifier must say stands in a table. The drill ends well only when it says that and nothing else.

mod case;
mod edit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::closure::History;
use audit::verify::Verdict;
use proto::rpc::Fault;
use serde::Deserialize;
use serde_json::json;

use super::args::{DrillArgs, TrustArgs};
use super::file::LogFiles;
use super::verify::Examined;
use crate::error::CliError;
use crate::folder::Folder;
use crate::output::{Output, Tone, read_or_not};
use crate::process::{KEYMGR, command, run_within};

use self::case::{CASES, Case, Histories};

/// What the program that performs the histories prints.
#[derive(Debug, Deserialize)]
struct Performed {
    histories: Vec<String>,
}

/// What the verifier said of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    alone: Verdict,
    anchored: Verdict,
}

/// Performs the drill.
///
/// # Errors
/// [`Fault::LogBad`] when the verifier said anything else than it must; why the histories were not performed.
pub(super) async fn run(out: Output, args: DrillArgs) -> Result<(), CliError> {
    let temporary = if args.keep.is_none() { Some(Folder::make()?) } else { None };
    let dir = match (&args.keep, &temporary) {
        (Some(dir), _) => kept(dir)?,
        (None, Some(folder)) => folder.path().join("drill"),
        (None, None) => return Err(CliError::Other("no folder for the drill".to_owned())),
    };
    let histories = dir.join("histories");
    let mut perform = command(KEYMGR.find()?.as_os_str(), "drill");
    perform.arg("--dir").arg(&histories).env("CARDINAL_LOG", "error");
    let Performed { histories: performed } = run_within("the drill's key manager", perform, PATIENCE).await?;
    if !out.is_json() {
        read_or_not(out.line(format!("{} histories performed with software cards.", performed.len())))?;
        read_or_not(out.line(out.tone(Tone::Strong, &heading())))?;
    }
    let histories = Histories::in_folder(histories);
    let wrong = judge(out, CASES, (&histories, &dir), verdict)?;
    if let Some(dir) = &args.keep
        && !out.is_json()
    {
        read_or_not(out.line(format!("The logs are in {}.", dir.display())))?;
    }
    if let Some(folder) = temporary {
        folder.remove()?;
    }
    if wrong == 0 {
        return Ok(());
    }
    let message = format!("the verifier was wrong about {wrong} of {} cases", CASES.len());
    Err(CliError::found(Fault::LogBad, message))
}

/// Lays every case out, has it judged without and with its heads, and returns about how many the judge was wrong.
fn judge(
    out: Output,
    cases: &[Case],
    (histories, dir): (&Histories, &Path),
    judge: impl Fn(&Case, &Path, Option<&Path>) -> Result<Verdict, CliError>,
) -> Result<usize, CliError> {
    let mut wrong = 0;
    for case in cases {
        let (log, heads) = case.lay_out(histories, dir)?;
        let said = Said { alone: judge(case, &log, None)?, anchored: judge(case, &log, Some(&heads))? };
        let is_right = said == Said { alone: case.alone, anchored: case.anchored };
        wrong += usize::from(!is_right);
        read_or_not(tell(out, case, said, is_right))?;
    }
    Ok(wrong)
}

fn verdict(case: &Case, log: &Path, anchor: Option<&Path>) -> Result<Verdict, CliError> {
    let trust = TrustArgs { ca: case.ca.to_owned(), anchor: anchor.map(PathBuf::from).into_iter().collect() };
    let examined = Examined::with(LogFiles::beside(log)?, &trust, None, History::default())?;
    Ok(examined.report.verdict())
}

/// Returns the folder in which the logs stay: a new one, or one with nothing in it.
fn kept(dir: &Path) -> Result<PathBuf, CliError> {
    crate::paths::make_private(dir)?;
    let mut there = std::fs::read_dir(dir).map_err(CliError::file(dir))?;
    if there.next().is_some() {
        let message = format!("{} is not empty; name another folder", dir.display());
        return Err(CliError::found(Fault::BadInput, message));
    }
    std::path::absolute(dir).map_err(CliError::file(dir))
}

fn heading() -> String {
    format!("{:17} {:15} {:15}  what was done", "case", "the log alone", "with an anchor")
}

fn tell(out: Output, case: &Case, said: Said, is_right: bool) -> Result<(), CliError> {
    if out.is_json() {
        return out.object(&json!({
            "case": case.name,
            "done": case.says,
            "ca": case.ca,
            "alone": said.alone.name(),
            "anchored": said.anchored.name(),
            "expected_alone": case.alone.name(),
            "expected_anchored": case.anchored.name(),
            "right": is_right,
        }));
    }
    let line = format!("{:17} {:15} {:15}  {}", case.name, said.alone.name(), said.anchored.name(), case.says);
    if is_right {
        return out.line(line);
    }
    let must = format!("{line}: must be {} and {}", case.alone.name(), case.anchored.name());
    out.line(out.tone(Tone::Bad, &format!("WRONG {must}")))
}

/// How long the histories may take to perform, on a slow computer.
const PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_expected_somewhere_and_the_anchor_alone_finds_what_only_it_can() {
        for verdict in Verdict::BY_BADNESS {
            let is_there = CASES.iter().any(|case| case.alone == verdict || case.anchored == verdict);
            assert!(is_there, "{verdict}");
        }
        let only_anchored: Vec<&str> =
            CASES.iter().filter(|case| case.alone != case.anchored).map(|case| case.name).collect();
        assert_eq!(only_anchored, ["honest", "honest-v3-2", "honest-rotated", "cut-tail", "old-log"]);
    }

    #[test]
    fn a_verifier_that_says_anything_else_is_wrong() {
        let folder = Folder::make().unwrap();
        let histories = Histories::in_folder(folder.path().to_owned());
        let wrong = |alone: Verdict, anchored: Verdict| {
            let says = |_: &Case, _: &Path, anchor: Option<&Path>| Ok(if anchor.is_some() { anchored } else { alone });
            judge(Output::new(false), &[Case::EMPTY], (&histories, folder.path()), says).unwrap()
        };
        assert_eq!(wrong(Case::EMPTY.alone, Case::EMPTY.anchored), 0);
        for verdict in Verdict::BY_BADNESS {
            assert_eq!(wrong(verdict, Case::EMPTY.anchored), usize::from(verdict != Case::EMPTY.alone));
            assert_eq!(wrong(Case::EMPTY.alone, verdict), usize::from(verdict != Case::EMPTY.anchored));
        }
    }

    #[test]
    fn names_of_cases_are_names_of_different_folders() {
        let names: std::collections::BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))));
    }
}
