//! Tokens: names that nobody can guess, for paths that only one process was told.

use crate::fault::Fault;
use std::fmt::Write as _;

/// A new token: 128 random bits in hexadecimal.
///
/// # Errors
/// The system gives no random bytes.
pub fn new() -> Result<String, Fault> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Fault::infrastructure(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_tokens_differ() {
        let (one, other) = (super::new().unwrap(), super::new().unwrap());
        assert!(one != other && one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
