//! What the network part of starting and ending a container costs, in microseconds, in a network namespace of its own.
//!
//! `cargo run --release -p barge-network --example measure [containers]`. Prints the medians of each step, of the first
//! tenth and of the last, which shows whether the cost grows with the number of containers. A sandbox is made where it
//! is taken here; the daemon keeps some ready.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use barge_network::{
    Controller, EndpointOptions, HostPorts, NetworkConfig, NetworkMode, PortRequest,
};
use barge_sys::namespace::{in_netns, make_netns};
use barge_types::{ContainerId, Port, Protocol};

type Failure = Box<dyn Error + Send + Sync>;

const STEPS: [&str; 4] = ["sandbox", "allocate", "plug", "release"];

fn main() -> Result<(), Failure> {
    let count = std::env::args().nth(1).map_or(Ok(50), |text| text.parse())?;
    for ports in [0, 1] {
        let netns = make_netns()?;
        let report = in_netns(&netns, || measure(count, ports))??;
        std::io::stdout().write_all(report.as_bytes())?;
    }
    Ok(())
}

fn measure(count: usize, ports: u16) -> Result<String, Failure> {
    let folder = tempfile::tempdir_in("/run")?;
    let config = NetworkConfig {
        spares: 0,
        ..NetworkConfig::new(folder.path().into(), folder.path().into())
    };
    let controller = Controller::open(&config)?;
    let mode = NetworkMode::Named("bridge".to_owned());
    let mut times: [Vec<u128>; 4] = Default::default();
    let mut running = Vec::new();
    // All of them first, so that making them does not compete with what is measured.
    let mut sandboxes = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        sandboxes.push(controller.sandbox(None)?);
        times[0].push(begin.elapsed().as_micros());
    }
    for (number, sandbox) in sandboxes.into_iter().enumerate() {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let mut options =
            EndpointOptions::new(ContainerId::from_bytes(bytes), format!("c{number}"));
        options.ports = (0..ports)
            .map(|port| PortRequest {
                container: Port { number: 80 + port, protocol: Protocol::Tcp },
                address: None,
                host: HostPorts::Ephemeral,
            })
            .collect();
        let begin = Instant::now();
        let endpoint = controller.allocate(&mode, options)?;
        let allocated = Instant::now();
        controller.plug(&endpoint, &sandbox)?;
        times[1].push((allocated - begin).as_micros());
        times[2].push(allocated.elapsed().as_micros());
        running.push((endpoint, sandbox));
    }
    for (endpoint, sandbox) in running {
        drop(sandbox);
        let begin = Instant::now();
        controller.release(&endpoint.container)?;
        times[3].push(begin.elapsed().as_micros());
    }
    controller.tear_down()?;
    let lines = STEPS.iter().zip(times).map(|(step, times)| {
        let tenth = times.len().div_ceil(10);
        let (first, last) = (median(&times[..tenth]), median(&times[times.len() - tenth..]));
        format!(
            "{ports} ports  {step:9} median {:6}  first tenth {first:6}  last tenth {last:6}\n",
            median(&times)
        )
    });
    Ok(lines.collect())
}

fn median(times: &[u128]) -> u128 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
