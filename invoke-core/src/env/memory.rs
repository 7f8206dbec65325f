//! How much memory the machine has.

/// Bytes of memory that the machine has, where the system tells.
pub fn total() -> Option<u64> {
    line("MemTotal:")
}

/// Bytes that could be taken without others' being pushed out, where the system tells.
pub fn available() -> Option<u64> {
    line("MemAvailable:")
}

fn line(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
