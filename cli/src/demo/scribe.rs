//! The transcript: numbered steps, and under each what happened.

use crate::error::CliError;
use crate::output::{Output, Tone, shown};

/// Writes the transcript.
#[derive(Debug)]
pub(crate) struct Scribe {
    out: Output,
    steps: u32,
}

impl Scribe {
    /// Returns a scribe with an empty page.
    pub(crate) const fn new(out: Output) -> Self {
        Self { out, steps: 0 }
    }

    /// Writes the headline.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn headline(&self, text: &str) -> Result<(), CliError> {
        self.out.line(self.out.tone(Tone::Strong, text))
    }

    /// Begins the next step.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn step(&mut self, title: &str) -> Result<(), CliError> {
        self.steps += 1;
        self.out.line("")?;
        self.out.line(self.out.tone(Tone::Strong, &format!("{}. {title}", self.steps)))
    }

    /// Says what happened.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn say(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.out.line(format!("   {}", shown(text.as_ref())))
    }

    /// Says what went as it should.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn good(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.out.line(format!("   {}", self.out.tone(Tone::Good, &shown(text.as_ref()))))
    }

    /// Says what was refused, and why.
    ///
    /// # Errors
    /// [`CliError::BrokenPipe`].
    pub(crate) fn refused(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.out.line(format!("   {}", self.out.tone(Tone::Bad, &shown(text.as_ref()))))
    }
}
