//! A process group: everything that an application started and did not detach.

/// The processes of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    /// The group that a process leads.
    pub(super) fn led_by(process: Option<u32>) -> Self {
        let id = process.and_then(|id| i32::try_from(id).ok());
        Self { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

    /// Whether any process of it lives.
    pub(super) fn is_alive(self) -> bool {
        self.leader.is_some_and(|leader| rustix::process::test_kill_process_group(leader).is_ok())
    }

    /// Asks all of it to end.
    pub(super) fn ask_to_end(self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Ends all of it.
    pub(super) fn kill(self) {
        self.signal(rustix::process::Signal::KILL);
    }

    fn signal(self, signal: rustix::process::Signal) {
        if let Some(leader) = self.leader {
            // That nobody is left is what was wanted.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    pub(super) fn led_by(_: Option<u32>) -> Self {
        Self {}
    }

    /// Groups are not known here; the process itself is ended by its handle.
    pub(super) fn is_alive(self) -> bool {
        false
    }

    pub(super) fn ask_to_end(self) {}

    pub(super) fn kill(self) {}
}
