//! `/images/…`.

use barge_api_types::{CommitResponse, ContainerConfig, ImageSummary, ProgressMessage};
use barge_engine::{
    CommitPause, CommitRequest, Engine, ImageListOptions, ImportRequest, Parents, Removal,
    ShowManifests, Upload,
};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::StatusCode;
use tokio::sync::mpsc;

use super::registry;
use crate::body::Json;
use crate::call::Call;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;
use crate::version::ApiVersion;

type Result = std::result::Result<Reply, ApiError>;

/// Before then an image had a size twice.
const NO_VIRTUAL_SIZE_SINCE: ApiVersion = ApiVersion::new(1, 44);

/// Before then an image without a name was called `<none>:<none>`.
const NO_NONE_SINCE: ApiVersion = ApiVersion::new(1, 43);

/// Since then lists can have the manifests of images.
const MANIFESTS_SINCE: ApiVersion = ApiVersion::new(1, 47);

/// Since then images have a descriptor.
const DESCRIPTOR_SINCE: ApiVersion = ApiVersion::new(1, 48);

/// Chunks of an upload that wait to be read.
const WAITING: usize = 4;

pub(super) fn add(router: &mut Router<Engine>) {
    router.get("/images/json", list);
    router.get("/images/get", save);
    router.get("/images/{name}/json", inspect);
    router.get("/images/{name}/history", history);
    router.get("/images/{name}/get", save);
    router.post("/images/create", create);
    router.post("/images/load", load);
    router.post("/images/prune", prune);
    router.post("/commit", commit);
    router.post("/images/{name}/tag", tag);
    router.delete("/images/{name}", remove);
}

async fn list(call: Call<Engine>) -> Result {
    let mut filters = call.query.filters()?;
    // A parameter of before API 1.41.
    if let Some(reference) = call.query.filled("filter") {
        filters.add("reference", reference);
    }
    let options = ImageListOptions {
        all: call.query.flag("all"),
        shared_size: call.query.flag("shared-size"),
        manifests: call.query.flag("manifests") && call.version >= MANIFESTS_SINCE,
        filters,
    };
    let mut images = call.state.images.list(options).await?;
    images.iter_mut().for_each(|image| suit(image, call.version));
    reply::json(StatusCode::OK, &images)
}

/// An image as a version of the API shows it.
pub(super) fn suit(image: &mut ImageSummary, version: ApiVersion) {
    image.virtual_size = if version < NO_VIRTUAL_SIZE_SINCE { image.size } else { 0 };
    if version < NO_NONE_SINCE && image.repo_tags.is_empty() && image.repo_digests.is_empty() {
        image.repo_tags.push("<none>:<none>".to_owned());
        image.repo_digests.push("<none>@<none>".to_owned());
    }
    if version < DESCRIPTOR_SINCE {
        image.descriptor = None;
    }
}

async fn inspect(call: Call<Engine>) -> Result {
    let has_manifests = call.query.flag("manifests") && call.version >= DESCRIPTOR_SINCE;
    let manifests = if has_manifests { ShowManifests::Include } else { ShowManifests::Omit };
    let mut image = call.state.images.inspect(&call.name, manifests).await?;
    image.virtual_size = if call.version < NO_VIRTUAL_SIZE_SINCE { image.size } else { 0 };
    if call.version < DESCRIPTOR_SINCE {
        image.descriptor = None;
    }
    if call.version < super::old_images::CHANGED_LAST {
        return reply::json(StatusCode::OK, &super::old_images::view(&image, call.version));
    }
    reply::json(StatusCode::OK, &image)
}

async fn history(call: Call<Engine>) -> Result {
    reply::json(StatusCode::OK, &call.state.images.history(&call.name).await?)
}

async fn tag(call: Call<Engine>) -> Result {
    let (repo, tag) = (call.query.text("repo"), call.query.text("tag"));
    call.state.images.tag(&call.name, repo, tag).await?;
    Ok(reply::empty(StatusCode::CREATED))
}

