//! How long a user goes on being let in after the identity provider's `active: false` was answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use scim_host_tests::deployment::{Http, Target};
use scim_host_tests::message::Request;
use serde_json::json;

use crate::config::{DIRECT, Ports, SUBJECT};
use crate::scene::{self, Scene};

/// Longer than any answer may be out of date.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deactivates users through the first Envoy and asks both for decisions until they are refused.
///
/// # Errors
/// A write is refused, or a user goes on being let in.
pub fn measure(here: Ports, elsewhere: Ports, scene: &Scene, users: usize) -> Result<()> {
    let provider = Http::new(&format!("http://127.0.0.1:{}", here.scim));
    let mut times = [Vec::new(), Vec::new()];
    for (number, path) in scene.by_id().iter().enumerate().take(users) {
        for ports in [here, elsewhere] {
            ensure!(decide(ports, number)? == 200, "user {number} is not let in");
        }
        // Somewhere in the second for which a copy may answer.
        std::thread::sleep(Duration::from_millis(number as u64 * 137 % 1000));
        let operation = json!({ "op": "replace", "path": "active", "value": false });
        let request = Request::new("PATCH", path).json(&json!({ "Operations": [operation] }));
        let answer = provider.send(&request.bearer(&scene.connection.token))?;
        ensure!(answer.status == 200, "{}", answer.brief());
        let answered = Instant::now();
        let [first, second] = &mut times;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| until_refused(elsewhere, number, answered));
            first.push(until_refused(here, number, answered)?);
            second.push(other.join().ok().context("the other thread panicked")??);
            anyhow::Ok(())
        })?;
    }
    println!(
        "\nfrom the answer to `active: false` to the first refused request, {users} users, max_staleness 1000 ms:"
    );
    for (name, mut times) in ["the Envoy it went through", "another Envoy"].into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
        let (least, median, most) = (at(0), at(times.len() / 2), at(times.len().saturating_sub(1)));
        println!("  {name:26} {least:>7.1} / {median:>7.1} / {most:>7.1} ms (minimum / median / maximum)");
    }
    Ok(())
}

fn until_refused(ports: Ports, number: usize, start: Instant) -> Result<f64> {
    while decide(ports, number)? != 403 {
        ensure!(start.elapsed() < PATIENCE, "user {number} is still let in after {PATIENCE:?}");
    }
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

fn decide(ports: Ports, number: usize) -> Result<u16> {
    let gate = Http::new(&format!("http://127.0.0.1:{}", ports.decision));
    Ok(gate.send(&Request::new("GET", DIRECT).header(SUBJECT, &scene::name(number)))?.status)
}
