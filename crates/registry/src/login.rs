//! `POST /auth`: does the registry take these credentials?

use http::Method;

use crate::Registry;
use crate::auth::{self, Offline, Wish};
use crate::challenge::{self, Challenge};
use crate::credentials::Credentials;
use crate::error::{Failure, RegistryError, Result};
use crate::hosts::Endpoint;
use crate::session::Session;
use crate::transport::{Answer, Request, Transport};

/// The registry takes the credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginAnswer {
    /// Docker's text.
    pub status: String,
    /// What the token service gave in the place of the password; empty where it gave nothing.
    pub identity_token: String,
}

impl std::fmt::Debug for LoginAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Registry {
    /// Logs in to a registry: `address` is its host as references name it, or an address (`https://host/v1/`), of which
    /// only the host counts, as in Docker. Nothing at all means docker.io.
    pub async fn login(&self, address: &str, credentials: &Credentials) -> Result<LoginAnswer> {
        let host = host_of(address);
        let live = self.live();
        let session = Session::new(live, host, credentials.clone(), std::iter::empty().collect());
        let mut last = None;
        for endpoint in session.own_endpoints().await? {
            match login_to(&session.live.transport, &endpoint, credentials).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_before_connection() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last
            .unwrap_or_else(|| RegistryError::NoHost { host: host.into(), capability: "resolve" }))
    }
}

/// The host of an address as clients and `config.json` write it.
pub(crate) fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

async fn login_to(
    transport: &Transport,
    endpoint: &Endpoint,
    credentials: &Credentials,
) -> Result<LoginAnswer> {
    let first = ping(transport, endpoint, None).await?;
    let challenges = challenge::parse(&first.headers);
    if first.status != 401 {
        return done(first, String::new()).await;
    }
    let bearer = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer(bearer) => Some(bearer),
        Challenge::Basic => None,
    });
    if let Some(bearer) = bearer {
        first.discard().await;
        let scopes: Vec<String> = bearer.scope.iter().cloned().collect();
        let offline = Offline::Wanted;
        let wish = Wish { service: &bearer.service, scopes: &scopes, credentials, offline };
        let token = auth::fetch(transport, endpoint, &bearer.realm, &wish).await?;
        let header = format!("Bearer {}", token.value());
        let identity_token = if token.refresh_token.is_empty() {
            credentials.identity_token.clone()
        } else {
            token.refresh_token
        };
        return done(ping(transport, endpoint, Some(&header)).await?, identity_token).await;
    }
    if !challenges.contains(&Challenge::Basic) {
        return done(first, String::new()).await;
    }
    let Some(basic) = credentials.basic() else {
        return Err(Failure::NoCredentials.on(&Method::GET, &first.url));
    };
    first.discard().await;
    let header = auth::basic(basic);
    done(ping(transport, endpoint, Some(&header)).await?, String::new()).await
}

async fn ping(
    transport: &Transport,
    endpoint: &Endpoint,
    authorization: Option<&str>,
) -> Result<Answer> {
    let mut request = Request::new(Method::GET, endpoint.base.below("/"));
    request.tls = endpoint.tls.clone();
    request.downgrade = endpoint.downgrade;
    request.own_headers = endpoint.headers.clone();
    auth::authorize(&mut request, authorization);
    transport.send(request).await
}

async fn done(answer: Answer, identity_token: String) -> Result<LoginAnswer> {
    let (status, url) = (answer.status, answer.url.to_string());
    answer.discard().await;
    if status == 200 {
        Ok(LoginAnswer { status: "Login Succeeded".into(), identity_token })
    } else {
        Err(RegistryError::Login { url, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_addresss_host_counts() {
        for (address, host) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("reg:5000", "reg:5000"),
            ("http://reg:5000/v2/", "reg:5000"),
        ] {
            assert_eq!(host_of(address), host);
        }
    }
}
