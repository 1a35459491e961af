//! What only the fuzz targets reach, with what they need to do so. No part of the library's interface.

/// Any sequence of steps on an arena, as `bytes` choose them, beside a twin; panics if they differ.
pub fn check_arena(bytes: &[u8]) {
    crate::arena::twin::run(bytes);
}
