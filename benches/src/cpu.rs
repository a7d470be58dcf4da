//! How much processor time and memory a process has used, and where it may run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use portcullis_testbed::process::Process;

/// The processor time so far of those threads of a process whose names begin so.
///
/// # Errors
/// When there is no such process.
pub(crate) fn used_by_threads(pid: u32, prefix: &str) -> Result<Vec<Duration>, String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| format!("process {pid}: {error}"))?;
    let used = |folder: &Path| {
        fs::read_to_string(folder.join("comm")).ok().filter(|name| name.starts_with(prefix))?;
        on_cpu(&fs::read_to_string(folder.join("schedstat")).ok()?).map(Duration::from_nanos)
    };
    Ok(threads.flatten().filter_map(|thread| used(&thread.path())).collect())
}

/// The processor time of a process so far, user and system, over all of its threads.
///
/// The kernel's scheduler counts it in nanoseconds; where it does not say, `/proc/PID/stat` has the
/// same in clock ticks.
///
/// # Errors
/// When there is no such process.
pub(crate) fn used(pid: u32) -> Result<Duration, String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| format!("process {pid}: {error}"))?;
    let counts: Option<Vec<u64>> =
        threads.map(|thread| on_cpu(&fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?)).collect();
    if let Some(counts) = counts {
        return Ok(Duration::from_nanos(counts.iter().sum()));
    }
    used_in_all(pid)
}

/// As [`used`], with the threads that have ended meanwhile, which count for programs that start
/// threads as they go; in clock ticks of 10 ms.
///
/// # Errors
/// When there is no such process.
pub(crate) fn used_in_all(pid: u32) -> Result<Duration, String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("process {pid}: {error}"))?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 10)).ok_or_else(|| format!("cannot read {stat:?}"))
}

/// The memory that a process holds at the moment, in MiB.
///
/// # Errors
/// When there is no such process.
pub(crate) fn resident_mib(pid: u32) -> Result<f64, String> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("process {pid}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("process {pid} has no resident size"))
}

/// Starts a program on the processor that is measured, where processes can be pinned.
///
/// # Errors
/// When it does not start.
pub(crate) fn start_alone(
    name: &'static str,
    program: &Path,
    arrange: impl FnOnce(&mut Command),
    log: &Path,
) -> Result<Process, String> {
    let pinned = can_pin();
    let pin = |command: &mut Command| {
        if pinned {
            command.args(["-c", ENVOY_CORE]).arg(program);
        }
        arrange(command);
    };
    let started = if pinned { Path::new("taskset") } else { program };
    Process::start(name, started, pin, log).map_err(|error| error.to_string())
}

/// Whether processes can be pinned here: there are two processors to tell apart, and `taskset`. The
/// answer is the same after this process was pinned itself.
#[must_use]
pub(crate) fn can_pin() -> bool {
    let tries = |core: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", core, "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    tries(ENVOY_CORE) && tries(OTHER_CORE)
}

/// Keeps this process, and what it starts from now on, off Envoy's processor.
///
/// # Errors
/// What `taskset` said.
pub(crate) fn pin_this_process() -> Result<(), String> {
    let id = std::process::id().to_string();
    let output = Command::new("taskset").args(["-a", "-p", "-c", OTHER_CORE, &id]).output();
    let output = output.map_err(|error| format!("taskset: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The processor for Envoy alone.
pub(crate) const ENVOY_CORE: &str = "0";
/// Both, for an Envoy with more than one worker, and for a start.
pub(crate) const BOTH_CORES: &str = "0,1";
/// The processor for the load and everything else.
const OTHER_CORE: &str = "1";

/// The first number of a `schedstat`: nanoseconds on a processor.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// `utime` + `stime` of a `/proc/PID/stat`, in ticks of 10 ms. The name before them may hold spaces
/// and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_process_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 5 1000 10 18446744073709551615";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (short) S 1"), None);
    }

    #[test]
    fn work_shows_in_the_time_used() {
        let id = std::process::id();
        let before = used(id).unwrap();
        let mut sum = 0_u64;
        while used(id).unwrap() < before + Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(used(u32::MAX).is_err());
    }

    #[test]
    fn memory_that_is_written_shows_in_what_a_process_holds() {
        let id = std::process::id();
        let before = resident_mib(id).unwrap();
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident_mib(id).unwrap() > before + 48.0);
        drop(held);
        assert!(resident_mib(u32::MAX).is_err());
    }
}
