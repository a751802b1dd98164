//! What is to be thought of a log, in words for people: each verdict with what it means, each finding with what to do.

use audit::Report;
use audit::verify::{Coverage, Finding, Kept, Verdict, Why};
use proto::rpc::Fault;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Something to look at.
    Warn,
    /// Not to be relied on.
    Bad,
}

/// What is to be thought of a log.
#[derive(Debug, Clone)]
pub(crate) struct Judgement {
    /// The verdict in one line.
    pub(crate) headline: String,
    /// What that means.
    pub(crate) meaning: String,
    /// How bad it is.
    pub(crate) tone: Tone,
    /// Everything that was found.
    pub(crate) findings: Vec<Told>,
    /// What the log cannot answer.
    pub(crate) questions: Vec<String>,
}

/// One finding in words.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// What it is, and where.
    pub(crate) says: String,
    /// What to do.
    pub(crate) todo: String,
}

impl Judgement {
    /// Returns what is to be thought of this report.
    pub(crate) fn of(report: &Report) -> Self {
        let verdict = report.verdict();
        let mut findings: Vec<Told> = report.findings.iter().map(Told::of).collect();
        if report.more_findings > 0 {
            let todo = "mend the first ones, or compare the log with a copy".to_owned();
            findings.push(Told { says: format!("{} more findings", report.more_findings), todo });
        }
        let mut questions: Vec<String> = report.questions.iter().map(ToString::to_string).collect();
        if report.more_questions > 0 {
            questions.push(format!("{} more questions", report.more_questions));
        }
        Self { headline: report.to_string(), meaning: meaning(report), tone: tone(verdict), findings, questions }
    }
}

impl Told {
    fn of(finding: &Finding) -> Self {
        Self { says: finding.to_string(), todo: todo(finding) }
    }
}

/// Returns the cause that names the exit code of a verdict; nothing for the best.
pub(crate) const fn fault(verdict: Verdict) -> Option<Fault> {
    match verdict {
        Verdict::Complete => None,
        Verdict::Consistent => Some(Fault::LogConsistent),
        Verdict::Gap => Some(Fault::LogGap),
        Verdict::Altered => Some(Fault::LogAltered),
        Verdict::Truncated => Some(Fault::LogTruncated),
        Verdict::RolledBack => Some(Fault::LogRolledBack),
        Verdict::UnsignedTail => Some(Fault::LogUnsignedTail),
        Verdict::ClockStep => Some(Fault::LogClockStep),
        Verdict::DecoyWallet => Some(Fault::LogDecoyWallet),
        Verdict::UnsignedCard => Some(Fault::LogUnsignedCard),
    }
}

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Complete => Tone::Good,
        Verdict::Consistent
        | Verdict::UnsignedTail
        | Verdict::ClockStep
        | Verdict::DecoyWallet
        | Verdict::UnsignedCard => Tone::Warn,
        Verdict::Gap | Verdict::Altered | Verdict::Truncated | Verdict::RolledBack => Tone::Bad,
    }
}

fn meaning(report: &Report) -> String {
    let says = match report.verdict() {
        Verdict::Complete => {
            let says = "Every line is as it was written, and a head that was kept elsewhere says that none is missing at the end.";
            return format!("{says} {}", signed(report));
        }
        Verdict::Consistent => {
            let says = "That lines are missing at the end cannot be excluded: verify with a head that was kept elsewhere, --anchor.";
            return format!("Every line fits to the ones before. {} {says}", signed(report));
        }
        Verdict::Gap => {
            "Lines are missing. What they told is lost, and whatever they told of must be taken as exported."
        }
        Verdict::Altered => {
            "Lines are not as they were written. Nothing that this file tells can be relied on from there on."
        }
        Verdict::Truncated => "Lines at the end are missing. Whatever they told of must be taken as exported.",
        Verdict::RolledBack => {
            "This log is older than what the card or an anchor knows, or another one: more happened than it tells."
        }
        Verdict::UnsignedTail => {
            "No card has signed the last lines: who can write the file could have written or changed them."
        }
        Verdict::ClockStep => "The clock of the computer was set: the times of these lines are not to be relied on.",
        Verdict::DecoyWallet => "The card showed other keys than before, as it does after its duress PIN.",
        Verdict::UnsignedCard => "No card that counts as genuine vouches for these lines: only the file itself does.",
    };
    says.to_owned()
}

/// Returns which lines cards signed, and what stands in those that none did.
fn signed(report: &Report) -> String {
    let Coverage { signed_to, tail, .. } = &report.coverage;
    let signed = match signed_to {
        0 => "No card signed any of it".to_owned(),
        signed_to => format!("Cards signed what stands up to line {signed_to}"),
    };
    let vouches = if report.end_proven { "the head that was kept elsewhere" } else { "only the file" };
    match tail.lines {
        None => format!("{signed}."),
        Some(_) => format!("{signed}; {vouches} vouches for {tail}."),
    }
}

fn todo(finding: &Finding) -> String {
    match &finding.why {
        Why::NotTaken { authority, .. } if authority == "test" => {
            "this is an unsigned card (test authority): anybody can make such cards. If these are software cards of yours, \
             verify with --ca test"
                .to_owned()
        }
        Why::NotTaken { .. } => {
            "if that authority is yours, verify with --ca and a file with its key; otherwise treat the card as a forgery".to_owned()
        }
        Why::AnchorKnowsMore { anchor } | Why::AnchorKnowsOther { anchor } => match anchor.kept {
            Kept::Elsewhere | Kept::OnTheCard => {
                "find out who could write this file; look for the missing lines in a backup, and treat every key that the card \
                 exports as exported"
                    .to_owned()
            }
            Kept::Beside => "look for the missing lines in a backup; the key manager does not start without them".to_owned(),
        },
        Why::AnchorOfOtherLog { .. } => "name the log of this head, or the heads of this log".to_owned(),
        Why::CardRemembersMore { .. } | Why::CardRemembersOther { .. } => {
            "find the other log and verify it too: what it tells left the same card".to_owned()
        }
        _ => match finding.verdict {
            Verdict::Altered | Verdict::Gap => {
                "keep this file as evidence, compare it with a backup, and find out who could write it".to_owned()
            }
            Verdict::Truncated | Verdict::RolledBack => {
                "look for the missing lines in a backup, and treat every key that the card exports as exported".to_owned()
            }
            Verdict::UnsignedTail => {
                "unlock the card once: its next signature covers these lines; until then compare them with what you know".to_owned()
            }
            Verdict::ClockStep => "ask who set the clock; the order of the lines is proven, their times are not".to_owned(),
            Verdict::DecoyWallet => {
                "if nobody was forced to enter the duress PIN, another card or key was used: ask its owner".to_owned()
            }
            Verdict::UnsignedCard => {
                "an applet of 3.1 or later with a certificate signs; until then keep this file where others cannot write".to_owned()
            }
            Verdict::Complete | Verdict::Consistent => "nothing".to_owned(),
        },
    }
}
