//! The process's allocator: mimalloc, through its plain functions.
//!
//! The `mimalloc` crate always calls the aligned functions, which over-allocate for most sizes, although plain
//! `mi_malloc` aligns to 16 bytes already. Calling that saves 2 of 50 µs per request.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// What any block is aligned to that is at least as large (`MI_MAX_ALIGN_SIZE`).
const ALIGNED: usize = 16;

/// A request is a few hundred small allocations on one thread that another one frees.
pub struct Mimalloc;

// SAFETY: mimalloc's functions keep the contract of `GlobalAlloc`: blocks of the size that is asked for, aligned as is
// asked for or, where `is_plain`, as any block of that size is; null where there is no memory; all freed by `mi_free`.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_plain(layout.size(), layout.align()) {
            true => unsafe { mi_malloc(layout.size()).cast() },
            false => unsafe { mi_malloc_aligned(layout.size(), layout.align()).cast() },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_plain(layout.size(), layout.align()) {
            true => unsafe { mi_zalloc(layout.size()).cast() },
            false => unsafe { mi_zalloc_aligned(layout.size(), layout.align()).cast() },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match is_plain(size, layout.align()) {
            true => unsafe { mi_realloc(block.cast(), size).cast() },
            false => unsafe { mi_realloc_aligned(block.cast(), size, layout.align()).cast() },
        }
    }
}

/// Whether a block of `size` bytes has this alignment anyway.
const fn is_plain(size: usize, align: usize) -> bool {
    align <= ALIGNED && align <= size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_as_it_was_asked_for() {
        for size in 1..600 {
            for align in [1, 2, 4, 8, 16, 32, 64] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let grown = Layout::from_size_align(3 * size, align).unwrap();
                // SAFETY: the sizes are not 0, and each block is freed once, by the layout that it has by then.
                unsafe {
                    let zeroed = Mimalloc.alloc_zeroed(layout);
                    let block = Mimalloc.alloc(layout);
                    assert!([zeroed, block].iter().all(|block| block.addr().is_multiple_of(align)), "{layout:?}");
                    assert!((0..size).all(|i| *zeroed.add(i) == 0));
                    let block = Mimalloc.realloc(block, layout, grown.size());
                    assert!(block.addr().is_multiple_of(align), "{grown:?}");
                    Mimalloc.dealloc(zeroed, layout);
                    Mimalloc.dealloc(block, grown);
                }
            }
        }
    }
}
