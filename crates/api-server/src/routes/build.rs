//! `/build` and what belongs to it.

use std::collections::{BTreeMap, HashMap};

use barge_api_types::{AuthConfig, BUILD_EVENTS, BuildInputs, BuildInputsResponse, Ulimit};
use barge_engine::{
    BuildForm, BuildLimits, BuildMessage, BuildPruneRequest, BuildQuery, BuildStart, Engine,
    RegistryCredentials,
};
use barge_types::ErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::images::{line, received, upload};
use super::registry::{decode, filled};
use crate::body::Json;
use crate::call::Call;
use crate::query::Query;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;

type Result<T = Reply> = std::result::Result<T, ApiError>;

pub(super) fn add(router: &mut Router<Engine>) {
    router.post("/build", build);
    router.post("/build/inputs", inputs);
    router.post("/build/cancel", cancel);
    router.post("/build/prune", prune);
    router.get("/build/outputs/{name}", output);
}

async fn build(call: Call<Engine>) -> Result {
    let accept = call.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let form = if accept == Some(BUILD_EVENTS) { BuildForm::Events } else { BuildForm::Classic };
    let query = query(&call.query)?;
    let (inputs, name) = (call.query.filled("inputs"), call.query.text("buildid").to_owned());
    let credentials = credentials(call.headers());
    let builds = std::sync::Arc::clone(&call.state.builds);
    let body = upload(call);
    let messages =
        builds.start(BuildStart { query, inputs, name, credentials, body, form }).await?;
    let content_type = match form {
        BuildForm::Classic => "application/json",
        BuildForm::Events => BUILD_EVENTS,
    };
    Ok(reply::follow(content_type, received(messages).map(|message| to_line(&message))))
}

fn to_line(message: &BuildMessage) -> std::io::Result<Bytes> {
    match message {
        BuildMessage::Classic(message) => line(message),
        BuildMessage::Event(event) => {
            let mut line = serde_json::to_vec(event)?;
            line.push(b'\n');
            Ok(line.into())
        }
    }
}

/// What Docker's clients say of a build. What its classic builder does not have is refused, as is what barge has
/// under another name.
fn query(query: &Query) -> Result<BuildQuery> {
    if !matches!(query.text("version"), "" | "1") {
        return Err(ApiError::invalid(
            "this daemon has no BuildKit: set DOCKER_BUILDKIT=0, or build with \"barge build\"",
        ));
    }
    if !matches!(query.text("outputs"), "" | "null" | "[]") {
        return Err(ApiError::not_implemented(
            "outputs are not supported by the classic builder: build with \"barge build\"",
        ));
    }
    let list = |key: &str| -> Vec<String> {
        let entries = query.all(key).into_iter();
        let entries =
            entries.flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>());
        entries.filter(|text| !text.is_empty()).collect()
    };
    Ok(BuildQuery {
        tags: query.all("t"),
        dockerfile: query.text("dockerfile").to_owned(),
        remote: query.text("remote").to_owned(),
        quiet: query.flag("q"),
        no_cache: query.flag("nocache"),
        cache_from: json(query, "cachefrom")?,
        pull: query.flag("pull"),
        squash: query.flag("squash"),
        build_args: json::<BTreeMap<String, Option<String>>>(query, "buildargs")?,
        labels: json(query, "labels")?,
        network: query.text("networkmode").to_owned(),
        platform: query.text("platform").to_owned(),
        target: query.text("target").to_owned(),
        extra_hosts: list("extrahosts"),
        limits: limits(query)?,
    })
}

fn limits(query: &Query) -> Result<BuildLimits> {
    let number = |key: &str| Ok::<i64, ApiError>(query.number(key)?.unwrap_or_default());
    Ok(BuildLimits {
        memory: number("memory")?,
        memory_swap: number("memswap")?,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        shm_size: number("shmsize")?,
        ulimits: json::<Vec<Ulimit>>(query, "ulimits")?,
        cgroup_parent: query.text("cgroupparent").to_owned(),
        security_options: json(query, "securityopt")?,
    })
}

/// A parameter that is a document; nothing and `null` are the empty one.
fn json<T: DeserializeOwned + Default>(query: &Query, key: &str) -> Result<T> {
    let text = query.text(key);
    if text.is_empty() {
        return Ok(T::default());
    }
    let value = serde_json::from_str::<Option<T>>(text)
        .map_err(|error| ApiError::invalid(format!("error reading {key}: {error}")))?;
    Ok(value.unwrap_or_default())
}

