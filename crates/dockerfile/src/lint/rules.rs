//! The rules by the names that the Dockerfile reference gives them.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What directives call it.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    /// The end of where to read more.
    page: &'static str,
    /// Whether it applies only when asked for.
    pub is_experimental: bool,
}

impl Rule {
    /// Where to read more.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://docs.docker.com/go/dockerfile/rule/{}/", self.page)
    }

    const fn new(name: &'static str, page: &'static str, description: &'static str) -> Self {
        Self { name, description, page, is_experimental: false }
    }
}

macro_rules! rules {
    ($($constant:ident = $rule:expr;)*) => {
        $(pub(super) const $constant: Rule = $rule;)*
        /// All of them.
        pub const RULES: &[Rule] = &[$($constant),*];
    };
}

rules! {
    STAGE_NAME_CASING = Rule::new(
        "StageNameCasing",
        "stage-name-casing",
        "Stage names should be lowercase",
    );
    FROM_AS_CASING = Rule::new(
        "FromAsCasing",
        "from-as-casing",
        "The 'as' keyword should match the case of the 'from' keyword",
    );
    NO_EMPTY_CONTINUATION = Rule::new(
        "NoEmptyContinuation",
        "no-empty-continuation",
        "Empty continuation lines will become errors in a future release",
    );
    CONSISTENT_INSTRUCTION_CASING = Rule::new(
        "ConsistentInstructionCasing",
        "consistent-instruction-casing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
    );
    DUPLICATE_STAGE_NAME = Rule::new(
        "DuplicateStageName",
        "duplicate-stage-name",
        "Stage names should be unique",
    );
    RESERVED_STAGE_NAME = Rule::new(
        "ReservedStageName",
        "reserved-stage-name",
        "Reserved words should not be used as stage names",
    );
    JSON_ARGS_RECOMMENDED = Rule::new(
        "JSONArgsRecommended",
        "json-args-recommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    );
    MAINTAINER_DEPRECATED = Rule::new(
        "MaintainerDeprecated",
        "maintainer-deprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    );
    UNDEFINED_ARG_IN_FROM = Rule::new(
        "UndefinedArgInFrom",
        "undefined-arg-in-from",
        "FROM command must use declared ARGs",
    );
    WORKDIR_RELATIVE_PATH = Rule::new(
        "WorkdirRelativePath",
        "workdir-relative-path",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base \
         image changes",
    );
    UNDEFINED_VAR = Rule::new(
        "UndefinedVar",
        "undefined-var",
        "Variables should be defined before their use",
    );
    MULTIPLE_INSTRUCTIONS_DISALLOWED = Rule::new(
        "MultipleInstructionsDisallowed",
        "multiple-instructions-disallowed",
        "Multiple instructions of the same type should not be used in the same stage",
    );
    LEGACY_KEY_VALUE_FORMAT = Rule::new(
        "LegacyKeyValueFormat",
        "legacy-key-value-format",
        "Legacy key/value format with whitespace separator should not be used",
    );
    REDUNDANT_TARGET_PLATFORM = Rule::new(
        "RedundantTargetPlatform",
        "redundant-target-platform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    );
    SECRETS_USED_IN_ARG_OR_ENV = Rule::new(
        "SecretsUsedInArgOrEnv",
        "secrets-used-in-arg-or-env",
        "Sensitive data should not be used in the ARG or ENV commands",
    );
    INVALID_DEFAULT_ARG_IN_FROM = Rule::new(
        "InvalidDefaultArgInFrom",
        "invalid-default-arg-in-from",
        "Default value for global ARG results in an empty or invalid base image name",
    );
    FROM_PLATFORM_FLAG_CONST_DISALLOWED = Rule::new(
        "FromPlatformFlagConstDisallowed",
        "from-platform-flag-const-disallowed",
        "FROM --platform flag should not use a constant value",
    );
    COPY_IGNORED_FILE = Rule::new(
        "CopyIgnoredFile",
        "copy-ignored-file",
        "Attempting to Copy file that is excluded by .dockerignore",
    );
    INVALID_DEFINITION_DESCRIPTION = Rule {
        is_experimental: true,
        ..Rule::new(
            "InvalidDefinitionDescription",
            "invalid-definition-description",
            "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this \
             is not intended to be a description comment, add an empty line or comment between the instruction and \
             the comment.",
        )
    };
    EXPOSE_PROTO_CASING = Rule::new(
        "ExposeProtoCasing",
        "expose-proto-casing",
        "Protocol in EXPOSE instruction should be lowercase",
    );
    EXPOSE_INVALID_FORMAT = Rule::new(
        "ExposeInvalidFormat",
        "expose-invalid-format",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a \
         future release",
    );
}
