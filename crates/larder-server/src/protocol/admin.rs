//! The text protocol's commands for operators: one line to one command, as text.rs does for the rest.
//!
//! Sub-commands are matched exactly. (memcached 1.6.45 takes any beginning of one, by accident.) What
//! a setting may forbid is checked later: only then is it known whether a malformed argument matters.

use super::number::{strict_i32, strict_i64, strict_u32};
use super::reply;

/// A command for operators, borrowing its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admin<'a> {
    /// `stats [topic]`: lists of lines.
    Stats { topic: &'a [u8] },
    /// `stats reset`.
    StatsReset,
    /// `stats detail`; `None` for anything but on, off and dump.
    Detail(Option<Detail>),
    /// `stats cachedump`.
    Cachedump(Result<Cachedump, &'static str>),
    /// `lru_crawler metadump` and `mgdump`, of these classes.
    Dump {
        format: DumpFormat,
        classes: &'a [u8],
    },
    /// `lru_crawler crawl`, of these classes.
    Crawl { classes: &'a [u8] },
    /// `slabs reassign`; the two classes, if they are numbers.
    Reassign(Option<[i32; 2]>),
    /// A setting without an effect.
    Knob(Knob),
    /// `cache_memlimit`, in mebibytes.
    MemoryLimit(u32),
    /// `watch`, with the streams asked for.
    Watch(Result<Streams, &'static str>),
    /// `shutdown`; `None` for a way that there is not.
    Shutdown(Option<Ending>),
    /// `refresh_certs`.
    RefreshCerts,
    /// `debugtime`.
    MoveTime(MoveTime),
}

/// What `debugtime` does to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveTime {
    Stop,
    Resume,
    /// By so many seconds, back if they are negative.
    Shift(i64),
}

/// What `stats detail` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    On,
    Off,
    Dump,
}

/// The arguments of `stats cachedump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cachedump {
    pub(crate) class: u32,
    /// 0 for no limit.
    pub(crate) items_max: u32,
}

/// How a dump shows an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpFormat {
    /// `key=... exp=... la=...`.
    Meta,
    /// As the `mg` command that reads it.
    Mg,
}

/// How `shutdown` ends the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Now,
    Graceful,
}

/// A set of log streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streams(u16);

impl Streams {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const FETCHERS: Self = Self(1);
    pub(crate) const MUTATIONS: Self = Self(2);
    pub(crate) const EVICTIONS: Self = Self(4);
    pub(crate) const CONNEVENTS: Self = Self(8);
    pub(crate) const SYSEVENTS: Self = Self(16);
    pub(crate) const DELETIONS: Self = Self(32);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, any_of: Self) -> bool {
        self.0 & any_of.0 != 0
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

/// A setting that changes nothing but what `stats settings` shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Knob {
    SlabAutomove(u32),
    SlabAutomoveRatio(f64),
    SlabAutomoveFreeratio(f64),
    SlabAutomoveWindow(u32),
    /// Shares of the hot and the warm list in hundredths, and their age factors.
    LruTune([u32; 2], [f64; 2]),
    LruSegmented(bool),
    /// `None` turns the list of short lifetimes off.
    TemporaryTtl(Option<u32>),
    Crawler(bool),
    CrawlerSleep(u32),
    CrawlerTocrawl(u32),
    Ext(ExtKnob, u32),
    ExtMaxFrag(f64),
    /// Accepted and forgotten.
    Nothing,
}

/// A numeric setting of values on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtKnob {
    ItemSize,
    ItemAge,
    LowTtl,
    RecacheRate,
    CompactUnder,
    DropUnder,
    MaxSleep,
    DropUnread,
}

