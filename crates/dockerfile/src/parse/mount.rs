//! `--mount` of `RUN`.

use barge_types::parse_bool;
use thiserror::Error;

use super::Problem;
use crate::ast::{MountAccess, MountFlag, MountKind, Sharing};
use crate::suggest::suggest;

/// A `--mount` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}{}", .suggestion.as_ref().map(|word| format!(" (did you mean {word}?)")).unwrap_or_default())]
pub struct MountError {
    /// What was expected.
    pub message: String,
    /// What was meant, perhaps.
    pub suggestion: Option<String>,
}

impl MountError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None }
    }

    pub(super) fn into_problem(self) -> Problem {
        Problem { message: self.message, suggestion: self.suggestion }
    }
}

type Result<T> = std::result::Result<T, MountError>;

const KINDS: [(&str, MountKind); 5] = [
    ("bind", MountKind::Bind),
    ("cache", MountKind::Cache),
    ("tmpfs", MountKind::Tmpfs),
    ("secret", MountKind::Secret),
    ("ssh", MountKind::Ssh),
];
const SHARINGS: [(&str, Sharing); 3] =
    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];

/// Keys, the name that each is known by, and the kinds of mounts that take it.
const KEYS: [(&str, &str, &[MountKind]); 21] = {
    use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
    const ALL: &[MountKind] = &[Bind, Cache, Tmpfs, Secret, Ssh];
    const FILES: &[MountKind] = &[Bind, Cache];
    const SINGLE: &[MountKind] = &[Secret, Ssh];
    const OWNED: &[MountKind] = &[Cache, Secret, Ssh];
    [
        ("type", "type", ALL),
        ("target", "target", ALL),
        ("dst", "target", ALL),
        ("destination", "target", ALL),
        ("source", "source", &[Bind, Cache, Secret, Ssh]),
        ("src", "source", &[Bind, Cache, Secret, Ssh]),
        ("from", "from", FILES),
        ("readonly", "readonly", ALL),
        ("ro", "readonly", ALL),
        ("readwrite", "readwrite", FILES),
        ("rw", "readwrite", FILES),
        ("id", "id", OWNED),
        ("sharing", "sharing", &[Cache]),
        ("size", "size", &[Tmpfs]),
        ("mode", "mode", OWNED),
        ("uid", "uid", OWNED),
        ("gid", "gid", OWNED),
        ("required", "required", SINGLE),
        ("env", "env", &[Secret]),
        ("bind-propagation", "bind-propagation", &[]),
        ("consistency", "consistency", &[]),
    ]
};

/// What a `$` in a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dollars {
    /// A variable whose value is not known yet.
    Variables,
    /// Itself: variables were replaced.
    Letters,
}

impl Dollars {
    /// Whether a value is not known yet.
    fn hide(self, value: &str) -> bool {
        self == Self::Variables && value.contains('$')
    }
}

/// Reads the value of a `--mount`.
///
/// It is read with its variables when a Dockerfile is: numbers and words of a list that have variables in them are left
/// out then. [`expand_mount`] reads [`MountFlag::text`] again when their values are known.
pub fn parse_mount(text: &str) -> Result<MountFlag> {
    read(text, &fields(text)?, Dollars::Variables)
}

/// Reads the value of a `--mount` with its variables replaced: in values, never in keys, and after the value was parted
/// at its commas (as BuildKit does it), so that no variable can add an option.
pub fn expand_mount<E: From<MountError>>(
    text: &str,
    expand: &mut dyn FnMut(&str) -> std::result::Result<String, E>,
) -> std::result::Result<MountFlag, E> {
    let mut fields = fields(text)?;
    for field in &mut fields {
        if let Some((key, value)) = field.split_once('=') {
            *field = format!("{key}={}", expand(value)?);
        }
    }
    Ok(read(text, &fields, Dollars::Letters)?)
}

fn read(text: &str, fields: &[String], dollars: Dollars) -> Result<MountFlag> {
    let mut mount = MountFlag { text: text.to_owned(), ..MountFlag::default() };
    let mut pairs = fields.iter().filter_map(|field| field.split_once('='));
    let kind = pairs.rfind(|(key, _)| key.trim().eq_ignore_ascii_case("type"));
    let kind = match kind {
        None => Some(MountKind::Bind),
        Some((_, kind)) if dollars.hide(kind) => None,
        Some((_, kind)) => Some(word(kind, &KINDS, "mount type")?),
    };
    mount.kind = kind.unwrap_or_default();
    for field in fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let key = known(key.trim(), text, kind)?;
        take(&mut mount, (key, value), (field, dollars))?;
    }
    if let Some(kind) = kind {
        check(&mount, kind)?;
    }
    Ok(mount)
}

