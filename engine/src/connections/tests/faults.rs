//! Crashes between any two calls to the store, and races at every point.

use super::*;
use crate::store::Turn;

/// Runs a request for at most `calls` calls to the store, as if the host crashed then; `None` when it did.
fn run_for(deployment: &Deployment, request: Request, calls: usize) -> Option<Response> {
    interrupted(deployment, request, calls, || false)
}

/// Runs a request, and `at` once after `calls` calls to the store; goes on if that returns true.
fn interrupted(deployment: &Deployment, request: Request, calls: usize, at: impl FnOnce() -> bool) -> Option<Response> {
    interrupt(deployment, super::super::handle, request, calls, at)
}

fn interrupt(
    deployment: &Deployment,
    handler: Handler,
    request: Request,
    calls: usize,
    at: impl FnOnce() -> bool,
) -> Option<Response> {
    let mut session = deployment.session(handler, request);
    let mut at = Some(at);
    let (mut reply, mut made) = (None, 0);
    loop {
        if made == calls
            && let Some(at) = at.take()
            && !at()
        {
            return None;
        }
        match session.turn(&deployment.cache, reply.take()) {
            Turn::Call(call) => reply = Some(deployment.store.call(&call)),
            Turn::Wait => {}
            Turn::Done(response) => return Some(response),
        }
        made += 1;
    }
}

/// A deployment with one connection that has content, the connection's path, id and token.
fn one_connection() -> (Deployment, String, String, String) {
    let deployment = Deployment::new();
    let (id, token) = deployment.create("acme", "first");
    deployment.populate(&id, 3, 1);
    (deployment, format!("{CONNECTIONS}/{id}"), id, token)
}

