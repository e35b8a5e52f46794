//! Events as BuildKit's `--progress rawjson` has them: one `SolveStatus` per line, for programs.
//!
//! Steps have no digests here: what stands in their place are numbers in the form of digests, which
//! tell the steps of one build apart and nothing more.

use barge_api_types::{BuildEvent, BuildOutcome};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::steps::{Key, Steps};

/// When the steps began, which is told again when they end.
#[derive(Debug, Default)]
pub(super) struct Raw {
    began: Vec<(u32, Timestamp)>,
}

fn vertex(step: u32) -> String {
    format!("sha256:{:064x}", u64::from(step) + 1)
}

impl Raw {
    /// The line of an event that `steps` has taken note of.
    pub(super) fn tell(
        &mut self,
        steps: &Steps,
        event: &BuildEvent,
        now: Timestamp,
    ) -> Option<String> {
        let value = match event {
            BuildEvent::Planned { steps: planned } => {
                let all: Vec<Value> = planned.iter().map(|line| named(steps, line.step)).collect();
                json!({ "vertexes": all })
            }
            BuildEvent::Started { step } => {
                self.began.push((*step, now));
                let mut value = named(steps, *step);
                value["started"] = json!(now.to_string());
                json!({ "vertexes": [value] })
            }
            BuildEvent::Ended { step, outcome } => {
                let began = self.began.iter().find(|(began, _)| began == step);
                let mut value = named(steps, *step);
                value["started"] = json!(began.map_or(now, |(_, at)| *at).to_string());
                value["completed"] = json!(now.to_string());
                match outcome {
                    BuildOutcome::Done => {}
                    BuildOutcome::Cached => value["cached"] = json!(true),
                    BuildOutcome::Cancelled => value["error"] = json!("context canceled"),
                    BuildOutcome::Failed(message) => value["error"] = json!(message),
                }
                json!({ "vertexes": [value] })
            }
            BuildEvent::Output { step, stream, text } => json!({ "logs": [{
                "vertex": vertex(*step),
                "stream": stream,
                "data": STANDARD.encode(text),
                "timestamp": now.to_string(),
            }] }),
            BuildEvent::Advanced { step, what, current, total } => {
                let mut value = json!({
                    "id": what,
                    "vertex": vertex(*step),
                    "current": current,
                    "timestamp": now.to_string(),
                });
                if *total > 0 {
                    value["total"] = json!(total);
                }
                if *total > 0 && current >= total {
                    value["completed"] = json!(now.to_string());
                }
                json!({ "statuses": [value] })
            }
            BuildEvent::Warning(warning) => json!({ "warnings": [{
                "level": 1,
                "short": STANDARD.encode(format!(
                    "{}: {} (line {})", warning.rule, warning.detail, warning.line
                )),
                "detail": [STANDARD.encode(&warning.description)],
                "url": warning.url,
                "range": [{ "start": { "line": warning.line }, "end": { "line": warning.line } }],
            }] }),
            BuildEvent::Described { .. }
            | BuildEvent::Image { .. }
            | BuildEvent::Pushed { .. }
            | BuildEvent::Ready { .. }
            | BuildEvent::Failed { .. } => {
                return None;
            }
        };
        Some(format!("{value}\n"))
    }
}

fn named(steps: &Steps, step: u32) -> Value {
    let name = steps.step(Key::Daemon(step)).map_or_else(String::new, |step| steps.name(step));
    json!({ "digest": vertex(step), "name": name })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use barge_api_types::BuildStep;

    use super::*;

    #[test]
    fn every_line_is_a_status_of_buildkit() {
        let (mut steps, mut raw) = (Steps::default(), Raw::default());
        let mut line = |event: BuildEvent, second: i64| -> Value {
            steps.apply(&event, Duration::ZERO);
            let text = raw.tell(&steps, &event, Timestamp::from_second(second).unwrap()).unwrap();
            assert!(text.ends_with('\n'));
            serde_json::from_str(&text).unwrap()
        };
        let step = BuildStep {
            stage: "0".to_owned(),
            position: 1,
            of: 1,
            text: "RUN x".to_owned(),
            ..BuildStep::default()
        };
        let planned = line(BuildEvent::Planned { steps: vec![step] }, 0);
        assert_eq!(planned["vertexes"][0]["name"], "[1/1] RUN x");
        assert_eq!(planned["vertexes"][0]["digest"].as_str().unwrap().len(), 71);
        line(BuildEvent::Started { step: 0 }, 1);
        let output = BuildEvent::Output { step: 0, stream: 2, text: "hi\n".to_owned() };
        assert_eq!(line(output, 2)["logs"][0]["data"], "aGkK");
        let failed = BuildOutcome::Failed("exit code: 1".to_owned());
        let ended = &line(BuildEvent::Ended { step: 0, outcome: failed }, 3)["vertexes"][0];
        assert_eq!(ended["started"], "1970-01-01T00:00:01Z");
        assert_eq!(ended["completed"], "1970-01-01T00:00:03Z");
        assert_eq!(ended["error"], "exit code: 1");
    }
}
