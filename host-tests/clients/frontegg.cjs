// Frontegg's own clients, unchanged: the server-side one with the vendor's credential, then the one of its browser
// components with a user's token. One line for each thing that went well; the first that does not ends it.
'use strict';
const assert = require('node:assert/strict');
const { createHmac } = require('node:crypto');
const { createRequire } = require('node:module');

const [, , base, clientId, secret, userSecret, modules] = process.argv;
process.env.FRONTEGG_API_GATEWAY_URL = base;
const load = createRequire(`${modules}/index.js`);
const account = `frontegg-${process.pid}`;
const CONNECTIONS = '/directory/resources/v1/configurations/scim2';

async function check(what, test) {
  await test();
  console.log(`ok ${what}`);
}

function userToken(permissions) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: 'ann', tenantId: account, permissions, exp: Math.floor(Date.now() / 1000) + 300 };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', userSecret).update(signed).digest('base64url')}`;
}

async function serverSide() {
  const { FronteggAuthenticator, HttpClient } = load('@frontegg/client');
  const authenticator = new FronteggAuthenticator();
  await check('client: the vendor logs in', () => authenticator.init(clientId, secret));
  const http = new HttpClient(authenticator, { baseURL: base });
  const tenant = { 'frontegg-tenant-id': account };
  let made;
  await check('client: a connection is made', async () => {
    const answer = await http.post(CONNECTIONS, { source: 'Okta', connectionName: 'server side' }, tenant);
    assert.equal(answer.status, 201);
    assert.ok(answer.data.token && answer.data.id);
    made = answer.data;
  });
  await check('client: it is listed and read', async () => {
    const listed = await http.get(CONNECTIONS, tenant);
    assert.deepEqual(listed.data.map((one) => one.id), [made.id]);
    const one = await http.get(`${CONNECTIONS}/${made.id}`, tenant);
    assert.equal(one.data.source, 'okta');
  });
  await check('client: it is paused', async () => {
    const answer = await http.patch(`${CONNECTIONS}/${made.id}`, { syncToUserManagement: false }, tenant);
    assert.equal(answer.status, 204);
  });
  await check('client: it is deleted with a body', async () => {
    const answer = await http.delete(`${CONNECTIONS}/${made.id}`, tenant, { deleteAll: true });
    assert.equal(answer.status, 204);
    await assert.rejects(http.get(`${CONNECTIONS}/${made.id}`, tenant), (error) => error.response.status === 404);
  });
  await check('client: roles are made, changed and deleted', async () => {
    const permissions = (await http.get('/identity/resources/permissions/v1')).data;
    assert.equal(permissions.length, 3);
    const roles = (await http.post('/identity/resources/roles/v1', [{ key: account, name: 'Admin' }])).data;
    const path = `/identity/resources/roles/v1/${roles[0].id}`;
    await http.put(`${path}/permissions`, { permissionIds: permissions.map((one) => one.id) });
    assert.equal((await http.delete(path)).status, 204);
  });
  await check('client: self-service is turned on', async () => {
    const answer = await http.put('/directory/resources/v1/configurations/self-service', { enabled: true });
    assert.equal(answer.data.enabled, true);
  });
  await authenticator.shutdown();
}

async function browserSide() {
  // What the client asks of a browser.
  globalThis.window = { location: { search: '', href: base } };
  const { ContextHolder } = load('@frontegg/rest-api');
  const { DirectoryApi } = load('@frontegg/rest-api/node/directory');
  let permissions = ['fe.secure.*'];
  ContextHolder.for('default').setContext({ baseUrl: base, tokenResolver: () => userToken(permissions), logLevel: 'none' });
  const api = new DirectoryApi('default');
  let made;
  await check('rest-api: a user makes a connection', async () => {
    made = await api.createConfiguration({ source: 'azure-ad', connectionName: 'browser side' });
    assert.ok(made.token && made.id);
  });
  await check('rest-api: the user sees it', async () => {
    const [one, ...more] = await api.getConfigs();
    assert.deepEqual([one.id, one.source, one.lastSync, more.length], [made.id, 'azure-ad', null, 0]);
  });
  await check('rest-api: the user pauses it and counts its users', async () => {
    await api.updateConfiguration(made.id, { syncToUserManagement: false });
    assert.equal((await api.getConfigs())[0].syncToUserManagement, false);
    assert.deepEqual(await api.countConfigurationUsers(made.id), { count: 0 });
  });
  await check('rest-api: a refusal is shown in our words', async () => {
    const again = api.createConfiguration({ source: 'okta', connectionName: 'Browser Side' });
    await assert.rejects(again, (error) => error.statusCode === 409 && /connectionName/.test(error.message));
    permissions = ['fe.secure.read.*'];
    await assert.rejects(api.deleteConfiguration(made.id, true), (error) => error.statusCode === 403);
    permissions = ['fe.secure.*'];
  });
  await check('rest-api: the user deletes it', async () => {
    await api.deleteConfiguration(made.id, true);
    assert.deepEqual(await api.getConfigs(), []);
  });
}

serverSide().then(browserSide).then(
  () => process.exit(0),
  (error) => {
    console.error(error.stack);
    process.exit(1);
  },
);
