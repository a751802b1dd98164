//! The transcript: numbered steps, and under each what happened.

use crate::error::CliError;
use crate::output::{Output, Tone, read_or_not, shown};

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
    /// [`CliError`] when the page cannot be written.
    pub(crate) fn headline(&self, text: &str) -> Result<(), CliError> {
        self.write(self.out.tone(Tone::Strong, text))
    }

    /// Begins the next step.
    ///
    /// # Errors
    /// [`CliError`] when the page cannot be written.
    pub(crate) fn step(&mut self, title: &str) -> Result<(), CliError> {
        self.steps += 1;
        self.write("")?;
        self.write(self.out.tone(Tone::Strong, &format!("{}. {title}", self.steps)))
    }

    /// Says what happened.
    ///
    /// # Errors
    /// [`CliError`] when the page cannot be written.
    pub(crate) fn say(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.write(format!("   {}", shown(text.as_ref())))
    }

    /// Says what went as it should.
    ///
    /// # Errors
    /// [`CliError`] when the page cannot be written.
    pub(crate) fn good(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.write(format!("   {}", self.out.tone(Tone::Good, &shown(text.as_ref()))))
    }

    /// Says what was refused, and why.
    ///
    /// # Errors
    /// [`CliError`] when the page cannot be written.
    pub(crate) fn refused(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        self.write(format!("   {}", self.out.tone(Tone::Bad, &shown(text.as_ref()))))
    }

    /// The story is told to its end also when nobody listens: its exit code is what was asked for.
    fn write(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        read_or_not(self.out.line(text))
    }
}
