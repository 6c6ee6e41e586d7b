//! `scim-edge check`, `sweep`, `export` and `import` on data that is whole, and on data that is not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};
use scim_engine::env::{Config, Credential, Env, Limits, Timestamp};
use scim_engine::http::Request;
use scim_engine::scim::layout::{self, Index};
use scim_engine::store::memory::{self, MemoryStore};
use scim_engine::store::{Call, Commit, DirectoryId, Head, PageCache, Session, Turn, Txn, View, head_key, page_key};
use scim_engine::{connections, scim};
use serde_json::{Value, json};
use tempfile::TempDir;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const BADGE: &str = "urn:example:params:scim:schemas:extension:badge";
const CONNECTIONS: &str = "/directory/resources/v1/configurations/scim2";
/// So many users that the tree has several leaves.
const USERS: usize = 300;

/// A deployment in this process, whose store is written to a data directory to be worked on.
struct World {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    requests: AtomicU64,
    vendor: String,
}

impl World {
    fn new() -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "a-secret-of-this-test".into() };
        // Small pages make a tree in which pages above leaves stay when these are replaced.
        let limits = Limits { page_bytes: 1 << 10, ..Limits::default() };
        let mut world = Self {
            store: MemoryStore::default(),
            cache: PageCache::new(1 << 20),
            config: Arc::new(Config { vendor: Some(vendor), limits, ..Config::default() }),
            requests: AtomicU64::new(1),
            vendor: String::new(),
        };
        let credential = json!({ "clientId": "vendor", "secret": "a-secret-of-this-test" });
        world.vendor = text(&world.send("POST", "/auth/vendor", "", &credential), "token");
        world
    }

    fn session(&self, method: &str, target: &str, token: &str, body: &Value) -> Session {
        let handler = if scim::connection_of(target).is_some() { scim::handle } else { connections::handle };
        let headers = vec![
            ("host".to_owned(), b"scim.test".to_vec()),
            ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
        ];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request { method: method.into(), target: target.into(), headers, body, ..Request::default() };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Session::new(handler, request, seed, Timestamp(1_700_000_000_000 + number), Arc::clone(&self.config))
    }

    fn send(&self, method: &str, target: &str, token: &str, body: &Value) -> Value {
        let answer = memory::run(self.session(method, target, token, body), &self.store, &self.cache);
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!(answer.status < 300, "{method} {target}: {} {body}", answer.status);
        body
    }

    /// A connection with an extension schema: its id and token.
    fn connect(&self, name: &str) -> (String, String) {
        let made = self.send("POST", CONNECTIONS, &self.vendor, &json!({ "source": "okta", "connectionName": name }));
        (text(&made, "id"), text(&made, "token"))
    }

    fn extend(&self, id: &str) {
        let schema = json!({ "id": BADGE, "name": "Badge", "attributes": [{ "name": "number", "type": "string" }] });
        let change = json!({ "settings": { "userExtensions": [schema] } });
        self.send("PATCH", &format!("{CONNECTIONS}/{id}"), &self.vendor, &change);
    }

    /// Users, two groups with members, of whom one is a group and one a stranger; and a deleted group.
    fn populate(&self, id: &str, token: &str) -> Vec<String> {
        let base = format!("/directory/resources/scim/v2.0/{id}");
        let create = |n: usize| {
            let user = json!({ "schemas": [USER], "userName": format!("user-{n}"), "externalId": format!("x{n}"),
                "displayName": format!("User {n}"), "title": "t".repeat(200),
                "emails": [{ "value": format!("{n}@example.com"), "primary": true }], BADGE: { "number": n.to_string() } });
            text(&self.send("POST", &format!("{base}/Users"), token, &user), "id")
        };
        let users: Vec<String> = (0..USERS).map(create).collect();
        let group = |name: &str, members: Value| {
            let group = json!({ "displayName": name, "members": members });
            text(&self.send("POST", &format!("{base}/Groups"), token, &group), "id")
        };
        let members: Vec<_> = users.iter().map(|id| json!({ "value": id })).collect();
        let inner = group("Inner", members[..20].to_vec().into());
        group("Outer", json!([{ "value": inner, "type": "Group" }, { "value": "stranger", "display": "S" }]));
        let gone = group("Gone", members.into());
        self.send("DELETE", &format!("{base}/Groups/{gone}"), token, &Value::Null);
        users
    }

    fn write_to(&self, data: &Path) {
        let file = Connection::open(data.join("sqlite_key_value.db")).unwrap();
        file.execute_batch(
            "CREATE TABLE spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
             PRIMARY KEY (store, key)); BEGIN",
        )
        .unwrap();
        for (key, value) in self.store.values().iter() {
            let row = "INSERT INTO spin_key_value VALUES ('default', ?1, ?2)";
            file.execute(row, params![key, value]).unwrap();
        }
        file.execute_batch("COMMIT").unwrap();
    }

    fn head(&self, directory: &str) -> Head {
        let key = head_key(&DirectoryId::new(directory).unwrap());
        Head::decode(self.store.values()[&key].clone().into()).unwrap()
    }

    /// Commits writes to a directory that no request would make.
    fn tamper(&self, directory: &str, write: impl Fn(&mut Txn<'_>)) {
        let directory = DirectoryId::new(directory).unwrap();
        let pages = PageCache::new(64 << 20);
        for (key, value) in self.store.values().iter().filter(|(key, _)| key.starts_with("page:")) {
            let page = scim_engine::store::Page::decode(value.clone().into());
            pages.insert(Arc::new(page.unwrap_or_else(|damage| panic!("{key}: {damage}"))));
        }
        let head = Arc::new(self.head(directory.as_str()));
        let view = View { heads: [(directory.clone(), Some(head))].into(), pages: &pages };
        let mut txn = Txn::open(&view, &directory).unwrap().unwrap();
        write(&mut txn);
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let seed = [u8::try_from(number % 251).unwrap(); 32];
        let commit = txn.commit(&Env::new(Timestamp(1), seed, 0, &self.config)).unwrap().unwrap();
        let Commit { head, pages, .. } = commit;
        let mut values = self.store.values();
        values.extend(pages.into_iter().map(|(id, bytes)| (page_key(&directory, &id), bytes)));
        values.insert(head_key(&directory), head);
    }

    fn check(&self) -> (i32, Value) {
        let data = tempfile::tempdir().unwrap();
        self.write_to(data.path());
        check(&data)
    }

    /// The one thing wrong.
    #[track_caller]
    fn problem(&self, directory: &str) -> String {
        let (code, report) = self.check();
        assert_eq!((code, &report["sound"]), (1, &json!(false)), "{report}");
        let wrong = |one: &&Value| one["problems"] != json!([]);
        let wrong: Vec<_> = report["directories"].as_array().unwrap().iter().filter(wrong).collect();
        let [one] = &wrong[..] else { panic!("{wrong:?}") };
        assert_eq!(one["directory"], directory);
        let problems = one["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].as_str().unwrap().to_owned()
    }
}

#[track_caller]
fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {value}")).to_owned()
}

