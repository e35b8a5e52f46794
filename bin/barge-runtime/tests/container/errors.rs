//! Commands that cannot be run, in the words and kinds that clients match on.

use barge_runtime_core::Failure;

use crate::laboratory::Lab;

fn error(args: &[&str]) -> (String, Failure) {
    let error = Lab::new(args).try_run().unwrap_err();
    (error.message.clone(), error.kind())
}

#[test]
fn a_missing_command() {
    let (text, kind) = error(&["nonsense"]);
    assert_eq!(text, "exec: \"nonsense\": executable file not found in $PATH");
    assert_eq!(kind, Failure::CommandNotFound);
    let (text, kind) = error(&["/bin/nonsense"]);
    assert_eq!(text, "exec: \"/bin/nonsense\": stat /bin/nonsense: no such file or directory");
    assert_eq!(kind, Failure::CommandNotFound);
}

#[test]
fn a_command_that_is_no_program() {
    let (text, kind) = error(&["/etc/passwd"]);
    assert_eq!(text, "exec: \"/etc/passwd\": permission denied");
    assert_eq!(kind, Failure::CommandNotExecutable);
    let (text, kind) = error(&["/etc"]);
    assert_eq!(text, "exec: \"/etc\": is a directory");
    assert_eq!(kind, Failure::CommandNotExecutable);
}

#[test]
fn a_program_that_the_kernel_does_not_take_is_told_at_the_start() {
    let lab = Lab::new(&["/bin/odd"]);
    let path = lab.rootfs.path().join("bin/odd");
    std::fs::write(&path, "\u{7f}nonsense").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = lab.try_run().unwrap_err();
    assert_eq!(error.message, "exec /bin/odd: exec format error");
    assert_eq!(error.kind(), Failure::CommandNotExecutable);
    std::fs::write(&path, "#!/nonexistent\n").unwrap();
    let error = lab.try_run().unwrap_err();
    assert_eq!(error.message, "exec /bin/odd: no such file or directory");
    assert_eq!(error.kind(), Failure::CommandNotFound);
}

#[test]
fn a_failed_start_leaves_no_process() {
    let lab = Lab::new(&["nonsense"]);
    lab.try_run().unwrap_err();
    // Any child left would be a zombie of ours or alive; other tests' children have other names.
    let own = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let is_ours = stat.rsplit(')').next().unwrap().split_whitespace().nth(1) == Some(&own);
        let root = std::fs::read_link(entry.path().join("root"));
        assert!(!(is_ours && root.is_ok_and(|root| root == lab.rootfs.path())), "{stat}");
    }
}

#[test]
fn what_is_not_supported_is_refused() {
    let mut lab = Lab::new(&["/bin/true"]);
    lab.process().args.clear();
    assert_eq!(lab.try_run().unwrap_err().kind(), Failure::InvalidSpec);
    let mut lab = Lab::new(&["/bin/true"]);
    lab.spec.hooks = Some(barge_oci::runtime::Hooks {
        prestart: vec![barge_oci::runtime::Hook::default()],
        ..Default::default()
    });
    assert_eq!(lab.try_run().unwrap_err().message, "hooks are not supported");
}

#[test]
fn the_program_itself_says_what_it_does_not_know() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_barge-runtime"))
        .arg("checkpoint")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("unknown command \"checkpoint\""), "{text}");
}
