//! A daemon that went away and may come back: it was killed and its service manager starts it again, or somebody installs
//! another version. What does not lose anything by it waits and asks again.

use std::time::Duration;

use barge_client::Client;
use tokio::time::{Instant, sleep, timeout};

/// How long a daemon may take to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says how long instead, in seconds; 0 does not wait.
const VARIABLE: &str = "BARGE_RECONNECT";

/// How long is waited before each question.
const STEP: Duration = Duration::from_millis(50);

/// A daemon that takes a connection and does not answer is none yet.
const ANSWER: Duration = Duration::from_secs(1);

/// Whether a daemon answers again.
pub(crate) async fn is_back(client: &Client) -> bool {
    is_back_within(client, patience(std::env::var(VARIABLE).ok().as_deref())).await
}

async fn is_back_within(client: &Client, patience: Duration) -> bool {
    let Some(deadline) = Instant::now().checked_add(patience) else { return false };
    while Instant::now() < deadline {
        sleep(STEP).await;
        if matches!(timeout(ANSWER, client.ping()).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

fn patience(text: Option<&str>) -> Duration {
    text.and_then(|text| text.parse().ok()).map_or(PATIENCE, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use barge_client::Host;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn who_takes_a_connection_without_an_answer_is_not_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let client = || Client::new(Host::Unix(path.clone()));
        assert!(!is_back_within(&client(), STEP).await, "there is nobody");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let mut stream = listener.accept().await.unwrap().0;
                if taken.len() >= 2 {
                    stream.readable().await.unwrap();
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
                    stream.write_all(answer).await.unwrap();
                }
                taken.push(stream);
            }
        });
        assert!(!is_back_within(&client(), ANSWER).await, "nobody answers");
        assert!(is_back_within(&client(), Duration::from_secs(60)).await);
        daemon.abort();
    }

    #[test]
    fn the_user_says_how_long() {
        assert_eq!(patience(None), PATIENCE);
        assert_eq!(patience(Some("soon")), PATIENCE);
        assert_eq!(patience(Some("0")), Duration::ZERO);
        assert_eq!(patience(Some("60")), Duration::from_secs(60));
    }
}
