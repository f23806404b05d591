//! Live runs: what relapse adds to the requests themselves, against a server of this process that streams every answer.
//!
//! `cargo bench --bench live`. A bare loop of the same requests with the same HTTP client is the floor; a replay, which
//! sends nothing, is what a run costs without them. All take turns, so that a busy machine is busy for all of them:
//! compare the ratios of one run, not the milliseconds of two. The floor has no process to start and no suite to read.

#[path = "support/suite.rs"]
mod suite;

use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use suite::{RELAPSE, SYSTEM, answer, question, suite};

fn main() {
    workload("answered at once", &Load { cases: 1_000, concurrency: 16, latency: Duration::ZERO, rounds: 7 });
    workload("answered after 200 ms", &Load { cases: 500, concurrency: 32, latency: Duration::from_millis(200), rounds: 3 });
}

/// How much is asked of which server.
struct Load {
    cases: usize,
    concurrency: usize,
    latency: Duration,
    rounds: usize,
}

/// What one way of doing it took, round by round.
struct Way<'a> {
    name: &'static str,
    /// Whether it sends the requests.
    asks: bool,
    run: Box<dyn Fn() -> Cost + 'a>,
    costs: Vec<Cost>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    /// Time of the processor, where the system tells it.
    cpu: Duration,
    /// Most memory, in KiB, where the system tells it.
    memory: u64,
}

fn workload(name: &str, load: &Load) {
    let server = server(load.latency);
    let settings = format!("concurrency: {}\nproviders:\n  local: {{api: openai, base_url: \"http://{server}/v1\"}}\n", load.concurrency);
    let folder = suite(load.cases, "local/mock-model", &settings, true);
    let live = ["run", "--mode", "refresh", "--trials", "1", "--allow-host", "127.0.0.1"];
    let mut ways = [
        way("bare loop", true, || floor(server, load)),
        way("run (replay)", false, || relapse(folder.path(), &["run"], true)),
        way("run --mode refresh, CI", true, || relapse(folder.path(), &live, true)),
        way("run --mode refresh", true, || relapse(folder.path(), &live, false)),
    ];
    for _ in 0..load.rounds {
        ways.iter_mut().for_each(|way| way.costs.push((way.run)()));
    }
    say(format_args!("{} cases {name}, {} at once, {} rounds:", load.cases, load.concurrency, load.rounds));
    let ideal = load.latency * load.cases.div_ceil(load.concurrency) as u32;
    let floor = typical(&ways[0]);
    for way in &ways {
        let Cost { wall, cpu, memory } = typical(way);
        let of_ideal = if ideal.is_zero() { String::new() } else { format!("  {:.3} of the ideal", wall.div_duration_f64(ideal)) };
        let each = |cpu: Duration| (cpu / load.cases as u32).as_secs_f64() * 1e6;
        // A replay sends nothing: all that it takes is its own.
        let own = if way.asks { cpu.saturating_sub(floor.cpu) } else { cpu };
        let of_memory = if memory == 0 { String::new() } else { format!(", {} MiB", memory / 1024) };
        let of_process = format!("  {:>6.1} µs of CPU a case, {:>6.1} over the loop{of_memory}", each(cpu), each(own));
        let (name, ratio) = (way.name, wall.div_duration_f64(floor.wall));
        say(format_args!("  {name:<24}{wall:>10.1?}  {ratio:>6.2} of the loop{of_ideal}{of_process}"));
    }
}

fn way<'a>(name: &'static str, asks: bool, run: impl Fn() -> Cost + 'a) -> Way<'a> {
    Way { name, asks, run: Box::new(run), costs: Vec::new() }
}

/// The median of the times, the most of the memory, and the mean of the processor's time, which is counted in steps so
/// coarse that one round says little.
fn typical(way: &Way<'_>) -> Cost {
    let mut walls: Vec<Duration> = way.costs.iter().map(|cost| cost.wall).collect();
    walls.sort_unstable();
    Cost {
        wall: walls[walls.len() / 2],
        cpu: way.costs.iter().map(|cost| cost.cpu).sum::<Duration>() / way.costs.len() as u32,
        memory: way.costs.iter().map(|cost| cost.memory).max().unwrap_or_default(),
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stdout(), "{line}").expect("a terminal");
}

/// The requests and nothing else: one thread, connections that stay open, bodies read to their end.
fn floor(server: SocketAddr, load: &Load) -> Cost {
    let (begun, before) = (Instant::now(), thread_time());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let url = format!("http://{server}/v1/chat/completions");
    let ask = |index: usize| {
        let request = client.post(&url).header("content-type", "application/json").body(body(index));
        async move { request.send().await.expect("an answer").bytes().await.expect("a whole one").len() }
    };
    let bytes = runtime
        .block_on(stream::iter(0..load.cases).map(ask).buffer_unordered(load.concurrency).fold(0, |sum, size| async move { sum + size }));
    assert!(bytes > load.cases * 500, "the answers are whole");
    Cost { wall: begun.elapsed(), cpu: thread_time().saturating_sub(before), ..Cost::default() }
}

fn body(index: usize) -> String {
    let messages = json!([{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(index)}]);
    json!({"model": "mock-model", "stream": true, "temperature": 0, "max_tokens": 128, "messages": messages}).to_string()
}

/// One process; in CI nothing is written into the suite.
fn relapse(root: &Path, arguments: &[&str], is_ci: bool) -> Cost {
    let before = children_time();
    let begun = Instant::now();
    let mut child = Command::new(RELAPSE)
        .args(arguments)
        .env("CI", is_ci.to_string())
        .current_dir(root)
        .stdout(Stdio::null())
        .spawn()
        .expect("relapse starts");
    let memory = std::thread::scope(|scope| {
        let pid = child.id();
        let watch = scope.spawn(move || peak(pid));
        assert!(child.wait().expect("relapse ends").success(), "every case passes");
        let wall = begun.elapsed();
        (wall, watch.join().expect("a number"))
    });
    Cost { wall: memory.0, cpu: children_time().saturating_sub(before), memory: memory.1 }
}

/// Time of the processor that this thread took, as Linux tells it: in nanoseconds.
fn thread_time() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// Time of the processor that processes which have ended took, as Linux tells it: in hundredths of a second.
fn children_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(13).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// The most memory that a process has held at once, in KiB, as Linux tells it while the process is there.
fn peak(pid: u32) -> u64 {
    let mut peak = 0;
    while let Some(now) = fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }) {
        peak = now;
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// A server that streams the answer to every question after a while; its threads end with the process.
fn server(latency: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(&stream, latency));
        }
    });
    address
}

/// Answers one connection until its client goes away.
fn serve(mut stream: &TcpStream, latency: Duration) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let asked = read(&mut reader)?;
        std::thread::sleep(latency);
        let answer = stream_of(&answer(asked["messages"][1]["content"].as_str()?));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
        stream.write_all(format!("{:x}\r\n{answer}\r\n0\r\n\r\n", answer.len()).as_bytes()).ok()?;
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<serde_json::Value> {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        if let Some(told) = line.to_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// An answer in sixteen pieces, as a model sends them.
fn stream_of(answer: &str) -> String {
    let event = |delta: serde_json::Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "mock-model", "choices": [choice]}))
    };
    let letters: Vec<char> = answer.chars().collect();
    let pieces = letters.chunks(letters.len().div_ceil(16)).map(|piece| event(json!({"content": String::from_iter(piece)}), None));
    pieces.chain([event(json!({}), Some("stop")), "data: [DONE]\n\n".to_string()]).collect()
}