fn names(deployment: &Deployment) -> Vec<String> {
    let listed = deployment.vendor("GET", CONNECTIONS, Value::Null).body;
    let connections = listed.as_array().unwrap();
    for connection in connections {
        let one = format!("{CONNECTIONS}/{}", connection["id"].as_str().unwrap());
        assert_eq!(deployment.vendor("GET", &one, Value::Null).body["connectionName"], connection["connectionName"]);
    }
    connections.iter().map(|connection| connection["connectionName"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn after_a_crash_at_any_call_a_request_is_seen_whole_or_not_at_all_and_can_be_made_again() {
    let check = |method: &str, own: bool, body: &Value, before: &[&str], after: &[&str]| {
        for calls in 0.. {
            let (deployment, one, id, token) = one_connection();
            let target = if own { one.clone() } else { CONNECTIONS.to_owned() };
            let request = request(method, &target, &deployment.environment_token(), body);
            let finished = run_for(&deployment, request.clone(), calls);
            let seen = names(&deployment);
            assert!(seen == before || seen == after, "{method} {body} cut off after {calls} calls: {seen:?}");
            assert_eq!(deployment.scim(&id, &token), 200);
            if let Some(response) = finished {
                assert!(response.status < 300 && seen == after, "{method} {body}");
                return assert!(calls > 3, "there was nothing to cut off");
            }
            let again = deployment.send(request).status;
            assert!(again < 300 || seen == after, "{method} {body} after {calls} calls: {again}");
            assert_eq!(names(&deployment), after);
        }
    };
    let second = json!({"source": "okta", "connectionName": "second", "tenantId": "acme"});
    check("POST", false, &second, &["first"], &["first", "second"]);
    check(
        "PATCH",
        true,
        &json!({"connectionName": "renamed", "syncToUserManagement": false}),
        &["first"],
        &["renamed"],
    );
}

#[test]
fn after_a_crash_at_any_call_a_deletion_is_finished_by_the_next() {
    for calls in 0.. {
        let (deployment, one, id, token) = one_connection();
        let request = request("DELETE", &one, &deployment.environment_token(), &json!({"deleteAll": true}));
        let finished = run_for(&deployment, request.clone(), calls).is_some();
        let listed = !names(&deployment).is_empty();
        assert_eq!(deployment.scim(&id, &token), if listed { 200 } else { 401 });
        let again = deployment.send(request).status;
        assert!([204, 404].contains(&again), "{again} after {calls} calls");
        deployment.sweep();
        assert_eq!(deployment.vendor("GET", &format!("{CONNECTIONS}?state=residue"), Value::Null).body, json!([]));
        assert!(!deployment.stored().iter().any(|(_, value)| String::from_utf8_lossy(value).contains("somebody")));
        assert_eq!(deployment.create("acme", "first").0.len(), 36);
        if finished {
            return assert!(calls > 3);
        }
    }
}

#[test]
fn a_large_removal_survives_a_crash_at_any_call_of_any_step() {
    let (deployment, one, id, _) = one_connection();
    deployment.populate(&id, 700, 2);
    assert_eq!(deployment.vendor("DELETE", &one, json!({"deleteAll": true})).status, 204);
    let mut steps = 0;
    loop {
        let before = deployment.stored();
        let restore = || {
            let mut values = deployment.store.values();
            values.clear();
            values.extend(before.iter().cloned());
        };
        let finished = (0..).find_map(|calls| {
            restore();
            let done = interrupt(&deployment, super::super::sweep, Request::default(), calls, || false);
            if done.is_none() {
                deployment.sweep();
                // Pages the crash left without a head that refers to them are for `scim-edge sweep`.
                let own = |key: &String| before.iter().any(|(known, _)| known == key);
                let personal = |value: &[u8]| String::from_utf8_lossy(value).contains("somebody");
                let left = deployment.stored().iter().filter(|(key, value)| own(key) && personal(value)).count();
                assert_eq!(left, 0, "step {steps} cut off after {calls} calls");
                assert_eq!(deployment.vendor("GET", &format!("{one}/residue"), Value::Null).status, 404);
            }
            done
        });
        steps += 1;
        if finished.unwrap().status == 204 {
            break;
        }
    }
    assert!(steps > 3, "{steps} steps for 1,400 entries");
    assert_eq!(deployment.vendor("GET", &format!("{CONNECTIONS}?state=residue"), Value::Null).body, json!([]));
}

#[test]
fn of_two_requests_for_one_name_exactly_one_gets_it_wherever_they_meet() {
    for calls in 0.. {
        let (deployment, one, ..) = one_connection();
        let token = deployment.environment_token();
        let body = json!({"source": "okta", "connectionName": "wanted", "tenantId": "acme"});
        let post = request("POST", CONNECTIONS, &token, &body);
        let rename = request("PATCH", &one, &token, &json!({"connectionName": "WANTED"}));
        let rival = if calls % 2 == 0 { post.clone() } else { rename };
        let mut met = None;
        let response = interrupted(&deployment, post, calls / 2, || {
            met = Some(deployment.send(rival).status);
            true
        });
        let status = response.unwrap().status;
        let holders = names(&deployment).iter().filter(|name| name.eq_ignore_ascii_case("wanted")).count();
        assert_eq!(holders, 1, "met after {} calls", calls / 2);
        match met {
            Some(rival) => assert!((status < 300) != (rival < 300), "{status} and {rival}"),
            None => return assert!(calls > 8),
        }
    }
}

#[test]
fn a_deletion_wins_over_whatever_it_meets() {
    for calls in 0.. {
        let mut any = false;
        for (method, path, body) in [
            ("PATCH", "", json!({"connectionName": "renamed"})),
            ("PATCH", "", json!({"syncToUserManagement": false})),
            ("POST", "/tokens", json!({})),
            ("DELETE", "", Value::Null),
        ] {
            let (deployment, one, id, token) = one_connection();
            let vendor = deployment.environment_token();
            let request = request(method, &format!("{one}{path}"), &vendor, &body);
            let mut met = false;
            let response = interrupted(&deployment, request, calls, || {
                met = true;
                let deleted = deployment.vendor("DELETE", &one, json!({"deleteAll": true})).status;
                assert!(deleted == 204 || method == "DELETE", "{deleted}");
                true
            });
            let answer = response.unwrap();
            any |= met;
            if met {
                assert!([201, 204, 404].contains(&answer.status), "{method} {path} {body}: {}", answer.status);
                let made: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                assert_eq!(deployment.scim(&id, &token), 401);
                assert_eq!(deployment.scim(&id, made["token"].as_str().unwrap_or("none")), 401);
                assert!(names(&deployment).is_empty());
                deployment.create("acme", "first");
                deployment.create("acme", "renamed");
            }
        }
        if !any {
            return assert!(calls > 3);
        }
    }
}
