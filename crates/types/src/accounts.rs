//! Who a process runs as, by the container's own `/etc/passwd` and `/etc/group`.
//!
//! Pure text in, ids out. The rules are those that images were written for (Docker's `USER` and `--user`): a name or a
//! number, a group after a colon; a number need not be in the file; the supplementary groups are those that list the
//! user, but only when no group is named.

use std::collections::BTreeSet;

/// Largest id that is taken.
const LARGEST: u32 = 0x7fff_ffff;

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, with the main one first.
    pub groups: Vec<u32>,
    /// Home folder, `/` when the user has none.
    pub home: String,
}

/// Why a user or a group was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that `/etc/passwd` does not have.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoSuchUser(String),
    /// A name that `/etc/group` does not have.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoSuchGroup(String),
    /// A number that is no id.
    #[error("uids and gids must be in range 0-2147483647")]
    OutOfRange,
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Lines that make no sense are skipped: the C library does the same.
fn passwd_lines(text: &str) -> impl Iterator<Item = PasswdLine<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(PasswdLine { name, uid, gid, home })
    })
}

fn group_lines(text: &str) -> impl Iterator<Item = GroupLine<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(GroupLine { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// A number, if the text is one; one that is no id is an error.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id <= LARGEST => Ok(Some(id)),
        _ => Err(UserError::OutOfRange),
    }
}

/// Finds `user[:group]`; an empty user is root. `additional` groups are added to the supplementary ones.
pub fn resolve(
    wanted: &str,
    passwd: &str,
    group: &str,
    additional: &[u32],
) -> Result<Resolved, UserError> {
    let (user, group_name) = wanted.split_once(':').unwrap_or((wanted, ""));
    let id = if user.is_empty() { Some(0) } else { number(user)? };
    let line = passwd_lines(passwd).find(|line| line.name == user || Some(line.uid) == id);
    let (uid, mut gid, home, name) = match (line, id) {
        (Some(line), _) => (line.uid, line.gid, line.home, line.name),
        (None, Some(id)) => (id, 0, "", ""),
        (None, None) => return Err(UserError::NoSuchUser(user.to_owned())),
    };
    let mut groups = Vec::new();
    if group_name.is_empty() {
        let listed = |line: &GroupLine<'_>| line.members.split(',').any(|one| one == name);
        if !name.is_empty() {
            groups.extend(group_lines(group).filter(listed).map(|line| line.gid));
        }
    } else {
        gid = find_group(group_name, group)?;
    }
    let mut seen = BTreeSet::new();
    let all = std::iter::once(gid).chain(groups).chain(additional.iter().copied());
    let groups = all.filter(|gid| seen.insert(*gid)).collect();
    let home = if home.is_empty() { "/" } else { home };
    Ok(Resolved { uid, gid, groups, home: home.to_owned() })
}

/// Finds a group by name or number; a number need not be in the file.
pub fn find_group(wanted: &str, group: &str) -> Result<u32, UserError> {
    let id = number(wanted)?;
    group_lines(group)
        .find(|line| line.name == wanted || Some(line.gid) == id)
        .map(|line| line.gid)
        .or(id)
        .ok_or_else(|| UserError::NoSuchGroup(wanted.to_owned()))
}

/// The home folder of a user id.
#[must_use]
pub fn home_of(uid: u32, passwd: &str) -> String {
    let line = passwd_lines(passwd).find(|line| line.uid == uid);
    line.map(|line| line.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        broken line\n\
        daemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
        jane:x:1000:1001:Jane:/home/jane:/bin/sh\n\
        :x:5:5::/:\n\
        12:x:77:78::/odd:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,jane\nusers:x:1001:\nvideo:x:44:jane,daemon\n";

    fn ids(wanted: &str) -> (u32, u32, Vec<u32>, String) {
        let found = resolve(wanted, PASSWD, GROUP, &[]).unwrap();
        (found.uid, found.gid, found.groups, found.home)
    }

    #[test]
    fn a_name_brings_its_groups_and_home() {
        assert_eq!(ids("jane"), (1000, 1001, vec![1001, 10, 44], "/home/jane".into()));
        assert_eq!(ids("1000"), ids("jane"));
        assert_eq!(ids(""), (0, 0, vec![0, 10], "/root".into()));
    }

    #[test]
    fn a_named_group_takes_the_place_of_all() {
        assert_eq!(ids("jane:wheel"), (1000, 10, vec![10], "/home/jane".into()));
        assert_eq!(ids("jane:4444").1, 4444);
        assert_eq!(ids(":video").1, 44);
    }

    #[test]
    fn a_number_need_not_be_known_and_a_name_must() {
        assert_eq!(ids("4711"), (4711, 0, vec![0], "/".into()));
        assert_eq!(ids("4711:12"), (4711, 12, vec![12], "/".into()));
        let error = resolve("nobody", PASSWD, GROUP, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        let error = resolve("jane:none", PASSWD, GROUP, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to find group none: no matching entries in group file"
        );
    }

    #[test]
    fn a_name_of_digits_is_found_as_a_name() {
        assert_eq!(ids("12").0, 77);
    }

    #[test]
    fn numbers_that_are_no_ids_are_refused() {
        assert_eq!(resolve("2147483648", "", "", &[]), Err(UserError::OutOfRange));
        assert_eq!(resolve("99999999999", "", "", &[]), Err(UserError::OutOfRange));
        assert!(matches!(resolve("-1", "", "", &[]), Err(UserError::NoSuchUser(_))));
    }

    #[test]
    fn additional_groups_come_once() {
        let found = resolve("jane", PASSWD, GROUP, &[44, 50]).unwrap();
        assert_eq!(found.groups, [1001, 10, 44, 50]);
    }

    #[test]
    fn home_by_number() {
        assert_eq!(home_of(1, PASSWD), "/usr/sbin");
        assert_eq!(home_of(31337, PASSWD), "/");
    }
}
