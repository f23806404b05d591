//! Every cap of relapse as a number; a file beyond its cap is refused before it is parsed.

use std::time::Duration;

/// Bytes of one YAML file or front matter.
pub const YAML_BYTES: u64 = 1 << 20;
/// Bytes of one postmortem, front matter and body.
pub const MARKDOWN_BYTES: u64 = 8 << 20;
/// Bytes of one vendor export, after decompression.
pub const VENDOR_BYTES: u64 = 32 << 20;
/// Bytes of one cassette in YAML.
pub const CASSETTE_BYTES: u64 = 32 << 20;
/// Nesting of YAML nodes.
pub const YAML_DEPTH: usize = 64;
/// Nodes that YAML aliases may expand to, over one file.
pub const YAML_ALIAS_NODES: usize = 10_000;
/// Bytes of one trace or wire file, after decompression, when all of it is held in memory.
pub const TRACE_BYTES: u64 = 64 << 20;
/// Spans of one trace file when all of it is held in memory.
pub const TRACE_SPANS: usize = 500_000;
/// Bytes of one line of a JSON-lines file.
pub const LINE_BYTES: usize = 64 << 20;
/// Bytes that one compressed file expands to when it is read as a stream; a plain file may be of any size.
pub const EXPANDED_BYTES: u64 = 16 << 30;
/// Bytes of telemetry, decompressed, that `relapse trace` holds at once; more is told request by request.
pub const HELD_BYTES: u64 = 16 << 20;
/// Bytes of telemetry after which a trace is complete if nothing more came of it and its root did.
pub const QUIET_BYTES: u64 = 4 << 20;
/// Bytes of telemetry in open traces beyond which the oldest are told unfinished.
pub const OPEN_BYTES: u64 = 256 << 20;
/// Values (attributes, events, links and members of lists) of one trace file held in memory, or of one batch of a stream.
pub const TRACE_VALUES: usize = 4_000_000;
/// Diagnostics of one file that are kept; the rest are counted.
pub const DIAGNOSTICS: usize = 100;
/// Bytes of one attribute's value; longer ones are cut, with a diagnostic.
pub const ATTRIBUTE_BYTES: usize = 1 << 20;
/// Nesting of values inside one attribute.
pub const ATTRIBUTE_DEPTH: usize = 64;
/// Bytes of one export request to the OTLP receiver, after decompression.
pub const EXPORT_BYTES: u64 = 20 << 20;
/// Bytes of export requests that are kept of one run of an application, after decompression.
pub const EXPORTS_BYTES: u64 = 64 << 20;
/// Bytes kept of the beginning, and as many of the end, of each of an application's outputs.
pub const OUTPUT_BYTES: usize = 1 << 20;
/// Last lines of an application's output that a report shows when it fails.
pub const OUTPUT_LINES: usize = 50;
/// How long an application may take for one case, unless its target says otherwise.
pub const APPLICATION: Duration = Duration::from_secs(120);
/// How long telemetry of a service is waited for after its answer: longer than the delay that SDKs have by default.
pub const ARRIVAL: Duration = Duration::from_secs(7);
/// How long an application has between being asked to end and being ended.
pub const GRACE: Duration = Duration::from_secs(5);
/// Bytes of one snapshot.
pub const SNAPSHOT_BYTES: u64 = 4 << 20;
/// Bytes of one expression.
pub const EXPRESSION_BYTES: usize = 2000;
/// `not`, `-` and brackets of one expression: what its parser calls itself for.
pub const EXPRESSION_NESTING: usize = 64;
/// Bytes of a compiled regular expression.
pub const REGEX_BYTES: usize = 1 << 20;
/// Bytes of a text that goes into one JUnit node.
pub const JUNIT_TEXT_BYTES: usize = 1 << 20;
/// Bytes of a one-line message in JUnit.
pub const JUNIT_MESSAGE_BYTES: usize = 1 << 10;
/// Bytes of one JUnit file, shared out among the test cases that need text.
pub const JUNIT_FILE_BYTES: usize = 25 << 20;
/// Bytes of a Markdown report; a job's summary of over a mebibyte is dropped whole.
pub const MARKDOWN_REPORT_BYTES: usize = 900 << 10;
/// Bytes of a comment on a pull request; GitHub refuses one of more than 65,536 characters.
pub const COMMENT_BYTES: usize = 60_000;
/// Bytes of a JSON report that is merged with others.
pub const REPORT_BYTES: u64 = 512 << 20;
/// Cases of an HTML report that have a section of their own; the others have a row.
pub const HTML_SECTIONS: usize = 500;
/// Bars of one waterfall in an HTML report.
pub const HTML_BARS: usize = 60;
/// Notes of a run that a Markdown report shows.
pub const SHOWN_NOTES: usize = 20;
/// Test cases of one JUnit file beyond which a report says that some readers stop.
pub const JUNIT_CASES: usize = 4_000;
/// Bytes of the shortest secret that can be told from ordinary text.
pub const SECRET_BYTES: usize = 6;
/// Model calls of one conversation, unless the target says otherwise.
pub const MAX_TURNS: u32 = 16;
/// Conversations that run at once, unless the project says otherwise.
pub const CONCURRENCY: u32 = 16;
/// Bytes of one answer from the network, or of one request to the proxy, unpacked.
pub const BODY_BYTES: usize = 64 << 20;
/// Bytes of one event of a stream.
pub const EVENT_BYTES: usize = 4 << 20;
/// Seconds until a connection must stand.
pub const CONNECT_SECONDS: u64 = 10;
/// Seconds without a byte after which an answer is given up.
pub const IDLE_SECONDS: u64 = 120;
/// Seconds after which an answer must be whole.
pub const ANSWER_SECONDS: u64 = 300;
/// Trials of a test live, unless its author says otherwise.
pub const LIVE_TRIALS: u32 = 3;
/// Trials of a test with a `rate`, unless its author says otherwise.
pub const RATE_TRIALS: u32 = 30;
/// Places in one stream at which a piece ended within an event, that are kept.
pub const STREAM_CUTS: usize = 10_000;
/// Bytes of the line and the headers of a request to the proxy.
pub const HEAD_BYTES: usize = 256 << 10;
/// Seconds that exchanges still running get when a session of an application is over.
pub const SETTLE_SECONDS: u64 = 2;
/// Times that a request is tried again after what may be bad luck.
pub const RETRIES: u32 = 2;
/// Times that a request is tried again after a provider said that it is overrun.
pub const OVERRUN_RETRIES: u32 = 8;
/// Seconds that one wait for a provider takes at most.
pub const WAIT_SECONDS: u64 = 120;
/// Seconds that a run waits for providers, all in all.
pub const WAIT_RUN_SECONDS: u64 = 300;
/// Tokens that an answer may have, for a budget, where the request does not limit them.
pub const OUTPUT_TOKENS: u64 = 4096;
/// Seconds that a live tool may take.
pub const TOOL_SECONDS: u64 = 60;
/// Bytes that a live tool may print.
pub const TOOL_BYTES: u64 = 1 << 20;
/// Bytes of a judge's reply.
pub const JUDGEMENT_BYTES: usize = 64 << 10;
/// Replies of a judge to one question before it is given up as unusable.
pub const JUDGE_REPLIES: u32 = 3;
/// Replays of one confirmation, after which no smaller set of hunks is looked for.
pub const SWAP_REPLAYS: usize = 64;
/// Seconds that a program under `checks` may take.
pub const CHECK_SECONDS: u64 = 30;
/// Characters of a case id.
pub const ID_CHARS: usize = 100;
/// Bytes of a value that a terminal report shows before it is clipped.
pub const SHOWN_BYTES: usize = 400;
/// Cases of one verdict that a terminal report shows; the others are counted.
pub const SHOWN_CASES: usize = 300;
/// Lines of a difference between snapshots that a terminal report shows.
pub const SHOWN_DIFFERENCE: usize = 40;
/// Bytes of a value that a verbose terminal report shows before it is clipped.
pub const SHOWN_VERBOSE_BYTES: usize = 16 << 10;

