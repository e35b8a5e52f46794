//! Where a build's files and its Dockerfile are, as told by the argument and `--file`.
//!
//! A Dockerfile of ours is read here, also one within the context: a link in its place leads where
//! it leads for us, and the daemon opens nothing that the user did not name.

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use barge_api_types::BuildDockerfile;
use barge_archive::compression::{Compression, detect};

use super::fields::wrong;
use crate::error::{CliError, Result};

/// A longer Dockerfile is none.
const LONGEST: u64 = 16 << 20;

/// One block of a tar archive: what is looked at to tell one from a Dockerfile.
const BLOCK: usize = 512;

/// Where the files are.
pub(super) enum Source {
    /// In a folder of ours.
    Folder(PathBuf),
    /// In an archive on standard input, perhaps compressed.
    Archive(Box<dyn Read + Send>),
    /// Where the daemon fetches them.
    Remote(String),
    /// There are none.
    Nothing,
}

/// What the argument and `--file` come to.
pub(super) struct Located {
    pub(super) source: Source,
    /// The Dockerfile, unless it is to be found in the context.
    pub(super) dockerfile: Option<BuildDockerfile>,
    /// Its path in the context, if it is there and not the usual one.
    pub(super) path: String,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Archive(_) => f.write_str("Archive(…)"),
            Self::Remote(url) => f.debug_tuple("Remote").field(url).finish(),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

/// Finds both; `stdin` is read when one of them is `-`.
pub(super) fn locate(
    argument: &str,
    file: &str,
    stdin: impl Read + Send + 'static,
) -> Result<Located> {
    if argument == "-" {
        return from_stdin(file, stdin);
    }
    let folder = Path::new(argument);
    if folder.is_dir() {
        let dockerfile = if file == "-" {
            BuildDockerfile { name: "Dockerfile".to_owned(), text: text(stdin)?, ignore: None }
        } else {
            dockerfile(folder, file)?
        };
        return Ok(Located {
            source: Source::Folder(folder.to_owned()),
            dockerfile: Some(dockerfile),
            path: String::new(),
        });
    }
    if !is_url(argument) {
        if folder.exists() {
            let path = std::path::absolute(folder).map_err(CliError::file("open", folder))?;
            return Err(wrong(format!(
                "unable to prepare context: context must be a directory: {}",
                path.display()
            )));
        }
        return Err(wrong(format!("unable to prepare context: path {argument:?} not found")));
    }
    let source = Source::Remote(argument.to_owned());
    if file == "-" {
        let dockerfile =
            BuildDockerfile { name: "Dockerfile".to_owned(), text: text(stdin)?, ignore: None };
        return Ok(Located { source, dockerfile: Some(dockerfile), path: String::new() });
    }
    Ok(Located { source, dockerfile: None, path: file.to_owned() })
}

/// Whether the daemon can fetch a context from there.
pub(super) fn is_url(text: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Standard input is an archive of the context, or a Dockerfile that has none.
fn from_stdin(file: &str, mut stdin: impl Read + Send + 'static) -> Result<Located> {
    if file == "-" {
        return Err(wrong(
            "invalid argument: can't use stdin for both build context and dockerfile",
        ));
    }
    let mut head = Vec::new();
    stdin
        .by_ref()
        .take(BLOCK as u64)
        .read_to_end(&mut head)
        .map_err(CliError::stdio("read standard input"))?;
    let is_archive = is_archive(&head);
    let whole = Cursor::new(head).chain(stdin);
    if is_archive {
        let source = Source::Archive(Box::new(whole));
        return Ok(Located { source, dockerfile: None, path: file.to_owned() });
    }
    if !file.is_empty() {
        return Err(wrong(
            "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
        ));
    }
    let dockerfile =
        BuildDockerfile { name: "Dockerfile".to_owned(), text: text(whole)?, ignore: None };
    Ok(Located { source: Source::Nothing, dockerfile: Some(dockerfile), path: String::new() })
}

/// By what is compressed, or by the sum in a tar header: a Dockerfile has neither.
fn is_archive(head: &[u8]) -> bool {
    if detect(head) != Compression::None {
        return true;
    }
    let Some(block) = head.get(..BLOCK) else {
        return false;
    };
    let sum: u64 = block
        .iter()
        .enumerate()
        // The sum's own place counts as blanks.
        .map(|(place, &byte)| u64::from(if (148..156).contains(&place) { b' ' } else { byte }))
        .sum();
    let digits = block.get(148..156).unwrap_or_default();
    let digits = digits.iter().filter(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte));
    let written = u64::from_str_radix(&digits.collect::<String>(), 8);
    // An archive of nothing is zeros.
    written == Ok(sum) || block.iter().all(|&byte| byte == 0)
}

/// The Dockerfile of a folder: `Dockerfile` in it, or what `--file` says.
fn dockerfile(folder: &Path, file: &str) -> Result<BuildDockerfile> {
    if is_url(file) {
        return Err(wrong(format!(
            "--file {file}: a Dockerfile is not fetched for a folder: fetch it first, or pipe it to --file -"
        )));
    }
    let path = if file.is_empty() {
        // The second is what BuildKit looks for, too.
        let usual = folder.join("Dockerfile");
        let lower = folder.join("dockerfile");
        if !usual.exists() && lower.exists() { lower } else { usual }
    } else if Path::new(file).is_relative() && !Path::new(file).exists() {
        // Docker's documentation has it relative to the context, its client to where one is.
        let inside = folder.join(file);
        if inside.exists() { inside } else { PathBuf::from(file) }
    } else {
        PathBuf::from(file)
    };
    let shown = path.strip_prefix(folder).unwrap_or(&path);
    let shown = shown.to_string_lossy().trim_start_matches("./").to_owned();
    let failed = |source: io::Error| {
        let reason = if source.kind() == io::ErrorKind::NotFound {
            "no such file or directory".to_owned()
        } else {
            source.to_string()
        };
        wrong(format!("failed to read dockerfile: open {shown}: {reason}"))
    };
    let opened = fs::File::open(&path).map_err(failed)?;
    if opened.metadata().map_err(failed)?.is_dir() {
        return Err(wrong(format!("failed to read dockerfile: read {shown}: is a directory")));
    }
    let text = text(opened)?;
    let mut beside = path.into_os_string();
    beside.push(".dockerignore");
    let ignore = match fs::read(&beside) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(CliError::file("open", &beside)(error)),
    };
    Ok(BuildDockerfile { name: shown, text, ignore })
}

