//! What changed waits for a person, in the tree and in a report directory.

mod support;

use insta::assert_snapshot;
use support::Repository;

const SNAPSHOT: &str = "cases/refund-window/snapshots/bot.snap";

/// A repository whose prompt target keeps snapshots.
fn keeping() -> Repository {
    let repository = Repository::compiled("passed");
    repository.edit("relapse.yaml", ", snapshot: off", "");
    repository
}

#[test]
fn what_was_never_accepted_waits_and_passes_once_accepted() {
    let repository = keeping();
    let run = repository.relapse("run").expects(5);
    assert!(run.stdout.contains("nothing was accepted yet"), "{}", run.stdout);
    let listed = repository.relapse("review").expects(5);
    assert_snapshot!(listed.stdout, @"pending  refund-window@bot    relapse review --accept refund-window@bot");
    let accepted = repository.relapse("review --accept refund-window").expects(0);
    assert_snapshot!(accepted.stdout, @"
    accepted refund-window@bot
    next: commit the snapshots, then run `relapse run`
    ");
    assert!(!repository.path(&format!("{SNAPSHOT}.new")).exists());
    repository.relapse("run").expects(0);
}

#[test]
fn a_first_run_may_accept_what_is_new_but_never_what_differs() {
    let repository = keeping();
    repository.relapse("run --accept-new").expects(0);
    repository.edit(SNAPSHOT, "30 days", "60 days");
    let differing = repository.relapse("run --accept-new").expects(5);
    assert!(differing.stdout.contains("differs from what was accepted"), "{}", differing.stdout);
    assert!(differing.stdout.contains("[-60-]") && differing.stdout.contains("{+30+}"), "{}", differing.stdout);
}

#[test]
fn a_rejected_snapshot_is_gone_and_comes_back_with_the_next_run() {
    let repository = keeping();
    repository.relapse("run").expects(5);
    repository.relapse("review --reject refund-window@bot").expects(0);
    assert!(!repository.path(&format!("{SNAPSHOT}.new")).exists());
    repository.relapse("run").expects(5);
    assert!(repository.path(&format!("{SNAPSHOT}.new")).exists());
}

#[test]
fn a_pending_snapshot_that_is_right_again_is_taken_away() {
    let repository = keeping();
    repository.relapse("run --accept-new").expects(0);
    repository.edit(SNAPSHOT, "30 days", "60 days");
    repository.relapse("run").expects(5);
    repository.edit(SNAPSHOT, "60 days", "30 days");
    repository.relapse("run").expects(0);
    assert!(!repository.path(&format!("{SNAPSHOT}.new")).exists());
}

#[test]
fn in_ci_the_tree_stays_as_it_was_and_the_report_directory_brings_it_home() {
    let repository = keeping();
    let before = repository.tree();
    let lost = repository.relapse("run").env("CI", "true").expects(5);
    assert!(lost.stdout.contains("pending snapshots were not written"), "{}", lost.stdout);
    assert_eq!(repository.tree(), before);
    let report = tempfile::tempdir().expect("a temporary folder");
    repository.relapse("run --report-dir").argument(report.path()).env("CI", "true").expects(5);
    assert_eq!(repository.tree(), before);
    assert!(report.path().join("report.json").is_file() && report.path().join("junit.xml").is_file());
    repository.relapse("review --accept refund-window --from").argument(report.path()).expects(0);
    repository.relapse("run").expects(0);
}

#[test]
fn a_strange_report_directory_brings_nothing_from_elsewhere() {
    let repository = keeping();
    let report = tempfile::tempdir().expect("a temporary folder");
    for path in ["cases/nobody/snapshots/bot.snap.new", "cases/refund-window/case.yaml", "relapse.yaml"] {
        let path = report.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "mine").expect("written");
    }
    let before = repository.tree();
    repository.relapse("review --from").argument(report.path()).expects(2);
    assert_eq!(repository.tree(), before);
}

