//! Fuzz target: see `src/path.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_engine_fuzz::path::check(data));
