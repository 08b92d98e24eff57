use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;

/// There is one sampler at a time in a process, and tests run side by side.
static ONE: Mutex<()> = Mutex::new(());

fn everywhere() -> Vec<Range<u64>> {
    let all = 0..u64::MAX;
    vec![all]
}

/// Computes on a thread of that name until `enough` says so of the samples that were taken.
fn sampled(name: &str, mut enough: impl FnMut(&Sampler, &Sample<'_>) -> bool) -> u64 {
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = std::thread::Builder::new().name(name.to_owned());
        let busy = busy
            .spawn_scoped(scope, || {
                let mut sum = 0_u64;
                while !end.load(Ordering::Relaxed) {
                    sum = black_box(sum.wrapping_mul(31).wrapping_add(7));
                }
                sum
            })
            .unwrap();
        let mut sampler = Sampler::start(everywhere()).unwrap();
        let mut seen = false;
        while !seen {
            sampler.drain(|sample| seen |= enough(&sampler, sample));
            sampler.look().unwrap();
            std::thread::yield_now();
        }
        let lost = sampler.lost();
        drop(sampler);
        end.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        lost
    })
}

#[test]
fn a_busy_thread_is_seen_by_its_name_and_nothing_is_lost() {
    let _one = ONE.lock().unwrap();
    let mut seen = 0;
    let lost = sampled("counts", |sampler, sample| {
        assert!(!sample.addresses.is_empty() && sample.ticks >= 1);
        seen += u32::from(sampler.name(sample.thread) == "counts");
        seen > 20
    });
    assert_eq!(lost, 0);
}

#[test]
fn there_is_one_at_a_time_and_another_after_it() {
    let _one = ONE.lock().unwrap();
    for _ in 0..3 {
        let sampler = Sampler::start(everywhere()).unwrap();
        assert!(matches!(Sampler::start(everywhere()), Err(StartError::Taken)));
        drop(sampler);
    }
    assert!(RING.load(Ordering::SeqCst).is_null());
    // A signal that comes late, or from somebody else, is nothing.
    let pid = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-PROF", &pid]).status().unwrap().success());
}

#[test]
fn a_full_ring_counts_what_is_lost() {
    let ring = Ring::new(everywhere());
    let signal = TimerSignal { signal: 0, errno: 0, code: 0, padding: 0, timer: 0, overrun: 2, place: 7 };
    for turn in 0..WAITING_MAX as u64 + 5 {
        ring.put(&signal, &Registers { instruction: turn, stack: 0, frame: 1 });
    }
    assert_eq!(ring.lost.load(Ordering::Relaxed), 5);
    let place = &ring.places[3];
    let read = |word: &AtomicU32| word.load(Ordering::Relaxed);
    assert_eq!((read(&place.thread), read(&place.ticks), read(&place.used)), (7, 3, 1));
    assert_eq!(place.addresses[0].load(Ordering::Relaxed), 3);
}

/// The callers that are found in a stack of these words, the first of which is where the stack pointer is; words below 100 are places in it, and the
/// frame is at one.
fn callers(words: &[u64], frame: u64, code: Range<u64>) -> Vec<u64> {
    let mut stack = vec![0; words.len()];
    let there = stack.as_ptr() as u64;
    for (word, wanted) in stack.iter_mut().zip(words) {
        *word = if *wanted < 100 { there + wanted * 8 } else { *wanted };
    }
    let ring = Ring::new(vec![code]);
    let to: Vec<AtomicU64> = (0..FRAMES_MAX).map(|_| AtomicU64::new(0)).collect();
    let registers = Registers {
        instruction: 1,
        stack: black_box(&stack).as_ptr() as u64,
        frame: there.wrapping_add(frame),
    };
    let used = ring.walk(&registers, &to) as usize;
    to[..used].iter().map(|address| address.load(Ordering::Relaxed)).collect()
}

#[test]
fn frames_are_followed_as_far_as_they_can_be_believed() {
    let code = 1000..2000;
    let check = |words: &[u64], frame: u64, want: &[u64]| {
        assert_eq!(callers(words, frame, code.clone()), want, "{words:?} from {frame}");
    };
    // The caller's frame, the return address; twice.
    check(&[500, 3, 1001, 5, 1002, 500, 1003], 8, &[1, 1001, 1002, 1003]);
    // What is no code is no caller.
    check(&[2, 1001, 4, 2000], 0, &[1, 1001]);
    check(&[2, 999], 0, &[1]);
    // A frame that is not aligned, below the stack pointer, far above it, or there already.
    check(&[2, 1001, 4, 1002], 4, &[1]);
    check(&[2, 1001, 4, 1002], u64::MAX - 7, &[1]);
    check(&[2, 1001, 4, 1002], STACK_BYTES_MAX, &[1]);
    check(&[0, 1001], 0, &[1, 1001]);
    check(&[2, 1001, 0, 1002], 0, &[1, 1001, 1002]);
    check(&[1 << 40, 1001], 0, &[1, 1001]);
}

#[test]
fn a_stack_deeper_than_a_sample_is_cut() {
    let words: Vec<u64> = (0..45_u64).flat_map(|turn| [turn * 2 + 2, 1000 + turn]).collect();
    assert_eq!(callers(&words, 0, 1000..2000).len(), 46);
    let code = 1000..2000;
    let mut stack = vec![[0_u64; 2]; 200];
    let there = stack.as_ptr() as u64;
    for (turn, frame) in (1..).zip(&mut stack) {
        *frame = [there + turn * 16, 1000 + turn];
    }
    let ring = Ring::new(vec![code]);
    let to: Vec<AtomicU64> = (0..FRAMES_MAX).map(|_| AtomicU64::new(0)).collect();
    let registers = Registers { instruction: 1, stack: there, frame: black_box(&stack).as_ptr() as u64 };
    assert_eq!(ring.walk(&registers, &to) as usize, FRAMES_MAX);
    assert_eq!(to[FRAMES_MAX - 1].load(Ordering::Relaxed), 1000 + FRAMES_MAX as u64 - 1);
}

#[test]
fn memory_that_is_not_there_is_no_word() {
    let word = |address: u64| {
        let process = std::process::id().cast_signed();
        Window { process, begin: 0, len: 0, words: [0; WINDOW_WORDS] }.word(address)
    };
    let here = [77_u64, 78];
    assert_eq!((word(here.as_ptr() as u64), word(here.as_ptr() as u64 + 8)), (Some(77), Some(78)));
    for nowhere in [0, 8, 4096, u64::MAX - 7, 1 << 63, 1 << 47] {
        assert_eq!(word(nowhere), None, "{nowhere:#x}");
    }
}
