//! What a process consumed: CPU time by its own clock (nanoseconds, all threads, also those that ended) and resident memory.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Failure;

/// Files a process needs beside its connections.
const OTHER_FILES: u64 = 200;

/// CPU time of a process and its descendants so far, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    family(pid).into_iter().map(|pid| clock(clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?)).sum()
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration, Failure> {
    clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of the whole machine so far, in ticks of 10 ms: user, nice, system, interrupts.
pub(crate) fn machine_cpu() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq
    let busy: u64 = [0, 1, 2, 5, 6].into_iter().filter_map(|column| ticks.get(column)).sum();
    Ok(Duration::from_millis(10 * busy))
}

/// Resident memory of a process and its descendants, in KB.
pub(crate) fn resident_kb(pid: u32) -> Result<f64, Failure> {
    family(pid).into_iter().map(|pid| rollup_kb(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?)).sum()
}

/// Lets this process and its children open as many files as the system allows: a connection is one in each.
pub(crate) fn raise_open_file_limit() -> Result<(), Failure> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// How many connections one process may hold, be it this one or a server.
pub(crate) fn most_connections() -> Result<u32, Failure> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE)?.0;
    Ok(u32::try_from(limit.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX))
}

/// # Errors
/// One process may not hold so many connections.
pub(crate) fn expect_open_files(connections: u32) -> Result<(), Failure> {
    let most = most_connections()?;
    if connections > most {
        return Err(format!(
            "{connections} connections are more than {most}: raise the limit of open files (ulimit -Hn)"
        )
        .into());
    }
    Ok(())
}

fn clock(id: ClockId) -> Result<Duration, Failure> {
    Ok(clock_gettime(id)?.into())
}

fn rollup_kb(rollup: &str) -> Result<f64, Failure> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss line")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// The process and everything below it. A process that is gone has no entry, and counts no more.
fn family(pid: u32) -> Vec<u32> {
    let mut members = vec![pid];
    let mut next = 0;
    while let Some(&member) = members.get(next) {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{member}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            members.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    members
}