/// What `X-Registry-Config` carries: credentials by registry. As in dockerd, one that makes no sense is one that is not
/// there.
fn credentials(headers: &HeaderMap) -> RegistryCredentials {
    let read = || {
        let text = headers.get("x-registry-config")?.to_str().ok()?;
        serde_json::from_slice::<HashMap<String, AuthConfig>>(&decode(text)?).ok()
    };
    let all = read().unwrap_or_default();
    all.into_iter().filter_map(|(host, auth)| Some((host, filled(&auth)?))).collect()
}

async fn inputs(mut call: Call<Engine>) -> Result {
    let Json::Value(inputs) = call.json::<BuildInputs>().await? else {
        return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
    };
    let id = call.state.builds.prepare(inputs, call.peer()).await?;
    reply::json(StatusCode::OK, &BuildInputsResponse { id })
}

async fn cancel(call: Call<Engine>) -> Result {
    match call.query.filled("id") {
        Some(id) => call.state.builds.cancel(&id),
        None => return Err(ApiError::invalid("build ID not provided")),
    }
    Ok(reply::ok())
}

async fn prune(call: Call<Engine>) -> Result {
    let query = &call.query;
    let bytes = |key: &str| Ok::<u64, ApiError>(query.number(key)?.unwrap_or_default());
    let kept = bytes("keep-storage")?;
    let request = BuildPruneRequest {
        all: query.flag("all"),
        reserved_space: bytes("reserved-space")?.max(kept),
        max_used_space: bytes("max-used-space")?,
        min_free_space: bytes("min-free-space")?,
        filters: query.filters()?,
    };
    reply::json(StatusCode::OK, &call.state.builds.prune(request).await?)
}

/// `/build/outputs/{build}/{number}`.
async fn output(call: Call<Engine>) -> Result {
    let found = call.name.rsplit_once('/').and_then(|(build, number)| {
        let number = number.parse::<u32>().ok()?;
        Some((build, number))
    });
    let Some((build, number)) = found else {
        return Err(ApiError::new(ErrorKind::NotFound, "page not found"));
    };
    let archive = call.state.builds.output(build, number)?;
    Ok(reply::stream("application/x-tar", received(archive)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        query(&Query::parse(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn documents_in_the_query_are_read() {
        let text = "t=a&t=b&buildargs=%7B%22A%22%3Anull%2C%22B%22%3A%221%22%7D&labels=null\
             &ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Hard%22%3A2%2C%22Soft%22%3A1%7D%5D\
             &extrahosts=a%3A1.2.3.4%2Cb%3A%3A%3A1&memory=7&cachefrom=%5B%22x%22%5D";
        let parsed = query(&Query::parse(text).unwrap()).unwrap();
        assert_eq!(parsed.tags, ["a", "b"]);
        assert_eq!(parsed.build_args["A"], None);
        assert_eq!(parsed.build_args["B"].as_deref(), Some("1"));
        assert!(parsed.labels.is_empty());
        assert_eq!(parsed.limits.ulimits[0].hard, 2);
        assert_eq!(parsed.extra_hosts, ["a:1.2.3.4", "b:::1"]);
        assert_eq!(parsed.cache_from, ["x"]);
        assert_eq!(parsed.limits.memory, 7);
    }

    #[test]
    fn what_is_no_document_and_what_is_not_there_is_named() {
        assert!(error("labels=%7B").starts_with("error reading labels: "));
        assert!(error("version=2").contains("DOCKER_BUILDKIT=0"));
        assert!(error("outputs=%5B%7B%7D%5D").contains("barge build"));
        assert!(error("memory=x").contains("memory"));
    }

    #[test]
    fn credentials_are_by_registry() {
        let mut headers = HeaderMap::new();
        // {"h":{"username":"u","password":"p"},"empty":{}}
        let text = "eyJoIjp7InVzZXJuYW1lIjoidSIsInBhc3N3b3JkIjoicCJ9LCJlbXB0eSI6e319";
        headers.insert("x-registry-config", text.parse().unwrap());
        let found = credentials(&headers);
        assert_eq!(found.len(), 1);
        assert_eq!(found["h"].username, "u");
        headers.insert("x-registry-config", "!!".parse().unwrap());
        assert!(credentials(&headers).is_empty());
    }
}