/// Every limit with its name and unit, as `relapse doctor` prints them.
pub const ALL: &[(&str, u64, &str)] = &[
    ("YAML file or front matter", YAML_BYTES, "bytes"),
    ("postmortem", MARKDOWN_BYTES, "bytes"),
    ("vendor export, decompressed", VENDOR_BYTES, "bytes"),
    ("cassette in YAML", CASSETTE_BYTES, "bytes"),
    ("YAML nesting", YAML_DEPTH as u64, "levels"),
    ("YAML alias expansion", YAML_ALIAS_NODES as u64, "nodes"),
    ("trace or wire file, decompressed", TRACE_BYTES, "bytes"),
    ("spans of a trace file", TRACE_SPANS as u64, "spans"),
    ("line of a JSON-lines file", LINE_BYTES as u64, "bytes"),
    ("values of a trace file", TRACE_VALUES as u64, "values"),
    ("compressed file as a stream, decompressed", EXPANDED_BYTES, "bytes"),
    ("telemetry that relapse trace holds at once, decompressed", HELD_BYTES, "bytes"),
    ("telemetry without a trace after which it is complete", QUIET_BYTES, "bytes"),
    ("telemetry in open traces", OPEN_BYTES, "bytes"),
    ("diagnostics kept of one file", DIAGNOSTICS as u64, "diagnostics"),
    ("attribute value", ATTRIBUTE_BYTES as u64, "bytes"),
    ("attribute nesting", ATTRIBUTE_DEPTH as u64, "levels"),
    ("export request to the receiver, decompressed", EXPORT_BYTES, "bytes"),
    ("export requests of one run, decompressed", EXPORTS_BYTES, "bytes"),
    ("application output, beginning and end each", OUTPUT_BYTES as u64, "bytes"),
    ("lines of a failed application's output", OUTPUT_LINES as u64, "lines"),
    ("application, one case (default)", APPLICATION.as_secs(), "seconds"),
    ("telemetry of a service, after its answer", ARRIVAL.as_secs(), "seconds"),
    ("application, between asked to end and ended", GRACE.as_secs(), "seconds"),
    ("snapshot", SNAPSHOT_BYTES, "bytes"),
    ("expression", EXPRESSION_BYTES as u64, "bytes"),
    ("expression nesting", EXPRESSION_NESTING as u64, "levels"),
    ("regular expression, compiled", REGEX_BYTES as u64, "bytes"),
    ("JUnit text node", JUNIT_TEXT_BYTES as u64, "bytes"),
    ("JUnit message", JUNIT_MESSAGE_BYTES as u64, "bytes"),
    ("JUnit file", JUNIT_FILE_BYTES as u64, "bytes"),
    ("Markdown report", MARKDOWN_REPORT_BYTES as u64, "bytes"),
    ("comment on a pull request", COMMENT_BYTES as u64, "bytes"),
    ("JSON report to merge", REPORT_BYTES, "bytes"),
    ("sections of an HTML report", HTML_SECTIONS as u64, "cases"),
    ("bars of a waterfall", HTML_BARS as u64, "bars"),
    ("notes in a Markdown report", SHOWN_NOTES as u64, "notes"),
    ("test cases of a JUnit file", JUNIT_CASES as u64, "cases"),
    ("shortest secret", SECRET_BYTES as u64, "bytes"),
    ("turns of a conversation (default)", MAX_TURNS as u64, "model calls"),
    ("conversations at once (default)", CONCURRENCY as u64, "conversations"),
    ("answer from the network", BODY_BYTES as u64, "bytes"),
    ("event of a stream", EVENT_BYTES as u64, "bytes"),
    ("wait for a connection", CONNECT_SECONDS, "seconds"),
    ("wait for the next byte of an answer", IDLE_SECONDS, "seconds"),
    ("wait for a whole answer", ANSWER_SECONDS, "seconds"),
    ("trials of a test, live (default)", LIVE_TRIALS as u64, "trials"),
    ("trials of a test with a rate (default)", RATE_TRIALS as u64, "trials"),
    ("cuts kept of a stream", STREAM_CUTS as u64, "cuts"),
    ("line and headers of a request to the proxy", HEAD_BYTES as u64, "bytes"),
    ("wait for exchanges of a session that is over", SETTLE_SECONDS, "seconds"),
    ("further tries of a request", RETRIES as u64, "requests"),
    ("further tries of a request that overran a provider", OVERRUN_RETRIES as u64, "requests"),
    ("one wait for a provider", WAIT_SECONDS, "seconds"),
    ("all waits of a run", WAIT_RUN_SECONDS, "seconds"),
    ("answer in a budget, where nothing limits it", OUTPUT_TOKENS, "tokens"),
    ("answer of a live tool", TOOL_BYTES, "bytes"),
    ("wait for a live tool", TOOL_SECONDS, "seconds"),
    ("judge's reply", JUDGEMENT_BYTES as u64, "bytes"),
    ("unusable replies of a judge to one question", JUDGE_REPLIES as u64, "replies"),
    ("replays of one confirmation", SWAP_REPLAYS as u64, "replays"),
    ("time of a program under `checks`", CHECK_SECONDS, "seconds"),
    ("case id", ID_CHARS as u64, "characters"),
    ("value shown on a terminal", SHOWN_BYTES as u64, "bytes"),
    ("cases of one verdict shown on a terminal", SHOWN_CASES as u64, "cases"),
    ("difference shown on a terminal", SHOWN_DIFFERENCE as u64, "lines"),
    ("value shown on a terminal, verbose", SHOWN_VERBOSE_BYTES as u64, "bytes"),
];
