//! See `src/dockerfile.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barge_fuzz::dockerfile::check(data));
