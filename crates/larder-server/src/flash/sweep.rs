//! Walks over all items now and then: those that were idle for too long move to flash, whatever memory there
//! is, and those whose values went with their page go too, because nobody may ever ask for them.

use std::time::{Duration, Instant};

use larder::Cursor;

use super::place::Place;
use super::writer::{Chosen, Writer};
use crate::config::Knobs;

/// How far the walk has come.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    cursor: Option<Cursor>,
    ended: Option<Instant>,
    /// Pages that had been given up when the last walk began.
    evictions: u64,
}

/// Items that one step looks at.
const ITEMS_A_STEP: usize = 1000;
/// Between two walks.
const REST: Duration = Duration::from_secs(1);

impl Sweeper {
    /// Goes on by one step; false if there is nothing to do.
    pub(super) fn step(&mut self, writer: &mut Writer<'_>, knobs: &Knobs) -> bool {
        let evictions = writer.flash.store.pages().counts.page_evictions;
        let ages = knobs.ext_item_age != u32::MAX;
        if self.cursor.is_none() {
            let rested = self.ended.is_none_or(|ended| ended.elapsed() >= REST);
            if !rested || !(ages || evictions > self.evictions) {
                return false;
            }
            self.evictions = evictions;
            self.cursor = Some(Cursor::default());
        }
        let cursor = self.cursor.get_or_insert_default();
        let cache = &writer.shared.cache;
        let now = cache.now();
        let (mut idle, mut gone) = (Vec::new(), Vec::new());
        let more = cache.walk(cursor, ITEMS_A_STEP, |view| match Place::of_item(&view) {
            Some(place) => {
                if !writer.flash.store.is_current(place) {
                    gone.push((view.key().to_vec(), place.to_locator()));
                }
            }
            None => {
                let age = now.since(view.accessed_at()).as_secs();
                let bytes = view.key().len() + view.value().len();
                if ages && age >= knobs.ext_item_age.into() && bytes >= knobs.ext_item_size as usize
                {
                    let (key, stamp) = (view.key().to_vec(), view.stamp());
                    idle.push(Chosen { key, stamp });
                }
            }
        });
        if !more {
            self.cursor = None;
            self.ended = Some(Instant::now());
        }
        for (key, locator) in &gone {
            super::forget(cache, key, *locator);
        }
        writer.move_away(&idle, knobs);
        true
    }
}
