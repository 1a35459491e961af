//! Requests of the text protocols that arrived together: all of them are understood before the first is
//! executed, so that the memory of their items is asked for at once, and gets in a row share a lock.
//!
//! What each of them does and says is the same as alone. Commands on keys are gathered; whatever else
//! there is ends the batch and comes after it.

use larder::Prepared;

use super::text::Found;
use super::{Connection, Progress, State};
use crate::execute::retrieve::retrieve_each;
use crate::service::Service;

/// Requests that are gathered at the most.
const REQUESTS: usize = 32;

impl Connection {
    /// Executes `first`, the line at the start of `rest`, and what follows it.
    pub(super) fn lines<'a>(
        &mut self,
        service: &Service<'_>,
        first: Found<'a>,
        rest: &'a [u8],
        output: &mut Vec<u8>,
    ) -> Progress {
        let is_last = first.request_end().is_none_or(|end| end >= rest.len());
        if is_last || self.turn_left == 1 {
            let progress = self.execute_line(service, &first, None, output);
            return self.count_turn(progress);
        }
        let found = gather(first, rest, self.turn_left.min(REQUESTS));
        let batch = service.cache.batch();
        let items: Vec<Prepared<'_, '_>> = found
            .iter()
            .map(|found| batch.prepare(found.line.key().unwrap_or_default()))
            .collect();
        // Gets look ahead by themselves.
        if single_gets(&found, 0) < found.len() {
            batch.prefetch(&items);
        }
        let (mut number, mut consumed) = (0, 0);
        while let (Some(line), Some(item)) = (found.get(number), items.get(number))
            // Where the next one begins was only a guess if this one was refused.
            && line.at == consumed
            && matches!(self.state, State::Line)
            && !service.is_enough(output)
        {
            let gets = single_gets(&found, number);
            if gets > 0 {
                let items = items.get(number..number + gets).unwrap_or_default();
                let with_cas = |at: usize| found.get(number + at).is_some_and(Found::wants_cas);
                number += retrieve_each(service, &batch, items, with_cas, output);
                consumed = found.get(number - 1).map_or(0, Found::end);
                continue;
            }
            match self.execute_line(service, line, Some(item), output) {
                Progress::More(bytes) => consumed += bytes,
                stopped if consumed == 0 => return stopped,
                // What has to be waited for is met again, at the start of what is left.
                Progress::Starved | Progress::Stopped => break,
            }
            number += 1;
        }
        self.turn_left -= number;
        Progress::More(consumed)
    }
}

/// The commands on keys at the start of `rest`, of which `first` is known: `count_max` at the most.
fn gather<'a>(first: Found<'a>, rest: &'a [u8], count_max: usize) -> Vec<Found<'a>> {
    let mut at = first.request_end();
    let mut gathered = Vec::with_capacity(count_max);
    gathered.push(first);
    while gathered.len() < count_max
        && let Some(found) = at.and_then(|at| Found::at(rest, at))
        && found.line.key().is_some()
    {
        at = found.request_end();
        gathered.push(found);
    }
    gathered
}

/// How many gets of one key there are in a row from `number` on.
fn single_gets(found: &[Found<'_>], number: usize) -> usize {
    let found = found.get(number..).unwrap_or_default();
    found
        .iter()
        .take_while(|found| found.is_single_get())
        .count()
}