fn command(data: &TempDir, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scim-edge"));
    command.arg(name).arg("--data").arg(data.path());
    command
}

fn check(data: &TempDir) -> (i32, Value) {
    let output = command(data, "check").arg("--json").output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), report.unwrap_or_else(|_| panic!("{}", said(&output))))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A populated connection.
fn populated() -> (World, String, Vec<String>) {
    let world = World::new();
    let (id, token) = world.connect("staff");
    world.extend(&id);
    let users = world.populate(&id, &token);
    (world, id, users)
}

#[test]
fn whole_data_is_sound_and_told_in_figures() {
    let (world, id, _) = populated();
    let (code, report) = world.check();
    assert_eq!((code, &report["sound"]), (0, &json!(true)), "{report}");
    let of = |name: &str| {
        let found = report["directories"].as_array().unwrap().iter().find(|one| one["directory"] == name);
        found.unwrap_or_else(|| panic!("no `{name}`: {report}")).clone()
    };
    let staff = of(&id);
    assert_eq!((&staff["users"], &staff["groups"]), (&json!(USERS), &json!(2)));
    assert_eq!((&staff["connection"], &staff["orphans"]), (&json!("`staff` of `default`"), &json!(0)));
    assert!(staff["pages"].as_u64() > Some(5), "{staff}");
    assert_eq!(of("environment")["unfinished"], json!([]));
    assert_eq!(of(&format!("log-{id}"))["problems"], json!([]));

    let data = tempfile::tempdir().unwrap();
    world.write_to(data.path());
    let output = command(&data, "check").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains(&format!("{id} (`staff` of `default`: {USERS} users, 2 groups)")), "{lines}");
    assert!(lines.ends_with("3 directories, 0 with problems\n"), "{lines}");
}

