//! `top`: the processes of a container as the host's `ps` shows them.

use std::sync::Arc;

use barge_api_types::ContainerTopResponse;
use barge_shim_api::{Request, Response};

use super::Containers;
use super::pause::not_running;
use super::settings::invalid;
use crate::blocking;
use crate::error::{EngineError, Result};

impl Containers {
    /// Asks `ps` with the user's arguments and keeps the container's lines.
    pub async fn top(self: &Arc<Self>, name: &str, ps_args: &str) -> Result<ContainerTopResponse> {
        let container = self.registry.find(name)?;
        let arguments = if ps_args.is_empty() { "-ef" } else { ps_args };
        // `-o pid=x` would hide which column is the process id, and `--` or a path is no option of `ps`.
        let is_safe = |word: &str| {
            word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_,=:+".contains(&byte))
        };
        if !arguments.split_whitespace().all(is_safe) {
            return Err(invalid(format!("invalid ps arguments: {arguments:?}")));
        }
        if container.state().running().is_none() {
            return Err(not_running(&container));
        }
        let shim = container.shim().ok_or_else(|| not_running(&container))?;
        let Response::Pids(pids) = shim.ask("list the processes", &Request::Pids).await? else {
            return Err(EngineError::ShimGone { id: container.id.to_string() });
        };
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let output = blocking::run(move || {
            std::process::Command::new("ps")
                .args(arguments)
                .output()
                .map_err(EngineError::io("run", "ps"))
        })
        .await?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(invalid(format!("ps: {text}")));
        }
        let processes = parse(&String::from_utf8_lossy(&output.stdout), &pids)?;
        self.tell(&container, "top");
        Ok(processes)
    }
}

fn parse(text: &str, pids: &[u32]) -> Result<ContainerTopResponse> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| invalid("Couldn't find PID field in ps output"))?;
    let mut processes = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pid = words.get(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid: u32| pids.contains(&pid)) && words.len() >= titles.len() {
            // The last column is the command, which has spaces.
            let (head, tail) = words.split_at(titles.len() - 1);
            processes
                .push(head.iter().map(|&word| word.to_owned()).chain([tail.join(" ")]).collect());
        }
    }
    Ok(ContainerTopResponse { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_are_kept_and_commands_whole() {
        let text = "UID  PID CMD\nroot 1 init\nroot 7 sh -c a b\n";
        let top = parse(text, &[7]).unwrap();
        assert_eq!(top.processes, [["root", "7", "sh -c a b"]]);
        assert!(parse("USER CMD\n", &[]).is_err());
    }
}
