//! Counting without sharing: each worker has cells of its own, which it alone writes and which are summed when
//! somebody scrapes.
//!
//! A counter is a slot number. A worker's cells lie together in chunks, slot by slot, so what one query counts is mostly
//! in the same few cache lines, and no line is written by two workers. With a single writer, a relaxed load and store are
//! enough to add: no locked instruction. Any other thread counts in the series' shared cell.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

/// How many workers can have cells of their own; those beyond count in the shared cells.
pub const WORKERS_MAX: usize = 1024;

/// Makes the calling thread worker `index`: what it counts goes to that worker's cells until the guard is dropped. The
/// counts stay. An index that is in use by another thread, or not below [`WORKERS_MAX`], is not an error: the thread
/// then counts as any other thread does.
pub fn enter_worker(index: usize) -> Worker {
    if let Some(worker) = worker_cells(index)
        && OWN.get().is_none()
        && !worker.taken.swap(true, Ordering::Acquire)
    {
        OWN.set(Some(worker));
        return Worker { entered: true, not_send: PhantomData };
    }
    Worker { entered: false, not_send: PhantomData }
}

/// The calling thread is a worker as long as this lives.
#[must_use = "dropping it ends the thread's being a worker"]
pub struct Worker {
    entered: bool,
    /// The cells belong to the thread that entered.
    not_send: PhantomData<*const ()>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.entered
            && let Some(worker) = OWN.take()
        {
            // Release: the next thread to enter sees all that this one counted.
            worker.taken.store(false, Ordering::Release);
        }
    }
}

/// The cells of the calling thread, looked up once for several counts.
#[derive(Clone, Copy)]
pub struct Here {
    cells: Option<&'static WorkerCells>,
    /// They belong to this thread.
    not_send: PhantomData<*const ()>,
}

impl Here {
    /// Those of no thread.
    pub const fn nobody() -> Self {
        Self { cells: None, not_send: PhantomData }
    }

    /// Those of the calling thread.
    #[inline]
    pub fn new() -> Self {
        Self { cells: OWN.get(), not_send: PhantomData }
    }
}

impl Default for Here {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Here {
    /// Whether both are the cells of one worker; a thread that has none of its own is like no other.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        matches!((self.cells, other.cells), (Some(a), Some(b)) if std::ptr::eq(a, b))
    }
}

/// A cell of one worker. Only the thread that is the worker may add, see [`Here`]; if another does, counts are lost.
#[derive(Clone, Copy)]
pub(super) struct OwnCell {
    cell: &'static AtomicU64,
    not_send: PhantomData<*const ()>,
}

impl OwnCell {
    #[inline]
    pub(super) fn add(self, amount: u64) {
        add(self.cell, amount);
    }
}

/// Adjacent cells of one worker, as [`OwnCell`].
#[derive(Clone, Copy)]
pub(super) struct OwnCells {
    cells: &'static [AtomicU64],
    not_send: PhantomData<*const ()>,
}

impl OwnCells {
    /// The first.
    pub(super) fn first(self) -> Option<OwnCell> {
        self.cells.first().map(|cell| OwnCell { cell, not_send: PhantomData })
    }

    /// Adds one to the cell at `position`, and `value` to the last. A position that is none adds nothing.
    #[inline]
    pub(super) fn add_one_and_sum(self, position: usize, value: u64) {
        if let [counts @ .., sum] = self.cells
            && let Some(count) = counts.get(position)
        {
            add(count, 1);
            add(sum, value);
        }
    }
}

/// Adds to a cell that only this thread writes: nothing can come between load and store.
#[inline]
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// A run of adjacent cells, the same for every worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots(Option<u32>);

impl Slots {
    /// Takes the next `count` slots (at most [`CHUNK_CELLS`]). They are never given back; when all are taken the series
    /// is counted in its shared cells alone.
    pub(super) fn take(count: usize) -> Self {
        let mut next = NEXT_SLOT.lock().unwrap_or_else(PoisonError::into_inner);
        let left_in_chunk = CHUNK_CELLS - *next % CHUNK_CELLS;
        // A run lies in one chunk, so that it is looked up once.
        let first = if count > left_in_chunk { *next + left_in_chunk } else { *next };
        if count > CHUNK_CELLS || first + count > CHUNK_CELLS * CHUNKS_MAX {
            return Self(None);
        }
        *next = first + count;
        Self(u32::try_from(first).ok())
    }

    /// Adds `amount` to cell `position` of the run for each pair in `parts`; in `shared` where the thread has no cells.
    pub(super) fn add<const PARTS: usize>(self, shared: &[AtomicU64], parts: [(usize, u64); PARTS]) {
        self.add_here(Here::new(), shared, parts);
    }

    /// As [`Self::add`], by the thread that `here` was asked for.
    #[inline]
    pub(super) fn add_here<const PARTS: usize>(
        self,
        here: Here,
        shared: &[AtomicU64],
        parts: [(usize, u64); PARTS],
    ) {
        let own = here.cells.and_then(|worker| worker.run(self.0?));
        for (position, amount) in parts {
            match own.and_then(|cells| cells.get(position)) {
                Some(cell) => add(cell, amount),
                None => {
                    shared[position].fetch_add(amount, Ordering::Relaxed);
                }
            }
        }
    }

