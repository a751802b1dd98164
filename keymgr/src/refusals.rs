//! How many refusals are written down: a program that asks in a loop must not fill the disk.
//!
//! The invariant: of each user at most [`MOST`] refusals a minute have lines of their own, the next one says that there were
//! too many, and the rest of that minute is answered without a line.

use std::time::Duration;

use proto::Instant;

/// The refusals of the last minute, by user.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Vec<Minute>);

#[derive(Debug)]
struct Minute {
    uid: u32,
    began: Instant,
    refused: u32,
}

/// What is written of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A line of its own.
    Itself,
    /// A line that says that more are refused than are written.
    TooMany,
    /// Nothing.
    Not,
}

impl Refusals {
    /// Counts one more refusal and returns what is to be written of it.
    pub(crate) fn count(&mut self, uid: u32, now: Instant) -> Written {
        self.0.retain(|minute| now.since(minute.began) < MINUTE);
        let refused = match self.0.iter_mut().find(|minute| minute.uid == uid) {
            Some(minute) => {
                minute.refused = minute.refused.saturating_add(1);
                minute.refused
            }
            None => {
                self.0.push(Minute { uid, began: now, refused: 1 });
                1
            }
        };
        match refused {
            ..=MOST => Written::Itself,
            TOO_MANY => Written::TooMany,
            _ => Written::Not,
        }
    }
}

/// The text of the line that stands for those without one.
pub(crate) const TOO_MANY_TEXT: &str = "too many refusals: the others of this minute are not written";

const MINUTE: Duration = Duration::from_secs(60);
/// More than a person causes.
pub(crate) const MOST: u32 = 100;
const TOO_MANY: u32 = MOST + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_hundred_lines_a_minute_and_one_that_says_there_were_more() {
        let mut refusals = Refusals::default();
        for minute in 0..3 {
            let now = Instant::from_start(MINUTE * minute);
            for _ in 0..MOST {
                assert_eq!(refusals.count(1, now), Written::Itself);
            }
            assert_eq!(refusals.count(1, now), Written::TooMany);
            let last = now.after(MINUTE - Duration::from_millis(1));
            assert_eq!(refusals.count(1, last), Written::Not);
            assert_eq!(refusals.count(2, now), Written::Itself, "another user");
        }
        assert_eq!(refusals.0.len(), 2);
    }
}
