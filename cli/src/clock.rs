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

    /// Returns the milliseconds since 1970 of `2026-11-21` or `2026-11-21T12:03:45`, and how many it covers.
    pub(crate) fn parse(text: &str) -> Option<(u64, u64)> {
        let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
        let parts: Vec<u64> = date.split('-').map(digits).collect::<Option<_>>()?;
        let [year, month, day] = *parts.as_slice() else { return None };
        if date.len() != 10 || !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return None;
        }
        // The inverse of `date`, from the same source: days_from_civil.
        let year = if month <= 2 { year - 1 } else { year };
        let (era, of_era) = (year / 400, year % 400);
        let from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * from_march + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
        let midnight = days.checked_sub(719_468)? * 86_400_000;
        if Self::from_millis(midnight).date() != date {
            return None;
        }
        let Some(time) = time else { return Some((midnight, 86_400_000)) };
        let parts: Vec<u64> = time.split(':').map(digits).collect::<Option<_>>()?;
        match *parts.as_slice() {
            [h @ 0..=23, m @ 0..=59, s @ 0..=59] if time.len() == 8 => {
                Some((midnight + (h * 3600 + m * 60 + s) * 1000, 1000))
            }
            _ => None,
        }
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

/// Returns a number that is nothing but digits.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
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
            let seconds = millis / 1000 * 1000;
            assert_eq!(Moment::parse(&format!("{date}T{time}")), Some((seconds, 1000)));
            assert_eq!(Moment::parse(date), Some((millis / 86_400_000 * 86_400_000, 86_400_000)));
        }
    }

    #[test]
    fn an_absurd_time_of_a_peer_is_the_end_of_the_calendar() {
        assert_eq!(Moment::from_millis(u64::MAX).date(), "9999-12-31");
    }
}
