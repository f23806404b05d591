//! A source of bytes: what a file holds once it is decompressed, told by its first bytes and never by its name.

use crate::fault::Fault;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead as _, BufReader, Cursor, Read};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// How many bytes are looked at.
const HEAD: usize = 1024;

/// What the first bytes say about the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Empty,
    Json,
    Protobuf,
    /// Messages behind big-endian 32-bit lengths, as the Collector's file exporter writes them.
    Framed,
    Gzip,
    Zstd,
    /// UTF-16 text, which Windows shells write.
    Utf16,
    Unknown,
}

/// Tells the format of what begins with these bytes.
pub(super) fn sniff(head: &[u8]) -> Format {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match head {
        [] => Format::Empty,
        _ if head.starts_with(GZIP) => Format::Gzip,
        _ if head.starts_with(ZSTD) => Format::Zstd,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Format::Utf16,
        // A message may begin with the bytes of "\n{", but binary control characters soon follow.
        [0x0a, ..] if head.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) => Format::Protobuf,
        _ if text.is_empty() || text.starts_with(b"{") || text.starts_with(b"[") => Format::Json,
        [0x0a, ..] => Format::Protobuf,
        // A length below the cap on one message, then a message in any form.
        [0..=4, _, _, _] | [0..=4, _, _, _, 0x0a | 0x1f | 0x28 | b'{', ..] => Format::Framed,
        _ => Format::Unknown,
    }
}

/// A stream with its first bytes looked at.
pub(super) struct Source<'r> {
    pub(super) format: Format,
    pub(super) reader: Box<dyn Read + 'r>,
}

/// Opens a stream, decompressing it as often as it was compressed (twice at most), up to a cap of bytes.
pub(super) fn open<'r>(reader: Box<dyn Read + 'r>, cap: u64) -> io::Result<Source<'r>> {
    let mut source = peek(reader)?;
    for _ in 0..2 {
        source = match source.format {
            Format::Gzip => peek(Box::new(Capped::new(MultiGzDecoder::new(source.reader), cap)))?,
            Format::Zstd => peek(Box::new(Capped::new(Frames::new(source.reader)?, cap)))?,
            _ => break,
        };
    }
    Ok(source)
}

fn peek<'r>(mut reader: Box<dyn Read + 'r>) -> io::Result<Source<'r>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok(Source { format: sniff(&head), reader: Box::new(Cursor::new(head).chain(reader)) })
}

/// A reader that fails beyond a cap, so that a small file cannot fill the memory or the day.
pub(super) struct Capped<R> {
    reader: R,
    left: u64,
    cap: u64,
}

impl<R> Capped<R> {
    pub(super) fn new(reader: R, cap: u64) -> Self {
        Self { reader, left: cap, cap }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| too_large(self.cap))?;
        Ok(count)
    }
}

/// The error of a stream beyond its cap.
pub(super) fn too_large(cap: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("expected at most {cap} bytes (after decompression), found more"))
}

/// The fault of a stream that cannot be read on.
pub(super) fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Fault::new(error.to_string()).help("split the file, or keep only the traces of the incident"),
        _ => Fault::new(format!("could not be read: {error}")),
    }
}

/// Whether an error means that a compressed stream is cut off or broken, rather than that reading failed.
pub(super) fn is_broken_stream(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// The frames of a zstd stream, one after the other.
pub(super) struct Frames<R: Read> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    inside: bool,
}

/// A frame without content.
const EMPTY_FRAME: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 1, 0, 0];

impl<R: Read> Frames<R> {
    pub(super) fn new(source: R) -> io::Result<Self> {
        let mut decoder = FrameDecoder::new();
        // The window of a decoder's first frame is not checked against its cap of 100 MiB, that of later ones is.
        decoder.init(EMPTY_FRAME).map_err(|error| broken(&error))?;
        Ok(Self { source: BufReader::new(source), decoder, inside: false })
    }

    /// Begins the next frame; false at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => {
                    self.inside = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.inside && self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.inside && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1)).map_err(|error| broken(&error))?;
                continue;
            }
            if buffer.is_empty() || !self.begin()? {
                return Ok(0);
            }
        }
    }
}

fn broken(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn content(bytes: &[u8], cap: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        open(Box::new(bytes), cap)?.reader.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        assert_eq!(sniff(b""), Format::Empty);
        assert_eq!(sniff(b"\xef\xbb\xbf {"), Format::Json);
        assert_eq!(sniff(b"\n\n[{}]"), Format::Json);
        assert_eq!(sniff(b"\n{\n  \"resourceSpans\""), Format::Json);
        assert_eq!(sniff(b"\n{\n\x10\n\x0e\n\x04name\x12"), Format::Protobuf);
        assert_eq!(sniff(b"\x00\x00\x00\x05\x0a\x03abc"), Format::Framed);
        assert_eq!(sniff(b"\xff\xfe{\0"), Format::Utf16);
        assert_eq!(sniff(b"hello"), Format::Unknown);
    }

    #[test]
    fn gzip_and_zstd_are_read_in_several_parts_and_inside_each_other() {
        let text = b"{\"a\": 1}".repeat(1000);
        assert_eq!(content(&[gzip(&text), gzip(&text)].concat(), 1 << 20).unwrap(), text.repeat(2));
        let skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec();
        assert_eq!(content(&[zstd(&text), skippable, zstd(&text)].concat(), 1 << 20).unwrap(), text.repeat(2));
        assert_eq!(content(&zstd(&gzip(&text)), 1 << 20).unwrap(), text);
    }

    #[test]
    fn a_bomb_is_stopped_at_the_cap() {
        let bomb = vec![b' '; 1 << 20];
        for compressed in [gzip(&bomb), zstd(&bomb)] {
            assert!(compressed.len() < 1 << 14);
            assert_eq!(content(&compressed, 1 << 16).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
    }

    #[test]
    fn a_frame_that_wants_too_large_a_window_is_refused() {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0];
        assert!(is_broken_stream(&content(&frame, 1 << 20).unwrap_err()));
    }
}
