//! A process's environment: defaults, what links tell, then the image's, then the user's.

use std::collections::HashMap;

use barge_api_types::ContainerConfig;

/// Where programs are looked for when nobody says.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables that are there unless the configuration says otherwise, with the configuration's over them.
pub(crate) fn build(
    config: &ContainerConfig,
    linked: &[String],
    has_terminal: bool,
) -> Vec<String> {
    let terminal = has_terminal.then(|| "TERM=xterm".to_owned());
    let defaults =
        [PATH.to_owned(), format!("HOSTNAME={}", config.hostname)].into_iter().chain(terminal);
    merge(merge(defaults.collect(), linked), &config.env)
}

/// Puts variables over others: one of the same name takes its place, a name without `=` removes it. Images and
/// files of variables bring thousands, so places are looked up, not searched for.
pub(crate) fn merge(base: Vec<String>, over: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut slots: Vec<Option<String>> = Vec::with_capacity(base.len() + over.len());
    let mut places = HashMap::with_capacity(base.len() + over.len());
    for variable in base {
        // The first of a name is the one that gives way.
        places.entry(name(&variable)).or_insert(slots.len());
        slots.push(Some(variable));
    }
    for variable in over {
        match (places.get(&name(variable)).copied(), variable.contains('=')) {
            (Some(at), true) => slots[at] = Some(variable.clone()),
            (Some(at), false) => {
                slots[at] = None;
                places.remove(&name(variable));
            }
            (None, true) => {
                places.insert(name(variable), slots.len());
                slots.push(Some(variable.clone()));
            }
            (None, false) => {}
        }
    }
    slots.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn later_variables_win_and_a_bare_name_removes() {
        let merged = merge(owned(&["A=1", "B=2"]), &owned(&["B=3", "C=4", "A"]));
        assert_eq!(merged, ["B=3", "C=4"]);
    }

    #[test]
    fn what_was_removed_comes_back_at_the_end() {
        let merged = merge(owned(&["A=1", "B=2"]), &owned(&["A", "A=3", "A=4"]));
        assert_eq!(merged, ["B=2", "A=4"]);
    }

    #[test]
    fn a_terminal_has_a_term() {
        let config = ContainerConfig {
            env: owned(&["PATH=/bin", "DB_NAME=own"]),
            hostname: "box".into(),
            ..ContainerConfig::default()
        };
        let all = build(&config, &[], true);
        assert_eq!(all, ["PATH=/bin", "HOSTNAME=box", "TERM=xterm", "DB_NAME=own"]);
        // What a link tells is over the defaults and below the container's own.
        let all = build(&config, &owned(&["DB_NAME=/box/db", "DB_PORT=1"]), false);
        assert_eq!(all, ["PATH=/bin", "HOSTNAME=box", "DB_NAME=own", "DB_PORT=1"]);
    }
}
