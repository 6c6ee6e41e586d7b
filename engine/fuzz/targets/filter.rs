//! Fuzz target: see `src/filter.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_engine_fuzz::filter::check(data));
