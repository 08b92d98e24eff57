//! What the threads of this process are doing, a hundred times in each second of processor time that they use: for profiles.
//!
//! ```text
//!  a timer for each thread, on the clock of its processor time ──SIGPROF──▶ that very thread
//!      handler: where it is, who called that (by frame pointers) ──▶ a ring that is there before ──▶ Sampler::drain
//! ```
//!
//! Without a [`Sampler`] there is no timer, so no signal. The handler is installed with the first one and stays, as a signal that is still
//! under way would end the process otherwise; without a ring it does nothing.
//!
//! The handler allocates nothing, takes no lock, and reads stacks through the kernel, which refuses an address that is none where the
//! processor would end the process. A thread that waits uses no processor time, so it gets no signal, and hardly a system call is interrupted.
#![allow(
    unsafe_code,
    reason = "a signal handler, and timers that std does not have; each call is argued where it stands"
)]

use std::fs;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Samples in each second of processor time of a thread: as Go takes them.
pub const HERTZ: u64 = 100;

/// Addresses of a sample at most: where a thread is and the innermost of its callers; Go has as many.
pub const FRAMES_MAX: usize = 64;

/// Threads that are sampled at a time; those beyond are not. Each has a timer of the kernel, which limits them too (RLIMIT_SIGPENDING).
pub const THREADS_MAX: usize = 256;

/// Samples that may wait for [`Sampler::drain`]: two seconds of 20 busy threads, or 100 ms of 400.
const WAITING_MAX: usize = 4096;

/// How far above the stack pointer callers are looked for, bytes: a stack of std's is 2 MiB.
const STACK_BYTES_MAX: u64 = 8 << 20;

/// Words of a stack that are read in one call.
const WINDOW_WORDS: usize = 64;

const NANOSECONDS: i64 = 1_000_000_000;

/// Whether there is a [`Sampler`].
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Where the handler writes; null without a [`Sampler`].
static RING: AtomicPtr<Ring> = AtomicPtr::new(ptr::null_mut());
/// Threads that are in the handler, so may be using the ring.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Why nothing is sampled.
#[derive(Debug)]
pub enum StartError {
    /// There is a [`Sampler`], and there is one at a time.
    Taken,
    /// The kernel gives no timers, or does not show the threads.
    Kernel(io::Error),
}

/// A sample.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The thread's number among those of [`Sampler::name`].
    pub thread: usize,
    /// How many times [`HERTZ`] it stands for, 1 or more: the kernel may be late.
    pub ticks: u64,
    /// Where the thread was, then where each call returns to, from the inside out; at least one.
    pub addresses: &'a [u64],
}

/// Samples all threads of the process as long as it lives.
#[derive(Debug)]
pub struct Sampler {
    ring: Arc<Ring>,
    threads: Vec<Option<Thread>>,
    /// Looks at which there were more threads than are sampled, or no timer for one.
    missed: u64,
}

#[derive(Debug)]
struct Thread {
    id: libc::pid_t,
    name: String,
    timer: Timer,
}

impl Sampler {
    /// Whether this build has frame pointers, by which callers are found (`-C force-frame-pointers=yes`; build.rs looks). Without them the
    /// register holds anything, and a sample is where the thread is, alone: they would cost 2 to 5 of 100 instructions of an answer.
    pub const SEES_CALLERS: bool = cfg!(frame_pointers);

