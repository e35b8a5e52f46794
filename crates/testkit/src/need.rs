//! What a test needs from the machine: absent on a developer's machine it is an announced skip, in CI a failure.

/// Whether a tool is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Present,
    /// It is not: the test is skipped. (In CI this is never returned, the test fails instead.)
    Absent(&'static str),
}

/// Looks for a program in `PATH` and the folders of system programs.
///
/// # Panics
/// In CI (the variable `CI` is `true`), where everything the tests need has to be installed.
#[must_use]
pub fn check(tool: &'static str) -> Verdict {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    if folders.map(|folder| folder.join(tool)).any(|program| program.is_file()) {
        return Verdict::Present;
    }
    absent(tool)
}

/// The same for a module of Python 3.
///
/// # Panics
/// In CI.
#[must_use]
pub fn check_python(module: &'static str) -> Verdict {
    if check("python3") == Verdict::Present {
        let mut python = crate::command("python3");
        if crate::Process::start(python.arg("-c").arg(format!("import {module}"))).wait().code == 0
        {
            return Verdict::Present;
        }
    }
    absent(module)
}

fn absent(tool: &'static str) -> Verdict {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{tool} has to be there in CI");
    eprintln!("skipped: there is no {tool} on this machine");
    Verdict::Absent(tool)
}

/// `need!(docker, skopeo)`: leaves the test when one of the tools is not installed.
#[macro_export]
macro_rules! need {
    ($($tool:ident),+ $(,)?) => {
        $(
            if let $crate::Verdict::Absent(_) = $crate::check(stringify!($tool)) {
                return;
            }
        )+
    };
}
