//! Layers as tar: read, write, compare, extract without escape.
