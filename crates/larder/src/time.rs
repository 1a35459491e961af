//! Instants, lifetimes and the clock. The only file that reads the OS clock.
//!
//! A [`Timestamp`] is a millisecond on the cache's own clock: the wall clock when the cache was
//! built, carried forward by the monotonic clock. A later step of the wall clock moves nothing.
//! Expiry is exact to that millisecond: an item is readable while `now < expires_at`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An instant: milliseconds since the Unix epoch, by the cache's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The instant `seconds` seconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The instant some milliseconds later, or earlier if they are negative.
    pub(crate) const fn shifted(self, millis: i64) -> Self {
        Self(self.0.saturating_add_signed(millis))
    }

    /// The instant `duration` later, rounded up to the millisecond so that nothing ends early.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(
            self.0
                .saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)),
        )
    }
}

/// How long an item lives: asked of a store or a touch, kept as an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Never,
    After(Duration),
    At(Timestamp),
}

impl Ttl {
    /// The item does not expire.
    pub const NEVER: Self = Self(Kind::Never);
    /// The item is stored as already expired: whatever stood under its key is gone afterwards.
    pub const EXPIRED: Self = Self(Kind::After(Duration::ZERO));

    /// Expires `duration` from now, rounded up to the millisecond.
    #[must_use]
    pub const fn after(duration: Duration) -> Self {
        Self(Kind::After(duration))
    }

    /// Expires `seconds` from now.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Kind::After(Duration::from_secs(seconds)))
    }

    /// Expires at `instant`; an instant that has passed means already expired.
    #[must_use]
    pub const fn at(instant: Timestamp) -> Self {
        Self(Kind::At(instant))
    }

    /// The instant of expiry for an item stored at `now`.
    pub(crate) fn expires_at(self, now: Timestamp) -> ExpiresAt {
        let instant = match self.0 {
            Kind::Never => return ExpiresAt::NEVER,
            Kind::After(duration) => now.after(duration),
            Kind::At(instant) => instant,
        };
        // What has passed is past whatever the clock says, beyond the 40 bits as well.
        if instant <= now {
            ExpiresAt::PAST
        } else {
            ExpiresAt::at(instant)
        }
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self::after(duration)
    }
}

/// An item's instant of expiry in 40 bits: milliseconds since [`EPOCH`], 0 for never.
///
/// 2^40 ms reach to the year 2059; a later instant is kept as never, because an item must not
/// expire early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExpiresAt(u64);

impl ExpiresAt {
    pub(crate) const NEVER: Self = Self(0);
    /// A millisecond after the epoch: before every instant of a clock.
    pub(crate) const PAST: Self = Self(1);

    fn at(instant: Timestamp) -> Self {
        // At or before the epoch is long past; 1 keeps it apart from "never".
        let millis = instant.0.saturating_sub(EPOCH.0).max(1);
        if millis < 1 << 40 {
            Self(millis)
        } else {
            Self::NEVER
        }
    }

    pub(crate) fn is_past(self, now: Timestamp) -> bool {
        self != Self::NEVER && self.0 <= now.0.saturating_sub(EPOCH.0)
    }

    #[inline]
    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        (self != Self::NEVER).then(|| Timestamp(EPOCH.0 + self.0))
    }

    /// The earlier of two, where never is later than every instant.
    pub(crate) fn earlier(self, other: Self) -> Self {
        match (self, other) {
            (Self::NEVER, any) | (any, Self::NEVER) => any,
            _ => self.min(other),
        }
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Where the 40-bit and 32-bit times kept in items start: 2025-01-01T00:00:00Z.
pub(crate) const EPOCH: Timestamp = Timestamp(1_735_689_600_000);

/// The source of time of one cache.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Timestamp, started: Ticks },
    Manual(ManualClock),
    Shifted(ShiftedClock),
}

