//! The Engine API without a client library: requests as bytes, so that a test also sees and sends what no library
//! would.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::DEADLINE;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// `GET /…`, for texts.
    pub request: String,
    /// The status code.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error} in {}", self.request, self.text()))
    }

    /// Insists on this status.
    ///
    /// # Panics
    /// When it is another one.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert!(
            self.status == status,
            "{}: expected {status}, got {}: {}",
            self.request,
            self.status,
            self.text()
        );
        self
    }

    /// Insists on an error of Docker's form and returns its message.
    ///
    /// # Panics
    /// When the status is another one or the body is not `{"message": …}`.
    #[must_use]
    #[track_caller]
    pub fn error(self, status: u16) -> String {
        let reply = self.is(status);
        assert_eq!(reply.header("content-type"), Some("application/json"), "{}", reply.request);
        let body = reply.json();
        let members = body.as_object().map_or(0, serde_json::Map::len);
        assert_eq!(members, 1, "{}: {body}", reply.request);
        body["message"].as_str().expect("an error has a message").to_owned()
    }
}

/// The API behind a socket.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The socket itself.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks without a body.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    /// Asks with a JSON body, or with none for `Value::Null`.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "called with json!(…)")]
    pub fn post(&self, path: &str, body: Value) -> Reply {
        let text = body.to_string();
        let content = ("application/json", text.as_bytes());
        self.send("POST", path, (!body.is_null()).then_some(content))
    }

    /// Asks for a removal.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    /// Asks with any method, and with a body of any type.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, content: Option<(&str, &[u8])>) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: barge\r\nConnection: close\r\n");
        if let Some((kind, body)) = content {
            head.push_str(&format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()));
        } else if method == "POST" {
            head.push_str("Content-Length: 0\r\n");
        }
        let mut connection = self.connect();
        let body = content.map(|(_, body)| body).unwrap_or_default();
        connection.write(format!("{head}\r\n").as_bytes());
        // The daemon may answer (and hang up) before it has read all of it, which is for the answer to say.
        connection.stream.write_all(body).ok();
        connection.reply(method, path)
    }

    /// A connection of its own, for what is more than one question and one answer.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        let stream = UnixStream::connect(&self.socket)
            .unwrap_or_else(|error| panic!("{}: {error}", self.socket.display()));
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Connection { stream, ahead: Vec::new() }
    }

    /// Asks to take the connection over, as `attach` and the start of an exec do.
    ///
    /// # Panics
    /// When the daemon does not switch.
    #[must_use]
    #[track_caller]
    pub fn hijack(&self, path: &str, body: &Value) -> Connection {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut connection = self.connect();
        let length = text.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: barge\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{text}"
        );
        connection.write(head.as_bytes());
        let (status, _) = connection.head();
        if status != 101 {
            let rest = connection.available();
            panic!("POST {path}: {status}: {}", String::from_utf8_lossy(&rest));
        }
        connection
    }
}

/// One connection to the daemon. Every read ends by the deadline.
#[derive(Debug)]
pub struct Connection {
    /// The socket itself.
    pub stream: UnixStream,
    ahead: Vec<u8>,
}

impl Connection {
    /// Sends bytes.
    ///
    /// # Panics
    /// When the other side has gone.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) -> &mut Self {
        self.stream.write_all(bytes).expect("the daemon reads");
        self
    }

    /// Says that nothing more will be sent.
    ///
    /// # Panics
    /// When the other side has gone.
    pub fn close_write(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
        self
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.ahead.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }

    /// Everything up to the end of the stream.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().expect("the stream ends") {}
        std::mem::take(&mut self.ahead)
    }

    /// What has arrived up to now (at least a byte, unless the stream is at its end).
    ///
    /// # Panics
    /// When nothing arrives.
    #[must_use]
    #[track_caller]
    pub fn available(&mut self) -> Vec<u8> {
        if self.ahead.is_empty() {
            self.fill().expect("something arrives");
        }
        std::mem::take(&mut self.ahead)
    }

    /// Exactly so many bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    #[track_caller]
    pub fn exact(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.fill().expect("bytes arrive"), "the stream ends too early");
        }
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// One line, without its end.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line = self.exact(end + 1);
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            assert!(self.fill().expect("a line arrives"), "the stream ends too early");
        }
    }

    /// One frame of a stream without terminal: 1 or 2 for standard output or error, and the bytes.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let header = self.exact(8);
        assert_eq!(header[1..4], [0, 0, 0], "a frame's header: {header:?}");
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        (header[0], self.exact(length.try_into().unwrap()))
    }

    /// The status and the headers of an answer.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let status = self.line();
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        (code.unwrap_or_else(|| panic!("{status:?} is no answer")), headers)
    }

    /// A whole answer of a connection that ends with it.
    #[track_caller]
    fn reply(&mut self, method: &str, path: &str) -> Reply {
        let (status, headers) = self.head();
        let mut reply =
            Reply { request: format!("{method} {path}"), status, headers, body: Vec::new() };
        if reply.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                reply.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = reply.header("content-length").filter(|_| method != "HEAD") {
            // Not up to the end of the stream: a daemon that did not want the request's body cuts the connection.
            let length = length.parse().unwrap_or_else(|error| panic!("{length:?}: {error}"));
            reply.body = self.exact(length);
        } else {
            reply.body = self.rest();
        }
        reply
    }

    /// The next chunk of a chunked body; none at its end.
    ///
    /// # Panics
    /// When there is neither.
    #[must_use]
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line();
        let length = usize::from_str_radix(&line, 16);
        let length = length.unwrap_or_else(|error| panic!("{error} in a chunk's head {line:?}"));
        let chunk = self.exact(length);
        assert_eq!(self.line(), "", "a chunk has an end");
        (length > 0).then_some(chunk)
    }
}
