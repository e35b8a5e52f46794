//! See `src/context.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barge_fuzz::context::check(data));
