//! Lines of a stream in a buffer that is reused, so that memory is bounded by the longest line.

use super::source::{is_broken_stream, too_large};
use crate::limit;
use std::io::{self, Read};

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// A stream's lines. A compressed stream that breaks off ends like a file, and `broken` says why.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the current line begins, and where the bytes that were read end.
    start: usize,
    end: usize,
    over: bool,
    pub(super) broken: Option<io::Error>,
}

/// One line without its newline.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether a newline ended it, rather than the stream.
    pub(super) ended: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BLOCK], start: 0, end: 0, over: false, broken: None }
    }

    /// The next line; an error when it is longer than a line may be, or when reading fails.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            let unsearched = self.buffer.get(searched..self.end).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', unsearched) {
                let (start, end) = (self.start, searched + length);
                self.start = end + 1;
                return Ok(self.buffer.get(start..end).map(|bytes| Line { bytes, ended: true }));
            }
            searched = self.end;
            if self.over {
                let start = std::mem::replace(&mut self.start, self.end);
                let bytes = self.buffer.get(start..self.end).unwrap_or_default();
                return Ok((!bytes.is_empty()).then_some(Line { bytes, ended: false }));
            }
            searched -= self.make_room(limit::LINE_BYTES)?;
            self.fill()?;
        }
    }

    /// Everything that was not read yet.
    pub(super) fn rest(&mut self) -> io::Result<&[u8]> {
        while !self.over {
            self.make_room(usize::try_from(limit::TRACE_BYTES).unwrap_or(usize::MAX))?;
            self.fill()?;
        }
        let start = std::mem::replace(&mut self.start, self.end);
        Ok(self.buffer.get(start..self.end).unwrap_or_default())
    }

    /// Makes room behind the bytes that were read; says by how much they moved to the front.
    fn make_room(&mut self, cap: usize) -> io::Result<usize> {
        if self.end < self.buffer.len() {
            return Ok(0);
        }
        let moved = self.start;
        if moved == 0 {
            if self.buffer.len() >= cap {
                return Err(too_large(cap as u64));
            }
            self.buffer.resize(self.buffer.len().saturating_mul(2).min(cap), 0);
            return Ok(0);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.start = 0;
        self.end -= moved;
        Ok(moved)
    }

    fn fill(&mut self) -> io::Result<()> {
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.reader.read(room) {
            Ok(0) => self.over = true,
            Ok(count) => self.end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_broken_stream(&error) => {
                self.over = true;
                self.broken = Some(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_longer_than_a_block_and_across_blocks_are_whole() {
        let long = "x".repeat(3 * BLOCK);
        let text = format!("a\n\n{long}\n{}b", "yy\n".repeat(BLOCK));
        let mut lines = Lines::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.ended));
        }
        let expected: Vec<(String, bool)> = text.split('\n').map(|line| (line.to_owned(), line != "b")).collect();
        assert!(found == expected);
    }

    #[test]
    fn the_rest_begins_behind_the_last_line() {
        let text = format!("a\nb\n{}", "c\n".repeat(BLOCK));
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"a");
        assert!(lines.rest().unwrap() == &text.as_bytes()[2..]);
        assert!(lines.next().unwrap().is_none());
    }
}
