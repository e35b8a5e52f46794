//! Every route is in the black-box tests, and with more than an error: one that nobody asks fails here.

use std::fs;
use std::path::Path;

use http::Method;

use crate::routes;
use crate::version;

/// Both daemons are asked these, where docker.io's is installed.
const ENDPOINTS: &str = include_str!("../../../../tests/api/endpoints.txt");

/// What needs more than one question and one answer: in which file of `tests` it is asked, and by which words.
const ELSEWHERE: [(&str, &str, &str, &str); 9] = [
    ("GET", "/containers/{name}/attach/ws", "api/websocket.rs", "/attach/ws"),
    ("POST", "/images/load", "api/images.rs", "/images/load"),
    ("POST", "/images/{name}/push", "api/registry", "/push"),
    ("GET", "/images/search", "api/registry", "/images/search"),
    ("GET", "/distribution/{name}/json", "api/registry", "/distribution/"),
    ("POST", "/auth", "api/registry", "/auth"),
    ("POST", "/build", "api/build", "/build?"),
    ("POST", "/build/inputs", "api/build", "/build/inputs"),
    ("GET", "/build/outputs/{name}", "api/build", "/build/outputs/"),
];

fn has(path: &Path, words: &str) -> bool {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().any(|entry| has(&entry.unwrap().path(), words));
    }
    fs::read_to_string(path).unwrap().contains(words)
}

#[test]
fn every_route_is_in_the_black_box_tests() {
    let router = routes::router();
    let table = router.table();
    // The statuses that each route has been seen with.
    let mut seen = vec![Vec::<u16>::new(); table.len()];
    for line in ENDPOINTS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.strip_prefix("~ ").unwrap_or(line).split(' ');
        let mut word = || words.next().unwrap();
        let (status, method, path) = (word(), word().parse::<Method>().unwrap(), word());
        let status = status.split('/').next().unwrap().parse().unwrap();
        let (_, path) = version::split(path.split('?').next().unwrap());
        if let Some(route) = router.position(&method, path) {
            seen[route].push(status);
        }
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let is_elsewhere = |method: &Method, pattern: &str| {
        ELSEWHERE.iter().any(|(other, own, file, words)| {
            method == *other && pattern == *own && has(&tests.join(file), words)
        })
    };
    let missing: Vec<String> = table
        .iter()
        .zip(&seen)
        .filter(|((method, pattern), seen)| {
            // There are no plugins, and what there is not at all or may not be is what is answered.
            let is_answered = |status: &u16| {
                *status < 400
                    || matches!(status, 403 | 501 | 503)
                    || pattern.starts_with("/plugins/")
            };
            !seen.iter().any(is_answered) && !is_elsewhere(method, pattern)
        })
        .map(|((method, pattern), _)| format!("{method} {pattern}"))
        .collect();
    assert!(missing.is_empty(), "no test asks\n  {}", missing.join("\n  "));
}
