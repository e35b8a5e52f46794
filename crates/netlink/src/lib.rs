//! Typed rtnetlink requests: links, addresses, routes, neighbours.
