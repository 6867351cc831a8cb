//! Counts what a reader allocates and how long it computes, so that a few bytes can ask neither for a
//! gigabyte nor for a minute.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use cpu_time::ProcessTime;

/// What any reader may take: tables, and the largest small file's needs.
const BASE: usize = 32 << 20;
/// What a byte of the input may ask for: deflate gives up to 1,032 for one, a picture is held three times
/// while a progressive JPEG is put together, and a quarter more.
const EACH: usize = 1_032 * 3 * 5 / 4;
/// What a begun megabyte may take of a core, whoever else computes there.
const MEGABYTE: Duration = Duration::from_secs(1);

/// The system's allocator, which knows how much is allocated.
pub struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator; the counters only follow.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Runs a reader.
///
/// # Panics
///
/// If it held more memory at once than its input explains, or took longer.
pub fn within_limits(read: fn(&[u8]), bytes: &[u8]) {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let begun = ProcessTime::now();
    read(bytes);
    let (took, megabytes) = (begun.elapsed(), bytes.len().div_ceil(1 << 20).max(1));
    let taken = MOST.load(Ordering::Relaxed).saturating_sub(before);
    let limit = BASE + EACH * bytes.len();
    assert!(taken <= limit, "{} bytes made it hold {taken}, more than {limit}", bytes.len());
    assert!(took <= MEGABYTE * megabytes as u32, "{} bytes took it {took:?}", bytes.len());
}
