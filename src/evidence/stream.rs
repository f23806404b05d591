//! Telemetry of any size, request by request: memory holds the traces that are still open, and no more.

use super::open::{Held, Open};
use crate::disk;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::mapping::Mapping;
use crate::normalise;
use crate::otlp::{self, Reading};
use crate::request::Request;
use crate::vendor;
use camino::{Utf8Path, Utf8PathBuf};
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Reads one stream. Requests come as their traces become complete: the root has come, and then nothing for
/// [`limit::QUIET_BYTES`]; the others come at the end.
///
/// Unlike [`super::Evidence`], it does not follow links and request ids from one trace to another.
///
/// # Errors
/// As [`otlp::read`].
pub fn stream(reader: impl Read, mapping: &Mapping, sink: &mut impl FnMut(Request)) -> Result<Reading, Fault> {
    let mut open = Open::new(limit::QUIET_BYTES);
    let mut tell = |held: Held| requests(held, mapping).for_each(&mut *sink);
    let reading = otlp::read(reader, &mut |batch| open.take(batch).into_iter().for_each(&mut tell))?;
    open.rest().into_iter().for_each(|(_, held)| tell(held));
    Ok(reading)
}

fn requests(held: Held, mapping: &Mapping) -> impl Iterator<Item = Request> {
    normalise::requests(held.spans, &held.logs, mapping).into_iter().map(|trace| Request::new(Some(trace), Vec::new(), mapping))
}

/// Reads files of any size, as many at once as there are threads. A trace may begin in one file and end in another, and
/// have its log records in files of their own.
///
/// Returns what was odd. The order of requests is the files' only with a single thread.
///
/// # Errors
/// Every file in which nothing can be read; requests up to there have gone to the sink.
pub fn stream_files(
    files: &[Utf8PathBuf],
    threads: usize,
    mapping: &Mapping,
    sink: &(impl Fn(Request) + Sync),
) -> Result<Vec<String>, Faults> {
    let shared = Shared {
        mapping,
        sink,
        // Neighbours of a file are read soon after it.
        open: Mutex::new(Open::new(threads.max(1) as u64 + 2)),
        diagnostics: Mutex::new(Vec::new()),
        faults: Mutex::new(Faults::new()),
    };
    // Log records wait for their spans, so that these need not wait for them.
    let (logs, spans): (Vec<&Utf8PathBuf>, Vec<&Utf8PathBuf>) = files.iter().partition(|file| holds_logs(file));
    shared.read_all(&logs, threads);
    shared.read_all(&spans, threads);
    let rest = locked(&shared.open).rest();
    shared.tell_all(rest, threads);
    shared.finish()
}

fn holds_logs(file: &Utf8Path) -> bool {
    disk::open_file(file).is_ok_and(otlp::begins_with_logs)
}

/// Works on items, as many at once as there are threads; in their order with a single one.
fn each<T>(items: impl ExactSizeIterator<Item = T> + Send, threads: usize, work: impl Fn(T) + Sync) {
    let count = items.len();
    let items = Mutex::new(items);
    let next = || locked(&items).next();
    let run = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        (1..threads.min(count)).for_each(|_| drop(scope.spawn(run)));
        run();
    });
}

struct Shared<'a, S> {
    mapping: &'a Mapping,
    sink: &'a S,
    /// Traces that were open at the end of their files.
    open: Mutex<Open>,
    diagnostics: Mutex<Vec<String>>,
    faults: Mutex<Faults>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Fn(Request) + Sync> Shared<'_, S> {
    fn read_all(&self, files: &[&Utf8PathBuf], threads: usize) {
        each(files.iter(), threads, |file| {
            if let Err(fault) = self.read(file) {
                locked(&self.faults).push(fault.in_file(file.as_str()));
            }
        });
    }

    /// What is left open at the end: all of it where the files are small.
    fn tell_all(&self, rest: Vec<(String, Held)>, threads: usize) {
        each(rest.into_iter(), threads, |(_, held)| self.tell(held));
    }

    fn read(&self, file: &Utf8Path) -> Result<(), Fault> {
        let mut open = Open::new(limit::QUIET_BYTES);
        let reader = disk::open_file(file)?;
        let reading = otlp::read(reader, &mut |batch| open.take(batch).into_iter().for_each(|held| self.complete(held)))?;
        let found = reading.spans + reading.logs > 0;
        if !found && !reading.is_otlp && self.read_export(file)? {
            return Ok(());
        }
        if !found {
            return Err(super::nothing_in(&reading));
        }
        locked(&self.diagnostics).extend(super::odd(&reading, file.as_str()));
        if open.given_up > 0 {
            let message =
                format!("{file}: {} traces were told unfinished: more than {} bytes were open at once", open.given_up, limit::OPEN_BYTES);
            locked(&self.diagnostics).push(message);
        }
        let complete = locked(&self.open).hand_over(open.rest());
        complete.into_iter().for_each(|held| self.tell(held));
        Ok(())
    }

    fn read_export(&self, file: &Utf8Path) -> Result<bool, Fault> {
        let bytes = disk::read_bytes(file, limit::VENDOR_BYTES)?;
        let Some(export) = vendor::read(&bytes)? else { return Ok(false) };
        locked(&self.diagnostics).extend(export.diagnostics.iter().map(|diagnostic| format!("{file}: {diagnostic}")));
        for trace in normalise::requests(export.spans, &export.logs, self.mapping) {
            (self.sink)(Request::new(Some(trace), Vec::new(), self.mapping));
        }
        Ok(true)
    }

    /// A trace that is complete in its file, with what other files have of it.
    fn complete(&self, mut held: Held) {
        let id = held.spans.first().map(|span| span.trace_id.as_str());
        let elsewhere = id.and_then(|id| locked(&self.open).remove(id));
        if let Some(elsewhere) = elsewhere {
            held.join(elsewhere);
        }
        self.tell(held);
    }

    fn tell(&self, held: Held) {
        requests(held, self.mapping).for_each(self.sink);
    }

    fn finish(self) -> Result<Vec<String>, Faults> {
        let mut diagnostics = self.diagnostics.into_inner().unwrap_or_else(PoisonError::into_inner);
        diagnostics.sort();
        self.faults.into_inner().unwrap_or_else(PoisonError::into_inner).into_result(diagnostics)
    }
}