impl Clock {
    /// The machine's time: the wall clock read once, now, and the monotonic clock from then on.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the OS clock"
    )]
    pub fn system() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // A machine without a battery can start in 1970: times kept in items begin at EPOCH.
        let millis = u64::try_from(wall.as_millis())
            .unwrap_or(u64::MAX)
            .max(EPOCH.0 + 1);
        Self(Source::System {
            origin: Timestamp(millis),
            started: Ticks::now(),
        })
    }

    /// The present instant. O(1); tens of nanoseconds for the system clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { origin, started } => {
                Timestamp(origin.0 + Ticks::now().millis_since(*started))
            }
            Source::Manual(clock) => clock.now(),
            Source::Shifted(clock) => clock.now(),
        }
    }

    /// How far the machine's wall clock, as it is now, is ahead of this one, in milliseconds: for times that go to
    /// another process. Zero for clocks that are not the machine's, and for less than a second.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the OS clock"
    )]
    pub(crate) fn behind_wall(&self) -> i64 {
        let Source::System { .. } = self.0 else {
            return 0;
        };
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        let ahead = wall.saturating_sub_unsigned(self.now().0);
        if ahead.abs() < 1000 { 0 } else { ahead }
    }

    /// The present for a read, of the kernel's last tick. Unlike `now` it does not wait for what the processor
    /// is doing, so that reads in a row overlap.
    #[inline]
    pub(crate) fn moment(&self) -> Moment<'_> {
        match &self.0 {
            Source::System { origin, started } => Moment {
                at: Timestamp(origin.0 + Ticks::last().millis_since(*started)),
                clock: Some(self),
            },
            _ => Moment::exact(self.now()),
        }
    }
}

/// The present: exact about what has come and what has not, and some milliseconds behind as an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'c> {
    at: Timestamp,
    /// The clock, unless `at` is exact.
    clock: Option<&'c Clock>,
}

impl Moment<'_> {
    pub(crate) const fn exact(now: Timestamp) -> Self {
        Self {
            at: now,
            clock: None,
        }
    }

    /// No later than the present, and earlier by less than `TICK_MILLIS`.
    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }

    /// The present, exactly.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.map_or(self.at, Clock::now)
    }

    /// Whether `instant` has come.
    #[inline]
    pub(crate) fn has_come(&self, instant: Timestamp) -> bool {
        instant <= self.at
            || self
                .clock
                .is_some_and(|clock| instant.0 - self.at.0 <= TICK_MILLIS && instant <= clock.now())
    }
}

/// A tick of the kernel is shorter than this by far, also one that the host of a guest held up.
const TICK_MILLIS: u64 = 10_000;

/// The monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Ticks(u64);

impl Ticks {
    fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl Ticks {
    fn now() -> Self {
        Self::read(rustix::time::ClockId::Monotonic)
    }

    /// The same clock, as the kernel's last tick left it.
    fn last() -> Self {
        Self::read(rustix::time::ClockId::MonotonicCoarse)
    }

    #[inline]
    fn read(clock: rustix::time::ClockId) -> Self {
        let time = rustix::time::clock_gettime(clock);
        Self(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
    }
}

/// Where the kernel is not asked itself, the two are the same.
#[cfg(not(all(target_os = "linux", not(miri))))]
impl Ticks {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the OS clock"
    )]
    fn now() -> Self {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let start = START.get_or_init(std::time::Instant::now);
        Self(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn last() -> Self {
        Self::now()
    }
}

impl From<ShiftedClock> for Clock {
    fn from(clock: ShiftedClock) -> Self {
        Self(Source::Shifted(clock))
    }
}

/// The machine's time, shifted and stopped on demand, for tests of a whole service. Clones share
/// one time.
#[derive(Clone, Debug)]
pub struct ShiftedClock(Arc<Shift>);

#[derive(Debug)]
struct Shift {
    system: Clock,
    /// Added to the time of `system`, in milliseconds.
    millis: AtomicI64,
    /// The time of `system` at which the clock was stopped, in milliseconds; 0 while it runs.
    stopped_at: AtomicU64,
}

impl ShiftedClock {
    /// A clock that shows the machine's time until told otherwise.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Shift {
            system: Clock::system(),
            millis: AtomicI64::new(0),
            stopped_at: AtomicU64::new(0),
        }))
    }

    /// Moves the clock by `seconds`, back if they are negative. It never shows a time before 2025.
    pub fn shift(&self, seconds: i64) {
        let millis = seconds.saturating_mul(1000);
        let later = |now: i64| Some(now.saturating_add(millis));
        let moved = self
            .0
            .millis
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        debug_assert!(moved.is_ok(), "`later` always has an answer");
    }

    /// Stops the clock, if it runs.
    pub fn stop(&self) {
        let now = self.0.system.now().0;
        // Who stops a stopped clock changes nothing.
        let _ = self
            .0
            .stopped_at
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Lets the clock run: it shows the time that it would show had it not been stopped.
    pub fn resume(&self) {
        self.0.stopped_at.store(0, Ordering::Relaxed);
    }

    /// The instant that the clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let unshifted = match self.0.stopped_at.load(Ordering::Relaxed) {
            0 => self.0.system.now().0,
            stopped_at => stopped_at,
        };
        let shifted = unshifted.saturating_add_signed(self.0.millis.load(Ordering::Relaxed));
        Timestamp(shifted.max(EPOCH.0 + 1))
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self(Source::Manual(clock))
    }
}

