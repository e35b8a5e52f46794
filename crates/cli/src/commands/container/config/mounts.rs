//! Mounts: `--mount key=value,…`, `-v source:target:options`, `--tmpfs target:options`.

use std::collections::BTreeMap;

use barge_api_types::{
    BindOptions, EmptyObject, Mount, MountDriver, ObjectSet, TmpfsOptions, VolumeOptions,
};
use barge_types::size;

use super::text::Refused;
use crate::error::{CliError, Result};
use crate::flags::boolean;

type Parsed<T> = std::result::Result<T, Refused>;

/// The fields of a line of comma separated values; `"a,b"` is one field.
pub(super) fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// `--mount`
pub(in crate::commands::container) fn mount(text: &str) -> Parsed<Mount> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    for field in fields(text) {
        set(&mut mount, &field)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn set(mount: &mut Mount, field: &str) -> Parsed<()> {
    let (key, value) = match field.split_once('=') {
        Some((key, value)) => (key.to_ascii_lowercase(), value),
        None => match field.to_ascii_lowercase().as_str() {
            key @ ("readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive") => {
                (key.to_owned(), "true")
            }
            _ => return Err(Refused(format!("invalid field '{field}' must be a key=value pair"))),
        },
    };
    let wrong = || Refused(format!("invalid value for {key}: {value}"));
    let switch = || boolean(value).map_err(|_| wrong());
    match key.as_str() {
        "type" => mount.kind = value.to_ascii_lowercase(),
        "source" | "src" => mount.source = absolute(value),
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = switch()?,
        "consistency" => mount.consistency = value.to_ascii_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_ascii_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = switch()?,
        "bind-recursive" => recursive(mount, value)?,
        "volume-subpath" => volume(mount).subpath = value.to_owned(),
        "volume-nocopy" => volume(mount).no_copy = switch()?,
        "volume-label" => insert(&mut volume(mount).labels, value),
        "volume-driver" => driver(mount).name = value.to_owned(),
        "volume-opt" => insert(&mut driver(mount).options, value),
        "image-subpath" => {
            mount.image_options.get_or_insert_default().subpath = value.to_owned();
        }
        "tmpfs-size" => {
            let bytes = size::parse_bytes(value).ok().and_then(|bytes| i64::try_from(bytes).ok());
            tmpfs(mount).size_bytes = bytes.ok_or_else(wrong)?;
        }
        "tmpfs-mode" => {
            tmpfs(mount).mode = u32::from_str_radix(value, 8).map_err(|_| wrong())?;
        }
        _ => return Err(Refused(format!("unexpected key '{key}' in '{field}'"))),
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountDriver {
    volume(mount).driver_config.get_or_insert_default()
}

fn insert(map: &mut BTreeMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    map.insert(key.to_owned(), value.to_owned());
}

fn recursive(mount: &mut Mount, value: &str) -> Parsed<()> {
    let options = bind(mount);
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => {
            return Err(Refused(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \
                 \"writable\", or \"readonly\")"
            )));
        }
    }
    Ok(())
}

fn check(mount: &Mount) -> Parsed<()> {
    if mount.kind.is_empty() {
        return Err(Refused("type is required".to_owned()));
    }
    if mount.target.is_empty() {
        return Err(Refused("target is required".to_owned()));
    }
    let kinds = [
        ("volume", mount.volume_options.is_some()),
        ("bind", mount.bind_options.is_some()),
        ("image", mount.image_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ];
    for (kind, given) in kinds {
        if given && mount.kind != kind {
            return Err(Refused(format!(
                "cannot mix '{kind}-*' options with mount type '{}'",
                mount.kind
            )));
        }
    }
    let Some(options) = &mount.bind_options else {
        return Ok(());
    };
    let wants = |option: &str, other: &str| {
        Err(Refused(format!(
            "option 'bind-recursive={option}' requires '{other}' to be specified in conjunction"
        )))
    };
    if options.read_only_non_recursive && !mount.read_only {
        return wants("writable", "readonly");
    }
    if options.read_only_force_recursive && !mount.read_only {
        return wants("readonly", "readonly");
    }
    if options.read_only_force_recursive && options.propagation != "rprivate" {
        return wants("readonly", "bind-propagation=rprivate");
    }
    Ok(())
}

/// `./x` and `.` seen from here; everything else as it is.
fn absolute(path: &str) -> String {
    if path != "." && !path.starts_with("./") && path != ".." && !path.starts_with("../") {
        return path.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let mut clean = std::path::PathBuf::new();
    for part in here.join(path).components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            std::path::Component::Prefix(_)
            | std::path::Component::RootDir
            | std::path::Component::Normal(_) => clean.push(part),
        }
    }
    clean.to_string_lossy().into_owned()
}

/// What the `-v` flags ask for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Volumes {
    /// `source:target[:options]`
    pub(super) binds: Vec<String>,
    /// Targets of volumes without a name.
    pub(super) anonymous: ObjectSet,
}

