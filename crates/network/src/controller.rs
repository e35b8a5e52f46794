//! The controller: the networks of one daemon and who is in them.
//!
//! A container gets its place in four steps. [`Controller::allocate`] decides on address and ports, in memory and in a
//! record; [`Controller::sandbox`] gives a namespace that was made before; [`Controller::plug`] has the kernel connect
//! the two, which may happen while the container is being made; [`Controller::release`] undoes it, after the end was
//! reported. What was plugged outlives the daemon: the next one finds it in the records ([`Controller::restore`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use barge_firewall::{FirewallBackend, Nftables, None as NoFirewall};
use barge_sys::durable::Damaged;
use barge_sys::spares::Spares;
use barge_types::{ContainerId, NetworkId, Port};

use crate::config::{BridgeConfig, FirewallChoice, NetworkConfig};
use crate::driver::NetworkDriver;
use crate::drivers::bridge::{self, Bridge};
use crate::drivers::host::Host;
use crate::drivers::null::Null;
use crate::endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions};
use crate::error::{NetworkError, Result, several};
use crate::network::{NetworkMode, NetworkRecord, NetworkView, PoolRecord, RECORD_VERSION};
use crate::ports::{PortRequest, PortTable, PublishedPort};
use crate::reaper::Reaper;
use crate::rules::Rules;
use crate::sandbox::{Sandbox, spares};
use crate::store::{FileStore, Loaded};

/// Whether the host passes packets on.
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// The networks of one daemon. Its verbs block; they may be called from any thread.
#[derive(Debug)]
pub struct Controller {
    store: FileStore,
    networks: Vec<Network>,
    default_bridge: Option<Arc<Bridge>>,
    endpoints: Mutex<HashMap<ContainerId, Endpoint>>,
    rules: Arc<Rules>,
    spares: Spares<Sandbox>,
    damaged: Vec<Damaged>,
}

#[derive(Debug)]
struct Network {
    record: NetworkRecord,
    driver: Arc<dyn NetworkDriver>,
}

impl Controller {
    /// Makes or repairs the networks, in the calling thread's network namespace.
    ///
    /// Endpoints that are recorded are taken to be alive until [`Self::restore`] says otherwise: their ports work
    /// without a gap.
    ///
    /// # Errors
    /// A bad or colliding subnet, a bridge that is none, or what the kernel says.
    pub fn open(config: &NetworkConfig) -> Result<Self> {
        let store = FileStore::open(&config.data_root, &config.exec_root)?;
        let Loaded { records: recorded, mut damaged } = store.endpoints()?;
        let backend: Box<dyn FirewallBackend> = match config.firewall {
            FirewallChoice::Nftables => {
                let opened = Nftables::open(config.table.as_str());
                Box::new(opened.map_err(NetworkError::firewall("open the firewall"))?)
            }
            FirewallChoice::None => Box::new(NoFirewall),
        };
        let rules = Arc::new(Rules::new(backend));
        let shared = bridge::Shared {
            rules: Arc::clone(&rules),
            ports: Arc::new(PortTable::default()),
            reaper: Arc::new(Reaper::start()?),
            owner: config.table.as_str().to_owned(),
            spares: config.spares,
        };
        let records = Records::load(&store)?;
        let mut networks = Vec::new();
        let mut default_bridge = None;
        if let Some(bridge) = &config.bridge {
            let before = records.pool("bridge").and_then(|pool| pool.bridge_address());
            let driver = Arc::new(Bridge::open(bridge, before, &shared)?);
            let record = records.ensure(
                "bridge",
                "bridge",
                bridge_options(bridge),
                Some(driver.pool_record()),
            )?;
            networks
                .push(Network { record, driver: Arc::clone(&driver) as Arc<dyn NetworkDriver> });
            default_bridge = Some(driver);
            if config.ip_forward.is_on() {
                enable_forwarding()?;
            }
        }
        let host = records.ensure("host", "host", BTreeMap::new(), None)?;
        networks.push(Network { record: host, driver: Arc::new(Host) });
        let none = records.ensure("none", "null", BTreeMap::new(), None)?;
        networks.push(Network { record: none, driver: Arc::new(Null) });
        records.remove_others(&networks)?;
        let spares = spares(config.spares, Sandbox::create)?;
        let endpoints = Mutex::default();
        damaged.extend(records.damaged);
        let controller =
            Self { store, networks, default_bridge, endpoints, rules, spares, damaged };
        controller.adopt(recorded)?;
        Ok(controller)
    }

