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

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm`, the text that the database and most of the wire carry.
    pub fn sql(self) -> String {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
        self.date_time().format(format).unwrap_or_default()
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmm000`, the text of account records.
    pub fn iso_micros(self) -> String {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]");
        self.date_time().format(format).unwrap_or_default()
    }

    /// Reads [`Self::sql`] and its ISO relatives (a `T` between date and time; fraction and UTC offset optional).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('Z').trim_end_matches("+00:00").replace('T', " ");
        let with_fraction = if text.contains('.') { text } else { format!("{text}.0") };
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");
        let parsed = PrimitiveDateTime::parse(&with_fraction, format).ok()?;
        i64::try_from(parsed.assume_offset(UtcOffset::UTC).unix_timestamp_nanos() / 1_000_000)
            .ok()
            .map(Self)
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