/// `-v`
pub(super) fn volumes(texts: &[String]) -> Result<Volumes> {
    let mut volumes = Volumes::default();
    for text in texts {
        let invalid = |what: &str| CliError::Invalid(format!("invalid spec: {text}: {what}"));
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            _ if text.is_empty() => {
                return Err(CliError::Invalid("invalid empty volume spec".to_owned()));
            }
            [target] => {
                volumes.anonymous.insert((*target).to_owned(), EmptyObject);
            }
            parts if parts.iter().any(|part| part.is_empty()) => {
                return Err(invalid("empty section between colons"));
            }
            [source, rest @ ..] if rest.len() <= 2 => {
                let bind = format!("{}:{}", absolute(source), rest.join(":"));
                if !volumes.binds.contains(&bind) {
                    volumes.binds.push(bind);
                }
            }
            // In the daemon's words.
            _ => volumes.binds.push(text.clone()),
        }
    }
    Ok(volumes)
}

/// `--tmpfs`
pub(super) fn tmpfs_flags(texts: &[String]) -> BTreeMap<String, String> {
    texts
        .iter()
        .map(|text| text.split_once(':').unwrap_or((text, "")))
        .map(|(target, options)| (target.to_owned(), options.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_lists_of_keys_and_values() {
        let found = mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!((found.kind.as_str(), found.source.as_str()), ("bind", "/a"));
        assert_eq!(found.target, "/b");
        assert!(found.read_only);
        assert_eq!(found.bind_options.unwrap().propagation, "rslave");
        let found = mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        let options = found.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1_048_576, 0o1770));
        let found = mount("dst=/d,\"volume-opt=o=a,b\",volume-label=x=y,volume-nocopy").unwrap();
        let options = found.volume_options.unwrap();
        assert!(options.no_copy);
        assert_eq!(options.labels["x"], "y");
        assert_eq!(options.driver_config.unwrap().options["o"], "a,b");
        let here = std::env::current_dir().unwrap();
        let found = mount("type=bind,src=./x,dst=/b").unwrap();
        assert_eq!(found.source, here.join("x").to_string_lossy());
    }

    #[test]
    fn wrong_mounts_are_refused_in_dockers_words() {
        for (text, message) in [
            ("a=b", "unexpected key 'a' in 'a=b'"),
            ("type=bind,source=x", "target is required"),
            ("type=,dst=/x", "type is required"),
            ("dst=/x,src", "invalid field 'src' must be a key=value pair"),
            ("img", "invalid field 'img' must be a key=value pair"),
            ("target=/x,readonly=foo", "invalid value for readonly: foo"),
            ("type=tmpfs,target=/x,tmpfs-size=z", "invalid value for tmpfs-size: z"),
            (
                "type=bind,src=/a,dst=/b,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            (
                "type=volume,src=a,dst=/b,bind-propagation=rprivate",
                "cannot mix 'bind-*' options with mount type 'volume'",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn volumes_are_named_or_not() {
        let texts = ["/only", "a:/b", "/h:/c:ro,z", "a:/b"].map(str::to_owned);
        let found = volumes(&texts).unwrap();
        assert_eq!(found.binds, ["a:/b", "/h:/c:ro,z"]);
        assert_eq!(found.anonymous.keys().collect::<Vec<_>>(), ["/only"]);
        let here = std::env::current_dir().unwrap();
        let found = volumes(&["..:/x".to_owned()]).unwrap();
        assert_eq!(found.binds, [format!("{}:/x", here.parent().unwrap().display())]);
        for (text, message) in [
            ("a::ro", "invalid spec: a::ro: empty section between colons"),
            ("", "invalid empty volume spec"),
        ] {
            assert_eq!(volumes(&[text.to_owned()]).unwrap_err().to_string(), message);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_parser_fall_over(text in ".{0,40}") {
            mount(&text).ok();
            volumes(std::slice::from_ref(&text)).ok();
            fields(&text);
        }

        #[test]
        fn what_was_quoted_comes_back(list in proptest::collection::vec("[^\r\n]{0,8}", 1..5)) {
            let quoted: Vec<String> =
                list.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            proptest::prop_assert_eq!(fields(&quoted.join(",")), list);
        }
    }
}
