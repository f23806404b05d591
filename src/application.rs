//! The user's application as a process: its environment, its outputs, its end, and what it says.
//!
//! It is started without a shell, in a process group of its own and in an environment that is written down rather than
//! inherited. It gets a deadline, a gentle end and a hard one, and when it is over nothing of its group is left.

mod answer;
mod ask;
mod attended;
mod dead_end;
mod environment;
mod group;
mod output;
mod process;
mod template;

pub use answer::{Said, read};
pub use ask::{Asked, Response, ask};
pub use attended::attend;
pub use dead_end::DeadEnd;
pub use environment::Environment;
pub use output::Captured;
pub use process::{Ended, Exit, Process, Program};
pub use template::{Template, Values};
