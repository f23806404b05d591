//! The one way to files: paths confined to the repository, reads capped, writes atomic.

mod beneath;
mod destination;
mod lock;

pub use destination::{Destination, Writing};
pub use lock::Lock;

use crate::fault::{Fault, Place};
use beneath::Opened;
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use std::cmp::Ordering;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};

/// The file that marks a repository's root.
pub const PROJECT_FILE: &str = "relapse.yaml";

/// A repository's root; what is read and written through it stays inside, also when links are followed.
#[derive(Debug, Clone)]
pub struct Root {
    path: Utf8PathBuf,
    beneath: beneath::Handle,
}

/// A file that another file names, confined by [`confine`], with the place that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The path, relative to the root.
    pub path: Utf8PathBuf,
    /// Where it is named.
    pub place: Place,
}

impl Reference {
    /// The file's text, as [`Root::read_text`] gives it; a fault points to where the file is named.
    pub fn read_text(&self, root: &Root, cap: u64) -> Result<String, Fault> {
        root.read_text(&self.path, cap).map_err(|fault| self.blame(fault))
    }

    /// The file's bytes, at most `cap` of them; a fault points to where the file is named.
    pub fn read_bytes(&self, root: &Root, cap: u64) -> Result<Vec<u8>, Fault> {
        root.read_bytes(&self.path, cap).map_err(|fault| self.blame(fault))
    }

    fn blame(&self, fault: Fault) -> Fault {
        if fault.place.is_some() { fault } else { fault.at(self.place.clone()) }
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path, relative to the root.
    pub path: Utf8PathBuf,
    /// Whether it is a directory (a link is not).
    pub is_directory: bool,
}

impl Root {
    /// The nearest directory at or above `from` that holds a `relapse.yaml`.
    pub fn find(from: &Utf8Path) -> Result<Self, Fault> {
        let start = canonical(from, from)?;
        let found = start.ancestors().find(|folder| folder.join(PROJECT_FILE).is_file());
        found.map(|path| Self::resolved(path.to_owned())).ok_or_else(|| {
            Fault::new(format!("no {PROJECT_FILE} in {} or above", shown(&start))).help("run `relapse init` in the root of your repository")
        })
    }

    /// The given directory as the root.
    pub fn at(folder: &Utf8Path) -> Result<Self, Fault> {
        let path = canonical(folder, folder)?;
        if !path.is_dir() {
            return Err(Fault::new(format!("{} is not a directory", shown(folder))));
        }
        Ok(Self::resolved(path))
    }

    fn resolved(path: Utf8PathBuf) -> Self {
        Self { beneath: beneath::Handle::of(&path), path }
    }

    /// The root as an absolute path without links.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Whether something is there; false also for what lies outside.
    pub fn exists(&self, path: &Utf8Path) -> bool {
        self.beneath.exists(path).unwrap_or_else(|| self.resolve(path).is_ok())
    }

    /// The absolute path without links, refused when it lies outside the root or nothing is there.
    pub fn resolve(&self, path: &Utf8Path) -> Result<Utf8PathBuf, Fault> {
        let resolved = canonical(&self.path.join(path), path)?;
        self.inside(&resolved, path)?;
        Ok(resolved)
    }

    /// The bytes of a regular file, at most `cap` of them.
    pub fn read_bytes(&self, path: &Utf8Path, cap: u64) -> Result<Vec<u8>, Fault> {
        match self.beneath.open(path) {
            Some(Opened::File(file)) => read(file, path, cap),
            Some(Opened::Missing) | None => self.read_slowly(path, cap),
        }
    }

    /// The bytes of a regular file, at most `cap` of them; none when nothing is there.
    pub fn read_bytes_if_there(&self, path: &Utf8Path, cap: u64) -> Result<Option<Vec<u8>>, Fault> {
        match self.beneath.open(path) {
            Some(Opened::File(file)) => read(file, path, cap).map(Some),
            Some(Opened::Missing) => Ok(None),
            None if !self.exists(path) => Ok(None),
            None => self.read_slowly(path, cap).map(Some),
        }
    }

    fn read_slowly(&self, path: &Utf8Path, cap: u64) -> Result<Vec<u8>, Fault> {
        let resolved = self.resolve(path)?;
        let file = open(&resolved).map_err(|error| unreadable(path, &error))?;
        // The file may have been swapped for a link since it was resolved: what counts is the handle.
        if !is_still(&file, &resolved) {
            return Err(Fault::new(format!("{} changed while it was opened", shown(path))));
        }
        read(file, path, cap)
    }