/// A clock that moves only when told to, for tests of expiry. Clones share one time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at `start` (brought up to 2025 if earlier).
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.0.max(EPOCH.0 + 1))))
    }

    /// Moves the clock forward by `duration`, rounded down to the millisecond.
    pub fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let later = |now: u64| Some(now.saturating_add(millis));
        let moved = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        debug_assert!(moved.is_ok(), "`later` always has an answer");
    }

    /// The instant at which the clock stands.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

impl Default for ManualClock {
    /// A clock that stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp(1_767_225_600_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    #[test]
    fn durations_round_up_so_that_nothing_expires_early() {
        let expires_at = Ttl::after(Duration::from_nanos(1)).expires_at(NOW);
        assert!(!expires_at.is_past(NOW));
        assert!(expires_at.is_past(Timestamp(NOW.0 + 1)));
    }

    #[test]
    fn zero_and_past_instants_are_expired_at_once() {
        assert!(Ttl::EXPIRED.expires_at(NOW).is_past(NOW));
        assert!(Ttl::at(Timestamp(0)).expires_at(NOW).is_past(NOW));
        assert!(Ttl::at(NOW).expires_at(NOW).is_past(NOW));
    }

    #[test]
    fn what_has_passed_is_past_even_beyond_forty_bits() {
        let late = Timestamp(EPOCH.0 + (1 << 41));
        assert!(Ttl::EXPIRED.expires_at(late).is_past(late));
        assert!(Ttl::at(late).expires_at(late).is_past(late));
        assert_eq!(Ttl::seconds(1).expires_at(late), ExpiresAt::NEVER);
    }

    #[test]
    fn what_forty_bits_cannot_hold_never_expires() {
        assert_eq!(Ttl::seconds(u64::MAX).expires_at(NOW), ExpiresAt::NEVER);
        let years = Ttl::seconds(20 * 365 * 86_400).expires_at(NOW);
        assert_eq!(
            years.timestamp(),
            Some(Timestamp(NOW.0 + 20 * 365 * 86_400_000))
        );
    }

    #[test]
    fn never_is_later_than_every_instant() {
        let soon = Ttl::seconds(1).expires_at(NOW);
        assert_eq!(soon.earlier(ExpiresAt::NEVER), soon);
        assert_eq!(ExpiresAt::NEVER.earlier(soon), soon);
        assert_eq!(ExpiresAt::NEVER.earlier(ExpiresAt::NEVER), ExpiresAt::NEVER);
    }

    #[test]
    fn a_shifted_clock_stands_moves_and_catches_up() {
        let clock = ShiftedClock::system();
        clock.stop();
        let start = clock.now();
        clock.stop();
        assert_eq!(clock.now(), start);
        clock.shift(100);
        assert_eq!(clock.now().since(start), Duration::from_secs(100));
        clock.shift(-40);
        assert_eq!(Clock::from(clock.clone()).now().since(start).as_secs(), 60);
        clock.resume();
        assert!(clock.now().since(start) >= Duration::from_secs(60));
        clock.shift(i64::MIN);
        assert!(clock.now() > EPOCH);
    }

    #[test]
    fn a_moment_is_exact_about_what_comes_soon() {
        let clock = Clock::system();
        let (moment, now) = (clock.moment(), clock.now());
        assert!(moment.at() <= now && now.0 - moment.at().0 < TICK_MILLIS);
        assert!(moment.has_come(now) && moment.has_come(moment.at()));
        assert!(!moment.has_come(Timestamp(now.0 + 3_600_000)));
        // What is known to be ahead by more than a tick is not asked of the clock.
        let far = Moment {
            at: Timestamp(now.0 - TICK_MILLIS - 1),
            clock: Some(&clock),
        };
        assert!(!far.has_come(now));
        assert!(!Moment::exact(Timestamp(now.0 - 1)).has_come(now));
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
