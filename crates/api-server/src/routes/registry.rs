//! Everything that speaks to registries: pull, push, `/distribution`, `/auth`, search.

use std::sync::Arc;

use barge_api_types::AuthConfig;
use barge_engine::{Credentials, Engine, PullRequest, PushRequest, SearchOptions};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode};

use super::images::{line, received};
use crate::body::Json;
use crate::call::Call;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;

type Result = std::result::Result<Reply, ApiError>;

/// Clients write base64 for URLs, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn add(router: &mut Router<Engine>) {
    router.get("/images/search", search);
    router.post("/images/{name}/push", push);
    router.get("/distribution/{name}/json", distribution);
    router.post("/auth", login);
}

/// `POST /images/create` with `fromImage`.
pub(super) async fn pull(call: Call<Engine>) -> Result {
    let query = &call.query;
    let request = PullRequest {
        name: query.text("fromImage").trim().to_owned(),
        tag: query.text("tag").trim().to_owned(),
        platform: query.text("platform").to_owned(),
        credentials: credentials(call.headers()),
    };
    let images = Arc::clone(&call.state.images);
    let messages = received(images.pull(request).await?);
    Ok(reply::follow("application/json", messages.map(|message| line(&message))))
}

async fn push(mut call: Call<Engine>) -> Result {
    let from_header = credentials(call.headers());
    // Clients of long ago have the credentials in the body, whatever its type is said to be.
    let credentials = match from_header {
        None => {
            let auth = call.json::<AuthConfig>().await.ok().map(Json::or_default);
            auth.as_ref().and_then(filled)
        }
        from_header => from_header,
    };
    let request = PushRequest {
        name: call.name.clone(),
        tag: call.query.text("tag").to_owned(),
        platform: call.query.text("platform").to_owned(),
        credentials,
    };
    let images = Arc::clone(&call.state.images);
    let messages = received(images.push(request).await?);
    Ok(reply::follow("application/json", messages.map(|message| line(&message))))
}

async fn distribution(call: Call<Engine>) -> Result {
    let credentials = credentials(call.headers());
    let found = call.state.images.distribution(&call.name, credentials).await?;
    reply::json(StatusCode::OK, &found)
}

async fn login(mut call: Call<Engine>) -> Result {
    let auth = match call.json::<AuthConfig>().await? {
        Json::Value(auth) => auth,
        Json::Missing => {
            return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
        }
    };
    let answer = call.state.registries.login(&auth.server_address, of(&auth)).await?;
    reply::json(StatusCode::OK, &answer)
}

async fn search(call: Call<Engine>) -> Result {
    let options = SearchOptions {
        term: call.query.text("term").to_owned(),
        limit: call.query.number("limit")?,
        filters: call.query.filters()?,
        credentials: credentials(call.headers()),
    };
    reply::json(StatusCode::OK, &call.state.registries.search(options).await?)
}

/// What `X-Registry-Auth` carries. As in dockerd, one that makes no sense is one that is not there.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let bytes = decode(headers.get("x-registry-auth")?.to_str().ok()?)?;
    filled(&serde_json::from_slice(&bytes).ok()?)
}

/// The bytes of a header.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    // Some clients use the other alphabet.
    let text = text.trim().replace('+', "-").replace('/', "_");
    BASE64.decode(text).ok()
}

pub(super) fn filled(auth: &AuthConfig) -> Option<Credentials> {
    Some(of(auth)).filter(|credentials| !credentials.is_empty())
}

fn of(auth: &AuthConfig) -> Credentials {
    Credentials {
        username: auth.username.clone(),
        password: auth.password.clone(),
        identity_token: auth.identity_token.clone(),
        registry_token: auth.registry_token.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        headers.insert("x-registry-auth", text.parse().unwrap());
        credentials(&headers)
    }

    #[test]
    fn credentials_are_read_in_either_alphabet_with_or_without_padding() {
        // {"username":"a","password":"??>>"}
        for text in [
            "eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6Ij8_Pj4ifQ==",
            "eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6Ij8_Pj4ifQ",
            "eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6Ij8/Pj4ifQ==",
        ] {
            assert_eq!(read(text).unwrap().password, "??>>", "{text}");
        }
    }

    #[test]
    fn what_is_empty_or_makes_no_sense_is_nothing() {
        for text in ["", "!!", "e30=", "e30", "bnVsbA==", "eyJ1"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
