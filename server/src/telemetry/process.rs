//! What the system says of this process (proc(5)); nothing where it says nothing.

use std::{fs, time::SystemTime};

/// How many ticks there are in a second: on Linux always so many, whatever the machine (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Names and values, in the words that Prometheus's own clients use.
pub(super) fn figures() -> Vec<(&'static str, f64)> {
    let mut figures = Vec::new();
    if let Ok(stat) = fs::read_to_string("/proc/self/stat")
        // The name of the program is in brackets, and may have any characters in it.
        && let Some((_, rest)) = stat.rsplit_once(')')
    {
        // The first of these is the third field.
        let fields: Vec<f64> =
            rest.split_whitespace().map(|text| text.parse().unwrap_or(0.0)).collect();
        if let [user, system] = fields[11..13] {
            figures.push(("process_cpu_seconds_total", (user + system) / TICKS));
        }
        if let Some(started) = fields.get(19).and_then(|ticks| Some(booted()? + ticks / TICKS)) {
            figures.push(("process_start_time_seconds", started));
        }
    }
    if let Some(kilobytes) = resident() {
        figures.push(("process_resident_memory_bytes", kilobytes * 1024.0));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is for looking.
        figures.push(("process_open_fds", open.count().saturating_sub(1) as f64));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    figures.push(("process_max_fds", limit.map_or(f64::INFINITY, |limit| limit as f64)));
    figures
}

/// Kilobytes of memory that are there.
fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the machine was started: seconds since 1970.
fn booted() -> Option<f64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let now = SystemTime::UNIX_EPOCH.elapsed().ok()?.as_secs_f64();
    Some(now - uptime)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_says_how_the_process_is() {
        let figures: std::collections::HashMap<_, _> = super::figures().into_iter().collect();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!(figures["process_resident_memory_bytes"] > 1e6, "{figures:?}");
        assert!(figures["process_open_fds"] >= 3.0, "{figures:?}");
        assert!(figures["process_cpu_seconds_total"] >= 0.0, "{figures:?}");
        assert!((now - figures["process_start_time_seconds"]) < 3_600.0, "{figures:?}");
    }
}