    /// The text of a regular file of at most `cap` bytes, without a byte-order mark and with `\n` line ends, so that a
    /// checkout on Windows gives the same text.
    pub fn read_text(&self, path: &Utf8Path, cap: u64) -> Result<String, Fault> {
        decode(self.read_bytes(path, cap)?, path)
    }

    /// The text of a regular file, as [`Self::read_text`] gives it; none when nothing is there.
    pub fn read_text_if_there(&self, path: &Utf8Path, cap: u64) -> Result<Option<String>, Fault> {
        self.read_bytes_if_there(path, cap)?.map(|bytes| decode(bytes, path)).transpose()
    }

    /// Writes a file at once or not at all, making its directories; true if its content changed.
    pub fn write_atomic(&self, path: &Utf8Path, bytes: &[u8]) -> Result<bool, Fault> {
        let target = self.path.join(path);
        let existing = target.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(&self.path);
        self.inside(&canonical(existing, path)?, path)?;
        if path.components().any(|component| component == Utf8Component::ParentDir) {
            return Err(Fault::new(format!("{} must not contain `..`", shown(path))));
        }
        write_atomic(&target, bytes)
    }

    /// Writes a file, as [`Self::write_atomic`] does, unless something is there, be it a link to nothing; true if it was written.
    pub fn write_new(&self, path: &Utf8Path, bytes: &[u8]) -> Result<bool, Fault> {
        if self.path.join(path).symlink_metadata().is_ok() {
            return Ok(false);
        }
        self.write_atomic(path, bytes)
    }

    /// Removes a file; nothing happens if it is not there. Links are removed, never followed.
    pub fn remove(&self, path: &Utf8Path) -> Result<(), Fault> {
        let target = self.path.join(path);
        match target.parent().map(|parent| canonical(parent, path)) {
            Some(Ok(parent)) => self.inside(&parent, path)?,
            _ => return Ok(()),
        }
        match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Fault::infrastructure(format!("cannot remove {}: {error}", shown(path))))
            }
            _ => Ok(()),
        }
    }

    /// The entries of a directory, sorted by name; a name that is not UTF-8 is a fault.
    pub fn list(&self, folder: &Utf8Path) -> Result<Vec<Entry>, Fault> {
        let resolved = self.resolve(folder)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(&resolved).map_err(|error| unreadable(folder, &error))? {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(Fault::new(format!("a file name in {} is not UTF-8: {name:?}", shown(folder))).help("rename the file"));
            };
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            entries.push(Entry { path: folder.join(name), is_directory });
        }
        // By name as bytes: comparing paths takes them apart each time, and all have the folder in common.
        entries.sort_unstable_by(|one: &Entry, other| one.path.as_str().cmp(other.path.as_str()));
        Ok(entries)
    }

    fn inside(&self, resolved: &Utf8Path, path: &Utf8Path) -> Result<(), Fault> {
        if resolved.starts_with(&self.path) {
            return Ok(());
        }
        Err(Fault::new(format!("{} leaves the repository through a link or `..`", shown(path))).help("copy the file into the repository"))
    }
}

/// The path that a person wrote in a file of the repository, joined to `base`; refused by its name alone, before
/// anything is opened, if it could lead elsewhere.
pub fn confine(base: &Utf8Path, written: &str) -> Result<Utf8PathBuf, Fault> {
    if let Some((reason, help)) = refusal(written) {
        return Err(Fault::new(format!("path {} {reason}", shown(Utf8Path::new(written)))).help(help));
    }
    let inside = Utf8Path::new(written).components().filter(|component| matches!(component, Utf8Component::Normal(_)));
    Ok(base.components().chain(inside).collect())
}

