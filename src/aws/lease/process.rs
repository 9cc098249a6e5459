//! Which process holds a lease, so that one that was killed on this machine is known at once.

use serde::{Deserialize, Serialize};

/// A process of one machine, since one boot, in one namespace of process ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Boot and namespace; empty where the system does not tell.
    space: String,
    /// Its id there.
    pub pid: u32,
    /// When it started, in the kernel's ticks since the boot: a process id is given again.
    started: u64,
}

impl Process {
    /// This process.
    pub fn this() -> Self {
        let pid = std::process::id();
        Process {
            space: space().unwrap_or_default(),
            pid,
            started: started(pid).unwrap_or_default(),
        }
    }

    /// Whether it is known to have ended. One of another machine, boot or container is not known here.
    pub fn has_ended(&self) -> bool {
        let here = space().is_some_and(|space| space == self.space);
        here && started(self.pid) != Some(self.started)
    }
}

/// Linux tells both; elsewhere nothing is known, and a lease ends by its time.
fn space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Field 22 of <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>; the name before it may hold blanks. A
/// zombie, which only its parent still knows, has ended.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    match fields.first() {
        Some(&"Z" | &"X") => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

/// Name of this machine, for people.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_not_ended_and_one_that_was_has() {
        let this = Process::this();
        assert!(!this.has_ended());
        if this.space.is_empty() {
            return;
        }
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Process {
            pid: child.id(),
            started: started(child.id()).unwrap_or(1),
            ..this.clone()
        };
        child.wait().unwrap();
        assert!(ended.has_ended());
        let given_again = Process {
            started: this.started + 1,
            ..this.clone()
        };
        assert!(given_again.has_ended());
        let elsewhere = Process {
            space: "another boot".into(),
            ..ended
        };
        assert!(!elsewhere.has_ended());
    }
}
