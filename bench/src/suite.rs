//! The operations of one size, each many times: with nothing cached, and as an instance that has been running.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use scim_engine::env::Limits;
use serde_json::{Value, json};

use crate::world::{Cost, Run, World, operation};

/// Requests of each operation.
const SAMPLES: usize = 400;
/// How many of the users are made one by one: room that pages are laid with fills up before anything is measured.
const SETTLING: usize = 500;
/// Reads that an instance has answered before it is measured.
const ANSWERED: usize = 5000;
/// Users who leave.
const LEAVERS: usize = 20;
/// Groups each of them is in.
const MANY: usize = 100;
/// Sizes of groups.
const GROUPS: [usize; 4] = [0, 1000, 50_000, 500_000];

/// One operation's cost at one size, means over its requests.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What was done.
    pub name: String,
    /// Key-value calls, with nothing cached.
    pub cold_calls: f64,
    /// Key-value calls, warm.
    pub calls: f64,
    /// Pages read, with nothing cached.
    pub cold_pages_read: f64,
    /// Pages read, warm.
    pub pages_read: f64,
    /// Pages written.
    pub pages_written: f64,
    /// KiB written, heads included.
    pub kib_written: f64,
    /// Median CPU time in microseconds, with nothing cached.
    pub cold_micros: f64,
    /// Median CPU time in microseconds, warm.
    pub micros: f64,
}

/// A request: method, path and body.
type Asked = (&'static str, String, Option<Value>);

struct Suite {
    world: World,
    measured: Vec<Measured>,
}

/// Builds a directory of so many users and measures it.
///
/// # Errors
/// A request is refused.
pub fn measure(users: usize, limits: &Limits) -> Result<Vec<Measured>> {
    let mut world = World::new(limits)?;
    let made = users + SAMPLES;
    let laid = made.saturating_sub(SETTLING);
    let mut ids = elsewhere(|| world.fill("/Users", (0..laid).map(person)))?;
    for number in laid..made {
        let (user, _) = world.send("POST", "/Users", Some(&person(number)), Run::Warm)?;
        ids.push(user["id"].as_str().context("no id")?.to_owned());
    }
    let (members, spare) = ids.split_at_checked(users).context("too few users")?;
    let mut suite = Suite { world, measured: Vec::new() };
    suite.answer(members)?;
    suite.users(members, spare)?;
    suite.lists(users)?;
    let mut groups = Vec::new();
    for size in GROUPS.into_iter().filter(|size| *size <= users) {
        groups.push((size, suite.group(members.get(..size).context("too few users")?, spare)?));
    }
    suite.leavers(spare)?;
    // Later writes take out what memberships a deleted group leaves: nothing else is measured after this.
    for (size, path) in groups.into_iter().filter(|(size, _)| *size > 0) {
        suite.sample(&format!("delete a group of {size}"), 1, &|_| ("DELETE", path.clone(), None))?;
    }
    let first = users + 2 * SAMPLES;
    suite.sample("create a user meanwhile", SAMPLES, &|i| ("POST", "/Users".into(), Some(person(first + i))))?;
    let (values, bytes) = suite.world.stored();
    println!("{users} users: {values} values of {} MiB in the store", bytes >> 20);
    Ok(suite.measured)
}

impl Suite {
    /// Answers what it is asked for a while, so that what an instance has running is what it comes to have.
    fn answer(&mut self, members: &[String]) -> Result<()> {
        for number in (0..ANSWERED).map(|i| i.wrapping_mul(7907) % members.len()) {
            for path in [format!("/Users/{}", members[number]), by_name(number)] {
                self.world.send("GET", &path, None, Run::Warm)?;
            }
        }
        Ok(())
    }

    fn users(&mut self, members: &[String], spare: &[String]) -> Result<()> {
        let first = members.len() + spare.len();
        let any = |i: usize| &members[i.wrapping_mul(7919) % members.len()];
        self.sample("create a user", SAMPLES, &|i| ("POST", "/Users".into(), Some(person(first + i))))?;
        self.sample("get a user by id", SAMPLES, &|i| ("GET", format!("/Users/{}", any(i)), None))?;
        // Other users than before, or their pages would be at hand.
        let other = |i: usize| i.wrapping_mul(7901).wrapping_add(4001) % members.len();
        self.sample("filter by userName", SAMPLES, &|i| ("GET", by_name(other(i)), None))?;
        let leave = operation("replace", "active", &json!(false));
        self.sample("PATCH active", SAMPLES, &|i| ("PATCH", format!("/Users/{}", any(i)), Some(leave.clone())))
    }

    fn lists(&mut self, users: usize) -> Result<()> {
        for (place, index) in [("start", 1), ("middle", users / 2), ("end", users - 50)] {
            let path = format!("/Users?startIndex={index}&count=50");
            self.sample(&format!("list 50 by index, {place}"), SAMPLES, &|_| ("GET", path.clone(), None))?;
        }
        let search = "/Users?filter=userName%20sw%20%22a%22&sortBy=userName&startIndex=51&count=50";
        self.sample("search 50 by name, second page", SAMPLES, &|_| ("GET", search.into(), None))?;
        let mut cursor = String::new();
        for place in ["start", "later"] {
            let path = format!("/Users?cursor={cursor}&count=50");
            self.sample(&format!("list 50 by cursor, {place}"), SAMPLES, &|_| ("GET", path.clone(), None))?;
            for _ in 0..5 {
                let (page, _) =
                    self.world.send("GET", &format!("/Users?cursor={cursor}&count=100"), None, Run::Warm)?;
                page["nextCursor"].as_str().context("no cursor")?.clone_into(&mut cursor);
            }
        }
        Ok(())
    }

    /// Makes a group of these, and measures what happens to it; its path.
    fn group(&mut self, members: &[String], spare: &[String]) -> Result<String> {
        let size = members.len();
        let group = self.world.load("/Groups", [json!({ "displayName": format!("Group of {size}") })].into_iter())?;
        let group = group.first().context("no group")?;
        elsewhere(|| self.world.join(group, members))?;
        let path = format!("/Groups/{group}");
        self.sample(&format!("add a member to {size}"), SAMPLES, &|i| {
            ("PATCH", path.clone(), Some(operation("add", "members", &json!([{ "value": spare[i] }]))))
        })?;
        self.sample(&format!("remove a member of {size}"), SAMPLES, &|i| {
            let member = format!("members[value eq \"{}\"]", spare[i]);
            ("PATCH", path.clone(), Some(operation("remove", &member, &Value::Null)))
        })?;
        let brief = format!("{path}?excludedAttributes=members");
        self.sample(&format!("get a group of {size}, no members"), SAMPLES, &|_| ("GET", brief.clone(), None))?;
        Ok(path)
    }

    fn leavers(&mut self, spare: &[String]) -> Result<()> {
        let leavers = spare.get(..LEAVERS).context("too few users")?;
        let groups = (0..MANY).map(|number| json!({ "displayName": format!("Team {number}") }));
        for group in self.world.load("/Groups", groups)? {
            self.world.join(&group, leavers)?;
        }
        let path = |i: usize| ("DELETE", format!("/Users/{}", leavers[i]), None);
        self.sample(&format!("delete a user in {MANY} groups"), LEAVERS, &path)
    }

    fn sample(&mut self, name: &str, times: usize, asked: &dyn Fn(usize) -> Asked) -> Result<()> {
        let world = &mut self.world;
        let measured = sample(name, times, |i, run| {
            let (method, path, body) = asked(i);
            Ok(world.send(method, &path, body.as_ref(), run)?.1)
        })?;
        self.measured.push(measured);
        Ok(())
    }
}

/// Fills a directory on a thread of its own, and so in a heap of its own: what that leaves free, in pieces, would slow down
/// each allocation of what is measured after it.
fn elsewhere<T: Send>(fill: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(fill).join()).map_err(|_| anyhow!("filling a directory failed"))?
}