fn refusal(written: &str) -> Option<(&'static str, &'static str)> {
    const RELATIVE: &str = "write it relative, as in `incident.otlp.jsonl`";
    if written.trim().is_empty() {
        return Some(("is empty", "name a file, or remove the key"));
    }
    if written.contains('\0') {
        return Some(("contains a NUL", RELATIVE));
    }
    if written.contains('\\') {
        return Some(("contains a backslash", "write `/` between directories, on Windows too"));
    }
    if written.starts_with('/') {
        return Some(("is absolute", RELATIVE));
    }
    if written.starts_with('~') {
        return Some(("points into a home directory", RELATIVE));
    }
    if has_scheme(written) {
        return Some(("is a URL or names a drive", RELATIVE));
    }
    if has_percent_escape(written) {
        return Some(("is percent-encoded", "write the characters themselves"));
    }
    if written.split('/').any(|part| part == "..") {
        return Some(("contains `..`", "copy the file into the repository and name it from there"));
    }
    if written.ends_with('/') || written.split('/').all(|part| part == "." || part.is_empty()) {
        return Some(("is a directory", "name a file"));
    }
    None
}

fn has_scheme(written: &str) -> bool {
    let Some((scheme, _)) = written.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

fn has_percent_escape(written: &str) -> bool {
    written.as_bytes().windows(3).any(|window| window[0] == b'%' && window[1].is_ascii_hexdigit() && window[2].is_ascii_hexdigit())
}

/// A regular file that a person named on the command line, to be read as a stream.
pub fn open_file(path: &Utf8Path) -> Result<File, Fault> {
    let file = open(&canonical(path, path)?).map_err(|error| unreadable(path, &error))?;
    require_file(&file, path)?;
    Ok(file)
}

/// The bytes of a regular file that a person named on the command line, at most `cap` of them.
pub fn read_bytes(path: &Utf8Path, cap: u64) -> Result<Vec<u8>, Fault> {
    let file = open(&canonical(path, path)?).map_err(|error| unreadable(path, &error))?;
    read(file, path, cap)
}

/// The text of a file that a person named on the command line, as [`Root::read_text`] gives it.
pub fn read_text(path: &Utf8Path, cap: u64) -> Result<String, Fault> {
    decode(read_bytes(path, cap)?, path)
}

/// Writes a file at once or not at all, making its directories; content that is already there is not written again.
///
/// True if the content changed. A fault is [`crate::fault::FaultKind::Infrastructure`].
pub fn write_atomic(path: &Utf8Path, bytes: &[u8]) -> Result<bool, Fault> {
    if is_unchanged(path, bytes) {
        return Ok(false);
    }
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    replace(folder, path, bytes)
        .map(|()| true)
        .map_err(|error| Fault::infrastructure(format!("cannot write {}: {}", shown(path), reason(&error))))
}

fn is_unchanged(path: &Utf8Path, bytes: &[u8]) -> bool {
    let is_same_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes.len() as u64);
    is_same_file && read_bytes(path, bytes.len() as u64).is_ok_and(|written| written == bytes)
}

fn replace(folder: &Utf8Path, path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".relapse-").suffix(".tmp");
    // A temporary file is private by default; a file that is committed and uploaded is not.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn canonical(path: &Utf8Path, named: &Utf8Path) -> Result<Utf8PathBuf, Fault> {
    path.canonicalize_utf8().map_err(|error| unreadable(named, &error))
}

#[cfg(unix)]
fn open(path: &Utf8Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Without NONBLOCK, opening a pipe waits for a writer; the path has no links left, so NOFOLLOW costs nothing.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(path: &Utf8Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(unix)]
fn is_still(file: &File, resolved: &Utf8Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(handle), Ok(now)) = (file.metadata(), fs::symlink_metadata(resolved)) else { return false };
    let is_same = handle.dev() == now.dev() && handle.ino() == now.ino();
    is_same && resolved.canonicalize_utf8().is_ok_and(|again| again == resolved)
}

#[cfg(not(unix))]
fn is_still(_file: &File, resolved: &Utf8Path) -> bool {
    resolved.canonicalize_utf8().is_ok_and(|again| again == resolved)
}

fn require_file(file: &File, path: &Utf8Path) -> Result<Metadata, Fault> {
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Fault::new(format!("{} is {}, not a file", shown(path), kind(&metadata))).help("name a regular file"));
    }
    Ok(metadata)
}

fn read(file: File, path: &Utf8Path, cap: u64) -> Result<Vec<u8>, Fault> {
    let metadata = require_file(&file, path)?;
    let refused = |count: u64| Err(Fault::new(format!("{} holds {count} bytes; at most {cap} are read", shown(path))));
    if metadata.len() > cap {
        return refused(metadata.len());
    }
    let bytes = fill(file, metadata.len(), cap).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > cap { refused(bytes.len() as u64) } else { Ok(bytes) }
}

