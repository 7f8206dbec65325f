//! Memory for results and for work in progress.

use std::cell::RefCell;

/// A cache line of floats; makes a vector of them aligned to 64 bytes.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([f32; 16]);

/// A vector of floats aligned to 64 bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }

    /// The floats.
    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised floats without gaps (`Line` is 16 floats and nothing else).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The memory as half floats, two for each float.
    pub(crate) fn as_halves(&self) -> &[u16] {
        // SAFETY: any two bytes are a half float, and the memory is aligned for more.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), 2 * self.len) }
    }

    /// The memory as half floats, to be written.
    pub(crate) fn as_mut_halves(&mut self) -> &mut [u16] {
        // SAFETY: as above, the borrow is exclusive, and any four bytes are a float.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), 2 * self.len) }
    }

    /// The floats, to be written.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

thread_local! {
    static FREE: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` floats of scratch memory, aligned to 64 bytes, with whatever was left in them. The memory is kept by the thread for
/// its next use, since taking pages from the system costs more than the arithmetic of a small layer.
pub(crate) fn scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with(|free| {
        let mut free = free.borrow_mut();
        // The smallest that is large enough, else the largest, which is replaced: few buffers, none much larger than needed.
        let fit = (0..free.len()).filter(|i| free[*i].len >= len).min_by_key(|i| free[*i].len);
        match fit.or_else(|| (0..free.len()).max_by_key(|i| free[*i].len)) {
            Some(i) => free.swap_remove(i),
            None => Aligned::default(),
        }
    });
    if buffer.len < len {
        drop(std::mem::take(&mut buffer));
        buffer = Aligned::zeros(len.next_multiple_of(1024));
    }
    let result = work(&mut buffer.as_mut_slice()[..len]);
    FREE.with(|free| free.borrow_mut().push(buffer));
    result
}

/// A result of `len` floats that `fill` writes without its being cleared first.
///
/// # Safety
/// `fill` must write all `len` floats behind the pointer.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut out = Vec::<f32>::with_capacity(len);
    fill(Shared(out.as_mut_ptr()));
    // SAFETY: the capacity is `len` and the caller vouches that all was written.
    unsafe { out.set_len(len) };
    out
}

/// A pointer that several threads write through, each to its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: the users of the pointer write disjoint parts; every use states which.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// From a slice that the threads share while it is borrowed.
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The same, moved on by `offset` floats.
    ///
    /// # Safety
    /// The offset must lie within what the pointer was made from.
    pub(crate) unsafe fn clone_at(self, offset: usize) -> Self {
        // SAFETY: passed on to the caller.
        Self(unsafe { self.0.add(offset) })
    }

    /// The pointer, moved on by `offset` floats.
    ///
    /// # Safety
    /// The offset must lie within what the pointer was made from.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: passed on to the caller.
        unsafe { self.0.add(offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_reused_and_nests() {
        let first = scratch(5000, |a| {
            a.fill(1.0);
            scratch(100, |b| b.fill(2.0));
            assert!(a.iter().all(|x| *x == 1.0));
            assert_eq!(a.as_ptr().addr() % 64, 0);
            a.as_ptr().addr()
        });
        assert_eq!(first, scratch(4000, |a| a.as_ptr().addr()));
    }

    #[test]
    fn filled_returns_what_was_written() {
        // SAFETY: all eight are written.
        let out = unsafe { filled(8, |p| (0..8).for_each(|i| p.at(i).write(i as f32))) };
        assert_eq!(out, [0., 1., 2., 3., 4., 5., 6., 7.]);
    }
}
