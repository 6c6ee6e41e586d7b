//! Fuzz target: see `src/request.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_engine_fuzz::request::check(data));
