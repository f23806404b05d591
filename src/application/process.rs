//! A process: started in its own group, watched until a deadline, ended gently, then hard.

use super::environment::Environment;
use super::group::Group;
use super::output::{Captured, capture};
use crate::fault::Fault;
use crate::limit;
use camino::Utf8PathBuf;
use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How often it is looked whether a group is gone.
const LOOK: Duration = Duration::from_millis(10);
/// How long outputs are read after their last known writer ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: Utf8PathBuf,
    /// Its environment, all of it.
    pub environment: Environment,
    /// Its standard input; none is an empty one.
    pub stdin: Option<String>,
    /// How long it has between being asked to end and being ended.
    pub grace: Duration,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// By us, because its time was over.
    Deadline,
    /// By us, because it was no longer needed.
    Asked,
}

/// What is left of a process.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote.
    pub stdout: Captured,
    /// What it complained of.
    pub stderr: Captured,
    /// Whether processes that it had started lived on, and had to be ended.
    pub left_behind: bool,
    /// Whether a process outside its group still holds its outputs.
    pub held_open: bool,
}

/// A process that runs; dropping it ends its whole group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Group,
    grace: Duration,
    stdout: Reading,
    stderr: Reading,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
    }
}

/// An output while it is read.
#[derive(Debug)]
struct Reading {
    captured: Arc<Mutex<Captured>>,
    task: JoinHandle<()>,
}

impl Reading {
    fn new(reader: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Self {
        let captured = Arc::new(Mutex::new(Captured::default()));
        let place = Arc::clone(&captured);
        Self { captured, task: tokio::spawn(async move { capture(reader, &place).await }) }
    }

    /// What was written, and whether its end was seen.
    async fn finish(&mut self, deadline: Instant) -> (Captured, bool) {
        let ended = timeout_at(deadline, &mut self.task).await.is_ok();
        self.task.abort();
        (std::mem::take(&mut *self.captured.lock().unwrap_or_else(PoisonError::into_inner)), ended)
    }
}

impl Process {
    /// Starts a program; needs a tokio runtime.
    ///
    /// # Errors
    /// A program that is not there or cannot be started.
    pub fn start(program: &Program) -> Result<Self, Fault> {
        let Some((name, arguments)) = program.command.split_first() else { return Err(Fault::infrastructure("no program is named")) };
        let mut command = Command::new(name);
        command.args(arguments).current_dir(&program.directory).env_clear().envs(program.environment.iter());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let unstarted = |why: String| Fault::infrastructure(format!("the application does not start: {name}: {why}"));
        let mut child = command.spawn().map_err(|error| unstarted(error.to_string()))?;
        let group = Group::led_by(child.id());
        feed(&mut child, program.stdin.clone());
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(unstarted("its outputs are not piped".into()));
        };
        Ok(Self { child, group, grace: program.grace, stdout: Reading::new(stdout), stderr: Reading::new(stderr) })
    }

    /// Waits for the process to end by itself; at the deadline it is ended.
    pub async fn wait(mut self, deadline: Duration) -> Ended {
        let exit = match timeout(deadline, self.child.wait()).await {
            Ok(status) => exit(status),
            Err(_) => {
                self.stop().await;
                Exit::Deadline
            }
        };
        self.finish(exit).await
    }

    /// Ends the process gently, then hard.
    pub async fn end(mut self) -> Ended {
        let over = self.child.try_wait().ok().flatten();
        let exit = match over {
            Some(status) => exit(Ok(status)),
            None => {
                self.stop().await;
                Exit::Asked
            }
        };
        self.finish(exit).await
    }

    /// How the process ended, if it did.
    pub fn over(&mut self) -> Option<Exit> {
        self.child.try_wait().ok().flatten().map(|status| exit(Ok(status)))
    }

    /// What the process complained of so far: its last lines.
    pub fn complaints(&self) -> String {
        self.stderr.captured.lock().unwrap_or_else(PoisonError::into_inner).last_lines(limit::OUTPUT_LINES)
    }

    async fn stop(&mut self) {
        self.group.ask_to_end();
        if timeout(self.grace, self.child.wait()).await.is_err() {
            self.group.kill();
            let _ = self.child.start_kill();
            let _ = self.child.wait().await;
        }
    }

    /// Ends what the process left behind, and reads the rest of its outputs.
    async fn finish(&mut self, exit: Exit) -> Ended {
        let left_behind = self.clear().await;
        let deadline = Instant::now() + LAST_WORDS;
        let (stdout, out_ended) = self.stdout.finish(deadline).await;
        let (stderr, err_ended) = self.stderr.finish(deadline).await;
        Ended { exit, stdout, stderr, left_behind, held_open: !(out_ended && err_ended) }
    }

    /// Whether any process of the group had to be ended; those that are ending already are given time to.
    async fn clear(&self) -> bool {
        if self.is_gone(self.grace / 5).await {
            return false;
        }
        self.group.ask_to_end();
        if !self.is_gone(self.grace).await {
            self.group.kill();
            self.is_gone(self.grace).await;
        }
        true
    }

    async fn is_gone(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.group.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

/// Writes the standard input and closes it; a process that does not read it is not waited for.
fn feed(child: &mut Child, text: Option<String>) {
    if let Some(mut stdin) = child.stdin.take()
        && let Some(text) = text
    {
        tokio::spawn(async move {
            let _ = stdin.write_all(text.as_bytes()).await;
        });
    }
}

pub(super) fn exit(status: std::io::Result<ExitStatus>) -> Exit {
    let Ok(status) = status else { return Exit::Code(-1) };
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Exit::Signal(signal);
    }
    Exit::Code(status.code().unwrap_or(-1))
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Deadline => f.write_str("did not end within its time"),
            Self::Asked => f.write_str("was ended"),
        }
    }
}