/// Tokens of a line that are looked at, the command among them.
const TOKENS_MAX: usize = 23;
/// Numbers of size classes are below this; memcached's below 64.
const CLASSES: u32 = 129;
/// What `extstore`, which has no effect, takes for one.
const EXT_CLASSES: u32 = 64;
const AUTOMOVE_WINDOW: std::ops::RangeInclusive<u32> = 3..=1800;
const CRAWLER_SLEEP_MAX: u32 = 1_000_000;
const LRU_SHARES_MAX: u32 = 80;
const MEBIBYTES_MIN: u32 = 8;
const MEBIBYTES_MAX: u32 = 1_000_000_000;

/// Whether a line with this word is for this file.
pub(crate) fn is_admin(word: &[u8]) -> bool {
    matches!(
        word,
        b"stats"
            | b"shutdown"
            | b"cache_memlimit"
            | b"slabs"
            | b"lru"
            | b"lru_crawler"
            | b"watch"
            | b"extstore"
            | b"refresh_certs"
            | b"debugtime"
    )
}

/// Understands the line of `word`, of which `rest` is behind it; or the reply that it gets.
pub(crate) fn parse<'a>(word: &[u8], rest: &'a [u8]) -> Result<Admin<'a>, &'static str> {
    let tokens: Vec<&[u8]> = super::text::tokens(rest).take(TOKENS_MAX - 1).collect();
    match word {
        b"stats" => Ok(stats(&tokens)),
        b"shutdown" => Ok(Admin::Shutdown(match tokens.as_slice() {
            [] => Some(Ending::Now),
            [b"graceful"] => Some(Ending::Graceful),
            _ => None,
        })),
        b"cache_memlimit" => memory_limit(&tokens),
        b"slabs" => slabs(&tokens),
        b"lru" => lru(&tokens).map(Admin::Knob),
        b"lru_crawler" => crawler(&tokens),
        b"watch" => Ok(Admin::Watch(streams(&tokens))),
        b"extstore" => extstore(&tokens).map(Admin::Knob).ok_or(reply::ERROR),
        b"refresh_certs" => Ok(Admin::RefreshCerts),
        b"debugtime" => match *tokens {
            [b"p", ..] => Ok(Admin::MoveTime(MoveTime::Stop)),
            [b"r", ..] => Ok(Admin::MoveTime(MoveTime::Resume)),
            [seconds, ..] => {
                let seconds = strict_i64(seconds).ok_or(reply::ERROR)?;
                Ok(Admin::MoveTime(MoveTime::Shift(seconds)))
            }
            [] => Err(reply::ERROR),
        },
        _ => Err(reply::ERROR),
    }
}

fn stats<'a>(tokens: &[&'a [u8]]) -> Admin<'a> {
    match *tokens {
        [] => Admin::Stats { topic: b"" },
        [b"reset", ..] => Admin::StatsReset,
        [b"detail", ref rest @ ..] => Admin::Detail(match *rest {
            [b"on", ..] => Some(Detail::On),
            [b"off", ..] => Some(Detail::Off),
            [b"dump", ..] => Some(Detail::Dump),
            _ => None,
        }),
        [b"cachedump", class, items_max, ..] => {
            let arguments = (strict_u32(class), strict_u32(items_max));
            Admin::Cachedump(match arguments {
                (Some(class), Some(_)) if class >= CLASSES => Err(reply::ILLEGAL_SLAB_ID),
                (Some(class), Some(items_max)) => Ok(Cachedump { class, items_max }),
                _ => Err(reply::BAD_COMMAND_LINE),
            })
        }
        [b"cachedump", ..] => Admin::Cachedump(Err(reply::BAD_STATS_LINE)),
        [topic, ..] => Admin::Stats { topic },
    }
}

fn memory_limit<'a>(tokens: &[&[u8]]) -> Result<Admin<'a>, &'static str> {
    let mebibytes = tokens.first().and_then(|token| strict_u32(token));
    match mebibytes {
        None => Err(reply::ERROR),
        Some(..MEBIBYTES_MIN) => Err(reply::MEMLIMIT_TOO_SMALL),
        Some(mebibytes) if mebibytes > MEBIBYTES_MAX => Err(reply::MEMLIMIT_NOT_MEBIBYTES),
        Some(mebibytes) => Ok(Admin::MemoryLimit(mebibytes)),
    }
}

