//! The facade: builds, and what they leave for the next one.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use barge_image::{ImageStore, ImageUsage};
use barge_storage::{LayerId, StorageDriver};
use barge_sys::spawn::UserMaps;
use barge_types::{ImageId, Platform};

use crate::cache::Cache;
use crate::cache::downloads::Downloads;
use crate::cache::mounts::CacheMounts;
use crate::error::{BuildError, Result};
use crate::event::{Event, Progress, Warning};
use crate::execute::{
    Contexts, Graph, Images, Permits, Place, Results, Running, Shop, StageState, Weight,
};
use crate::files::ChecksumMemory;
use crate::plan::Plan;
use crate::provenance::Evidence;
use crate::request::{BuildRequest, Purpose};
use crate::runner::{Cancel, Runner};
use crate::sources::Sources;

/// What a builder works with.
pub struct BuilderParts {
    /// `<data root>/builds`.
    pub folder: PathBuf,
    /// In memory, below the exec root: what must never be on a disk.
    pub memory_folder: PathBuf,
    /// Where layers are.
    pub storage: Arc<dyn StorageDriver>,
    /// Where images are.
    pub images: Arc<ImageStore>,
    /// Runs steps.
    pub runner: Arc<dyn Runner>,
    /// Gets images and files.
    pub sources: Arc<dyn Sources>,
    /// The containers: who needs layers beside images and the cache.
    pub usage: Arc<dyn ImageUsage + Send + Sync>,
    /// How the ids of steps are mapped, if they are: as the storage driver maps the owners of files.
    pub users: Option<Arc<UserMaps>>,
}

impl std::fmt::Debug for BuilderParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuilderParts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Builds images; many at once.
#[derive(Debug)]
pub struct Builder {
    shop: Arc<Shop>,
}

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The build's own name, also of what is to be fetched.
    pub id: String,
    /// One for each platform, in the request's order.
    pub images: Vec<ImageId>,
    /// For each output of the request that is to be fetched.
    pub results: Vec<ResultFile>,
    /// What the checks found.
    pub warnings: Vec<Warning>,
    /// The first number that no step has, for what goes on after the build.
    pub steps: u32,
}

/// An archive to be fetched by the client; removed when this is dropped.
#[derive(Debug)]
pub struct ResultFile {
    /// The number of the output in the request.
    pub output: u32,
    pub(crate) path: PathBuf,
}

impl ResultFile {
    /// Opens it from its start.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(BuildError::io("open", &self.path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// What of the cache is given up.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// What images stand on, too.
    pub all: bool,
    /// Only what was not used for so long (`until`).
    pub unused_for: Option<Duration>,
    /// `id`, `type`, `inuse`, `shared`, `private`, `description`, `parents`; all of them must fit.
    pub filters: BTreeMap<String, Vec<String>>,
    /// How much stays.
    pub floors: Floors,
}

/// How much of the cache stays, in bytes; 0 for no say. The least recently used goes first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floors {
    /// At least so much stays (`--reserved-space`, `--keep-storage`).
    pub reserved: u64,
    /// At most so much stays (`--max-used-space`).
    pub max_used: u64,
    /// So much is to be free on the disk (`--min-free-space`).
    pub min_free: u64,
}

/// What was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The entries.
    pub ids: Vec<String>,
    /// Bytes.
    pub space: u64,
}

/// One entry of the cache, as `system df` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its id.
    pub id: String,
    /// What it was made on.
    pub parents: Vec<String>,
    /// Docker's word for it: `regular`, `source.http`, `exec.cachemount`.
    pub kind: &'static str,
    /// The instruction.
    pub description: String,
    /// Whether a build that runs uses it.
    pub in_use: bool,
    /// Whether an image stands on it, too.
    pub shared: bool,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub created: i64,
    /// Milliseconds since the epoch; absent when it was only made.
    pub last_used: Option<i64>,
    /// How often it was found.
    pub usage_count: u64,
}

