//! How long our kernels take, for who asks.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What a kernel computes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KernelKind {
    /// Convolutions of pictures.
    Convolution,
    /// Linear layers.
    Linear,
    /// Attention by heads.
    Attention,
    /// Group and layer normalisation, with SiLU where that follows.
    Norm,
    /// Other activations.
    Activation,
}

impl KernelKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Convolution, Self::Linear, Self::Attention, Self::Norm, Self::Activation];
}

/// The time and the arithmetic of one kind of kernel.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Which kind.
    pub kind: KernelKind,
    /// Of all threads, added up.
    pub time: Duration,
    /// Multiplications and additions of the products of matrices that define the layer, however it is
    /// computed; 0 for what is none.
    pub operations: f64,
}

static COUNTS: AtomicBool = AtomicBool::new(false);
const KINDS: usize = KernelKind::ALL.len();
static TIMES: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];
static OPERATIONS: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];

/// Whether calls are counted from here on. They are not unless this is called.
pub fn count_kernels(counted: bool) {
    COUNTS.store(counted, Relaxed);
}

/// What was counted so far, for each kind.
pub fn spent_in_kernels() -> [Spent; KernelKind::ALL.len()] {
    KernelKind::ALL.map(|kind| Spent {
        kind,
        time: Duration::from_nanos(TIMES[kind as usize].load(Relaxed)),
        operations: OPERATIONS[kind as usize].load(Relaxed) as f64,
    })
}

thread_local! {
    /// What this thread's time is counted as.
    static CURRENT: Cell<Option<KernelKind>> = const { Cell::new(None) };
}

/// Counts one call.
pub(super) fn counted<R>(kind: KernelKind, operations: usize, work: impl FnOnce() -> R) -> R {
    if !COUNTS.load(Relaxed) {
        return work();
    }
    OPERATIONS[kind as usize].fetch_add(operations as u64, Relaxed);
    timed(kind, work)
}

/// What this thread's time is counted as, for those that help it.
pub(super) fn current() -> Option<KernelKind> {
    CURRENT.get()
}

/// Counts a piece of the work of a thread whose time is counted as `kind`, unless this is that thread.
pub(super) fn helping<R>(kind: Option<KernelKind>, work: impl FnOnce() -> R) -> R {
    match kind {
        Some(kind) if CURRENT.get() != Some(kind) => timed(kind, work),
        _ => work(),
    }
}

fn timed<R>(kind: KernelKind, work: impl FnOnce() -> R) -> R {
    let (before, clock) = (CURRENT.replace(Some(kind)), Instant::now());
    let result = work();
    TIMES[kind as usize].fetch_add(clock.elapsed().as_nanos() as u64, Relaxed);
    CURRENT.set(before);
    result
}