fn slabs<'a>(tokens: &[&[u8]]) -> Result<Admin<'a>, &'static str> {
    match *tokens {
        [b"reassign", from, to] => {
            let classes = strict_i32(from).zip(strict_i32(to));
            Ok(Admin::Reassign(classes.map(|(from, to)| [from, to])))
        }
        [b"automove", what, ref rest @ ..] => {
            automove(what, rest.first().copied()).map(Admin::Knob)
        }
        _ => Err(reply::ERROR),
    }
}

fn automove(what: &[u8], value: Option<&[u8]>) -> Result<Knob, &'static str> {
    match what {
        b"ratio" => Ok(Knob::SlabAutomoveRatio(float(value).ok_or(reply::ERROR)?)),
        b"freeratio" => {
            let ratio = float(value).ok_or(reply::ERROR)?;
            Ok(Knob::SlabAutomoveFreeratio(ratio))
        }
        b"window" => {
            let seconds = value.and_then(strict_u32).ok_or(reply::BAD_COMMAND_LINE)?;
            if !AUTOMOVE_WINDOW.contains(&seconds) {
                return Err(reply::BAD_AUTOMOVE_WINDOW);
            }
            Ok(Knob::SlabAutomoveWindow(seconds))
        }
        level => match strict_u32(level) {
            Some(level @ 0..=2) => Ok(Knob::SlabAutomove(level)),
            Some(_) => Err(reply::ERROR),
            None => Err(reply::BAD_COMMAND_LINE),
        },
    }
}

fn lru(tokens: &[&[u8]]) -> Result<Knob, &'static str> {
    match *tokens {
        [b"tune", hot, warm, hot_factor, warm_factor, ..] => {
            let shares = strict_u32(hot).zip(strict_u32(warm));
            let factors = float(Some(hot_factor)).zip(float(Some(warm_factor)));
            let ((hot, warm), (hot_factor, warm_factor)) =
                shares.zip(factors).ok_or(reply::ERROR)?;
            if hot.saturating_add(warm) > LRU_SHARES_MAX {
                return Err(reply::LRU_SHARES);
            }
            if hot_factor <= 0.0 || warm_factor <= 0.0 {
                return Err(reply::LRU_FACTORS);
            }
            Ok(Knob::LruTune([hot, warm], [hot_factor, warm_factor]))
        }
        [b"mode", b"flat", ..] => Ok(Knob::LruSegmented(false)),
        [b"mode", b"segmented", ..] => Ok(Knob::LruSegmented(true)),
        [b"temp_ttl", seconds, ..] => {
            let seconds = strict_i32(seconds).ok_or(reply::ERROR)?;
            Ok(Knob::TemporaryTtl(u32::try_from(seconds).ok()))
        }
        _ => Err(reply::ERROR),
    }
}

fn crawler<'a>(tokens: &[&'a [u8]]) -> Result<Admin<'a>, &'static str> {
    match *tokens {
        [b"crawl", classes] => Ok(Admin::Crawl { classes }),
        [b"metadump", classes] => Ok(Admin::Dump {
            format: DumpFormat::Meta,
            classes,
        }),
        [b"mgdump", classes] => Ok(Admin::Dump {
            format: DumpFormat::Mg,
            classes,
        }),
        [b"tocrawl", count] => {
            let count = strict_u32(count).ok_or(reply::BAD_COMMAND_LINE)?;
            Ok(Admin::Knob(Knob::CrawlerTocrawl(count)))
        }
        [b"sleep", micros] => {
            let micros = strict_u32(micros).ok_or(reply::BAD_COMMAND_LINE)?;
            if micros > CRAWLER_SLEEP_MAX {
                return Err(reply::CRAWLER_SLEEP);
            }
            Ok(Admin::Knob(Knob::CrawlerSleep(micros)))
        }
        [b"enable"] => Ok(Admin::Knob(Knob::Crawler(true))),
        [b"disable"] => Ok(Admin::Knob(Knob::Crawler(false))),
        _ => Err(reply::ERROR),
    }
}

