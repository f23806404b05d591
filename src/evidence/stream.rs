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
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

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
    let tell = |complete: Vec<Held>| complete.into_iter().flat_map(|held| requests(held, mapping)).for_each(sink);
    Files::new(&tell, threads).read(files, threads)
}

/// Traces that wait for the thread that makes requests of them, in lots of those that were complete together.
const WAITING: usize = 8;

/// Reads files as [`stream_files`] does, in their order: one thread reads, and another makes requests of what is complete.
///
/// # Errors
/// As [`stream_files`].
pub fn stream_in_order(files: &[Utf8PathBuf], mapping: &Mapping, sink: &mut (impl FnMut(Request) + Send)) -> Result<Vec<String>, Faults> {
    let (sender, receiver) = mpsc::sync_channel::<Vec<Held>>(WAITING);
    std::thread::scope(|scope| {
        scope.spawn(move || receiver.into_iter().flatten().flat_map(|held| requests(held, mapping)).for_each(sink));
        // Nobody receives any more only where that thread has panicked, and then so does the scope.
        let tell = |complete| drop(sender.send(complete));
        let read = Files::new(&tell, 1).read(files, 1);
        drop(sender);
        read
    })
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

/// Files that are being read.
struct Files<'a, T> {
    /// What is done with traces that are complete.
    tell: &'a T,
    /// Traces that were open at the end of their files.
    open: Mutex<Open>,
    diagnostics: Mutex<Vec<String>>,
    faults: Mutex<Faults>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a, T: Fn(Vec<Held>) + Sync> Files<'a, T> {
    fn new(tell: &'a T, threads: usize) -> Self {
        // Neighbours of a file are read soon after it.
        let open = Open::new(threads.max(1) as u64 + 2);
        Self { tell, open: Mutex::new(open), diagnostics: Mutex::default(), faults: Mutex::new(Faults::new()) }
    }

    fn read(self, files: &[Utf8PathBuf], threads: usize) -> Result<Vec<String>, Faults> {
        // Log records wait for their spans, so that these need not wait for them.
        let (logs, spans): (Vec<&Utf8PathBuf>, Vec<&Utf8PathBuf>) = files.iter().partition(|file| holds_logs(file));
        for files in [logs, spans] {
            each(files.into_iter(), threads, |file| {
                if let Err(fault) = self.read_one(file) {
                    locked(&self.faults).push(fault.in_file(file.as_str()));
                }
            });
        }
        // What is left open at the end is all there is where the files are small.
        let rest = locked(&self.open).rest();
        each(rest.into_iter(), threads, |(_, held)| (self.tell)(vec![held]));
        self.finish()
    }

    fn read_one(&self, file: &Utf8Path) -> Result<(), Fault> {
        let mut open = Open::new(limit::QUIET_BYTES);
        let reader = disk::open_file(file)?;
        let reading = otlp::read(reader, &mut |batch| self.complete(open.take(batch)))?;
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
        (self.tell)(complete);
        Ok(())
    }

    fn read_export(&self, file: &Utf8Path) -> Result<bool, Fault> {
        let bytes = disk::read_bytes(file, limit::VENDOR_BYTES)?;
        let Some(export) = vendor::read(&bytes)? else { return Ok(false) };
        locked(&self.diagnostics).extend(export.diagnostics.iter().map(|diagnostic| format!("{file}: {diagnostic}")));
        (self.tell)(vec![Held::of(export.spans, export.logs)]);
        Ok(true)
    }

    /// Traces that are complete in their file, with what other files have of them.
    fn complete(&self, mut complete: Vec<Held>) {
        for held in &mut complete {
            let elsewhere = held.id().and_then(|id| locked(&self.open).remove(id));
            if let Some(elsewhere) = elsewhere {
                held.join(elsewhere);
            }
        }
        if !complete.is_empty() {
            (self.tell)(complete);
        }
    }

    fn finish(self) -> Result<Vec<String>, Faults> {
        let mut diagnostics = self.diagnostics.into_inner().unwrap_or_else(PoisonError::into_inner);
        diagnostics.sort();
        self.faults.into_inner().unwrap_or_else(PoisonError::into_inner).into_result(diagnostics)
    }
}
