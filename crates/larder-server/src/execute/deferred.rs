//! Replies whose values have to be read from flash first.

use larder::ItemView;

use crate::counters::Counter;
use crate::flash::{Hole, Wanted};
use crate::service::Service;

impl Service<'_> {
    /// What is to be read to show an item whose value is not in the cache; `None` if it cannot be: nobody reads
    /// here, or what all connections hold is too much already.
    #[cold]
    pub(crate) fn wanted(&self, view: &ItemView<'_>) -> Option<Wanted> {
        let port = self.port?;
        if self.buffers_are_full() {
            self.count(Counter::FlashGetsNoMemory);
            return None;
        }
        let rate = self.shared.knobs().ext_recache_rate;
        port.wanted(view, self.cache.now().unix_seconds(), rate)
    }

    /// Leaves a hole in the output for a reply that is `head`, the value and `tail`, or `miss` if there is no value.
    /// `counted` is what the hit counts as, and what it counts as then.
    #[cold]
    pub(crate) fn defer(
        &self,
        output: &[u8],
        wanted: Wanted,
        head: Vec<u8>,
        tail: &'static str,
        miss: Vec<u8>,
        counted: [Counter; 2],
    ) {
        self.count(Counter::FlashGets);
        if let Some(port) = self.port {
            port.add_hole(Hole {
                at: output.len(),
                head,
                tail,
                miss,
                counted,
                wanted,
            });
        }
    }
}