fn streams(tokens: &[&[u8]]) -> Result<Streams, &'static str> {
    if tokens.is_empty() {
        return Ok(Streams::FETCHERS);
    }
    let mut all = Streams::NONE;
    for token in tokens {
        all = all.and(match *token {
            b"fetchers" => Streams::FETCHERS,
            b"mutations" => Streams::MUTATIONS,
            b"evictions" => Streams::EVICTIONS,
            b"connevents" => Streams::CONNEVENTS,
            b"sysevents" => Streams::SYSEVENTS,
            b"deletions" => Streams::DELETIONS,
            // Streams of other builds, which say nothing.
            b"rawcmds" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => Streams::NONE,
            _ => return Err(reply::ERROR),
        });
    }
    Ok(all)
}

fn extstore(tokens: &[&[u8]]) -> Option<Knob> {
    let (&what, &value) = (tokens.first()?, tokens.get(1)?);
    let knob = match what {
        b"free_memchunks" => {
            let chunks = tokens.get(2).and_then(|token| strict_u32(token));
            let class = strict_u32(value).filter(|&class| class < EXT_CLASSES);
            return chunks.and(class).map(|_| Knob::Nothing);
        }
        b"max_frag" => return float(Some(value)).map(Knob::ExtMaxFrag),
        b"item_size" => ExtKnob::ItemSize,
        b"item_age" => ExtKnob::ItemAge,
        b"low_ttl" => ExtKnob::LowTtl,
        b"recache_rate" => ExtKnob::RecacheRate,
        b"compact_under" => ExtKnob::CompactUnder,
        b"drop_under" => ExtKnob::DropUnder,
        b"max_sleep" => ExtKnob::MaxSleep,
        b"drop_unread" => ExtKnob::DropUnread,
        _ => return None,
    };
    strict_u32(value).map(|value| Knob::Ext(knob, value))
}

fn float(token: Option<&[u8]>) -> Option<f64> {
    let number: f64 = std::str::from_utf8(token?).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Some size classes, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassSet(u128);

impl ClassSet {
    pub(crate) const ALL: Self = Self(u128::MAX);

    /// The set of one class; empty if there can be no such class.
    pub(crate) fn of(number: u32) -> Self {
        let bit = number
            .checked_sub(1)
            .and_then(|bit| 1_u128.checked_shl(bit));
        Self(bit.unwrap_or(0))
    }

    /// A list of classes, as dumps and crawls take it; `all` and `hash` are every class. An error if it
    /// is no list of classes.
    pub(crate) fn parse(classes: &[u8]) -> Result<Self, &'static str> {
        if matches!(classes, b"all" | b"hash") {
            return Ok(Self::ALL);
        }
        let mut set = Self::default();
        for one in classes
            .split(|&byte| byte == b',')
            .filter(|one| !one.is_empty())
        {
            match strict_u32(one) {
                Some(number @ 1..CLASSES) => set.0 |= Self::of(number).0,
                _ => return Err(reply::BAD_CLASS),
            }
        }
        Ok(set)
    }

    pub(crate) fn has(self, number: u32) -> bool {
        self.0 & Self::of(number).0 != 0
    }
}

