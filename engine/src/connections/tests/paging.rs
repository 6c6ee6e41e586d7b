//! Lists: filters and cursors.

use super::*;
use crate::connections::environment::{Entry, Environment};
use crate::connections::record::State;
use crate::store::{Call, Turn};

/// The ids of all pages, and the sizes of the pages.
fn walk(deployment: &Deployment, query: &str) -> (Vec<String>, Vec<usize>) {
    let mut target = format!("{CONNECTIONS}?{query}");
    let (mut ids, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let answer = deployment.vendor("GET", &target, Value::Null);
        assert_eq!(answer.status, 200, "{target}");
        let page = answer.body.as_array().unwrap();
        sizes.push(page.len());
        ids.extend(page.iter().map(|connection| connection["id"].as_str().unwrap().to_owned()));
        let Some(link) = answer.response.header("link") else { return (ids, sizes) };
        assert!(link.contains(answer.response.header("x-next-cursor").unwrap()));
        target = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
}

#[test]
fn filters_and_cursors_give_every_connection_once_in_order_of_creation() {
    let deployment = Deployment::new();
    let mut made = Vec::new();
    for number in 0..40 {
        let tenant = ["acme", "globex", "acm"][number % 3];
        made.push((tenant, deployment.create(tenant, &format!("Name {number}")).0));
    }
    let of = |tenant: &str| made.iter().filter(|(t, _)| *t == tenant).map(|(_, id)| id.clone()).collect::<Vec<_>>();
    let all: Vec<_> = made.iter().map(|(_, id)| id.clone()).collect();
    let check = |query: &str, expected: Vec<String>, sizes: &[usize]| {
        assert_eq!(walk(&deployment, query), (expected, sizes.to_vec()), "{query}");
    };
    check("", all.clone(), &[40]);
    check("limit=15", all.clone(), &[15, 15, 10]);
    check("limit=20", all.clone(), &[20, 20]);
    check("tenantId=acme", of("acme"), &[14]);
    check("tenantId=acme&limit=10", of("acme"), &[10, 4]);
    check("tenantId=acm", of("acm"), &[13]);
    check("tenantId=nobody", Vec::new(), &[0]);
    check("source=OKTA&limit=39", all.clone(), &[39, 1]);
    check("source=other", Vec::new(), &[0]);
    check("connectionName=nAME+7", vec![all[7].clone()], &[1]);
    check("connectionName=Name+7&tenantId=globex", vec![all[7].clone()], &[1]);
    check("connectionName=Name+7&tenantId=acme", Vec::new(), &[0]);
    check("connectionName=Name", Vec::new(), &[0]);
    check(&format!("id={}", all[5]), vec![all[5].clone()], &[1]);
    check(&format!("id={}&tenantId=acme", all[1]), Vec::new(), &[0]);
}

#[test]
fn a_thousand_connections_fit_one_page_and_more_are_reached_by_cursor() {
    let deployment = Deployment::new();
    let token = deployment.environment_token();
    for number in 0..1001 {
        let body = json!({"source": "other", "connectionName": number.to_string(), "tenantId": "acme"});
        assert_eq!(deployment.send(request("POST", CONNECTIONS, &token, &body)).status, 201);
    }
    let (ids, sizes) = walk(&deployment, "");
    assert_eq!(sizes, [1000, 1]);
    assert!(ids.is_sorted());
}

/// Makes that many connections at once, evenly in ten accounts.
fn stocked(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let count: usize = std::str::from_utf8(&request.body).unwrap().parse().unwrap();
    let mut environment = Environment::open(view)?;
    let mut commits = Vec::new();
    for number in 0..count {
        let id = env.uuid_after(1);
        let tenant_id = format!("account-{}", number % 10);
        let (connection_name, source) = (format!("Name {number}"), "okta".to_owned());
        let entry = Entry { tenant_id, connection_name, source, created_at: env.now };
        environment.insert(&id, &entry);
        let mut txn = Txn::create(view, &DirectoryId::new(&id).unwrap());
        txn.set_record(super::super::create::record(&entry, None, State::Active, Vec::new()).to_bytes());
        commits.extend(txn.commit(env)?);
    }
    commits.extend(environment.commit(env)?);
    Ok(Outcome { response: Response::empty(204), commits, ..Outcome::default() })
}

/// Heads and pages a request loads with nothing cached, and its answer.
fn cost(deployment: &Deployment, target: &str) -> ([usize; 2], Response) {
    let token = deployment.environment_token();
    let mut session = deployment.session(super::super::handle, request("GET", target, &token, &Value::Null));
    let (nothing, mut reply, mut loaded) = (PageCache::new(0), None, [0, 0]);
    loop {
        match session.turn(&nothing, reply.take()) {
            Turn::Wait => {}
            Turn::Done(response) => return (loaded, response),
            Turn::Call(call) => {
                match &call {
                    Call::LoadHead(_) => loaded[0] += 1,
                    Call::LoadHeads(directories) => loaded[0] += directories.len(),
                    Call::LoadPages(pages) => loaded[1] += pages.len(),
                    other => panic!("a read made the call {other:?}"),
                }
                reply = Some(deployment.store.call(&call));
            }
        }
    }
}

#[test]
fn pages_and_lookups_cost_the_same_among_ten_thousand_connections_as_among_a_thousand() {
    let costs = [1000, 10_000].map(|count| {
        let deployment = Deployment::new();
        deployment.create("other", "first of all");
        let body = count.to_string().into_bytes();
        assert_eq!(deployment.run(stocked, Request { body, ..Request::default() }).status, 204);
        let (_, first) = cost(&deployment, &format!("{CONNECTIONS}?limit=500"));
        let middle = first.header("x-next-cursor").unwrap().to_owned();
        let listed: Value = serde_json::from_slice(&first.body).unwrap();
        let id = listed[499]["id"].as_str().unwrap();
        let page = |query: &str, expected: usize| {
            let (loaded, answer) = cost(&deployment, &format!("{CONNECTIONS}?{query}"));
            let found: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(found.as_array().unwrap().len(), expected, "{query} of {count}");
            loaded
        };
        let one = cost(&deployment, &format!("{CONNECTIONS}/{id}"));
        assert_eq!(one.1.status, 200);
        [
            one.0,
            page("limit=100", 100),
            page(&format!("limit=100&cursor={middle}"), 100),
            page("tenantId=account-3&limit=100", 100),
            page("source=OKTA&limit=100", 100),
            page("connectionName=name+77&tenantId=account-7", 1),
            page("connectionName=name+77", 1),
            page(&format!("id={id}"), 1),
        ]
    });
    for (what, (few, many)) in costs[0].iter().zip(&costs[1]).enumerate() {
        assert_eq!(few[0], many[0], "heads of request {what}");
        // A tree of ten times the entries may be a level deeper, and an account's entries lie ten times as far apart.
        let spread = if what == 3 { 100 } else { 2 };
        assert!(many[1] <= few[1] + spread, "pages of request {what}: {few:?} and then {many:?}");
    }
}

#[test]
fn accounts_come_in_order_page_by_page_each_with_the_number_of_its_connections() {
    fn told(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
        let after = Some(request.query()).filter(|after| !after.is_empty());
        let accounts = super::super::accounts(request, view, env, after, 3)?;
        let count = super::super::count(request, view, env)?;
        let response = Response::json(200, "application/json", &json!({ "accounts": accounts, "count": count }));
        Ok(Outcome { response, ..Outcome::default() })
    }
    let deployment = Deployment::new();
    for number in 0..23 {
        deployment.create(["b", "a", "a.b", "ab", "Z", "é"][number % 6], &format!("Name {number}"));
    }
    let token = deployment.environment_token();
    let page = |after: &str| deployment.run(told, request("GET", &format!("/?{after}"), &token, &Value::Null));
    let check = |after: &str, expected: Value| {
        let found: Value = serde_json::from_slice(&page(after).body).unwrap();
        assert_eq!(found, json!({ "accounts": expected, "count": 23 }), "{after}");
    };
    check("", json!([["Z", 4], ["a", 4], ["a.b", 4]]));
    check("a.b", json!([["ab", 4], ["b", 4], ["é", 3]]));
    check("é", json!([]));
    let user = request("GET", "/?", "a.b.c", &Value::Null);
    assert_eq!(deployment.run(told, user).status, 401);
}

#[test]
fn the_heads_of_a_page_are_asked_for_in_one_call() {
    let deployment = Deployment::new();
    let body = b"1000".to_vec();
    assert_eq!(deployment.run(stocked, Request { body, ..Request::default() }).status, 204);
    let token = deployment.environment_token();
    let mut session = deployment.session(super::super::handle, request("GET", CONNECTIONS, &token, &Value::Null));
    let (cache, mut reply, mut calls) = (PageCache::new(1 << 26), None, 0);
    let response = loop {
        match session.turn(&cache, reply.take()) {
            Turn::Wait => {}
            Turn::Done(response) => break response,
            Turn::Call(call) => {
                calls += 1;
                reply = Some(deployment.store.call(&call));
            }
        }
    };
    let listed: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1000);
    // The environment's head, a call for each level of its tree at most, all heads.
    assert!(calls <= 6, "{calls} calls");
}

#[test]
fn ten_thousand_connections_are_listed_once_each_over_ten_pages() {
    let deployment = Deployment::new();
    let body = b"10000".to_vec();
    assert_eq!(deployment.run(stocked, Request { body, ..Request::default() }).status, 204);
    let (ids, sizes) = walk(&deployment, "");
    assert_eq!(sizes, [1000; 10]);
    assert!(ids.is_sorted_by(|a, b| a < b));
    let (ids, sizes) = walk(&deployment, "tenantId=account-3&limit=300");
    assert_eq!((ids.len(), sizes), (1000, vec![300, 300, 300, 100]));
}