fn known(key: &str, text: &str, kind: Option<MountKind>) -> Result<&'static str> {
    let lower = key.to_ascii_lowercase();
    let Some((_, name, kinds)) = KEYS.iter().find(|(known, _, _)| *known == lower) else {
        let near = suggest(&lower, KEYS.iter().map(|(known, _, _)| *known)).map(str::to_owned);
        let message = format!("unexpected key '{key}' in '{text}'");
        return Err(MountError { message, suggestion: near });
    };
    if let Some(kind) = kind
        && !kinds.contains(&kind)
    {
        let kind = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
        return Err(MountError::new(format!("{key} not allowed for {kind:?} type mounts")));
    }
    Ok(name)
}

fn take(
    mount: &mut MountFlag,
    (key, value): (&str, Option<&str>),
    (field, dollars): (&str, Dollars),
) -> Result<()> {
    if let "readonly" | "readwrite" | "required" = key {
        if value.is_some_and(|value| dollars.hide(value)) {
            return Ok(());
        }
        let value = switch(value, key)?;
        match key {
            "required" => mount.is_required = value,
            _ if (key == "readonly") == value => mount.access = Some(MountAccess::ReadOnly),
            _ => mount.access = Some(MountAccess::ReadWrite),
        }
        return Ok(());
    }
    let Some(value) = value else {
        return Err(MountError::new(format!("invalid field '{field}' must be a key=value pair")));
    };
    match key {
        "target" => mount.target = Some(value.to_owned()),
        "source" => mount.source = Some(value.to_owned()),
        "from" => mount.from = Some(value.to_owned()),
        "id" => mount.id = Some(value.to_owned()),
        "env" => mount.env = Some(value.to_owned()),
        "type" => {}
        _ if dollars.hide(value) => {}
        "sharing" => mount.sharing = word(value, &SHARINGS, "sharing value")?,
        "size" => mount.size = Some(size(value)?),
        "mode" => mount.mode = Some(number(value, key, 8)?),
        "uid" => mount.uid = Some(number(value, key, 10)?),
        "gid" => mount.gid = Some(number(value, key, 10)?),
        other => return Err(MountError::new(format!("unexpected key '{other}'"))),
    }
    Ok(())
}

fn check(mount: &MountFlag, kind: MountKind) -> Result<()> {
    let needs_target = matches!(kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs);
    let has_target = mount.target.as_ref().is_some_and(|target| !target.is_empty());
    if needs_target && !has_target {
        return Err(MountError::new(format!("mount target is required in '{}'", mount.text)));
    }
    let is_named =
        mount.id.is_some() || mount.source.is_some() || has_target || mount.env.is_some();
    if kind == MountKind::Secret && !is_named {
        return Err(MountError::new("secret mount needs one of id, source or target"));
    }
    Ok(())
}

fn switch(value: Option<&str>, key: &str) -> Result<bool> {
    match value {
        None => Ok(true),
        Some(value) => parse_bool(value).ok_or_else(|| {
            MountError::new(format!("invalid value for {key}: {value}: expected true or false"))
        }),
    }
}

fn word<T: Copy>(value: &str, words: &[(&str, T)], what: &str) -> Result<T> {
    let lower = value.to_ascii_lowercase();
    let found = words.iter().find(|(word, _)| *word == lower);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| MountError {
        message: format!("unsupported {what} {value:?}"),
        suggestion: suggest(value, words.iter().map(|(word, _)| *word)).map(str::to_owned),
    })
}

fn number(value: &str, key: &str, radix: u32) -> Result<u32> {
    u32::from_str_radix(value, radix)
        .map_err(|_| MountError::new(format!("invalid value {value} for {key}")))
}

/// Bytes, as `64m`.
fn size(value: &str) -> Result<u64> {
    let error = || MountError::new(format!("invalid value for size: {value}"));
    let lower = value.trim().to_ascii_lowercase();
    let letters = lower.trim_end_matches('b').trim_end_matches('i');
    let end = letters.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(letters.len());
    let (digits, unit) = letters.split_at(end);
    let power = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(error()),
    };
    let digits: f64 = digits.trim().parse().map_err(|_| error())?;
    let bytes = digits * f64::from(2_u32).powi(power);
    if !(0.0..9e18).contains(&bytes) {
        return Err(error());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range, and parts of bytes go"
    )]
    let bytes = bytes as u64;
    Ok(bytes)
}

/// The fields of one line of CSV.
fn fields(text: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        let mut field = String::new();
        if letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next() {
                    None => {
                        return Err(MountError::new(format!("a quote in '{text}' does not end")));
                    }
                    Some('"') if letters.next_if_eq(&'"').is_none() => break,
                    Some(letter) => field.push(letter),
                }
            }
        }
        while let Some(letter) = letters.next_if(|letter| *letter != ',') {
            field.push(letter);
        }
        fields.push(field);
        if letters.next().is_none() {
            return Ok(fields);
        }
    }
}
