//! Processes pinned to cores, ended by their PID, and what they cost: CPU time to the nanosecond, resident memory.

#![allow(
    unsafe_code,
    reason = "affinity, the parent-death signal and another process's CPU clock are not in std"
)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a process may take to end after SIGTERM before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What is to be started.
pub struct Launch {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// The cores it may run on.
    pub cores: Vec<usize>,
    /// Where its standard output goes.
    pub stdout: Output,
    /// The file its standard error goes to.
    pub stderr: PathBuf,
}

/// Where a process's standard output goes.
pub enum Output {
    /// To a file.
    File(PathBuf),
    /// To a pipe that a thread of ours reads to its end, counting the lines.
    Counted,
    /// To a pipe that [`Process::finish`] reads.
    Kept,
}

/// A running process. Killed when dropped; also by the kernel, should this process die first.
pub struct Process {
    child: Child,
    reader: Option<JoinHandle<u64>>,
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now (VmRSS).
    pub now_kib: u64,
    /// At its peak (VmHWM).
    pub peak_kib: u64,
}

impl Process {
    /// Starts it. From the main thread only: the parent-death signal follows the thread.
    ///
    /// # Errors
    /// A sentence with the program's name.
    pub fn start(launch: &Launch) -> Result<Self, String> {
        let failed = |what: &str, error: io::Error| format!("{}: {what}: {error}", launch.program.display());
        let stderr = File::create(&launch.stderr).map_err(|error| failed("its error file", error))?;
        let stdout = match &launch.stdout {
            Output::File(path) => {
                File::create(path).map_err(|error| failed("its output file", error))?.into()
            }
            Output::Counted | Output::Kept => Stdio::piped(),
        };
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let set = cpu_set(&launch.cores);
        // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                set_affinity(&set)
            });
        }
        let mut child = command.spawn().map_err(|error| failed("did not start", error))?;
        let reader = match launch.stdout {
            Output::Counted => child.stdout.take().map(|pipe| thread::spawn(|| count_lines(pipe))),
            Output::File(_) | Output::Kept => None,
        };
        Ok(Self { child, reader })
    }

    /// User and system time of all its threads so far, those that ended included.
    ///
    /// # Errors
    /// The kernel's, when the process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: `clock` lives through the call.
        let error = unsafe { libc::clock_getcpuclockid(self.pid(), &raw mut clock) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` lives through the call.
        if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory.
    ///
    /// # Errors
    /// When `/proc` has no such process any more.
    pub fn memory(&self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let kib = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_ascii_whitespace().nth(1)?.parse().ok()
        };
        match (kib("VmRSS:"), kib("VmHWM:")) {
            (Some(now_kib), Some(peak_kib)) => Ok(Memory { now_kib, peak_kib }),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// The kernel's, when the process is gone.
    pub fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        // SAFETY: takes no pointer; the PID is of a child not yet waited for, so it is no other process's.
        if unsafe { libc::kill(self.pid(), signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Its exit status, if it ended.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Ends it: SIGTERM, then SIGKILL. Gives the lines it wrote, for [`Output::Counted`].
    pub fn stop(mut self) -> u64 {
        // It may have ended by itself; then there is nothing to signal.
        let _ = self.signal(libc::SIGTERM);
        let limit = Instant::now() + STOP_WITHIN;
        while Instant::now() < limit && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        self.reader.take().and_then(|reader| reader.join().ok()).unwrap_or(0)
    }

    /// Lets it go: it is not ended when this is dropped, and its end is for [`reap`] to tell. Gives its process ID.
    pub fn release(self) -> u32 {
        let id = self.id();
        mem::forget(self);
        id
    }

    /// Waits for its end and gives what it wrote, for [`Output::Kept`].
    ///
    /// # Errors
    /// A sentence, when it failed.
    pub fn finish(mut self) -> Result<String, String> {
        let mut text = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut text).map_err(|error| error.to_string())?;
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        match (status.success(), status.signal()) {
            (true, _) => Ok(text),
            (false, Some(signal)) => Err(format!("ended by signal {signal}")),
            (false, None) => Err(format!("ended with {status}: {text}")),
        }
    }

    fn kill(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn pid(&self) -> libc::pid_t {
        self.child.id() as libc::pid_t
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child of this process that ended, or one that was left to this process by a parent that ended (as to the first
/// of a PID namespace), with how it ended. Not beside a [`Process`], whose end it would take.
pub fn reap() -> Option<(u32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    let id = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    u32::try_from(id).ok().filter(|id| *id > 0).map(|id| (id, ExitStatus::from_raw(status)))
}

/// Sends `signal` to the process `id`.
///
/// # Errors
/// The kernel's, when there is none.
pub fn signal(id: u32, signal: libc::c_int) -> io::Result<()> {
    let Some(id) = libc::pid_t::try_from(id).ok().filter(|id| *id > 1) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: takes no pointer.
    if unsafe { libc::kill(id, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the process `id`, which is no child of ours: SIGTERM, then SIGKILL.
pub fn end(id: u32) {
    let Some(id) = libc::pid_t::try_from(id).ok().filter(|id| *id > 1) else { return };
    let limit = Instant::now() + STOP_WITHIN;
    // SAFETY: the call takes numbers alone.
    let signal = |signal| unsafe { libc::kill(id, signal) } == 0;
    signal(libc::SIGTERM);
    while Instant::now() < limit && signal(0) {
        thread::sleep(Duration::from_millis(2));
    }
    if signal(0) {
        signal(libc::SIGKILL);
    }
}

/// Pins this thread, and the threads it starts from now on, to `core`.
///
/// # Errors
/// The kernel's, when there is no such core.
pub fn pin_this_thread(core: usize) -> io::Result<()> {
    set_affinity(&cpu_set(&[core]))
}

fn cpu_set(cores: &[usize]) -> libc::cpu_set_t {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &core in cores.iter().filter(|&&core| core < libc::CPU_SETSIZE as usize) {
        // SAFETY: `core` is within the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    set
}

fn set_affinity(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the set has the length that is said.
    if unsafe { libc::sched_setaffinity(0, size_of_val(set), set) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn count_lines(mut pipe: impl Read) -> u64 {
    let mut buffer = vec![0; 1 << 16];
    let mut lines = 0;
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return lines,
            Ok(len) => lines += buffer[..len].iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stdout: Output) -> Process {
        Process::start(&Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            cores: vec![0],
            stdout,
            stderr: "/dev/null".into(),
        })
        .unwrap()
    }

    #[test]
    fn the_cpu_clock_of_a_busy_child_runs_and_its_memory_is_seen() {
        let process = shell("while :; do :; done", Output::Kept);
        let limit = Instant::now() + Duration::from_secs(20);
        while process.cpu().unwrap() < Duration::from_millis(20) {
            assert!(Instant::now() < limit, "a busy loop got no CPU");
            thread::yield_now();
        }
        assert!(process.memory().unwrap().peak_kib > 100);
        process.stop();
    }

    #[test]
    fn output_is_counted_or_kept() {
        let mut process = shell("echo a; echo b", Output::Counted);
        while process.ended().unwrap().is_none() {
            thread::yield_now();
        }
        assert_eq!(process.stop(), 2);
        assert_eq!(shell("echo a", Output::Kept).finish().unwrap(), "a\n");
        assert!(shell("exit 3", Output::Kept).finish().unwrap_err().contains('3'));
    }
}