    /// Records that made no sense when they were read; they were set aside.
    #[must_use]
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an earlier daemon left and sets up the rules for it.
    fn adopt(&self, recorded: Vec<Endpoint>) -> Result<()> {
        let mut endpoints = self.lock();
        for mut endpoint in recorded {
            // A network whose record was damaged has its name, and a new id. Of one that is gone (the bridge was
            // disabled meanwhile) nothing is to be taken over.
            let known =
                self.by_id(&endpoint.network).or_else(|_| self.resolve(&endpoint.network_name));
            if let Ok(network) = known {
                endpoint.network = network.record.id.clone();
                network.driver.adopt(&endpoint);
                endpoints.insert(endpoint.container.clone(), endpoint);
            }
        }
        let ports =
            endpoints.values().filter_map(Endpoint::link).flat_map(bridge::publications).collect();
        let networks = self.default_bridge.iter().map(|bridge| bridge.rules()).collect();
        self.rules.replace(networks, ports)?;
        self.spares.refill();
        self.default_bridge.as_ref().map_or(Ok(()), |bridge| bridge.begin(endpoints.values()))
    }

    fn by_id(&self, id: &NetworkId) -> Result<&Network> {
        let found = self.networks.iter().find(|network| network.record.id == *id);
        found.ok_or_else(|| NetworkError::NoSuchNetwork(id.to_string()))
    }

    /// The driver of the network that an endpoint is in.
    #[must_use]
    pub fn driver_of(&self, endpoint: &Endpoint) -> Option<String> {
        let network = self.by_id(&endpoint.network).ok()?;
        Some(network.record.driver.clone())
    }

