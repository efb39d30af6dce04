//! Time: a wall that may be wrong, and a boot clock that cannot go back.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment on the wall clock, UTC, in milliseconds since 1970.
///
/// For people (JSON) it is RFC 3339 with `Z`; in the store it is one integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub i64);

impl Moment {
    /// This moment moved by `span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment that lies `span` earlier.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339, UTC, with `Z` and milliseconds.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| String::new(), |t| format!("{t:.3}"))
    }

    /// Reads RFC 3339, or a bare date as its first moment in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Some(Self(t.as_millisecond()));
        }
        let date: jiff::civil::Date = text.parse().ok()?;
        let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(zoned.timestamp().as_millisecond()))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_rfc3339())
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Self::parse(&text)
                .ok_or_else(|| serde::de::Error::custom("not an RFC 3339 date and time"))
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// Where time comes from. Tests hold it still.
pub trait Clock: Send + Sync {
    /// The wall clock, UTC. It may be wrong, and it may jump.
    fn now(&self) -> Moment;
    /// Time since this machine started, counting sleep; it never goes back.
    fn since_boot(&self) -> Duration;
    /// The name of this run of the machine: two runs have two, so that times since boot are compared
    /// only where they can be.
    fn boot(&self) -> [u8; 16];
}

/// The machine's own clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> Moment {
        let since =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn since_boot(&self) -> Duration {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
    }

    fn boot(&self) -> [u8; 16] {
        static BOOT: OnceLock<[u8; 16]> = OnceLock::new();
        *BOOT.get_or_init(|| {
            let told =
                std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            // Where the machine does not say, each start of the process counts as one of the machine.
            uuid::Uuid::parse_str(told.trim()).unwrap_or_else(|_| uuid::Uuid::new_v4()).into_bytes()
        })
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug)]
pub struct HeldClock(Mutex<Held>);

/// The wall, the time since boot, and which boot it was.
#[derive(Debug)]
struct Held(Moment, Duration, u8);

impl HeldClock {
    /// A clock that shows `now` and a boot an hour ago.
    pub fn at(now: Moment) -> Self {
        Self(Mutex::new(Held(now, Duration::from_hours(1), 1)))
    }

    /// Lets time pass, on the wall and since boot alike.
    pub fn pass(&self, span: Duration) {
        let mut held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.0 = held.0.plus(span);
        held.1 += span;
    }

    /// Starts the machine anew: the wall goes on, the time since boot begins.
    pub fn boot_anew(&self) {
        let mut held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.1 = Duration::ZERO;
        held.2 = held.2.wrapping_add(1);
    }

    /// Moves the wall alone, as somebody who sets the clock does.
    pub fn set_wall(&self, now: Moment) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0 = now;
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Moment {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn since_boot(&self) -> Duration {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1
    }

    fn boot(&self) -> [u8; 16] {
        [self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).2; 16]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_and_write_as_utc() {
        let moment = Moment(1_764_000_000_123);
        assert_eq!(moment.to_rfc3339(), "2025-11-24T16:00:00.123Z");
        assert_eq!(Moment::parse("2025-11-24T17:00:00.123+01:00"), Some(moment));
        assert_eq!(Moment::parse("2025-11-24"), Some(Moment(1_763_942_400_000)));
        assert_eq!(Moment::parse("yesterday"), None);
        assert_eq!(
            serde_json::to_string(&moment).ok().as_deref(),
            Some("\"2025-11-24T16:00:00.123Z\"")
        );
    }
}