    /// Starts sampling; addresses outside of `code`, which holds the executable parts of memory, are taken for no callers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(code: Vec<Range<u64>>) -> Result<Self, StartError> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(StartError::Taken);
        }
        let ring = Arc::new(Ring::new(code));
        // From here on dropping it undoes all.
        let mut sampler = Self { ring, threads: Vec::new(), missed: 0 };
        RING.store(Arc::as_ptr(&sampler.ring).cast_mut(), Ordering::SeqCst);
        install().and_then(|()| sampler.look()).map_err(StartError::Kernel)?;
        Ok(sampler)
    }

    /// Samples threads that have begun since, and forgets those that have ended; call [`Self::drain`] first.
    ///
    /// # Errors
    /// If the kernel does not show the threads, or gives a timer for none of them.
    pub fn look(&mut self) -> io::Result<()> {
        let ids: Vec<libc::pid_t> =
            fs::read_dir(TASKS)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        for place in &mut self.threads {
            // A number may be given to another thread, but not within the time between two looks.
            if place.as_ref().is_some_and(|thread| !ids.contains(&thread.id)) {
                *place = None;
            }
        }
        let mut refused = None;
        for id in ids {
            if self.threads.iter().flatten().any(|thread| thread.id == id) {
                continue;
            }
            let free = self.threads.iter().position(Option::is_none).unwrap_or(self.threads.len());
            if free == THREADS_MAX {
                self.missed += 1;
                break;
            }
            match Timer::start(id, free) {
                Ok(timer) => {
                    let name = fs::read_to_string(format!("{TASKS}/{id}/comm")).unwrap_or_default();
                    let thread = Some(Thread { id, name: name.trim_end().to_owned(), timer });
                    match self.threads.get_mut(free) {
                        Some(place) => *place = thread,
                        None => self.threads.push(thread),
                    }
                }
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(error) => {
                    self.missed += 1;
                    refused = Some(error);
                    break;
                }
            }
        }
        match refused {
            Some(error) if self.threads.iter().all(Option::is_none) => Err(error),
            _ => Ok(()),
        }
    }

    /// Hands over the samples that were taken since the last call.
    pub fn drain(&self, mut each: impl FnMut(&Sample<'_>)) {
        let mut addresses = [0; FRAMES_MAX];
        for place in &self.ring.places {
            if place.state.load(Ordering::Acquire) != FULL {
                continue;
            }
            let used = (place.used.load(Ordering::Relaxed) as usize).min(FRAMES_MAX);
            for (to, from) in addresses.iter_mut().zip(&place.addresses).take(used) {
                *to = from.load(Ordering::Relaxed);
            }
            let thread = place.thread.load(Ordering::Relaxed) as usize;
            let ticks = u64::from(place.ticks.load(Ordering::Relaxed));
            place.state.store(FREE, Ordering::Release);
            each(&Sample { thread, ticks, addresses: &addresses[..used] });
        }
    }

    /// What the thread of a [`Sample`] is called, until the next [`Self::look`]; empty if it is not known.
    pub fn name(&self, thread: usize) -> &str {
        self.threads.get(thread).and_then(Option::as_ref).map_or("", |thread| &thread.name)
    }

    /// Samples that found no room, and looks at which a thread found none.
    pub fn lost(&self) -> u64 {
        self.ring.lost.load(Ordering::Relaxed) + self.missed
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        for thread in self.threads.drain(..).flatten() {
            drop(thread.timer);
        }
        RING.store(ptr::null_mut(), Ordering::SeqCst);
        // A handler that saw the ring before counted itself before that, and takes microseconds.
        while INSIDE.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        TAKEN.store(false, Ordering::SeqCst);
    }
}

/// Where the kernel shows the threads of this process.
const TASKS: &str = "/proc/self/task";

/// A timer that sends SIGPROF to a thread each time that it has used so much processor time.
#[derive(Debug)]
struct Timer(libc::c_int);