impl Builder {
    /// Opens a builder's folder; removes what a killed build left. Layers that the cache does not know go with the storage
    /// driver's own sweep.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn open(parts: BuilderParts) -> Result<Self> {
        for name in ["tmp", "outputs", "contexts"] {
            let path = parts.folder.join(name);
            empty(&path)?;
        }
        crate::memory::sweep(&parts.memory_folder)?;
        let cache = Arc::new(Cache::open(&parts.folder.join("cache"), parts.storage.as_ref())?);
        let mounts = Arc::new(CacheMounts::open(&parts.folder.join("mounts"))?);
        let downloads = Downloads::open(&parts.folder.join("downloads"))?;
        let memory = ChecksumMemory::open(&parts.folder.join("checksums"))?;
        let permits = Permits::of_the_machine();
        let tidying = Mutex::new(());
        let shop = Shop { parts, cache, mounts, downloads, memory, permits, tidying };
        Ok(Self { shop: Arc::new(shop) })
    }

    /// Builds; blocks until it is done. The last event of one that fails is [`Event::Failed`].
    ///
    /// # Errors
    /// Whatever a Dockerfile can do.
    pub fn build(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Built> {
        let place = Place::create(&self.shop.parts)?;
        let call = Call { request, progress, cancel, place: &place };
        let mut kept = None;
        let built = self.build_in(&call, &mut kept);
        // Whatever came of the build, what it used was used.
        let saved = self.shop.cache.save();
        let built = built.and_then(|built| saved.map(|()| built));
        if let Err(error) = &built {
            progress.tell(Event::Failed {
                message: error.chain(),
                code: error.code(),
                excerpt: error.excerpt().to_owned(),
                image: kept.map(|image| image.to_string()),
            });
        }
        if self.shop.cache.has_grown() {
            let shop = Arc::clone(&self.shop);
            // Nobody waits for it.
            std::thread::spawn(move || shop.tidy());
        }
        built
    }

    fn build_in(&self, call: &Call<'_>, kept: &mut Option<ImageId>) -> Result<Built> {
        let Call { request, progress, cancel, place } = *call;
        let (source, contexts) = Contexts::open(&self.shop.memory, request, cancel)?;
        let running = Running {
            shop: &self.shop,
            request,
            source: &source,
            contexts: &contexts,
            progress,
            cancel,
            place,
            steps: AtomicU32::new(0),
            failed: Mutex::new(None),
            failed_image: Mutex::new(None),
            remotes: OnceLock::new(),
            images: Images::default(),
            begun: Mutex::default(),
            mounts_used: Mutex::default(),
            weight: Weight::default(),
            started: jiff::Timestamp::now(),
        };
        let built = build_platforms(&running);
        *kept = running.failed_image.lock().unwrap_or_else(PoisonError::into_inner).take();
        built
    }

    /// Gives up what nothing uses.
    ///
    /// # Errors
    /// A filter that does not exist; a disk that fails.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        self.shop.prune(options)
    }

    #[cfg(test)]
    pub(crate) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// What the cache holds, oldest use first.
    #[must_use]
    pub fn entries(&self) -> Vec<CacheEntry> {
        self.shop.entries()
    }

    /// The layers that only the cache has, no image.
    #[must_use]
    pub fn own_layers(&self) -> HashSet<LayerId> {
        self.shop.own_layers()
    }

    /// The layers that the cache stands on: never swept, never removed with an image.
    #[must_use]
    pub fn layers_in_use(&self) -> HashSet<LayerId> {
        self.shop.cache.layers()
    }
}

/// What a build was called with.
#[derive(Clone, Copy)]
struct Call<'a> {
    request: &'a BuildRequest,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    place: &'a Place,
}

fn build_platforms(running: &Running<'_>) -> Result<Built> {
    let request = running.request;
    match request.purpose {
        Purpose::Targets => running.tell_targets(),
        Purpose::Outline => running.tell_outline()?,
        Purpose::Build | Purpose::Check => {}
    }
    let is_looked_at = matches!(request.purpose, Purpose::Targets | Purpose::Outline);
    let mut built = Built {
        id: running.place.id.clone(),
        images: Vec::new(),
        results: Vec::new(),
        warnings: if is_looked_at { Vec::new() } else { running.check()? },
        steps: 0,
    };
    if is_looked_at {
        return Ok(built);
    }
    let hosts = [Platform::host()];
    let platforms =
        if request.platforms.is_empty() { &hosts[..] } else { request.platforms.as_slice() };
    if request.purpose == Purpose::Check {
        // What a build would refuse at once is found here, too.
        return platforms
            .iter()
            .try_for_each(|platform| plan(running, platform).map(drop))
            .map(|()| built);
    }
    request.check()?;
    let mut graphs = Vec::new();
    let mut lines = Vec::new();
    for platform in platforms {
        let (graph, of_graph) = Graph::new(running, plan(running, platform)?);
        graphs.push(graph);
        lines.extend(of_graph);
    }
    running.announce(lines);
    let remotes = running.remotes()?;
    running.remotes.get_or_init(|| remotes);
    let states = run(running, &graphs)?;
    let all: Vec<StageState> = graphs.iter().flat_map(Graph::states).collect();
    if let Some(graph) = graphs.first() {
        running.check_args(&graph.plan.globals, &all, &mut built);
    }
    let evidence: Vec<Evidence> = graphs.iter().map(Graph::evidence).collect();
    running.outputs(Results { states: &states, evidence: &evidence }, &mut built)?;
    running.write_caches((&states, &all))?;
    built.steps = running.number(0);
    Ok(built)
}

fn plan(running: &Running<'_>, platform: &Platform) -> Result<Plan> {
    Plan::new(&running.source.parsed, running.request, platform, &|lines, error| {
        running.source.at_lines(lines, error)
    })
}

/// Runs the graphs, once every image that they need is known to be there.
fn run<'env>(running: &'env Running<'env>, graphs: &'env [Graph<'env>]) -> Result<Vec<StageState>> {
    std::thread::scope(|scope| {
        let one = |graph: &Graph<'_>| {
            let state = graph.run()?;
            if let Some(sbom) = &running.request.sbom {
                graph.scan(sbom, &state)?;
            }
            Ok(state)
        };
        let sought = running.seek(scope, graphs);
        let states = sought.and_then(|()| graphs.iter().map(one).collect::<Result<Vec<_>>>());
        if states.is_err() {
            // Nobody needs what is still on its way.
            running.cancel.cancel();
        }
        states
    })
}

/// An empty folder.
fn empty(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(BuildError::io("empty", path)(error));
        }
        Ok(()) | Err(_) => {}
    }
    std::fs::create_dir_all(path).map_err(BuildError::io("create", path))
}
