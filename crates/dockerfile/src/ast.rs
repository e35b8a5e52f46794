//! What a Dockerfile says, before any variable is expanded (Dockerfile reference, stable syntax).

use std::collections::BTreeMap;

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The comments at its top that change how it is read.
    pub directives: Directives,
    /// `ARG` before the first `FROM`.
    pub global_args: Vec<Located<Vec<ArgWord>>>,
    /// The stages in their order; at least one.
    pub stages: Vec<Stage>,
    /// Instructions of the whole file in their order as they stand, for checks that look at the text.
    pub lines: Vec<Located<String>>,
    /// Comments right before an instruction, by its first line.
    pub comments: BTreeMap<u32, Vec<String>>,
}

impl Dockerfile {
    /// What the comments right before the definition of a stage or an argument say of it: `# name description`.
    #[must_use]
    pub fn description(&self, line: u32, name: &str) -> &str {
        let comments = self.comments.get(&line).into_iter().flatten();
        let mut described = comments.filter_map(|text| text.strip_prefix(name)?.strip_prefix(' '));
        described.next().filter(|_| !name.is_empty()).map_or("", str::trim)
    }
}

/// Parser directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: one of Docker's, and of no effect: the language is built in.
    pub syntax: Option<String>,
    /// `# escape=`: `\` or a backtick.
    pub escape: char,
    /// `# check=`.
    pub check: CheckDirective,
}

/// `# check=skip=RULE,…;error=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckDirective {
    /// Rules that do not apply; `all` for none that does.
    pub skip: Vec<String>,
    /// Rules that apply only when asked for, or `all`.
    pub experimental: Vec<String>,
    /// Whether a warning fails the build.
    pub is_error: bool,
}

/// Something with the lines it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What stands there.
    pub value: T,
    /// Its first line, counted from 1.
    pub first_line: u32,
    /// Its last line, heredocs included.
    pub last_line: u32,
    /// The text with continuation lines joined, as shown in progress and history.
    pub text: String,
}

/// From one `FROM` to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `AS name`, in lower case.
    pub name: Option<String>,
    /// What it stands on.
    pub from: Located<From>,
    /// The rest, in order.
    pub instructions: Vec<Located<Instruction>>,
}

/// `FROM [--platform=…] image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage or `scratch`; with variables.
    pub image: String,
    /// With variables.
    pub platform: Option<String>,
}

/// One instruction. Words may have variables in them where the reference says that they are expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD`.
    Add(Transfer),
    /// `ARG`.
    Arg(Vec<ArgWord>),
    /// `CMD`.
    Cmd(Command),
    /// `COPY`.
    Copy(Transfer),
    /// `ENTRYPOINT`.
    Entrypoint(Command),
    /// `ENV`, name and value.
    Env(Vec<(String, String)>),
    /// `EXPOSE`.
    Expose(Vec<String>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `LABEL`, name and value.
    Label(Vec<(String, String)>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`: the instruction's text, known to be one that may stand there.
    Onbuild(String),
    /// `RUN`.
    Run(Run),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// `NAME[=value]` of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgWord {
    /// The variable.
    pub name: String,
    /// Its default, with variables.
    pub default: Option<String>,
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For the shell.
    Shell(String),
    /// A JSON array.
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What to run. In shell form with heredocs, their text is in it as a shell would read it.
    pub command: Command,
    /// A command line that is nothing but heredocs (`RUN <<EOF`): their content is the script, in [`Self::command`] too.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`.
    pub mounts: Vec<MountFlag>,
    /// `--network`: `default`, `none`, `host`.
    pub network: Option<String>,
    /// `--security`: `sandbox`, `insecure`.
    pub security: Option<String>,
    /// `--device`.
    pub devices: Vec<DeviceFlag>,
}

/// `--device` of a `RUN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFlag {
    /// `vendor/class=name`; `vendor/class` for any one of the class, `vendor/class=*` for all.
    pub name: String,
    /// `required`: the step fails without it.
    pub is_required: bool,
}

/// A document inside of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// The file descriptor before `<<`; 0 when there is none.
    pub descriptor: u32,
    /// Whether variables in it are expanded: its word was not quoted.
    pub is_expanded: bool,
    /// Whether tabs at the start of lines are removed: `<<-`.
    pub is_chomped: bool,
    /// Its lines (tabs removed already when chomped).
    pub content: String,
}

/// One `--mount` of a `RUN`; values may have variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountFlag {
    /// The flag's value as it stands: for [`crate::expand_mount`] when values of variables are known.
    pub text: String,
    /// What is mounted.
    pub kind: MountKind,
    /// `target`, `dst`, `destination`.
    pub target: Option<String>,
    /// `source`, `src`.
    pub source: Option<String>,
    /// `from`: a stage, image or named context.
    pub from: Option<String>,
    /// `readonly`, `ro`, `readwrite`, `rw`.
    pub access: Option<MountAccess>,
    /// `id`.
    pub id: Option<String>,
    /// `sharing`.
    pub sharing: Sharing,
    /// `size` of a tmpfs in bytes.
    pub size: Option<u64>,
    /// `mode`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
    /// `required`: the step fails without the secret or agent.
    pub is_required: bool,
    /// `env` of a secret.
    pub env: Option<String>,
}

/// `type` of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A folder that outlives builds.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file that never becomes part of an image.
    Secret,
    /// The socket of an SSH agent.
    Ssh,
}

/// Whether a mount can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// No.
    ReadOnly,
    /// Yes.
    ReadWrite,
}

/// Who uses a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each its own when one is in use.
    Private,
    /// One after the other.
    Locked,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// What is copied, with variables and wildcards; without the heredocs.
    pub sources: Vec<String>,
    /// Files that stand in the Dockerfile itself.
    pub heredocs: Vec<Heredoc>,
    /// Where to, with variables.
    pub destination: String,
    /// `--from`, with variables.
    pub from: Option<String>,
    /// `--chown`, with variables.
    pub chown: Option<String>,
    /// `--chmod`, with variables.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--checksum` of `ADD`.
    pub checksum: Option<String>,
    /// `--keep-git-dir` of `ADD`.
    pub keep_git_dir: bool,
    /// `--unpack` of `ADD`.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`.
    None,
    /// `CMD`; times in nanoseconds, 0 for the default.
    Command {
        /// What to run.
        command: Command,
        /// `--interval`.
        interval: i64,
        /// `--timeout`.
        timeout: i64,
        /// `--start-period`.
        start_period: i64,
        /// `--start-interval`.
        start_interval: i64,
        /// `--retries`.
        retries: i64,
    },
}
