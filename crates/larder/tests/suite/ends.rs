//! What runs beside a test ends with it, also when it fails: or its scope would wait for ever.

use std::sync::atomic::{AtomicBool, Ordering};

/// Sets the flag when it goes.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
