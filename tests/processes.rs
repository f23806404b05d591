//! Processes as an application may behave: well, or not at all.
#![cfg(unix)]

use camino::Utf8PathBuf;
use relapse::application::{DeadEnd, Ended, Environment, Exit, Process, Program};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Program {
    let ours = std::env::vars().filter(|(name, _)| name == "PATH");
    Program {
        command: vec!["sh".into(), "-c".into(), script.into()],
        directory: Utf8PathBuf::from("."),
        environment: Environment::new(ours),
        stdin: None,
        grace: Duration::from_millis(500),
    }
}

async fn run(script: &str, deadline: Duration) -> Ended {
    Process::start(&shell(script)).expect("sh is there").wait(deadline).await
}

/// Whether a process that wrote its id lives.
fn lives(id: &str) -> bool {
    let id = rustix::process::Pid::from_raw(id.trim().parse().expect("a number")).expect("an id");
    // A zombie that nobody has waited for yet has ended.
    let state = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).unwrap_or_default();
    rustix::process::test_kill_process(id).is_ok() && !state.contains(") Z ")
}

#[tokio::test]
async fn outputs_and_code_are_kept() {
    let ended = run("cat; echo out; echo bad >&2; exit 3", LONG).await;
    assert_eq!((ended.exit, ended.stdout.text(), ended.stderr.text()), (Exit::Code(3), "out\n".into(), "bad\n".into()));
    assert!(!ended.left_behind && !ended.held_open);
}

#[tokio::test]
async fn standard_input_is_given_and_closed() {
    let input = "x".repeat(200_000);
    let ended = Process::start(&Program { stdin: Some(input.clone()), ..shell("wc -c") }).unwrap().wait(LONG).await;
    assert_eq!(ended.stdout.text().trim(), input.len().to_string());
    let unread = Process::start(&Program { stdin: Some(input), ..shell("echo done") }).unwrap().wait(LONG).await;
    assert_eq!(unread.stdout.text(), "done\n");
}

#[tokio::test]
async fn a_crash_has_its_signal() {
    assert_eq!(run("kill -SEGV $$", LONG).await.exit, Exit::Signal(11));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let fault = Process::start(&Program { command: vec!["no-such-program".into()], ..shell("") }).unwrap_err();
    assert!(fault.message.starts_with("the application does not start: no-such-program: "), "{fault:?}");
}

#[tokio::test]
async fn what_hangs_is_asked_to_end_at_its_deadline() {
    let ended = run("trap 'echo asked; exit 0' TERM; echo $$; while :; do sleep 0.05; done", Duration::from_millis(300)).await;
    assert_eq!(ended.exit, Exit::Deadline);
    assert!(ended.stdout.text().ends_with("asked\n"), "{:?}", ended.stdout.text());
    assert!(!lives(ended.stdout.text().lines().next().unwrap()));
}

#[tokio::test]
async fn what_ignores_that_is_ended() {
    let ended = run("trap '' TERM; echo $$; while :; do sleep 0.05; done", Duration::from_millis(300)).await;
    assert_eq!(ended.exit, Exit::Deadline);
    assert!(!lives(&ended.stdout.text()));
}

#[tokio::test]
async fn a_grandchild_that_lives_on_is_ended_and_told() {
    let ended = run("sleep 1000 & echo $!; exit 0", LONG).await;
    assert_eq!((ended.exit, ended.left_behind), (Exit::Code(0), true));
    assert!(!lives(&ended.stdout.text()));
}

#[tokio::test]
async fn a_grandchild_in_a_session_of_its_own_does_not_hold_the_run() {
    let ended = run("setsid sleep 4 & exit 0", LONG).await;
    assert_eq!((ended.exit, ended.held_open), (Exit::Code(0), true));
}

#[tokio::test]
async fn a_flood_on_both_outputs_neither_blocks_nor_fills_the_memory() {
    let ended = run("(head -c 64000000 /dev/zero >&2) & head -c 64000000 /dev/zero; wait; echo; echo last", LONG).await;
    assert_eq!((ended.exit, ended.stdout.last_lines(1)), (Exit::Code(0), "last".into()));
    let most = 2 * relapse::limit::OUTPUT_BYTES + 100;
    assert!(ended.stdout.text().len() < most && ended.stderr.text().len() < most);
}

#[tokio::test]
async fn a_dropped_process_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    let script = format!("sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let process = Process::start(&shell(&script)).unwrap();
    while !file.exists() {
        tokio::task::yield_now().await;
    }
    drop(process);
    for id in std::fs::read_to_string(&file).unwrap().split_whitespace() {
        while lives(id) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn the_environment_is_what_was_written_down() {
    let ended = Process::start(&Program { command: vec!["env".into()], ..shell("") }).unwrap().wait(LONG).await;
    let text = ended.stdout.text();
    assert!(text.contains("OPENAI_API_KEY=relapse-replay-no-key\n") && text.contains("PATH="), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
}

#[tokio::test]
async fn traffic_to_other_hosts_ends_and_is_remembered() {
    let end = DeadEnd::open().await.unwrap();
    let address = end.environment().iter().find(|(name, _)| *name == "HTTPS_PROXY").unwrap().1.clone();
    let mut stream = tokio::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(end.take(), ["api.openai.com:443"]);
}
