//! Why something that arrived was not taken, in words that lead to the fix.

use std::fmt;

/// Why an export was not taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It came over TLS, to a port that speaks plain HTTP.
    Tls,
    /// It came without the token, neither in its path nor as a header; the path that was asked for.
    Token(String),
    /// It came to a path that exports nothing.
    Path(String),
    /// It is neither protobuf nor JSON; the content type.
    ContentType(String),
    /// It is compressed in a way that is not spoken here; the way.
    Compression(String),
    /// It is larger than an export may be.
    TooLarge,
    /// More arrived than is kept of one run.
    TooMuch,
    /// It is not what it says it is; the decoder's words.
    Broken(String),
}

impl Refusal {
    /// What to change.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Tls => "let the exporter take its address from OTEL_EXPORTER_OTLP_ENDPOINT, which begins with http://",
            Self::Token(_) | Self::Path(_) => {
                "let the exporter take its address from OTEL_EXPORTER_OTLP_ENDPOINT and its headers from OTEL_EXPORTER_OTLP_HEADERS"
            }
            Self::ContentType(_) => "export OTLP: protobuf or JSON over HTTP, or gRPC (OTEL_EXPORTER_OTLP_PROTOCOL says which)",
            Self::Compression(_) => "let the exporter compress with gzip, or not at all",
            Self::TooLarge => "let the exporter send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)",
            Self::TooMuch => "export less: one case is one request",
            Self::Broken(_) => "look at the exporter's log: what it sends is not what its headers say",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => f.write_str("telemetry arrived over TLS, and the receiver speaks plain HTTP"),
            Self::Token(path) => write!(f, "telemetry arrived at {path} without the token of this run"),
            Self::Path(path) => write!(f, "a request arrived at {path}, which takes no telemetry"),
            Self::ContentType(kind) => write!(f, "telemetry arrived as {kind}, which is not OTLP"),
            Self::Compression(way) => write!(f, "telemetry arrived compressed with {way}"),
            Self::TooLarge => write!(f, "an export has more than {} bytes", crate::limit::EXPORT_BYTES),
            Self::TooMuch => write!(f, "the application exported more than {} bytes", crate::limit::EXPORTS_BYTES),
            Self::Broken(why) => write!(f, "an export cannot be decoded: {why}"),
        }
    }
}