impl Timer {
    /// `place` comes with each signal.
    fn start(thread: libc::pid_t, place: usize) -> io::Result<Self> {
        // The kernel's number for the clock of a thread's processor time: bit 2 for a thread rather than a process, 2 for what the
        // scheduler counts.
        let clock: libc::clockid_t = (!thread << 3) | 6;
        // SAFETY: a structure of numbers and a pointer that nobody follows, for which zeros are good.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGPROF;
        event.sigev_value.sival_ptr = ptr::without_provenance_mut(place);
        event.sigev_notify_thread_id = thread;
        let mut id: libc::c_int = 0;
        // Not the C library's call, which keeps a list of timers of its own.
        // SAFETY: the kernel reads the one structure and writes the one number; both live during the call.
        let made = unsafe { libc::syscall(libc::SYS_timer_create, clock, &raw mut event, &raw mut id) };
        if made != 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = Self(id);
        let each = libc::timespec { tv_sec: 0, tv_nsec: NANOSECONDS / HERTZ as i64 };
        let times = libc::itimerspec { it_interval: each, it_value: each };
        let none = ptr::null_mut::<libc::itimerspec>();
        // SAFETY: the timer is ours; the kernel reads the one structure, which lives during the call, and writes none.
        let set = unsafe { libc::syscall(libc::SYS_timer_settime, timer.0, 0, &raw const times, none) };
        if set == 0 { Ok(timer) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and nobody uses its number after this.
        unsafe { libc::syscall(libc::SYS_timer_delete, self.0) };
    }
}

/// Installs the handler; once more is the same.
fn install() -> io::Result<()> {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: a structure of numbers and pointers, for which zeros are good: no mask, no restorer.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler has the form that SA_SIGINFO asks for, and does only what a handler may; the old action is not asked for.
    if unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What the kernel tells with the signal of a timer; the beginning of `siginfo_t` on machines of 64 bits.
#[repr(C)]
struct TimerSignal {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    padding: libc::c_int,
    timer: libc::c_int,
    overrun: libc::c_int,
    place: u64,
}

const _: () = assert!(size_of::<TimerSignal>() <= size_of::<libc::siginfo_t>());
const _: () = assert!(align_of::<TimerSignal>() <= align_of::<libc::siginfo_t>());

/// Runs on the thread that is sampled, wherever that is.
extern "C" fn on_signal(_: libc::c_int, signal: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: it returns the address of this thread's number, and has no other effect.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the address is that of a number that this thread alone uses.
    let before = unsafe { *errno };
    INSIDE.fetch_add(1, Ordering::SeqCst);
    // SAFETY: while INSIDE counts this thread, the Sampler that has put a ring there keeps it; nobody changes it but through atomics.
    let ring = unsafe { RING.load(Ordering::SeqCst).as_ref() };
    // SAFETY: the kernel gives a `siginfo_t`, which begins as TimerSignal does, and is at least as large.
    let signal = unsafe { signal.cast::<TimerSignal>().as_ref() };
    // SAFETY: the kernel gives the thread's registers with a signal whose handler has SA_SIGINFO.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() };
    if let (Some(ring), Some(signal), Some(context)) = (ring, signal, context)
        && signal.code == libc::SI_TIMER
    {
        ring.put(signal, &Registers::of(context));
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above; who was interrupted may be about to read it.
    unsafe { *errno = before };
}

/// What of a thread's registers tells where it is.
#[derive(Default)]
struct Registers {
    instruction: u64,
    stack: u64,
    frame: u64,
}

impl Registers {
    #[cfg(target_arch = "x86_64")]
    fn of(context: &libc::ucontext_t) -> Self {
        let register = |number: libc::c_int| context.uc_mcontext.gregs[number as usize] as u64;
        Self {
            instruction: register(libc::REG_RIP),
            stack: register(libc::REG_RSP),
            frame: register(libc::REG_RBP),
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn of(context: &libc::ucontext_t) -> Self {
        let registers = &context.uc_mcontext;
        Self { instruction: registers.pc, stack: registers.sp, frame: registers.regs[29] }
    }

    /// Never asked: [`install`] has refused.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn of(_: &libc::ucontext_t) -> Self {
        Self::default()
    }
}

/// Samples on their way from the handlers.
#[derive(Debug)]
struct Ring {
    places: Box<[Place]>,
    next: AtomicUsize,
    lost: AtomicU64,
    code: Vec<Range<u64>>,
    process: libc::pid_t,
}

/// A sample, and whose turn it is.
#[derive(Debug)]
struct Place {
    state: AtomicU32,
    thread: AtomicU32,
    ticks: AtomicU32,
    used: AtomicU32,
    addresses: [AtomicU64; FRAMES_MAX],
}

/// A handler may take the place.
const FREE: u32 = 0;
/// A handler is writing there.
const TAKING: u32 = 1;
/// It is to be read.
const FULL: u32 = 2;

impl Ring {
    fn new(code: Vec<Range<u64>>) -> Self {
        let place = || Place {
            state: AtomicU32::new(FREE),
            thread: AtomicU32::new(0),
            ticks: AtomicU32::new(0),
            used: AtomicU32::new(0),
            addresses: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            places: std::iter::repeat_with(place).take(WAITING_MAX).collect(),
            next: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            code,
            process: std::process::id().cast_signed(),
        }
    }

    /// Called by the handler.
    fn put(&self, signal: &TimerSignal, registers: &Registers) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % WAITING_MAX;
        let Some(place) = self.places.get(turn) else { return };
        if place.state.compare_exchange(FREE, TAKING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        place.thread.store(signal.place as u32, Ordering::Relaxed);
        place.ticks.store((signal.overrun.max(0) as u32).saturating_add(1), Ordering::Relaxed);
        let room = if Sampler::SEES_CALLERS { &place.addresses[..] } else { &place.addresses[..1] };
        let used = self.walk(registers, room);
        place.used.store(used, Ordering::Relaxed);
        place.state.store(FULL, Ordering::Release);
    }

    /// Writes where the thread is and who called that; returns how many addresses these are.
    ///
    /// With frame pointers each frame begins with two words: where the caller's frame is, and where the call returns to. Code without them (the
    /// C library's) may have anything in that register, so all is looked at before it is believed.
    fn walk(&self, registers: &Registers, to: &[AtomicU64]) -> u32 {
        let mut to = to.iter();
        let mut used = 0;
        let mut write = |address: u64| {
            let place = to.next()?;
            place.store(address, Ordering::Relaxed);
            used += 1;
            Some(())
        };
        let mut stack = Window { process: self.process, begin: 0, len: 0, words: [0; WINDOW_WORDS] };
        let mut lowest = registers.stack;
        let highest = registers.stack.saturating_add(STACK_BYTES_MAX);
        let mut frame = registers.frame;
        let mut room = write(registers.instruction);
        // Ends with the room at the latest; frames grow towards who called first.
        while room.is_some() && frame.is_multiple_of(8) && (lowest..highest).contains(&frame) {
            let (Some(callers), Some(returns)) = (stack.word(frame), stack.word(frame.saturating_add(8)))
            else {
                break;
            };
            if !self.code.iter().any(|part| part.contains(&returns)) {
                break;
            }
            room = write(returns);
            lowest = frame.saturating_add(16);
            frame = callers;
        }
        used
    }
}

/// A piece of memory as it was read last.
struct Window {
    process: libc::pid_t,
    begin: u64,
    len: usize,
    words: [u64; WINDOW_WORDS],
}

impl Window {
    /// The word at `address`, a multiple of 8; `None` if nothing is there.
    fn word(&mut self, address: u64) -> Option<u64> {
        let inside = |begin: u64, len: usize| {
            let at = address.checked_sub(begin)? / 8;
            usize::try_from(at).ok().filter(|at| *at < len)
        };
        let at = match inside(self.begin, self.len) {
            Some(at) => at,
            None => {
                self.begin = address;
                self.len = self.read();
                inside(self.begin, self.len)?
            }
        };
        self.words.get(at).copied()
    }

    /// Reads from `begin` on, and returns how many words are there.
    fn read(&mut self) -> usize {
        let bytes = size_of_val(&self.words);
        let local = libc::iovec { iov_base: self.words.as_mut_ptr().cast(), iov_len: bytes };
        let start = ptr::without_provenance_mut(self.begin as usize);
        let remote = libc::iovec { iov_base: start, iov_len: bytes };
        let (local, remote) = (&raw const local, &raw const remote);
        // The C library adds nothing to it, so a handler may.
        // SAFETY: the kernel writes into `words` alone, no more than they hold, and reads of this process what is there to be read: an
        // address that is none makes an error, or ends what is read.
        let read = unsafe { libc::process_vm_readv(self.process, local, 1, remote, 1, 0) };
        usize::try_from(read).unwrap_or(0).min(bytes) / 8
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