    /// The network of this name, id, or beginning of an id.
    fn resolve(&self, name: &str) -> Result<&Network> {
        let whole = self
            .networks
            .iter()
            .find(|network| network.record.name == name || network.record.id.as_str() == name);
        if let Some(network) = whole {
            return Ok(network);
        }
        let mut fitting =
            self.networks.iter().filter(|network| network.record.id.as_str().starts_with(name));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) if !name.is_empty() => Ok(only),
            (Some(_), Some(_)) if !name.is_empty() => Err(NetworkError::Ambiguous(name.to_owned())),
            _ if name == "bridge" => Err(NetworkError::BridgeDisabled),
            _ => Err(NetworkError::NoSuchNetwork(name.to_owned())),
        }
    }

    /// Decides on a container's place in a network: address, link-layer address, ports. Nothing is made yet.
    ///
    /// # Errors
    /// No such network, no address or port left, or one that is asked for and taken.
    pub fn allocate(&self, mode: &NetworkMode, options: EndpointOptions) -> Result<Endpoint> {
        let network = match mode {
            NetworkMode::Named(name) => self.resolve(name)?,
            NetworkMode::Container(id) => {
                let mode = format!("container:{id}");
                return Err(NetworkError::NotForThisMode {
                    option: "an endpoint of its own",
                    mode,
                });
            }
        };
        let record = &network.record;
        if self.lock().contains_key(&options.container) {
            let network = record.name.clone();
            return Err(NetworkError::EndpointExists {
                container: options.container_name,
                network,
            });
        }
        let id = EndpointId::from_bytes(random()?);
        let attachment = network.driver.allocate(&id, &options)?;
        let endpoint = Endpoint {
            id,
            network: record.id.clone(),
            network_name: record.name.clone(),
            container: options.container,
            container_name: options.container_name,
            attachment,
        };
        if let Err(error) = self.store.save_endpoint(&endpoint) {
            // The first error is the one to tell.
            network.driver.release(&endpoint).ok();
            return Err(error);
        }
        self.lock().insert(endpoint.container.clone(), endpoint.clone());
        Ok(endpoint)
    }

    /// A network namespace for an endpoint to be plugged into, once for each. Without an endpoint it has nothing but a
    /// loopback interface, which is on.
    ///
    /// # Errors
    /// What the kernel says when it has to be made now.
    pub fn sandbox(&self, endpoint: Option<&Endpoint>) -> Result<Sandbox> {
        let network = endpoint.map(|endpoint| self.by_id(&endpoint.network)).transpose()?;
        let chosen =
            network.zip(endpoint).and_then(|(network, endpoint)| network.driver.sandbox(endpoint));
        chosen.or_else(|| self.spares.take()).map_or_else(Sandbox::create, Ok)
    }

    /// A start is done: now is a good time to make what the next ones need, if little of it is left.
    pub fn refill(&self) {
        self.spares.refill_low();
        if let Some(bridge) = &self.default_bridge {
            bridge.refill();
        }
    }

    /// Connects an endpoint with the namespace its container runs in. When it fails, nothing of it is left; the
    /// endpoint is to be released still.
    ///
    /// # Errors
    /// What the kernel says, or that a port was taken meanwhile.
    pub fn plug(&self, endpoint: &Endpoint, sandbox: &Sandbox) -> Result<()> {
        self.by_id(&endpoint.network)?.driver.plug(endpoint, sandbox)
    }

    /// Publishes other ports of a container that runs: those of `keep` stay, those of `add` come, all else that it has
    /// goes.
    ///
    /// # Errors
    /// The container has no endpoint or none with ports, or a port is taken; nothing has changed then.
    pub fn republish(
        &self,
        container: &ContainerId,
        keep: &[PublishedPort],
        add: &[PortRequest],
    ) -> Result<Endpoint> {
        let before = self.endpoint(container).ok_or_else(|| NetworkError::NotForThisMode {
            option: "port publishing",
            mode: "container".to_owned(),
        })?;
        let driver = &self.by_id(&before.network)?.driver;
        let ports = driver.republish(&before, keep, add)?;
        let mut endpoint = before.clone();
        if let Attachment::Link(link) = &mut endpoint.attachment {
            link.ports = ports;
        }
        if let Err(error) = self.store.save_endpoint(&endpoint) {
            let had = before.link().map(|link| link.ports.as_slice()).unwrap_or_default();
            let gone =
                had.iter().filter(|port| !keep.contains(port)).map(PublishedPort::to_request);
            // The first error is the one to tell.
            driver.republish(&endpoint, keep, &gone.collect::<Vec<_>>()).ok();
            return Err(error);
        }
        self.lock().insert(container.clone(), endpoint.clone());
        Ok(endpoint)
    }

    /// Lets a container reach ports of another in the same network until either is released, where that keeps its
    /// containers apart. Of those of which one has no endpoint (any more) nothing is to be done.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn link(&self, from: &ContainerId, to: &ContainerId, ports: &[Port]) -> Result<()> {
        self.with_both((from, to), |driver, (from, to)| driver.link(from, to, ports))
    }

    /// Takes back what links have opened from one container to another.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn unlink(&self, from: &ContainerId, to: &ContainerId) -> Result<()> {
        self.with_both((from, to), |driver, (from, to)| driver.unlink(from, to))
    }

    /// Neither is released in between: an address that is given to another would take a passage along.
    fn with_both(
        &self,
        (from, to): (&ContainerId, &ContainerId),
        act: impl FnOnce(&dyn NetworkDriver, (&Endpoint, &Endpoint)) -> Result<()>,
    ) -> Result<()> {
        let endpoints = self.lock();
        match (endpoints.get(from), endpoints.get(to)) {
            (Some(from), Some(to)) if from.network == to.network => {
                act(&*self.by_id(&from.network)?.driver, (from, to))
            }
            _ => Ok(()),
        }
    }

    /// Takes a container out of its network: rules first, then addresses and ports; its interface goes with its
    /// namespace. A container without an endpoint is no error.
    ///
    /// # Errors
    /// What could not be undone; everything else is.
    pub fn release(&self, container: &ContainerId) -> Result<()> {
        let Some(endpoint) = self.lock().remove(container) else { return Ok(()) };
        let released =
            self.by_id(&endpoint.network).and_then(|network| network.driver.release(&endpoint));
        let removed = self.store.remove_endpoint(container);
        self.spares.refill();
        several([released, removed].into_iter().filter_map(Result::err))
    }

    /// Releases the endpoints of containers that ended while no daemon ran, and gives those of the living.
    ///
    /// # Errors
    /// What could not be undone; everything else is.
    pub fn restore(&self, live: &HashSet<ContainerId>) -> Result<Vec<Endpoint>> {
        let ended: Vec<ContainerId> =
            self.lock().keys().filter(|container| !live.contains(*container)).cloned().collect();
        several(ended.iter().filter_map(|container| self.release(container).err()))?;
        Ok(self.lock().values().cloned().collect())
    }

    /// The place of a container, while it has one.
    #[must_use]
    pub fn endpoint(&self, container: &ContainerId) -> Option<Endpoint> {
        self.lock().get(container).cloned()
    }

    /// Whether there is a network of this name, id, or beginning of an id.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn check(&self, name: &str) -> Result<()> {
        self.resolve(name).map(drop)
    }

    /// The network of this name, id, or beginning of an id, with all its endpoints.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn inspect(&self, name: &str) -> Result<NetworkView> {
        self.resolve(name).map(|network| self.view(network))
    }

    /// All networks.
    #[must_use]
    pub fn list(&self) -> Vec<NetworkView> {
        self.networks.iter().map(|network| self.view(network)).collect()
    }

    fn view(&self, network: &Network) -> NetworkView {
        let endpoints = self.lock();
        let mut own: Vec<Endpoint> = endpoints
            .values()
            .filter(|endpoint| endpoint.network == network.record.id)
            .cloned()
            .collect();
        own.sort_by(|one, other| one.container.cmp(&other.container));
        NetworkView { record: network.record.clone(), endpoints: own }
    }

    /// Removes rules and bridges of this daemon from the host; containers that still run lose their network.
    ///
    /// A daemon that merely ends leaves them: its containers live on.
    ///
    /// # Errors
    /// What could not be removed; everything else is.
    pub fn tear_down(&self) -> Result<()> {
        let cleared = self.rules.clear();
        let removed = self.networks.iter().map(|network| network.driver.remove());
        several(std::iter::once(cleared).chain(removed).filter_map(Result::err))
    }
}