async fn remove(call: Call<Engine>) -> Result {
    let removal = if call.query.flag("force") { Removal::Force } else { Removal::WhenUnused };
    let parents = if call.query.flag("noprune") { Parents::Keep } else { Parents::Remove };
    reply::json(StatusCode::OK, &call.state.images.remove(&call.name, (removal, parents)).await?)
}

async fn prune(call: Call<Engine>) -> Result {
    let filters = call.query.filters()?;
    reply::json(StatusCode::OK, &call.state.images.prune(filters).await?)
}

async fn save(call: Call<Engine>) -> Result {
    let names =
        if call.name.is_empty() { call.query.all("names") } else { vec![call.name.clone()] };
    if names.is_empty() {
        return Err(ApiError::invalid("no image to save was named"));
    }
    let archive = call.state.images.save(names).await?;
    Ok(reply::stream("application/x-tar", received(archive)))
}

async fn load(call: Call<Engine>) -> Result {
    let is_quiet = call.query.flag_or("quiet", false);
    let images = std::sync::Arc::clone(&call.state.images);
    let messages = images.load(upload(call));
    let lines = received(messages).filter_map(move |message| async move {
        let is_progress = message.progress_detail.is_some() || message.stream.is_empty();
        let is_wanted = !is_quiet || !is_progress || !message.error.is_empty();
        is_wanted.then(|| line(&message))
    });
    Ok(reply::stream("application/json", lines))
}

/// Pull or import.
async fn create(call: Call<Engine>) -> Result {
    let query = &call.query;
    if query.filled("fromImage").is_some() {
        return registry::pull(call).await;
    }
    match query.text("fromSrc") {
        "-" => {}
        "" => return Err(ApiError::invalid("neither fromImage nor fromSrc was given")),
        _ => {
            return Err(ApiError::not_implemented(
                "importing from a URL is not supported by this version of barge; fetch it and import the file",
            ));
        }
    }
    let images = std::sync::Arc::clone(&call.state.images);
    let (repo, tag) = (query.text("repo").to_owned(), query.text("tag").to_owned());
    let platform = query.text("platform").to_owned();
    // Docker's, for an archive that came with the request.
    let message = query.filled("message").unwrap_or_else(|| "Imported from -".to_owned());
    let changes = query.all("changes");
    let body = upload(call);
    let message =
        images.import(ImportRequest { body, repo, tag, message, changes, platform }).await?;
    Ok(reply::stream("application/json", stream::once(async move { line(&message) })))
}

async fn commit(mut call: Call<Engine>) -> Result {
    let config = match call.json::<Option<ContainerConfig>>().await? {
        Json::Value(config) => config,
        Json::Missing => None,
    };
    let query = &call.query;
    let text = |name: &str| query.text(name).to_owned();
    let request = CommitRequest {
        container: text("container"),
        repo: text("repo"),
        tag: text("tag"),
        author: text("author"),
        comment: text("comment"),
        changes: query.all("changes"),
        pause: if query.flag_or("pause", true) { CommitPause::Pause } else { CommitPause::GoOn },
        // What a client sends that has nothing to say.
        config: config.filter(|config| *config != ContainerConfig::default()),
    };
    let id = call.state.images.commit(request).await?;
    reply::json(StatusCode::CREATED, &CommitResponse { id })
}

/// The request's body for the engine, fed by a task of its own: it is read on a blocking thread.
pub(super) fn upload(call: Call<Engine>) -> Upload {
    let (sender, upload) = mpsc::channel(WAITING);
    let mut body = call.into_body();
    tokio::spawn(async move {
        while let Some(piece) = body.next().await {
            let is_last = piece.is_err();
            if sender.send(piece.map_err(std::io::Error::other)).await.is_err() || is_last {
                return;
            }
        }
    });
    upload
}

pub(super) fn received<T: Send + 'static>(
    receiver: mpsc::Receiver<T>,
) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

pub(super) fn line(message: &ProgressMessage) -> std::io::Result<Bytes> {
    let mut line = serde_json::to_vec(message)?;
    // As Docker's: a terminal that gets it raw stays readable.
    line.extend_from_slice(b"\r\n");
    Ok(Bytes::from(line))
}