/// All bytes of a file that held `length` of them, but no more than one above the cap.
///
/// Nearly always one call of the kernel: it is asked for one byte more than there are, and gives less only at the end.
fn fill(mut file: File, length: u64, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1)];
    let mut filled = 0;
    loop {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match (filled as u64).cmp(&length) {
            Ordering::Less => {}
            Ordering::Equal => break,
            Ordering::Greater => return rest(file, bytes, cap),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// What a file has grown by since it was asked how long it is.
fn rest(file: File, mut bytes: Vec<u8>, cap: u64) -> io::Result<Vec<u8>> {
    file.take(cap.saturating_add(1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a pipe, socket or device" }
}

fn unreadable(path: &Utf8Path, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::new(format!("{} does not exist", shown(path))),
        _ => Fault::new(format!("cannot read {}: {}", shown(path), reason(error))),
    }
}

fn reason(error: &io::Error) -> String {
    // The number of the error adds nothing for a person.
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

fn shown(path: &Utf8Path) -> String {
    format!("`{}`", one_line(path.as_str()))
}

/// A text in which nothing invisible is left: control and format characters are escaped.
pub(crate) fn one_line(text: &str) -> String {
    let escaped = text.escape_debug().to_string();
    escaped.replace("\\'", "'").replace("\\\"", "\"").replace("\\\\", "\\")
}

/// Bytes as text without a byte-order mark and with `\n` line ends; what is not UTF-8 is refused with its place.
pub fn decode(bytes: Vec<u8>, path: &Utf8Path) -> Result<String, Fault> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let message = format!("is UTF-16, as bytes 0 and 1 say ({:02X} {:02X}); expected UTF-8", bytes[0], bytes[1]);
        return Err(Fault::new(message).at(Place::at(path, 1, 1)).help("save the file as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let (offset, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let byte = bytes.get(offset).copied().unwrap_or_default();
        let message = format!("byte {offset} (0x{byte:02X}) is not UTF-8; the file may be Latin-1 or Windows-1252");
        Fault::new(message).at(place_of(path, bytes, offset)).help("save the file as UTF-8")
    })?;
    if let Some(offset) = text.find('\0') {
        let fault = Fault::new(format!("byte {offset} is NUL, which no text contains"));
        return Err(fault.at(place_of(path, text.as_bytes(), offset)).help("save the file as UTF-8 text"));
    }
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text })
}

fn place_of(path: &Utf8Path, bytes: &[u8], offset: usize) -> Place {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count();
    Place::at(path, u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PROJECT_FILE), "version: 1\n").unwrap();
        fs::create_dir_all(folder.path().join("sub/deep")).unwrap();
        let root = Root::find(&Utf8PathBuf::try_from(folder.path().join("sub/deep")).unwrap()).unwrap();
        (folder, root)
    }

    fn refused(root: &Root, path: &str) -> String {
        root.read_bytes(Utf8Path::new(path), 100).unwrap_err().to_string()
    }

    #[test]
    fn the_root_is_found_from_below() {
        let (folder, root) = repository();
        assert_eq!(root.path().as_std_path(), folder.path().canonicalize().unwrap());
        let outside = tempfile::tempdir().unwrap();
        let fault = Root::find(Utf8Path::from_path(outside.path()).unwrap()).unwrap_err();
        assert!(fault.help.unwrap().contains("relapse init"));
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_refused_by_its_name() {
        for (written, reason) in [
            ("", "empty"),
            ("  ", "empty"),
            ("/etc/passwd", "absolute"),
            ("../x", "`..`"),
            ("a/../../x", "`..`"),
            ("~/x", "home"),
            ("file:///etc/passwd", "URL"),
            ("file:x", "URL"),
            ("https://x.test/y", "URL"),
            ("C:x", "drive"),
            ("a\\b", "backslash"),
            ("%2e%2e/x", "percent-encoded"),
            ("a\0b", "NUL"),
            ("a/", "directory"),
            (".", "directory"),
            ("./.", "directory"),
        ] {
            let fault = confine(Utf8Path::new("postmortems/x"), written).unwrap_err();
            assert!(fault.message.contains(reason), "{written:?}: {fault}");
            assert!(fault.help.is_some());
        }
    }

    #[test]
    fn a_plain_path_is_joined_to_its_base() {
        for (written, joined) in
            [("./a.json", "p/x/a.json"), ("b//a b.json", "p/x/b/a b.json"), ("..a", "p/x/..a"), ("50%.txt", "p/x/50%.txt")]
        {
            assert_eq!(confine(Utf8Path::new("p/x"), written).unwrap(), joined);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_inside_the_root_and_refused_outside() {
        let (folder, root) = repository();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("relapse.yaml", folder.path().join("in")).unwrap();
        std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("nothing", folder.path().join("dangling")).unwrap();
        assert_eq!(root.read_bytes(Utf8Path::new("in"), 100).unwrap(), b"version: 1\n");
        assert!(refused(&root, "out").contains("leaves the repository"));
        assert!(refused(&root, "folder/secret").contains("leaves the repository"));
        assert!(refused(&root, "../x").contains("does not exist"));
        assert!(refused(&root, "loop").starts_with("cannot read `loop`: "));
        assert_eq!(refused(&root, "dangling"), "`dangling` does not exist");
        assert!(root.write_atomic(Utf8Path::new("folder/new/x"), b"x").unwrap_err().message.contains("leaves the repository"));
        assert!(!outside.path().join("new").exists());
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_read_and_a_pipe_does_not_hang() {
        let (folder, root) = repository();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
        assert!(made.success());
        assert_eq!(refused(&root, "pipe"), "`pipe` is a pipe, socket or device, not a file");
        assert_eq!(refused(&root, "sub"), "`sub` is a directory, not a file");
        assert!(read_bytes(Utf8Path::new("/dev/zero"), 10).unwrap_err().message.contains("not a file"));
    }

    #[test]
    fn a_file_beyond_its_cap_is_refused() {
        let (_folder, root) = repository();
        let fault = root.read_bytes(Utf8Path::new(PROJECT_FILE), 10).unwrap_err();
        assert_eq!(fault.message, "`relapse.yaml` holds 11 bytes; at most 10 are read");
        assert!(root.read_bytes(Utf8Path::new(PROJECT_FILE), 11).is_ok());
    }

    #[test]
    fn a_write_makes_directories_and_is_skipped_when_nothing_changed() {
        let (folder, root) = repository();
        let path = Utf8Path::new("cases/x/case.yaml");
        assert!(root.write_atomic(path, b"a").unwrap());
        assert!(!root.write_atomic(path, b"a").unwrap());
        assert!(root.write_atomic(path, b"b").unwrap());
        assert_eq!(root.read_text(path, 10).unwrap(), "b");
        assert_eq!(root.list(Utf8Path::new("cases/x")).unwrap().len(), 1, "no temporary file is left");
        root.remove(path).unwrap();
        root.remove(path).unwrap();
        assert!(!root.exists(path));
        assert!(root.write_atomic(Utf8Path::new("sub/../../y"), b"x").is_err());
        assert!(root.write_atomic(Utf8Path::new("relapse.yaml/y"), b"x").is_err());
        assert!(folder.path().join(PROJECT_FILE).is_file());
    }

    #[test]
    fn a_listing_is_sorted() {
        let (folder, root) = repository();
        for name in ["b.md", "a.md", "C.md", "-rf", "::error::"] {
            fs::write(folder.path().join("sub").join(name), "").unwrap();
        }
        let names: Vec<String> = root.list(Utf8Path::new("sub")).unwrap().into_iter().map(|entry| entry.path.into_string()).collect();
        assert_eq!(names, ["sub/-rf", "sub/::error::", "sub/C.md", "sub/a.md", "sub/b.md", "sub/deep"]);
    }

    #[test]
    fn text_loses_its_byte_order_mark_and_carriage_returns() {
        let text = decode(b"\xef\xbb\xbfa\r\nb\rc\n".to_vec(), Utf8Path::new("x")).unwrap();
        assert_eq!(text, "a\nb\rc\n");
    }

    #[test]
    fn other_encodings_are_named_with_the_byte() {
        let told = |bytes: &[u8]| decode(bytes.to_vec(), Utf8Path::new("x.md")).unwrap_err().to_string();
        assert_eq!(told(b"\xff\xfea\0"), "x.md:1:1: is UTF-16, as bytes 0 and 1 say (FF FE); expected UTF-8");
        assert_eq!(told(b"a\nb \xe9t\xe9"), "x.md:2:3: byte 4 (0xE9) is not UTF-8; the file may be Latin-1 or Windows-1252");
        assert_eq!(told(b"a\0b"), "x.md:1:2: byte 1 is NUL, which no text contains");
    }
}
