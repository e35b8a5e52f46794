//! `_ping`, versions, `info`, and what is not there.

use barge_testkit::Sharing;

static HOST: Sharing = Sharing::new();

#[test]
fn ping_tells_what_clients_negotiate_with() {
    let host = HOST.host();
    for method in ["GET", "HEAD"] {
        let reply = host.api().send(method, "/_ping", None).is(200);
        assert_eq!(reply.text(), if method == "GET" { "OK" } else { "" });
        let version = reply.header("api-version").unwrap();
        assert!(version.starts_with("1."), "{version}");
        assert_eq!(reply.header("ostype"), Some("linux"));
        assert_eq!(reply.header("docker-experimental"), Some("false"));
        assert_eq!(reply.header("cache-control"), Some("no-cache, no-store, must-revalidate"));
        assert!(reply.header("server").unwrap().contains("(linux)"));
    }
}
