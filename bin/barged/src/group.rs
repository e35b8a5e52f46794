//! The group of the unix socket. Read from /etc/group: a static program has no name service to ask.

use std::fs;

const FILE: &str = "/etc/group";

/// Groups that get the socket when no flag names one.
const DEFAULTS: [&str; 2] = ["barge", "docker"];

/// No such group.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("group {0} not found in {FILE}")]
pub(crate) struct NoSuchGroup(String);

/// The number of the group that was named, or of a default one when there is one.
pub(crate) fn resolve(named: Option<&str>) -> Result<Option<u32>, NoSuchGroup> {
    // Without the file there are no groups but numbers.
    let text = fs::read_to_string(FILE).unwrap_or_default();
    match named {
        None => Ok(DEFAULTS.iter().find_map(|name| find(&text, name))),
        Some("") => Ok(None),
        Some(name) => match find(&text, name).or_else(|| name.parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(NoSuchGroup(name.to_owned())),
        },
    }
}

fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up() {
        let text = "root:x:0:\ndocker:x:998:me,you\nbroken\n";
        assert_eq!(find(text, "docker"), Some(998));
        assert_eq!(find(text, "dock"), None);
        assert_eq!(find(text, "broken"), None);
    }

    #[test]
    fn numbers_need_no_name() {
        assert_eq!(resolve(Some("4321")), Ok(Some(4321)));
        assert_eq!(resolve(Some("root")), Ok(Some(0)));
        assert_eq!(resolve(Some("")), Ok(None));
        let error = resolve(Some("no such group")).unwrap_err();
        assert_eq!(error.to_string(), "group no such group not found in /etc/group");
    }
}
