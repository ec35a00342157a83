//! What this machine is called, and how much it has.

use std::{fs, path::Path, thread};

/// The machine's name, made fit to be the beginning of a worker's.
pub(crate) fn hostname() -> String {
    let name = rustix::system::uname();
    sanitise(&name.nodename().to_string_lossy())
}

fn sanitise(name: &str) -> String {
    /// Leaves room in a worker's name for what makes it unique.
    const LENGTH: usize = 48;
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let fitted: String =
        name.chars().map(fit).skip_while(|c| !c.is_ascii_alphanumeric()).take(LENGTH).collect();
    if fitted.is_empty() { "worker".to_owned() } else { fitted }
}

/// How many threads run at a time here.
pub fn cores() -> u32 {
    thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// How many bytes of memory there are for this process: the machine's, or what its control group may have.
pub fn memory() -> u64 {
    /// Where neither can be told.
    const GUESS: u64 = 8 << 30;
    let machine = read("/proc/meminfo").and_then(|text| parse_meminfo(&text));
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    [machine, group].into_iter().flatten().min().unwrap_or(GUESS)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::id::WorkerName;

    #[test]
    fn every_machine_name_begins_a_worker_name() {
        for name in ["node-7.example.org", "", "-x", "Björns Rechner", "…", &"x".repeat(300)] {
            let fitted = sanitise(name);
            assert!(format!("{fitted}-0a1b").parse::<WorkerName>().is_ok(), "{name:?} -> {fitted:?}");
        }
        assert_eq!(sanitise("node-7"), "node-7");
        assert_eq!(sanitise("--"), "worker");
    }

    #[test]
    fn the_memory_of_a_machine_is_read_from_its_first_line_or_not_at_all() {
        assert_eq!(parse_meminfo("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24576 << 10));
        for strange in ["", "MemTotal: many kB", "MemTotal: 99999999999999999999 kB", "MemTotal: 1"] {
            assert_eq!(parse_meminfo(strange), None);
        }
        assert!(memory() > 1 << 20 && cores() >= 1 && !hostname().is_empty());
    }
}
