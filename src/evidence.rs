//! Evidence: files of telemetry and wire, read and joined into requests.

mod open;
mod stream;

pub use stream::{stream, stream_files, stream_in_order};

use crate::fault::{Fault, Faults};
use crate::mapping::Mapping;
use crate::normalise;
use crate::otlp::{self, LogRecord, Reading, Span};
use crate::request::{self, Request};
use crate::vendor;
use crate::wire::{self, Exchange};

/// What files hold, before it is joined: everything is read before any tree is built.
#[derive(Debug, Default)]
pub struct Evidence {
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
    exchanges: Vec<Exchange>,
    /// What was odd in the files, with their names.
    pub diagnostics: Vec<String>,
}

impl Evidence {
    /// Takes the telemetry of one file.
    ///
    /// # Errors
    /// A file in which nothing can be read: another kind of file, or an empty one.
    pub fn take_traces(&mut self, bytes: &[u8], file: &str) -> Result<(), Fault> {
        let telemetry = otlp::read_all(bytes).map_err(|fault| fault.in_file(file))?;
        let reading = &telemetry.reading;
        if telemetry.spans.is_empty() && telemetry.logs.is_empty() {
            if !reading.is_otlp && self.take_export(bytes, file)? {
                return Ok(());
            }
            return Err(nothing_in(reading).in_file(file));
        }
        self.diagnostics.extend(odd(reading, file));
        self.spans.extend(telemetry.spans);
        self.logs.extend(telemetry.logs);
        Ok(())
    }

    /// Takes a vendor's export; false when it is none.
    fn take_export(&mut self, bytes: &[u8], file: &str) -> Result<bool, Fault> {
        let Some(export) = vendor::read(bytes).map_err(|fault| fault.in_file(file))? else { return Ok(false) };
        self.diagnostics.extend(export.diagnostics.iter().map(|diagnostic| format!("{file}: {diagnostic}")));
        if export.spans.is_empty() {
            let fault = Fault::new(format!("no telemetry: an export of {} without a span", export.vendor)).in_file(file);
            return Err(fault.help("export the observations too, not only traces and scores"));
        }
        self.spans.extend(export.spans);
        self.logs.extend(export.logs);
        Ok(true)
    }

    /// Takes the exchanges of one wire file.
    ///
    /// # Errors
    /// Every line that is no exchange.
    pub fn take_wire(&mut self, text: &str, file: &str) -> Result<(), Faults> {
        self.exchanges.extend(wire::read(text, file)?);
        Ok(())
    }

    /// The requests, by start; a wire without telemetry is one request.
    pub fn requests(self, mapping: &Mapping) -> Vec<Request> {
        let traces = normalise::requests(self.spans, &self.logs, mapping);
        if traces.is_empty() {
            let any = !self.exchanges.is_empty();
            return any.then(|| Request::new(None, self.exchanges, mapping)).into_iter().collect();
        }
        let shares = request::share(&traces, self.exchanges);
        traces.into_iter().zip(shares).map(|(trace, exchanges)| Request::new(Some(trace), exchanges, mapping)).collect()
    }
}

/// The fault of a file that holds no telemetry.
fn nothing_in(reading: &Reading) -> Fault {
    let why = reading.diagnostics.first().map_or_else(|| "not one span or log record".to_string(), ToString::to_string);
    Fault::new(format!("no telemetry: {why}")).help(vendor::expected())
}

/// What was odd about a file, with its name.
fn odd(reading: &Reading, file: &str) -> Vec<String> {
    let more = (reading.more_diagnostics > 0).then(|| format!("{file}: and {} more", reading.more_diagnostics));
    reading.diagnostics.iter().map(|diagnostic| format!("{file}: {diagnostic}")).chain(more).collect()
}
