//! Wall clock readings as people write them, in UTC.

/// A moment, split as a calendar and a clock show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    millis: u64,
}

impl Moment {
    /// Returns the moment so many milliseconds after 1970.
    pub(crate) const fn from_millis(millis: u64) -> Self {
        // Year 9999 is as far as four digits go; a peer may claim anything.
        const LAST: u64 = 253_402_300_799_999;
        Self { millis: if millis > LAST { LAST } else { millis } }
    }

    /// Returns `12:03:45`.
    pub(crate) fn time(self) -> String {
        let seconds = self.millis / 1000;
        format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }

    /// Returns `2026-11-21`.
    pub(crate) fn date(self) -> String {
        // Days to a civil date in eras of 400 years beginning on 1 March (Howard Hinnant, "chrono-compatible
        // low-level date algorithms", civil_from_days).
        let days = self.millis / 86_400_000 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn known_moments_read_as_they_should() {
        for (millis, date, time) in [
            (0, "1970-01-01", "00:00:00"),
            (951_782_400_000, "2000-02-29", "00:00:00"),
            (1_709_251_199_999, "2024-02-29", "23:59:59"),
            (1_767_225_600_000, "2026-01-01", "00:00:00"),
            (4_107_542_400_000, "2100-03-01", "00:00:00"),
        ] {
            let moment = Moment::from_millis(millis);
            assert_eq!((moment.date().as_str(), moment.time().as_str()), (date, time));
        }
    }

    #[test]
    fn an_absurd_time_of_a_peer_is_the_end_of_the_calendar() {
        assert_eq!(Moment::from_millis(u64::MAX).date(), "9999-12-31");
    }
}