/// The answer to `slabs reassign`: there are no pages of classes to move.
pub(crate) fn reassign_reply(classes: Option<[i32; 2]>) -> &'static str {
    let classes_max = i32::try_from(CLASSES).expect("a small number") - 1;
    match classes {
        None => reply::BAD_COMMAND_LINE,
        Some([from, to]) if from == to => reply::SAME_CLASS,
        Some([from, to])
            if (0..=classes_max).contains(&from) && (0..=classes_max).contains(&to) =>
        {
            reply::NO_SPARE_PAGES
        }
        Some(_) => reply::BAD_REASSIGN_CLASS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Admin<'_>, &'static str> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        parse(word.as_bytes(), rest.as_bytes())
    }

    #[test]
    fn topics_and_their_arguments() {
        assert_eq!(line("stats"), Ok(Admin::Stats { topic: b"" }));
        assert_eq!(line("stats  items x"), Ok(Admin::Stats { topic: b"items" }));
        assert_eq!(line("stats reset"), Ok(Admin::StatsReset));
        assert_eq!(
            line("stats detail on x"),
            Ok(Admin::Detail(Some(Detail::On)))
        );
        assert_eq!(line("stats detail"), Ok(Admin::Detail(None)));
        let arguments = Cachedump {
            class: 1,
            items_max: 0,
        };
        assert_eq!(
            line("stats cachedump 1 0 x"),
            Ok(Admin::Cachedump(Ok(arguments)))
        );
        for (text, reply) in [
            ("stats cachedump 1", reply::BAD_STATS_LINE),
            ("stats cachedump 129 0", reply::ILLEGAL_SLAB_ID),
            ("stats cachedump -1 0", reply::BAD_COMMAND_LINE),
        ] {
            assert_eq!(line(text), Ok(Admin::Cachedump(Err(reply))), "{text}");
        }
    }

    #[test]
    fn classes_are_lists_of_numbers() {
        let has = |classes: &[u8], number| ClassSet::parse(classes).map(|set| set.has(number));
        assert_eq!(has(b"all", 128), Ok(true));
        assert_eq!(has(b"3,5", 5), Ok(true));
        assert_eq!(has(b"3", 5), Ok(false));
        assert_eq!(has(b"all", 0), Ok(false));
        assert_eq!(has(b"128", 128), Ok(true));
        for bad in [&b"0"[..], b"129", b"x", b"1,-1"] {
            assert_eq!(has(bad, 1), Err(reply::BAD_CLASS), "{bad:?}");
        }
    }

    #[test]
    fn knobs_have_memcacheds_bounds() {
        assert_eq!(
            line("slabs automove 2"),
            Ok(Admin::Knob(Knob::SlabAutomove(2)))
        );
        assert_eq!(line("slabs automove 3"), Err(reply::ERROR));
        assert_eq!(line("slabs automove x"), Err(reply::BAD_COMMAND_LINE));
        assert_eq!(
            line("slabs automove window 2"),
            Err(reply::BAD_AUTOMOVE_WINDOW)
        );
        assert_eq!(line("slabs automove ratio x"), Err(reply::ERROR));
        assert_eq!(
            line("lru tune 10 25 0.1 2.0"),
            Ok(Admin::Knob(Knob::LruTune([10, 25], [0.1, 2.0])))
        );
        assert_eq!(line("lru tune 50 31 1 1"), Err(reply::LRU_SHARES));
        assert_eq!(line("lru tune 10 20 0 1"), Err(reply::LRU_FACTORS));
        assert_eq!(
            line("lru temp_ttl -1"),
            Ok(Admin::Knob(Knob::TemporaryTtl(None)))
        );
        assert_eq!(line("lru_crawler sleep 1000001"), Err(reply::CRAWLER_SLEEP));
        assert_eq!(
            line("extstore low_ttl 5"),
            Ok(Admin::Knob(Knob::Ext(ExtKnob::LowTtl, 5)))
        );
        assert_eq!(line("extstore free_memchunks 64 1"), Err(reply::ERROR));
        for text in [
            "lru",
            "lru mode",
            "slabs",
            "lru_crawler",
            "extstore",
            "cache_memlimit",
        ] {
            assert_eq!(line(text), Err(reply::ERROR), "{text}");
        }
    }
}