#[test]
fn a_damaged_or_missing_page_is_named() {
    let (world, id, _) = populated();
    let page = world.head(&id).root().unwrap().id;
    let key = page_key(&DirectoryId::new(&id).unwrap(), &page);
    let whole = world.store.values()[&key].clone();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    world.store.values().insert(key.clone(), damaged);
    assert_eq!(world.problem(&id), format!("page `{}` is damaged: the checksum does not match", page.text()));
    world.store.values().remove(&key);
    assert_eq!(world.problem(&id), format!("page `{}` is missing", page.text()));
    world.store.values().insert(key, whole);
    world.store.values().get_mut(&format!("head:{id}")).unwrap()[40] ^= 1;
    assert!(world.check().1.to_string().contains(&format!("the head of `{id}`: the checksum does not match")));
}

#[test]
fn an_index_and_its_resources_have_to_agree() {
    let (world, id, users) = populated();
    let key = Index::UserName.key("user-7", &users[7]);
    world.tamper(&id, |txn| txn.remove(key.clone()));
    assert_eq!(world.problem(&id), format!("`{}` is missing from the index of `userName`", users[7]));
    world.tamper(&id, |txn| txn.put(key.clone(), Vec::new()));
    assert_eq!(world.check().0, 0);
    let foreign = Index::Email.key("nobody@example.com", &users[7]);
    world.tamper(&id, |txn| txn.put(foreign.clone(), Vec::new()));
    assert_eq!(world.problem(&id), format!("the index of `emails` names `{}`, which has no such value", users[7]));
}

#[test]
fn a_membership_has_to_be_there_from_both_sides_and_of_a_group() {
    let (world, id, users) = populated();
    let groups: Vec<_> = {
        let found = world.send("GET", &format!("{CONNECTIONS}/{id}"), &world.vendor, &Value::Null);
        assert_eq!(found["status"], "linked");
        world.groups(&id)
    };
    let there = layout::member(&groups[0], &users[3]);
    let back = layout::belongs(&users[3], &groups[0]);
    world.tamper(&id, |txn| txn.remove(back.clone()));
    assert_eq!(world.problem(&id), "1 memberships are seen from one side only");
    world.tamper(&id, |txn| txn.remove(there.clone()));
    assert_eq!(world.check().0, 0);
    world.tamper(&id, |txn| {
        txn.put(layout::member("nobody", &users[3]), json!({ "value": users[3] }).to_string().into_bytes());
        txn.put(layout::belongs(&users[3], "nobody"), Vec::new());
    });
    assert_eq!(world.problem(&id), "`nobody` has members and does not exist");
}

impl World {
    /// Ids of the groups of a connection, oldest first.
    fn groups(&self, id: &str) -> Vec<String> {
        let data = tempfile::tempdir().unwrap();
        self.write_to(data.path());
        let lines = export(&data, id);
        lines.iter().filter_map(|line| Some(text(line.get("group").filter(|group| group.is_object())?, "id"))).collect()
    }
}

#[test]
fn an_entry_of_the_log_has_to_be_one() {
    let (world, id, _) = populated();
    world.tamper(&id, |txn| txn.put(layout::log_entry(1, 9), b"no entry".to_vec()));
    assert_eq!(world.problem(&id), "an entry of the log cannot be read");
    world.tamper(&id, |txn| txn.remove(layout::log_entry(1, 9)));
    let log = format!("log-{id}");
    world.tamper(&log, |txn| {
        txn.put(layout::log_entry(1 << 40, 0), br#"{"time":1,"operation":"x","status":400}"#.to_vec())
    });
    assert_eq!(world.problem(&log), "an entry of the log is of a version the directory has not reached");
}

#[test]
fn the_environment_has_to_list_the_connections_that_are_there() {
    let (world, id, _) = populated();
    let (other, _) = world.connect("contractors");
    let entry = |kind: &str, rest: &str| [kind.as_bytes(), rest.as_bytes()].concat();
    let whole = world.store.values().clone();
    let reset = || world.store.values().clone_from(&whole);

    world.tamper("environment", |txn| txn.remove(entry("n", "contractors\0default")));
    assert_eq!(world.problem("environment"), format!("`{other}` is missing from the list by name"));
    reset();
    world.tamper("environment", |txn| txn.put(entry("t", "elsewhere\0nobody"), b"true".to_vec()));
    assert_eq!(world.problem("environment"), "1 entries of the list by account lead nowhere");
    reset();
    world.store.values().remove(&format!("head:{other}"));
    assert_eq!(world.problem("environment"), format!("`{other}` is listed and has no directory"));
    reset();
    // What a crash in the middle of a creation leaves is no problem: no request can name it.
    for (kind, rest) in [("c", other.clone()), ("t", format!("default\0{other}")), ("n", "contractors\0default".into())]
    {
        world.tamper("environment", |txn| txn.remove(entry(kind, &rest)));
    }
    let (code, report) = world.check();
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["directories"][0]["unfinished"], json!([format!("the creation of `{other}` was cut off")]));
    assert!(!report["directories"][0]["unfinished"].to_string().contains(&id));
}