    /// The first `count` cells of the run, which has as many, where they are those of the thread that `here` was asked for; `None` if it has
    /// none of its own.
    pub(super) fn own(self, here: Here, count: usize) -> Option<OwnCells> {
        let cells = here.cells?.run(self.0?)?.get(..count)?;
        Some(OwnCells { cells, not_send: PhantomData })
    }

    /// The sum over all workers and `shared` of cell `position`.
    pub(super) fn sum(self, shared: &[AtomicU64], position: usize) -> u64 {
        let mut sum = shared[position].load(Ordering::Relaxed);
        if let Some(first) = self.0 {
            let slot = first as usize + position;
            for worker in WORKERS.read().unwrap_or_else(PoisonError::into_inner).iter().flatten() {
                if let Some(chunk) = worker.chunks[slot / CHUNK_CELLS].get() {
                    sum = sum.wrapping_add(chunk.0[slot % CHUNK_CELLS].load(Ordering::Relaxed));
                }
            }
        }
        sum
    }
}

/// All cells of one worker. Lives as long as the process: its counts do.
struct WorkerCells {
    taken: AtomicBool,
    chunks: [OnceLock<Box<Chunk>>; CHUNKS_MAX],
}

/// Aligned to two cache lines, which is what the hardware fetches together.
#[repr(align(128))]
struct Chunk([AtomicU64; CHUNK_CELLS]);

impl WorkerCells {
    /// The cells from slot `first` to the end of its chunk.
    #[inline]
    fn run(&'static self, first: u32) -> Option<&'static [AtomicU64]> {
        let first = first as usize;
        let chunk = self.chunks.get(first / CHUNK_CELLS)?;
        chunk
            .get_or_init(|| Box::new(Chunk([const { AtomicU64::new(0) }; CHUNK_CELLS])))
            .0
            .get(first % CHUNK_CELLS..)
    }
}

fn worker_cells(index: usize) -> Option<&'static WorkerCells> {
    if index >= WORKERS_MAX {
        return None;
    }
    let mut workers = WORKERS.write().unwrap_or_else(PoisonError::into_inner);
    if workers.len() <= index {
        workers.resize(index + 1, None);
    }
    // Leaked on purpose and at most once an index, see WorkerCells.
    Some(workers[index].get_or_insert_with(|| {
        Box::leak(Box::new(WorkerCells {
            taken: AtomicBool::new(false),
            chunks: [const { OnceLock::new() }; CHUNKS_MAX],
        }))
    }))
}

thread_local! {
    static OWN: Cell<Option<&'static WorkerCells>> = const { Cell::new(None) };
}

static WORKERS: RwLock<Vec<Option<&'static WorkerCells>>> = RwLock::new(Vec::new());
static NEXT_SLOT: Mutex<usize> = Mutex::new(0);

/// 4 KiB of cells; a worker gets a chunk when it first counts in it.
const CHUNK_CELLS: usize = 512;
/// With [`CHUNK_CELLS`] this bounds a worker's cells to 65,536, which is 512 KiB.
const CHUNKS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_run_never_crosses_a_chunk() {
        for count in [1, 18, 500, 512, 30] {
            let first = Slots::take(count).0.unwrap() as usize;
            assert_eq!(first / CHUNK_CELLS, (first + count - 1) / CHUNK_CELLS);
        }
        assert!(Slots::take(CHUNK_CELLS + 1).0.is_none());
    }

    #[test]
    fn workers_and_other_threads_add_up() {
        let (slots, shared) = (Slots::take(2), shared(2));
        const ROUNDS: u64 = 20_000;
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let shared = &shared;
                scope.spawn(move || {
                    // Four workers, one of them twice the same index, and a thread that is none.
                    let _worker = (thread < 5).then(|| enter_worker(900 + thread % 4));
                    for _ in 0..ROUNDS {
                        slots.add(shared, [(0, 1), (1, 3)]);
                    }
                });
            }
            // Scraping meanwhile sees each cell grow only.
            let mut last = 0;
            for _ in 0..1000 {
                let sum = slots.sum(&shared, 0);
                assert!(sum >= last);
                last = sum;
            }
        });
        assert_eq!((slots.sum(&shared, 0), slots.sum(&shared, 1)), (6 * ROUNDS, 18 * ROUNDS));
    }

    #[test]
    fn a_worker_counts_in_cells_of_its_own_and_leaves_them_to_the_next() {
        let (slots, shared) = (Slots::take(1), shared(1));
        for expected in 1..=3 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let worker = enter_worker(910);
                    assert!(worker.entered);
                    assert!(!enter_worker(911).entered, "a thread is one worker");
                    slots.add(&shared, [(0, 1)]);
                });
            });
            assert_eq!(slots.sum(&shared, 0), expected);
        }
        assert_eq!(shared[0].load(Ordering::Relaxed), 0);
        assert!(!enter_worker(WORKERS_MAX).entered);
        slots.add(&shared, [(0, 1)]);
        assert_eq!(shared[0].load(Ordering::Relaxed), 1);
        assert_eq!(slots.sum(&shared, 0), 4);
    }

    #[test]
    fn series_without_slots_count_in_the_shared_cell() {
        let shared = shared(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _worker = enter_worker(920);
                Slots(None).add(&shared, [(0, 5)]);
            });
        });
        assert_eq!(Slots(None).sum(&shared, 0), 5);
    }
}
