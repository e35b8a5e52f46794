//! The daemon's log: lines as dockerd (logrus) writes them, on stderr, with a level that can change.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Changes the level of the running log.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(reload::Handle<LevelFilter, Registry>);

impl LogLevel {
    /// From now on this is logged.
    pub(crate) fn set(&self, level: LevelFilter) {
        // Fails only when the subscriber is gone, and then there is nothing to log with either.
        self.0.modify(|current| *current = level).ok();
    }
}

/// Starts logging to stderr.
pub(crate) fn start(level: LevelFilter) -> LogLevel {
    let (filter, handle) = reload::Layer::new(level);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Logrus)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    // Fails when a subscriber is set already, which is this one.
    tracing_subscriber::registry().with(lines).try_init().ok();
    LogLevel(handle)
}

/// The level that `--log-level` names.
pub(crate) fn parse_level(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "fatal" | "panic" => LevelFilter::ERROR,
        _ => return None,
    })
}

/// `time="…" level=info msg="…" key=value`.
struct Logrus;

impl<S, N> FormatEvent<S, N> for Logrus
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, rest } = fields;
        write!(out, "time=\"{}\" level={level} msg={}", jiff::Timestamp::now(), quoted(&message))?;
        writeln!(out, "{rest}")
    }
}

/// An event's message, and its other fields in text.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.add(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
}

impl Fields {
    fn add(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message.push_str(text);
            return;
        }
        let is_plain = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte));
        let value = if is_plain { text.to_owned() } else { quoted(text) };
        // Writing to a string cannot fail.
        write!(self.rest, " {}={value}", field.name()).ok();
    }
}

/// A text as Go's `%q` quotes it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Writing to a string cannot fail.
            control if control.is_control() => {
                write!(out, "\\x{:02x}", u32::from(control)).ok();
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Buffer {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn lines_are_logrus_lines() {
        let buffer = Buffer::default();
        let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Logrus)
            .with_writer(buffer.clone())
            .with_filter(filter);
        let level = LogLevel(handle);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::info!(container = "abc", why = "no \"reason\"", "it\nis {}", 1);
            tracing::debug!("not yet");
            level.set(LevelFilter::DEBUG);
            tracing::debug!("now");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("time=\"20"), "{text}");
        assert!(
            lines[0].ends_with(
                "Z\" level=info msg=\"it\\nis 1\" container=abc why=\"no \\\"reason\\\"\""
            ),
            "{text}"
        );
        assert!(lines[1].ends_with(" level=debug msg=\"now\""), "{text}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn levels_are_dockers() {
        for text in ["debug", "info", "warn", "WARNING", "error", "fatal"] {
            assert!(parse_level(text).is_some(), "{text}");
        }
        assert!(parse_level("loud").is_none());
    }
}
