//! Networks as the API shows them. Those that users make come later; the predefined ones are here.

use std::sync::Arc;

use barge_api_types::{
    EndpointResource, Filters, Ipam, IpamConfig, Network, NetworksPruneResponse,
};
use barge_network::{Controller, Endpoint, NetworkView};

use crate::containers::time_filter;
use crate::error::{EngineError, Result};
use crate::events::Events;
use crate::time;

/// The service that has the networks.
#[derive(Debug)]
pub struct Networks {
    pub(crate) controller: Arc<Controller>,
    pub(crate) events: Arc<Events>,
}

impl Networks {
    /// The networks that the filters let through.
    pub async fn list(&self, filters: Filters) -> Result<Vec<Network>> {
        let keys = ["dangling", "driver", "id", "label", "name", "scope", "type"];
        filters.check_keys(&keys).map_err(|error| EngineError::Invalid(error.to_string()))?;
        if let Some(word) =
            filters.values("type").find(|word| !["builtin", "custom"].contains(word))
        {
            return Err(EngineError::Invalid(format!("invalid filter: 'type'='{word}'")));
        }
        let is_any = |key: &str, test: &dyn Fn(&str) -> bool| {
            !filters.contains(key) || filters.values(key).any(test)
        };
        let dangling =
            filters.flag("dangling").map_err(|error| EngineError::Invalid(error.to_string()))?;
        let mut networks: Vec<Network> = self
            .controller
            .list()
            .iter()
            .filter(|view| dangling.is_none_or(|dangling| dangling == view.endpoints.is_empty()))
            .map(|view| Network { containers: Default::default(), ..to_wire(view) })
            .filter(|network| {
                is_any("name", &|wanted| network.name.contains(wanted))
                    && is_any("id", &|wanted| network.id.starts_with(wanted))
                    && filters.matches("driver", &network.driver)
                    && filters.matches("scope", &network.scope)
                    && filters.matches_labels("label", &network.labels)
                    // All are predefined as yet.
                    && filters.matches("type", "builtin")
            })
            .collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// Everything that is known of a network.
    pub async fn inspect(&self, name: &str) -> Result<Network> {
        Ok(to_wire(&self.controller.inspect(name)?))
    }

    /// Removes networks of users, of which there are none.
    pub async fn prune(&self, filters: Filters) -> Result<NetworksPruneResponse> {
        filters
            .check_keys(&["label", "label!", "until"])
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        time_filter(&filters)?;
        let facts = [("reclaimed".to_owned(), "0".to_owned())];
        self.events.tell("network", "prune", "", facts.into());
        Ok(NetworksPruneResponse::default())
    }
}

fn to_wire(view: &NetworkView) -> Network {
    let record = &view.record;
    let config = record.pool.map(|pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: pool.gateway.to_string(),
        ..IpamConfig::default()
    });
    Network {
        name: record.name.clone(),
        id: record.id.to_string(),
        created: time::rfc3339(record.created),
        scope: view.scope().to_owned(),
        driver: record.driver.clone(),
        enable_ipv4: true,
        ipam: Ipam {
            driver: "default".to_owned(),
            config: config.into_iter().collect(),
            ..Ipam::default()
        },
        containers: view
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.container.to_string(), to_resource(endpoint)))
            .collect(),
        options: record.options.clone(),
        ..Network::default()
    }
}

fn to_resource(endpoint: &Endpoint) -> EndpointResource {
    let link = endpoint.link();
    EndpointResource {
        name: endpoint.container_name.clone(),
        endpoint_id: endpoint.id.to_string(),
        mac_address: link.map(|link| link.mac.to_string()).unwrap_or_default(),
        ipv4_address: link.map(|link| link.address.to_string()).unwrap_or_default(),
        ipv6_address: String::new(),
    }
}
