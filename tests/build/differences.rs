//! Where our images are not docker.io's, each with the reason. What is not here fails the test, and so does an entry
//! that no case needs.

use crate::builders::Builder;
use crate::facts::Difference;

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Known {
    /// Who is different from us.
    pub(crate) peer: Builder,
    /// The cases that show it, each of which does; or [`ANY`].
    pub(crate) cases: &'static [&'static str],
    /// The fact, or the start of its name and `*`.
    pub(crate) fact: &'static str,
    /// A part of our value.
    pub(crate) ours: &'static str,
    /// Why.
    pub(crate) why: &'static str,
}

/// In the place of a case: whichever show it.
pub(crate) const ANY: &str = "*";

impl Known {
    pub(crate) fn covers(&self, case: &str, peer: Builder, difference: &Difference<'_>) -> bool {
        self.peer == peer
            && (self.cases.contains(&case) || self.cases.contains(&ANY))
            && difference.here.unwrap_or_default().contains(self.ours)
            && match self.fact.strip_suffix('*') {
                Some(prefix) => difference.fact.starts_with(prefix),
                None => self.fact == difference.fact,
            }
    }
}

/// All of them.
pub(crate) const KNOWN: &[Known] = &[
    Known {
        peer: Builder::Classic,
        cases: &[ANY],
        fact: "config ArgsEscaped",
        ours: "",
        why: "BuildKit marks every image with a CMD of the file so, the classic builder \
              those of Windows",
    },
    Known {
        peer: Builder::Classic,
        cases: &[
            "from-scratch",
            "from-scratch-folder",
            "stages-by-number",
            "stages-upper-case-name",
            "stages-in-parallel",
            "stages-named-as-an-image",
            "copy-from-image",
            "copy-from-image-folder",
            "copy-from-whole-stage",
            "label-flag-with-stages",
        ],
        fact: "config WorkingDir",
        ours: "",
        why: "as BuildKit, we say that an image from scratch works in /, which it does \
              anyway",
    },
    Known {
        peer: Builder::Classic,
        cases: &["from-rich-overridden", "healthcheck-none"],
        fact: "config Healthcheck",
        ours: "",
        why: "as BuildKit, we forget the times of a check that is none any more",
    },
    Known {
        peer: Builder::Classic,
        cases: &["from-rich-run"],
        fact: "tree /data",
        ours: "",
        why: "the classic builder mounts the volumes in its steps and leaves the mount \
              points",
    },
    Known {
        peer: Builder::Classic,
        cases: &["volume-then-change"],
        fact: "tree /data/after",
        ours: "",
        why: "the classic builder loses what a step writes to a volume; the reference \
              says so of it alone",
    },
    Known {
        peer: Builder::Classic,
        cases: &["copy-chown-folder"],
        fact: "tree /new",
        ours: "",
        why: "as BuildKit, --chown is for folders too that have to be made",
    },
    Known {
        peer: Builder::Classic,
        cases: &["add-tar-chown"],
        fact: "tree /x",
        ours: "",
        why: "as BuildKit, --chown is for folders too that have to be made",
    },
    Known {
        peer: Builder::Classic,
        cases: &["workdir-owner"],
        fact: "tree /home/worker/sub",
        ours: "",
        why: "as BuildKit, WORKDIR makes folders of the user that USER says",
    },
    Known {
        peer: Builder::Classic,
        cases: &["workdir-owner"],
        fact: "tree /made*",
        ours: "",
        why: "as BuildKit, WORKDIR makes folders of the user that USER says",
    },
    Known {
        peer: Builder::Classic,
        cases: &["env-in-every-instruction"],
        fact: "tree /data*",
        ours: "",
        why: "as BuildKit, WORKDIR makes folders of the user that USER says",
    },
    Known {
        peer: Builder::Classic,
        cases: &["copy-modes"],
        fact: "tree /x/suid",
        ours: "",
        why: "the classic builder sets the owner after the mode, and the kernel takes \
              the bit away",
    },
    Known {
        peer: Builder::Classic,
        cases: &["copy-from-keeps-owners"],
        fact: "tree /z/*",
        ours: " 1:1 file",
        why: "the classic builder sets the owner after the mode, and the kernel takes \
              the bit away",
    },
    Known {
        peer: Builder::Classic,
        cases: &["copy-capabilities"],
        fact: "tree /a",
        ours: "security.capability",
        why: "both builders set the owner of a lone file after its capabilities, and the \
              kernel takes them away",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["copy-capabilities"],
        fact: "tree /a",
        ours: "security.capability",
        why: "both builders set the owner of a lone file after its capabilities, and the \
              kernel takes them away",
    },
    Known {
        peer: Builder::Classic,
        cases: &["arg-redeclared", "arg-inherited-from-a-stage"],
        fact: "config Env",
        ours: "",
        why: "as BuildKit: an ARG goes on in a stage that stands on its own, and one \
              without a value leaves the value that there is",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-limits"],
        fact: "tree /*",
        ours: "",
        why: "20.10's BuildKit does not heed --ulimit",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-shm-size"],
        fact: "tree /size",
        ours: "",
        why: "20.10's BuildKit does not heed --shm-size",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-user"],
        fact: "tree /tmp/id",
        ours: "",
        why: "20.10's BuildKit leaves the own group out of the list of groups; the \
              classic builder and run do not",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-bind"],
        fact: "tree /ctx",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-bind"],
        fact: "tree /only",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-bind"],
        fact: "tree /rw",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-bind-from"],
        fact: "tree /in",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-bind-from"],
        fact: "tree /mnt/etc",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-cache"],
        fact: "tree /cache",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-cache-options"],
        fact: "tree /c",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-tmpfs"],
        fact: "tree /t",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-secret"],
        fact: "tree /run*",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mounts-many"],
        fact: "tree /t1",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mounts-many"],
        fact: "tree /w/*",
        ours: "",
        why: "what a mount needed is removed with it; since CVE-2024-23652 without \
              following links",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["run-mount-ssh-without-agent"],
        fact: "tree /x",
        ours: "",
        why: "20.10's BuildKit names the socket of an agent that is not there",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["copy-chmod"],
        fact: "tree /s",
        ours: "",
        why: "20.10's BuildKit takes the last nine bits of --chmod alone",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["copy-from-keeps-owners"],
        fact: "tree /x/p",
        ours: "",
        why: "20.10's BuildKit leaves pipes out",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["copy-from-keeps-owners"],
        fact: "tree /z/p",
        ours: "",
        why: "20.10's BuildKit leaves pipes out",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &[
            "from-rich-overridden",
            "healthcheck-none",
            "env-not-in-commands",
            "healthcheck-shell",
            "healthcheck-exec",
            "healthcheck-last-wins",
            "shell-forms",
            "two-stage-program",
            "everything-at-once",
        ],
        fact: "history *",
        ours: "HEALTHCHECK",
        why: "today's BuildKit has the time of --start-interval in this line",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &[
            "copy-chown",
            "copy-chown-folder",
            "copy-chown-variable",
            "copy-chmod",
            "copy-from-keeps-owners",
            "add-tar-chown",
            "add-chown",
            "add-chmod",
            "add-url",
            "two-stage-program",
            "everything-at-once",
        ],
        fact: "history *",
        ours: " --ch",
        why: "today's BuildKit writes the flags down too",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["workdir-forms", "workdir-variable"],
        fact: "history *",
        ours: "WORKDIR",
        why: "today's BuildKit writes the path without superfluous slashes",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["workdir-exists", "two-stage-program", "everything-at-once"],
        fact: "layers",
        ours: "",
        why: "a WORKDIR that is there makes no layer",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["workdir-exists", "two-stage-program", "everything-at-once"],
        fact: "history *",
        ours: "empty WORKDIR",
        why: "a WORKDIR that is there makes no layer",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["arg-several-on-a-line"],
        fact: "config Env",
        ours: "",
        why: "20.10's BuildKit expands all of a line's arguments at once, today's one \
              after the other",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["arg-several-on-a-line"],
        fact: "history *",
        ours: "=1",
        why: "20.10's BuildKit expands all of a line's arguments at once, today's one \
              after the other",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["arg-loses-to-env"],
        fact: "config Env",
        ours: "",
        why: "the reference: ENV always overrides ARG; with BuildKit the last one does",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["arg-loses-to-env"],
        fact: "history *",
        ours: "ENV B=env",
        why: "the reference: ENV always overrides ARG; with BuildKit the last one does",
    },
    Known {
        peer: Builder::Buildkit,
        cases: &["arg-loses-to-env"],
        fact: "tree /x",
        ours: "",
        why: "the reference: ENV always overrides ARG; with BuildKit the last one does",
    },
];