/// Makes a request so many times, and each of them before that without effect and with nothing cached. What is done once is
/// done with nothing cached.
///
/// # Errors
/// One is refused.
pub fn sample(name: &str, times: usize, mut request: impl FnMut(usize, Run) -> Result<Cost>) -> Result<Measured> {
    let (mut cold, mut warm) = (Cost::default(), Cost::default());
    let (mut cold_times, mut warm_times) = (Vec::new(), Vec::new());
    for i in 0..times {
        let cost = request(i, Run::Trial)?;
        cold_times.push(cost.time);
        cold.add(cost);
        let cost = request(i, if times == 1 { Run::Cold } else { Run::Warm })?;
        warm_times.push(cost.time);
        warm.add(cost);
    }
    Ok(Measured {
        name: name.to_owned(),
        cold_calls: mean(cold.calls, times),
        calls: mean(warm.calls, times),
        cold_pages_read: mean(cold.pages_read, times),
        pages_read: mean(warm.pages_read, times),
        pages_written: mean(warm.pages_written, times),
        kib_written: mean(warm.bytes_written, times) / 1024.0,
        cold_micros: median(cold_times),
        micros: median(warm_times),
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
pub fn mean(sum: u64, times: usize) -> f64 {
    sum as f64 / times as f64
}

/// Names lie in no order of creation, as in life.
fn user_name(number: usize) -> String {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
    format!("{mixed:016x}.u{number}@example.com")
}

fn by_name(number: usize) -> String {
    format!("/Users?filter=userName%20eq%20%22{}%22", user_name(number))
}

/// A user as an identity provider sends it.
pub fn person(number: usize) -> Value {
    let name = user_name(number);
    let (given, family) = (format!("Given{}", number % 997), format!("Family{}", number % 4999));
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "externalId": format!("00u{}", name.get(..16).unwrap_or_default()),
        "displayName": format!("{given} {family}"),
        "name": { "givenName": given, "familyName": family },
        "emails": [{ "value": name, "type": "work", "primary": true }],
        "active": true,
    })
}
