//! Images: blobs by digest, manifests, configurations, references, archives.
