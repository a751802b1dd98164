//! What is to be thought of a log, in words for people: each finding with what it means and what to do.

use audit::Report;

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
        let findings = report.bad.iter().map(|bad| Told {
            says: bad.to_string(),
            todo: "keep the file as evidence and compare it with a copy".to_owned(),
        });
        let questions = report.unknown.iter().map(|line| format!("line {line}: outcome unknown, treat as exported"));
        Self {
            headline: report.to_string(),
            meaning: String::new(),
            tone: match (&report.bad, report.is_consistent()) {
                (None, true) if report.unknown.is_empty() => Tone::Good,
                (None, true) => Tone::Warn,
                _ => Tone::Bad,
            },
            findings: findings.collect(),
            questions: questions.collect(),
        }
    }
}
