//! An interrupt: SIGINT or SIGTERM ends a run early, and what was decided is still reported.

use crate::fault::Fault;
use crate::verdict::Outcome;
use tokio::sync::watch;

/// Whether the run was interrupted.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    told: watch::Receiver<Option<Outcome>>,
}

impl Interrupt {
    /// Listens from now on; a second signal ends the process at once.
    ///
    /// Must be called on a runtime, on which the listener stays.
    ///
    /// # Errors
    /// The system does not let us listen.
    pub(super) fn listen() -> Result<Self, Fault> {
        let (tell, told) = watch::channel(None);
        let mut signals = Signals::new().map_err(|error| Fault::infrastructure(format!("cannot listen for signals: {error}")))?;
        tokio::spawn(async move {
            let outcome = signals.next().await;
            let _ = tell.send(Some(outcome));
            std::process::exit(signals.next().await.exit().into());
        });
        Ok(Self { told })
    }

    /// Ends when the run is interrupted.
    pub(super) async fn wait(&self) {
        let mut told = self.told.clone();
        if told.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What an interrupted run means to a build; none when it came to its own end.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        *self.told.borrow()
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Outcome {
        tokio::select! {
            _ = self.interrupt.recv() => Outcome::Interrupted,
            _ = self.terminate.recv() => Outcome::Terminated,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Outcome {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Outcome::Interrupted
    }
}
