//! What a process wrote: the beginning and the end of it, however much it was.

use crate::limit;
use std::collections::VecDeque;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// An output of which the beginning and the end are kept, [`limit::OUTPUT_BYTES`] of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Captured {
    /// Adds what was written next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = limit::OUTPUT_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(limit::OUTPUT_BYTES);
        self.tail.drain(..surplus);
        self.left_out += surplus as u64;
    }

    /// What was kept, with a line that counts what was not.
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.left_out > 0 {
            text.push_str(&format!("\n… {} bytes left out …\n", self.left_out));
        }
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        text.push_str(&String::from_utf8_lossy(&tail));
        text
    }

    /// The last lines, at most `count` of them.
    pub fn last_lines(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Whether nothing was written but white space.
    pub fn is_blank(&self) -> bool {
        self.left_out == 0 && self.head.iter().chain(&self.tail).all(u8::is_ascii_whitespace)
    }
}

/// Reads an output to its end into a place where it can be seen meanwhile.
pub(super) async fn capture(mut reader: impl AsyncRead + Unpin, captured: &std::sync::Mutex<Captured>) {
    let mut block = vec![0; BLOCK];
    while let Ok(count) = reader.read(&mut block).await {
        if count == 0 {
            return;
        }
        let bytes = block.get(..count).unwrap_or_default();
        captured.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_of_a_flood_are_kept() {
        let mut captured = Captured::default();
        captured.push(b"begin");
        for _ in 0..64 {
            captured.push(&vec![b'x'; limit::OUTPUT_BYTES]);
        }
        captured.push(b"\nend\n");
        let text = captured.text();
        assert!(text.starts_with("beginx") && text.ends_with("x\nend\n"));
        assert!(text.len() < 2 * limit::OUTPUT_BYTES + 100);
        assert!(text.contains(&format!("{} bytes left out", 62 * limit::OUTPUT_BYTES + 10)), "{:?}", captured.left_out);
        assert_eq!(captured.last_lines(1), "end");
    }

    #[test]
    fn a_little_is_kept_as_it_is() {
        let mut captured = Captured::default();
        captured.push(b" \n");
        assert!(captured.is_blank());
        captured.push(b"a\xffb\n\n");
        assert_eq!(captured.text(), " \na\u{fffd}b\n\n");
        assert_eq!(captured.last_lines(5), " \na\u{fffd}b");
    }
}