/// The records of networks while they are being opened.
struct Records<'a> {
    store: &'a FileStore,
    loaded: Vec<NetworkRecord>,
    damaged: Vec<Damaged>,
}

impl<'a> Records<'a> {
    fn load(store: &'a FileStore) -> Result<Self> {
        let Loaded { records: loaded, damaged } = store.networks()?;
        Ok(Self { store, loaded, damaged })
    }

    fn find(&self, name: &str) -> Option<&NetworkRecord> {
        self.loaded.iter().find(|record| record.name == name)
    }

    fn pool(&self, name: &str) -> Option<PoolRecord> {
        self.find(name).and_then(|record| record.pool)
    }

    /// Forgets networks that are not there any more: the bridge, when it was disabled.
    fn remove_others(&self, networks: &[Network]) -> Result<()> {
        let is_there =
            |record: &&NetworkRecord| networks.iter().any(|network| network.record.id == record.id);
        self.loaded
            .iter()
            .filter(|record| !is_there(record))
            .try_for_each(|record| self.store.remove_network(&record.id))
    }

    /// The record as it should be, with the id it has, written where that changes anything.
    fn ensure(
        &self,
        name: &str,
        driver: &str,
        options: BTreeMap<String, String>,
        pool: Option<PoolRecord>,
    ) -> Result<NetworkRecord> {
        let found = self.find(name);
        let (id, created) = match found {
            Some(record) => (record.id.clone(), record.created),
            None => (NetworkId::from_bytes(random()?), SystemTime::now()),
        };
        let (name, driver) = (name.to_owned(), driver.to_owned());
        let record =
            NetworkRecord { version: RECORD_VERSION, id, name, driver, created, pool, options };
        if found != Some(&record) {
            self.store.save_network(&record)?;
        }
        Ok(record)
    }
}

/// The options of the default bridge as Docker's API shows them.
fn bridge_options(config: &BridgeConfig) -> BTreeMap<String, String> {
    let option = |name: &str, value: String| (format!("com.docker.network.{name}"), value);
    BTreeMap::from([
        option("bridge.default_bridge", "true".to_owned()),
        option("bridge.enable_icc", config.icc.is_on().to_string()),
        option("bridge.enable_ip_masquerade", config.masquerade.is_on().to_string()),
        option("bridge.host_binding_ipv4", config.default_binding.to_string()),
        option("bridge.name", config.name.to_string()),
        option("driver.mtu", config.mtu.unwrap_or(1500).to_string()),
    ])
}

fn enable_forwarding() -> Result<()> {
    let path = Path::new(IP_FORWARD);
    let before = std::fs::read_to_string(path).map_err(NetworkError::io("read", path))?;
    // Writing the same again would reset settings of single interfaces.
    if before.trim() == "1" {
        Ok(())
    } else {
        std::fs::write(path, "1").map_err(NetworkError::io("write", path))
    }
}

fn random() -> Result<[u8; 32]> {
    barge_sys::random::bytes()
        .map_err(NetworkError::io("read", Path::new("the kernel's random numbers")))
}
