//! The last lines of a program, kept for whoever has to say why something failed.

use std::collections::VecDeque;
use std::fmt;

/// The last lines of both output streams, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Said {
    lines: VecDeque<String>,
}

impl Said {
    /// Notes a line; the oldest makes room, and a long one is cut.
    pub fn note(&mut self, line: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let mut kept: String = line.chars().filter(|c| !c.is_control()).take(WIDTH).collect();
        if kept.len() < line.trim_end().len() {
            kept.push_str("...");
        }
        self.lines.push_back(kept);
    }
}

/// Each line on a line of its own, behind what it is an explanation of.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return f.write_str("; it said nothing");
        }
        f.write_str("; its last lines:")?;
        self.lines.iter().try_for_each(|line| write!(f, "\n      {line}"))
    }
}

const LINES: usize = 12;
/// Characters of a line.
const WIDTH: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut said = Said::default();
        assert_eq!(said.to_string(), "; it said nothing");
        for n in 0..100 {
            said.note(&format!("line {n}\n"));
        }
        said.note(&"x".repeat(10_000));
        let text = said.to_string();
        assert!(!text.contains("line 88") && text.contains("\n      line 89\n"), "{text}");
        assert!(text.ends_with(&format!("{}...", "x".repeat(WIDTH))));
        assert!(text.len() < LINES * (WIDTH + 20));
    }

    #[test]
    fn nothing_a_program_writes_reaches_a_terminal_as_it_is() {
        let mut said = Said::default();
        said.note("a\u{1b}[31m\u{7}b");
        assert_eq!(said.to_string(), "; its last lines:\n      a[31mb...");
    }
}