fn text(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(CliError::stdio("read the Dockerfile"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(wrong(format!("the Dockerfile is longer than {LONGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use barge_archive::tar::{EntryKind, Header, Writer};

    use super::*;

    fn located(argument: &str, file: &str, stdin: &[u8]) -> Result<Located> {
        locate(argument, file, Cursor::new(stdin.to_vec()))
    }

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let path = folder.path().to_string_lossy().into_owned();
        (folder, path)
    }

    fn dockerfile_of(argument: &str, file: &str) -> BuildDockerfile {
        located(argument, file, b"FROM stdin\n").unwrap().dockerfile.unwrap()
    }

    #[test]
    fn the_dockerfile_of_a_folder_is_within_outside_or_on_stdin() {
        let (_folder, path) = folder(&[
            ("ctx/Dockerfile", "FROM usual"),
            ("ctx/sub/other", "FROM sub"),
            ("out/Dockerfile", "FROM outside"),
            ("out/Dockerfile.dockerignore", "secret"),
        ]);
        let context = format!("{path}/ctx");
        let usual = dockerfile_of(&context, "");
        assert_eq!((&*usual.name, &*usual.text), ("Dockerfile", "FROM usual"));
        assert_eq!(usual.ignore, None);
        let sub = dockerfile_of(&context, &format!("{context}/sub/other"));
        assert_eq!((&*sub.name, &*sub.text), ("sub/other", "FROM sub"));
        assert_eq!(dockerfile_of(&context, "sub/other").text, "FROM sub");
        let outside = dockerfile_of(&context, &format!("{path}/out/Dockerfile"));
        assert_eq!(outside.text, "FROM outside");
        assert_eq!(outside.ignore.as_deref(), Some("secret"));
        assert_eq!(dockerfile_of(&context, "-").text, "FROM stdin\n");
        let error = |file: &str| located(&context, file, b"").err().unwrap().to_string();
        assert_eq!(
            error("none"),
            "failed to read dockerfile: open none: no such file or directory"
        );
        assert_eq!(error("sub"), "failed to read dockerfile: read sub: is a directory");
        assert!(error("https://h/Dockerfile").contains("is not fetched"));
    }

    #[test]
    fn stdin_is_an_archive_or_a_dockerfile() {
        let mut writer = Writer::new(Vec::new());
        let header = Header::new("Dockerfile", EntryKind::Regular);
        writer.append_bytes(&header, b"FROM a").unwrap();
        let tar = writer.finish().unwrap();
        let gzip = [0x1f, 0x8b, 8, 0, 0];
        for bytes in [&tar[..], &gzip, &[0; 1024]] {
            let found = located("-", "sub/Dockerfile", bytes).unwrap();
            assert_eq!(found.path, "sub/Dockerfile");
            let Source::Archive(mut archive) = found.source else { panic!("{:?}", found.source) };
            let mut whole = Vec::new();
            archive.read_to_end(&mut whole).unwrap();
            assert_eq!(whole, bytes);
        }
        let long = format!("FROM a\n{}", "# comment\n".repeat(100));
        for text in ["FROM a\n", "", &long] {
            let found = located("-", "", text.as_bytes()).unwrap();
            assert!(matches!(found.source, Source::Nothing));
            assert_eq!(found.dockerfile.unwrap().text, text);
        }
        assert!(located("-", "-", b"").is_err());
        assert!(located("-", "x", b"FROM a").is_err());
    }

    #[test]
    fn an_address_is_for_the_daemon_unless_a_folder_is_called_so() {
        let found = located("https://h/x.git#main:sub", "a/Dockerfile", b"").unwrap();
        assert!(matches!(found.source, Source::Remote(url) if url == "https://h/x.git#main:sub"));
        assert_eq!(found.path, "a/Dockerfile");
        let found = located("git@h:x", "-", b"FROM a").unwrap();
        assert_eq!(found.dockerfile.unwrap().text, "FROM a");
        assert_eq!(
            located("/nonexist", "", b"").err().unwrap().to_string(),
            "unable to prepare context: path \"/nonexist\" not found"
        );
        let (_folder, path) = folder(&[("dfile", "FROM a")]);
        assert_eq!(
            located(&format!("{path}/dfile"), "", b"").err().unwrap().to_string(),
            format!("unable to prepare context: context must be a directory: {path}/dfile")
        );
    }
}
