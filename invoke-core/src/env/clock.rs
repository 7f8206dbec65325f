//! The time.

use std::sync::atomic::{AtomicI64, Ordering};

use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset, macros::format_description};

/// A point in time, UTC, with millisecond resolution as the database keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970-01-01 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 UTC.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by so many milliseconds.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0 + millis)
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm`, the text that the database and most of the wire carry.
    pub fn sql(self) -> String {
        self.text(b' ')
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmm000`, the text of account records.
    pub fn iso_micros(self) -> String {
        let mut text = self.text(b'T');
        text.push_str("000");
        text
    }

    /// The digits are written here, as a page of a gallery has hundreds of times in it. A time beyond the year 9999 is written as 1970.
    fn text(self, between: u8) -> String {
        let mut millis = self.0;
        let (mut year, mut month, mut day) = calendar::date(millis.div_euclid(DAY_MS));
        if !(0..=9999).contains(&year) {
            (millis, (year, month, day)) = (0, (1970, 1, 1));
        }
        let of_day = millis.rem_euclid(DAY_MS);
        let mut text = *b"0000-00-00 00:00:00.000";
        text[10] = between;
        for (end, mut number) in [
            (4, year),
            (7, month),
            (10, day),
            (13, of_day / 3_600_000),
            (16, of_day / 60_000 % 60),
            (19, of_day / 1000 % 60),
            (23, of_day % 1000),
        ] {
            let mut at = end;
            while number > 0 {
                at -= 1;
                text[at] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        String::from_utf8(text.to_vec()).expect("digits are UTF-8")
    }

    /// Reads [`Self::sql`] and its ISO relatives (a `T` between date and time; fraction and UTC offset optional).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(found) = Self::parse_usual(text.as_bytes()) {
            return Some(found);
        }
        let text = text.trim().trim_end_matches('Z').trim_end_matches("+00:00").replace('T', " ");
        let with_fraction = if text.contains('.') { text } else { format!("{text}.0") };
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");
        let parsed = PrimitiveDateTime::parse(&with_fraction, format).ok()?;
        i64::try_from(parsed.assume_offset(UtcOffset::UTC).unix_timestamp_nanos() / 1_000_000)
            .ok()
            .map(Self)
    }

    /// Reads exactly what [`Self::sql`] writes, quickly.
    fn parse_usual(text: &[u8]) -> Option<Self> {
        if text.len() != 23 || [text[4], text[7], text[10], text[13], text[16], text[19]] != *b"-- ::." {
            return None;
        }
        let number = |from: usize, to: usize| {
            text[from..to]
                .iter()
                .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
        };
        let date = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second, millis) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
        let days = calendar::days(date);
        let is_real = calendar::date(days) == date && hour < 24 && minute < 60 && second < 60;
        is_real.then(|| Self(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + millis))
    }
}

const DAY_MS: i64 = 86_400_000;

/// Days since 1970-01-01 and dates of the Gregorian calendar, by counting from March, so that the leap day is a year's last.
mod calendar {
    /// Days in 400 years.
    const ERA: i64 = 146_097;
    /// Days from the first of March of the year 0 to 1970-01-01.
    const EPOCH: i64 = 719_468;

    /// Year, month and day of a day.
    pub(super) const fn date(days: i64) -> (i64, i64, i64) {
        let days = days.saturating_add(EPOCH);
        let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (year_of_era + era * 400 + (month <= 2) as i64, month, day)
    }

    /// The day of a year, month and day; of one that does not exist, some other.
    pub(super) const fn days((year, month, day): (i64, i64, i64)) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        era * ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - EPOCH
    }
}

/// A source of time.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
    /// Nanoseconds from an arbitrary start; never goes back.
    fn monotonic_ns(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the real clock")]
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the real clock")]
    fn monotonic_ns(&self) -> u64 {
        use std::{sync::OnceLock, time::Instant};
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at this time.
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.millis()))
    }

    /// Moves on by milliseconds.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::SeqCst)).unwrap_or(0) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_calendar() {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
        // Every 31 hours and a bit from the year 1 to beyond 9999, so all days of leap years of all kinds are met.
        let mut millis = -62_135_596_800_000_i64;
        while millis < 253_402_300_800_000 {
            let date_time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap();
            let text = date_time.format(format).unwrap();
            assert_eq!(Timestamp(millis).sql(), text);
            assert_eq!(Timestamp::parse_usual(text.as_bytes()), Some(Timestamp(millis)), "{text}");
            millis += 111_630_123;
        }
        assert_eq!(Timestamp(i64::MAX).sql(), "1970-01-01 00:00:00.000");
        assert_eq!(Timestamp(i64::MIN).sql(), "1970-01-01 00:00:00.000");
        for none in [
            "2026-02-29 00:00:00.000",
            "2026-13-01 00:00:00.000",
            "2026-00-01 00:00:00.000",
            "2026-01-00 00:00:00.000",
            "2026-01-32 00:00:00.000",
            "2026-01-01 24:00:00.000",
            "2026-01-01 00:60:00.000",
            "2026-01-01 00:00:60.000",
            "2026-01-01 00:00:0a.000",
            "2026/01/01 00:00:00.000",
        ] {
            assert_eq!(Timestamp::parse(none), None, "{none}");
        }
    }

    #[test]
    fn texts_round_trip() {
        let t = Timestamp::from_millis(1_790_000_000_123);
        assert_eq!(t.sql(), "2026-09-21 14:13:20.123");
        assert_eq!(t.iso_micros(), "2026-09-21T14:13:20.123000");
        for text in [
            t.sql(),
            t.iso_micros(),
            format!("{}Z", t.iso_micros()),
            format!("{}+00:00", t.iso_micros()),
        ] {
            assert_eq!(Timestamp::parse(&text), Some(t), "{text}");
        }
        assert_eq!(Timestamp::parse("2026-09-21 14:13:20").map(Timestamp::seconds), Some(t.seconds()));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
