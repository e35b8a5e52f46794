//! Where our images are not docker.io's, each with the reason. What is not here fails the test, and so does an entry
//! that no case needs.

use crate::builders::Builder;

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Known {
    /// The cases that show it; all of them do.
    pub(crate) cases: &'static [&'static str],
    /// Who is different from us.
    pub(crate) peer: Builder,
    /// The fact, or the start of its name and `*`.
    pub(crate) fact: &'static str,
    /// Why.
    pub(crate) why: &'static str,
}

impl Known {
    pub(crate) fn covers(&self, case: &str, peer: Builder, fact: &str) -> bool {
        self.peer == peer
            && self.cases.contains(&case)
            && match self.fact.strip_suffix('*') {
                Some(prefix) => fact.starts_with(prefix),
                None => self.fact == fact,
            }
    }
}

/// All of them.
pub(crate) const KNOWN: &[Known] = &[
    Known {
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
        peer: Builder::Classic,
        fact: "config WorkingDir",
        why: "as BuildKit, we say that an image from scratch works in /; without it that is so too",
    },
    Known {
        cases: &["from-rich-overridden", "healthcheck-none"],
        peer: Builder::Classic,
        fact: "config Healthcheck",
        why: "as BuildKit, we forget the times of a check that is none any more",
    },
    Known {
        cases: &["entrypoint-in-a-stage-and-cmd-in-the-next"],
        peer: Builder::Classic,
        fact: "config Cmd",
        why: "as BuildKit and the reference, an entry point resets the command of what it stands on",
    },
    Known {
        cases: &["from-rich-run"],
        peer: Builder::Classic,
        fact: "tree /data",
        why: "the classic builder mounts volumes in its steps and leaves the mount points",
    },
    Known {
        cases: &["volume-then-change"],
        peer: Builder::Classic,
        fact: "tree /data/after",
        why: "the classic builder loses what a step writes into a volume; the reference says so of \
              the classic builder alone",
    },
    Known {
        cases: &["copy-chown-folder"],
        peer: Builder::Classic,
        fact: "tree /new",
        why: "as BuildKit, --chown is for the folders too that have to be made",
    },
    Known {
        cases: &["add-tar-chown"],
        peer: Builder::Classic,
        fact: "tree /x",
        why: "as BuildKit, --chown is for the folders too that have to be made",
    },
    Known {
        cases: &["copy-modes"],
        peer: Builder::Classic,
        fact: "tree /x/suid",
        why: "the classic builder changes the owner after the mode, and the kernel takes the bit away",
    },
    Known {
        cases: &["copy-from-keeps-owners"],
        peer: Builder::Classic,
        fact: "tree /z/*",
        why: "the classic builder changes the owner after the mode, and the kernel takes the bit away",
    },
    Known {
        cases: &["arg-redeclared", "arg-inherited-from-a-stage"],
        peer: Builder::Classic,
        fact: "config Env",
        why: "as BuildKit and the reference: an ARG stays in stages that stand on its own, and one \
              without a value leaves the value that there is",
    },
    Known {
        cases: &["run-limits"],
        peer: Builder::Buildkit,
        fact: "tree /*",
        why: "20.10's BuildKit does not heed --ulimit",
    },
    Known {
        cases: &["run-shm-size"],
        peer: Builder::Buildkit,
        fact: "tree /size",
        why: "20.10's BuildKit does not heed --shm-size",
    },
];