#[test]
fn a_name_that_is_not_pending_is_a_mistake() {
    let repository = keeping();
    repository.relapse("run").expects(5);
    let mistaken = repository.relapse("review --accept refund-windo@bot").expects(2);
    assert_snapshot!(mistaken.stderr, @"
    nothing is pending for `refund-windo@bot`
      help: did you mean `refund-window@bot`?
    ");
    repository.relapse("review --accept refund-window --reject refund-window").expects(2);
}

#[test]
fn clean_removes_what_nothing_refers_to() {
    let repository = keeping();
    repository.relapse("run --accept-new").expects(0);
    repository.write("cases/refund-window/snapshots/gone.snap", "---\nsource: x\n---\nold\n");
    repository.write("cases/refund-window/recordings/gone.jsonl", "{}\n");
    repository.relapse("clean --dry-run").expects(0);
    assert!(repository.path("cases/refund-window/snapshots/gone.snap").exists());
    let cleaned = repository.relapse("clean").expects(0);
    assert_snapshot!(cleaned.stdout, @"
    removed cases/refund-window/recordings/gone.jsonl
    removed cases/refund-window/snapshots/gone.snap
    ");
    repository.relapse("run").expects(0);
    assert_snapshot!(repository.relapse("clean").expects(0).stdout, @"nothing to remove");
    repository.remove(SNAPSHOT);
    repository.relapse("run").expects(5);
}

/// A terminal at which relapse runs.
#[cfg(unix)]
struct Terminal {
    keyboard_and_screen: std::fs::File,
    process: std::process::Child,
    unread: String,
}

#[cfg(unix)]
impl Terminal {
    /// Runs it with a terminal for all its streams, which hands every key on as it is: Ctrl-C is a byte, too.
    fn of(mut invocation: support::Invocation) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("ours");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let theirs = std::fs::OpenOptions::new().read(true).write(true).open(name).expect("their side");
        let mut settings = tcgetattr(&theirs).expect("settings");
        settings.make_raw();
        tcsetattr(&theirs, OptionalActions::Now, &settings).expect("settings are taken");
        let stream = || theirs.try_clone().expect("one more");
        let command = invocation.command.stdin(stream()).stdout(stream()).stderr(stream());
        let process = command.spawn().expect("the binary runs");
        Self { keyboard_and_screen: ours.into(), process, unread: String::new() }
    }

    /// Waits until the screen says so; what came before is read.
    fn until(&mut self, text: &str) {
        use std::io::Read as _;
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.unread.find(text) {
                self.unread.drain(..at + text.len());
                return;
            }
            let count = self.keyboard_and_screen.read(&mut bytes).unwrap_or_default();
            assert_ne!(count, 0, "it ended without {text:?}: {}", self.unread);
            self.unread.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Answers the question about an item once it is asked.
    fn answers(&mut self, item: &str, key: u8) {
        use std::io::Write as _;
        self.until(item);
        self.until("quit without changes (q)");
        self.keyboard_and_screen.write_all(&[key]).expect("pressed");
    }

    /// Waits for the end: the exit code as a shell tells it, which for a signal is 128 and its number.
    fn ends(mut self) -> Option<i32> {
        use std::io::Read as _;
        use std::os::unix::process::ExitStatusExt as _;
        // At its end a pseudo-terminal answers with an error.
        let _ = self.keyboard_and_screen.read_to_end(&mut Vec::new());
        let status = self.process.wait().expect("it ends");
        status.code().or(status.signal().map(|signal| 128 + signal))
    }
}

#[cfg(unix)]
#[test]
fn keys_at_a_terminal_accept_skip_and_leave_everything_as_it_was() {
    let repository = keeping();
    for (path, bytes) in repository.tree().iter().filter(|(path, _)| path.contains("refund-window")) {
        repository.write(&path.replace("refund-window", "another"), bytes);
    }
    repository.relapse("compile").expects(0);
    repository.relapse("run").expects(5);
    let before = repository.tree();

    const CTRL_C: u8 = 3;
    for (leave, exit) in [(b'q', 5), (CTRL_C, 130)] {
        let mut terminal = Terminal::of(repository.relapse("review"));
        terminal.answers("another@bot (1 of 2)", b'a');
        terminal.answers("refund-window@bot (2 of 2)", leave);
        assert_eq!(terminal.ends(), Some(exit), "{leave}");
        assert_eq!(repository.tree(), before, "{leave}");
    }

    let mut terminal = Terminal::of(repository.relapse("review"));
    terminal.answers("another@bot (1 of 2)", b's');
    terminal.answers("refund-window@bot (2 of 2)", b'a');
    terminal.until("accepted refund-window@bot");
    terminal.until("pending  another@bot");
    assert_eq!(terminal.ends(), Some(5));
    assert!(repository.path(SNAPSHOT).exists() && !repository.path(&format!("{SNAPSHOT}.new")).exists());
    assert!(!repository.path("cases/another/snapshots/bot.snap").exists());
}
