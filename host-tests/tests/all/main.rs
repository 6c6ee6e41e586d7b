//! Every suite that needs more than one crate, in one binary.

mod addresses;
mod auth;
mod boundary;
mod browser;
mod clients;
mod configuration;
mod consistency;
mod corpus;
mod decision;
mod durability;
mod faults;
mod frontegg;
mod hostile;
mod keys;
mod kills;
mod limits;
mod local;
mod management;
mod observe;
mod openapi;
mod operator;
mod redis;
mod refusals;
mod relayed;
mod revocation;
mod scene;
mod shared;
mod sizes;
mod tls;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most trials wait for a server: more of them than processors can be under way.
    arguments.test_threads = arguments.test_threads.or(Some(4));
    let trials: Vec<Trial> = [
        corpus::trials(),
        auth::trials(),
        addresses::trials(),
        consistency::trials(),
        revocation::trials(),
        faults::trials(),
        limits::trials(),
        refusals::trials(),
        durability::trials(),
        frontegg::trials(),
        keys::trials(),
        management::trials(),
        openapi::trials(),
        kills::trials(),
        hostile::trials(),
        configuration::trials(),
        tls::trials(),
        decision::trials(),
        observe::trials(),
        operator::trials(),
        redis::trials(),
        clients::trials(),
        local::trials(),
        boundary::trials(),
        browser::trials(),
        sizes::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared::stop();
    local::stop();
    conclusion.exit_code()
}