/// Requests that crash after their pages are stored and before the head is swapped, each leaving pages.
fn crash(world: &World, id: &str, token: &str, times: usize) {
    for n in 0..times {
        let user = json!({ "schemas": [USER], "userName": format!("crash-{n}"), "title": "t".repeat(9000) });
        let target = format!("/directory/resources/scim/v2.0/{id}/Users");
        let mut session = world.session("POST", &target, token, &user);
        let mut reply = None;
        loop {
            match session.turn(&world.cache, reply.take()) {
                Turn::Call(Call::SwapHead { .. }) => break,
                Turn::Call(call) => reply = Some(world.store.call(&call)),
                Turn::Wait => {}
                Turn::Done(answer) => panic!("answered {}", answer.status),
            }
        }
    }
}

#[test]
fn a_sweep_removes_what_crashes_left_and_nothing_else() {
    let world = World::new();
    let (id, token) = world.connect("staff");
    world.populate(&id, &token);
    let pages = |of: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
        of.keys().filter(|key| key.starts_with("page:")).cloned().collect()
    };
    let before = pages(&world.store.values());
    assert!(world.store.values().values().any(|value| value.starts_with(b"sp\x02")), "a page stays");
    crash(&world, &id, &token, 5);
    let orphans = pages(&world.store.values()).len() - before.len();
    assert!(orphans >= 5);

    let data = tempfile::tempdir().unwrap();
    world.write_to(data.path());
    let (code, report) = check(&data);
    let found: u64 = report["directories"].as_array().unwrap().iter().filter_map(|one| one["orphans"].as_u64()).sum();
    assert_eq!((code, found), (0, orphans as u64), "{report}");
    let sweep = |limit: usize| {
        let output = command(&data, "sweep").args(["--limit", &limit.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(sweep(2), format!("2 orphan pages removed, {} are left: run it again\n", orphans - 2));
    assert_eq!(sweep(1000), format!("{} orphan pages removed\n", orphans - 2));
    assert_eq!(sweep(1000), "0 orphan pages removed\n");
    assert_eq!(pages(&rows(&data)), before);
    assert_eq!(check(&data).0, 0);
}

/// A sweep beside a server: a commit whose pages it may have removed can never land.
#[test]
fn a_commit_under_way_loses_against_a_sweep() {
    let world = World::new();
    let (id, token) = world.connect("staff");
    world.populate(&id, &token);
    let expected = world.head(&id).bytes().to_vec();
    crash(&world, &id, &token, 1);
    let data = tempfile::tempdir().unwrap();
    world.write_to(data.path());
    assert!(command(&data, "sweep").output().unwrap().status.success());
    assert_ne!(rows(&data)[&format!("head:{id}")], expected, "the swap of the commit would find the head it knew");
}

/// Every key and value of a data directory.
fn rows(data: &TempDir) -> BTreeMap<String, Vec<u8>> {
    let file = Connection::open(data.path().join("sqlite_key_value.db")).unwrap();
    let mut rows = file.prepare("SELECT key, value FROM spin_key_value").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn export(data: &TempDir, id: &str) -> Vec<Value> {
    let output = command(data, "export").args(["--connection", id]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(data: &TempDir, id: &str, lines: &[Value]) -> Output {
    let mut command = command(data, "import");
    command.args(["--connection", id]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    for line in lines {
        // A command that refuses an early line does not read the rest.
        let _unread = writeln!(input, "{line}");
    }
    drop(input);
    process.wait_with_output().unwrap()
}

/// A data directory with an empty connection.
fn empty() -> (TempDir, World, String) {
    let world = World::new();
    let (id, _) = world.connect("copy");
    let data = tempfile::tempdir().unwrap();
    world.write_to(data.path());
    (data, world, id)
}

/// Lines without what an import gives anew.
fn comparable(lines: &[Value]) -> Vec<Value> {
    let mut lines = lines.to_vec();
    for line in &mut lines {
        for kind in ["user", "group"] {
            if let Some(meta) = line.get_mut(kind).and_then(|resource| resource.get_mut("meta")) {
                meta["version"].take();
            }
        }
    }
    lines
}

#[test]
fn an_export_comes_back_whole_from_an_import() {
    let (world, id, _) = populated();
    let data = tempfile::tempdir().unwrap();
    world.write_to(data.path());
    let lines = export(&data, &id);
    let of = |kind: &str| lines.iter().filter(|line| line.get(kind).is_some_and(Value::is_object)).count();
    assert_eq!((of("settings"), of("user"), of("group"), of("member")), (1, USERS, 2, 22));
    assert_eq!(lines[1]["user"][BADGE]["number"], "0");

    let (copy, _, other) = empty();
    let output = import(&copy, &other, &lines);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{} lines imported\n", lines.len()));
    assert_eq!(comparable(&export(&copy, &other)), comparable(&lines));
    let (code, report) = check(&copy);
    assert_eq!(code, 0, "{report}");
    assert!(report["directories"].as_array().unwrap().iter().all(|one| one["orphans"] == 0), "{report}");
    let again = import(&copy, &other, &lines);
    assert!(said(&again).contains("the connection has users or groups already"), "{}", said(&again));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_left_of_it() {
    let (world, id, _) = populated();
    let data = tempfile::tempdir().unwrap();
    world.write_to(data.path());
    let lines = export(&data, &id);
    let (copy, _, other) = empty();
    let before = rows(&copy);
    let refused = |lines: &[Value], expected: &str| {
        let output = import(&copy, &other, lines);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(expected), "{expected}: {}", said(&output));
        assert!(rows(&copy) == before, "{expected}: something is left");
    };
    let changed = |at: usize, change: &dyn Fn(&mut Value)| {
        let mut lines = lines.clone();
        change(&mut lines[at]);
        lines
    };
    refused(&lines[1..], "line 1: ");
    refused(&changed(0, &|line| line["settings"]["userExtensions"] = json!([])), "line 2: ");
    refused(
        &changed(5, &|line| line["user"]["userName"] = "USER-0".into()),
        "line 6: has an id or a unique value of line 2",
    );
    refused(&changed(5, &|line| line["user"]["favourite"] = "x".into()), "line 6: ");
    refused(&changed(5, &|line| line["user"]["active"] = "yes".into()), "line 6: ");
    refused(
        &changed(5, &|line| line["user"]["title"] = "t".repeat(300_000).into()),
        "line 6: is larger than 262144 bytes",
    );
    refused(&changed(5, &|line| drop(line["user"].as_object_mut().unwrap().remove("meta"))), "line 6: has no `meta`");
    refused(&changed(5, &|line| line["user"]["meta"]["created"] = "tomorrow".into()), "was changed before it was made");
    let last = lines.len() - 1;
    refused(&changed(last, &|line| line["member"]["group"] = "nobody".into()), "no line before has the group `nobody`");
    refused(&changed(last, &|line| *line = json!({ "unknown": {} })), "is no `settings`, `user`, `group` or `member`");
    refused(&[lines.clone(), vec![json!("x")]].concat(), "is no object");
    let absent = import(&copy, "nobody", &lines);
    assert!(said(&absent).contains("there is no `nobody`"), "{}", said(&absent));
    let environment = import(&copy, "environment", &lines);
    assert!(said(&environment).contains("there is no such connection"), "{}", said(&environment));
}

#[test]
fn a_directory_without_data_is_a_clear_refusal() {
    let data = tempfile::tempdir().unwrap();
    for name in ["check", "sweep"] {
        let output = command(&data, name).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("name the directory with `--data`"), "{}", said(&output));
    }
    // Not even an empty database is left behind.
    assert!(!data.path().join("sqlite_key_value.db").exists());
    File::create(data.path().join("sqlite_key_value.db")).unwrap();
    assert!(command(&data, "check").output().unwrap().status.success());
}
