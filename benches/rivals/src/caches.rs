//! The list of caches, and which of them stand beside each other in memory.

use crate::hits::{Replay, replay};
use crate::load::{Bench, Case, Filled};
use crate::subject::{Foyer, Larder, Moka, QuickCache, Segcache, ShardedLru, Subject};

/// A cache that can be measured.
#[derive(Clone, Copy)]
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    /// As its column is headed.
    pub(crate) title: &'static str,
    /// About what an item takes besides its bytes.
    pub(crate) item_bytes: usize,
    /// Makes one, filled for a case.
    pub(crate) bench: fn(&Case) -> Box<dyn Bench>,
    /// Runs a trace through one.
    pub(crate) replay: Replay,
}

const fn rival<S: Subject>(title: &'static str, item_bytes: usize) -> Rival {
    Rival {
        name: S::NAME,
        title,
        item_bytes,
        bench: Filled::<S>::bench,
        replay: replay::<S>,
    }
}

/// Every cache, ours first.
pub(crate) const CACHES: [Rival; 6] = [
    rival::<Larder>("larder", 60),
    rival::<QuickCache>("quick_cache 0.7", 200),
    rival::<Moka>("moka 0.12", 460),
    rival::<Foyer>("foyer 0.22", 250),
    rival::<Segcache>("segcache 0.4", 60),
    rival::<ShardedLru>("sharded `Mutex<lru>`", 200),
];

/// The caches whose names have one of these parts; all without.
pub(crate) fn chosen(parts: &[String]) -> Vec<Rival> {
    let mut chosen = CACHES.to_vec();
    chosen.retain(|rival| {
        parts.is_empty() || parts.iter().any(|part| rival.name.contains(part.as_str()))
    });
    chosen
}

/// Splits them so that those of a group, filled for `case`, fit in memory together. The first cache is in every
/// group, as the others are compared with it. Empty if it and another do not fit at all.
pub(crate) fn groups(rivals: &[Rival], case: &Case, memory_bytes: usize) -> Vec<Vec<Rival>> {
    let room = case.room();
    let takes = |rival: &Rival| {
        usize::try_from(case.items).expect("64 bits") * (room.item_bytes_max + rival.item_bytes)
    };
    let Some((first, others)) = rivals.split_first() else {
        return Vec::new();
    };
    let mut groups = vec![vec![*first]];
    let mut used = takes(first);
    for other in others {
        if used + takes(other) > memory_bytes && groups.last().is_some_and(|group| group.len() > 1)
        {
            groups.push(vec![*first]);
            used = takes(first);
        }
        used += takes(other);
        if used > memory_bytes {
            return Vec::new();
        }
        groups.last_mut().expect("one at least").push(*other);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Keys, Mix};

    #[test]
    fn groups_fit_and_have_the_first() {
        let case = Case {
            mix: Mix::Sets(0),
            keys: Keys::Uniform,
            items: 1_000_000,
            value_bytes: 100,
            threads: 1,
            small_pages: false,
        };
        assert_eq!(groups(&CACHES, &case, usize::MAX).len(), 1);
        // 180 MB for ours, 580 for the greediest.
        let split = groups(&CACHES, &case, 800_000_000);
        assert!(split.len() > 1 && split.iter().all(|group| group[0].name == "larder"));
        assert_eq!(split.iter().map(|group| group.len() - 1).sum::<usize>(), 5);
        assert!(groups(&CACHES, &case, 500_000_000).is_empty());
    }
}
