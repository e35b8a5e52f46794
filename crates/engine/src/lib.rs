//! The daemon's services: containers, images, networks, volumes, events.
