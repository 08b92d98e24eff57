//! As many workers as the process may use cores at once, which a container's limit makes fewer than the machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::support::{PATIENCE, Server, eventually, say};

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// A control group with a limit of CPU time; removed when dropped.
struct Group(PathBuf);

impl Group {
    /// A group whose processes get `quota_us` of CPU time in each 100 ms, or why there is none.
    fn with_quota(quota_us: u32) -> Result<Self, String> {
        let name = format!("waypost-test-{}-{quota_us}", std::process::id());
        let unified = Path::new(ROOT);
        let v2 = fs::read_to_string(unified.join("cgroup.controllers"));
        let (path, file, limit) = match v2 {
            Ok(controllers) => {
                if !controllers.split_whitespace().any(|controller| controller == "cpu") {
                    return Err("version 2 without the controller cpu".to_owned());
                }
                let subtree = unified.join("cgroup.subtree_control");
                let is_on =
                    fs::read_to_string(&subtree).is_ok_and(|on| on.split_whitespace().any(|c| c == "cpu"));
                if !is_on {
                    return Err("cgroup.subtree_control has not the controller cpu".to_owned());
                }
                (unified.join(name), "cpu.max", format!("{quota_us} 100000"))
            }
            // Version 1: one tree for each controller, and the period is 100 ms unless it is set.
            Err(_) => (unified.join("cpu").join(name), "cpu.cfs_quota_us", quota_us.to_string()),
        };
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let group = Self(path);
        let file = group.0.join(file);
        fs::write(&file, limit).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(group)
    }

    fn processes(&self) -> String {
        self.0.join("cgroup.procs").display().to_string()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended; while the last is still being taken out the kernel says so.
        let is_busy = || fs::remove_dir(&self.0).is_err_and(|error| error.raw_os_error() == Some(EBUSY));
        let deadline = Instant::now() + PATIENCE;
        while is_busy() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

/// The group has processes.
const EBUSY: i32 = 16;

const COREFILE: &str = ". {\n    bind 127.0.0.1\n    whoami\n}\n";

/// Enters the control group in its first argument and becomes the program in the others.
const ENTER: &str = "echo $$ > \"$1\" || exit 1\nshift\nexec \"$@\"\n";

/// The server's workers, once every thread has its name: until it has run for the first time it has that of the process.
fn workers(server: &Server) -> usize {
    let pid = server.pid().to_string();
    let mut workers = 0;
    eventually("all threads have names", || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the server runs");
        let names: Vec<String> = threads
            .filter_map(Result::ok)
            .filter(|thread| *thread.file_name() != *pid)
            .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok())
            .collect();
        workers = names.iter().filter(|name| name.starts_with("worker-")).count();
        names.iter().all(|name| name.trim() != "waypost")
    });
    workers
}

#[test]
fn a_quota_of_cpu_time_makes_as_many_workers_as_it_makes_whole_cores() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(workers(&Server::start(COREFILE)), cores, "without a quota there is one for each core");
    // Half a core, one, one and a half, and more than there are.
    for (quota_us, expected) in [(50_000, 1), (100_000, 1), (150_000, 1), (6_400_000, cores.min(64))] {
        let group = match Group::with_quota(quota_us) {
            Ok(group) => group,
            Err(why) => {
                return say(&format!(
                    "SKIPPED: the workers under a quota: no control group can be made here: {why}"
                ));
            }
        };
        let setup = Server::with(COREFILE).file("enter", ENTER);
        let line = format!("sh {} {}", setup.path("enter"), group.processes());
        let server = setup.run_by(&line).start();
        assert_eq!(workers(&server), expected, "{quota_us} of 100,000 µs");
        assert_eq!(server.stop().code(), 0);
    }
}
