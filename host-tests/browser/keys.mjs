// Customers whose users are known by the keys an issuer publishes. Prints a line for each journey.
//
// node keys.mjs SETTINGS, where SETTINGS is JSON: see `tests/all/browser.rs`

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";

import { create, end, go, journey, openPortal, page, postToken, provision, settings, text, toggle, user, userToken, visitor } from "./harness.mjs";

const tenantId = "acme";

/** A key pair: how it signs a token, and how its issuer shows it. */
function signer(kid, alg) {
  const { privateKey, publicKey } = alg === "RS256"
    ? generateKeyPairSync("rsa", { modulusLength: 2048 })
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const token = (wanted, header = {}) =>
    userToken(wanted, { alg, kid, ...header }, (signed) => sign("sha256", signed, { key: privateKey, dsaEncoding: "ieee-p1363" }));
  return { token, shown: { ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" } };
}

const [rsa, ec, late, stranger] = [["r", "RS256"], ["e", "ES256"], ["l", "ES256"], ["r", "RS256"]].map(([kid, alg]) => signer(kid, alg));
let published = [rsa, ec];
const issuer = createServer((_, response) => {
  response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: published.map(({ shown }) => shown) }));
});
await new Promise((resolve) => issuer.listen(new URL(settings.issuer).port, "127.0.0.1", resolve));

await toggle(true);

for (const [name, { token }] of [["RS256", rsa], ["ES256", ec]]) {
  await journey(`a customer signs in with a token of ${name} and sets up a connection`, async () => {
    const customer = await visitor();
    await openPortal(token({ tenantId }), customer);
    const own = await create(name, "Okta", "/portal/new", customer);
    assert.equal((await provision(own, "/Users", user(`${name}@example.com`))).status, 201);
    await go(`/portal/connections/${own.id}/users`, customer);
    assert.match(await text("tbody", customer), new RegExp(`${name}@example.com`));
  });
}

await journey("permissions of a signed token are what the portal shows", async () => {
  const customer = await visitor();
  await openPortal(rsa.token({ tenantId, permissions: ["fe.secure.read.*"] }), customer);
  assert.match(await text("tbody", customer), /RS256/);
  assert.equal(await customer.getByRole("link", { name: "New connection" }).count(), 0);
});

await journey("a token whose key the issuer did not publish opens nothing", async () => {
  const customer = await visitor();
  for (const token of [stranger.token({ tenantId }), rsa.token({ tenantId, life: -1 }), ec.token({ tenantId }, { alg: "none" })]) {
    const answered = customer.waitForResponse((response) => response.url().endsWith("/portal/session"));
    await postToken(token, customer);
    assert.equal((await answered).status(), 401);
    await customer.waitForURL("**/portal/session");
    assert.equal((await go("/portal", customer)).status(), 401);
  }
});

await journey("a session goes on when the issuer adds a key, and the new key signs in at once", async () => {
  const customer = await visitor();
  await openPortal(ec.token({ tenantId }), customer);
  published = [ec, late];
  const newcomer = await visitor();
  await openPortal(late.token({ tenantId }), newcomer);
  assert.equal((await go("/portal", customer)).status(), 200);
});

issuer.close();
await end();
