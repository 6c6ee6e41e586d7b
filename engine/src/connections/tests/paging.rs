//! Lists: filters and cursors.

use super::*;

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
