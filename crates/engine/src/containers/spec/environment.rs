//! A process's environment: defaults, then the image's, then the user's.

/// Where programs are looked for when nobody says.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables that are there unless the configuration says otherwise, with the configuration's over them.
pub(crate) fn build(config: &[String], hostname: &str, has_terminal: bool) -> Vec<String> {
    let terminal = has_terminal.then(|| "TERM=xterm".to_owned());
    let defaults =
        [PATH.to_owned(), format!("HOSTNAME={hostname}")].into_iter().chain(terminal).collect();
    merge(defaults, config)
}

/// Puts variables over others: one of the same name takes its place, a name without `=` removes it.
pub(crate) fn merge(mut base: Vec<String>, over: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for variable in over {
        let at = base.iter().position(|other| name(other) == name(variable));
        match (at, variable.contains('=')) {
            (Some(at), true) => variable.clone_into(&mut base[at]),
            (Some(at), false) => {
                base.remove(at);
            }
            (None, true) => base.push(variable.clone()),
            (None, false) => {}
        }
    }
    base
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
    fn a_terminal_has_a_term() {
        let all = build(&owned(&["PATH=/bin"]), "box", true);
        assert_eq!(all, ["PATH=/bin", "HOSTNAME=box", "TERM=xterm"]);
    }
}
