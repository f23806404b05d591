//! Why an exchange did not come to its end.

use std::error::Error;
use std::fmt;
use std::io;

/// Why an exchange did not come to its end, without the address's path and query, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No connection: refused, unknown host, or no trust in the certificate.
    Connect(String),
    /// Nothing came in time.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The answer broke off before its end.
    Broken(String),
    /// The answer is larger than relapse reads.
    TooLarge {
        /// The cap in bytes.
        cap: usize,
        /// Of what.
        what: &'static str,
    },
}

impl Trouble {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let innermost = causes(error).last().map_or_else(|| "the request could not be sent".into(), ToString::to_string);
        if error.is_connect() {
            return if error.is_timeout() { Self::Connect("no connection in time".into()) } else { Self::Connect(innermost) };
        }
        if error.is_timeout() || io_kind(error) == Some(io::ErrorKind::TimedOut) {
            return Self::Timeout;
        }
        if io_kind(error) == Some(io::ErrorKind::ConnectionReset) {
            return Self::Reset;
        }
        Self::Broken(innermost)
    }

    /// Whether nothing can have reached the server, so that asking again cannot ask twice.
    pub fn is_before_sending(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last()
}

/// What an error goes back to, the innermost last.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Timeout => write!(f, "no answer in time"),
            Self::Reset => write!(f, "the connection was reset"),
            Self::Broken(why) => write!(f, "the answer broke off: {why}"),
            Self::TooLarge { cap, what } => write!(f, "{what} is larger than {cap} bytes"),
        }
    }
}
