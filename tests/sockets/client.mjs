// What the stock Socket.IO client of web pages hears of a server, over each transport:
//
//     npm ci --prefix tests/sockets
//     node tests/sockets/client.mjs --server target/debug/invoke-server [--port 9294]
//
// Starts the server on a fresh root with accounts. tests/contract/sockets.py asks the same server through the stock Python client, with pictures.
// `package-lock.json` pins the versions and names no registry; made with `npm install --omit-lockfile-registry-resolved`.
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { io } from 'socket.io-client'

const { values: options } = parseArgs({ options: { server: { type: 'string' }, port: { type: 'string', default: '9294' } } })
if (!options.server) throw new Error('--server is missing')
const base = `http://127.0.0.1:${options.port}`
const PATIENCE_MS = 60_000
let passed = 0

function check(condition, text) {
  if (!condition) throw new Error(`FAILED: ${text}`)
  passed += 1
  console.log(`passed  ${text}`)
}

async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS
  while (Date.now() < end) {
    const found = await condition()
    if (found) return found
    await pause(10)
  }
  throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`)
}

async function call(method, path, token, body) {
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }) }
  const reply = await fetch(base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  const text = await reply.text()
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`)
  return text ? JSON.parse(text) : null
}

const account = (name) => ({ email: `${name}@example.com`, password: `Passw0rd-${name}`, display_name: name })
const sign_in = async (name, password) => {
  const { email } = account(name)
  return (await call('POST', '/api/v1/auth/login', null, { email, password: password ?? account(name).password })).token
}

// A client as the page makes it, and all that it hears.
class Listener {
  constructor(transports, more) {
    this.heard = []
    this.socket = io(base, { path: '/ws/socket.io', transports, reconnection: false, forceNew: true, timeout: PATIENCE_MS, ...more })
    this.socket.onAny((event, data) => this.heard.push([event, data]))
    this.socket.on('disconnect', (reason) => (this.ended = reason))
    this.settled = new Promise((resolve) => {
      this.socket.on('connect', () => resolve('connected'))
      this.socket.on('connect_error', (error) => resolve(error.message))
    })
  }

  static async open(transports, token) {
    const listener = new Listener(transports, { auth: { token } })
    const outcome = await listener.settled
    if (outcome !== 'connected') throw new Error(`not let in: ${outcome}`)
    await listener.ask('subscribe_queue')
    return listener
  }

  // Says something of the queue, and waits until the server has taken it in.
  async ask(what) {
    await this.socket.timeout(PATIENCE_MS).emitWithAck(what, { queue_id: 'default' })
  }

  of(...names) {
    return this.heard.filter(([event]) => names.includes(event)).map(([, data]) => data)
  }

  text() {
    return JSON.stringify(this.heard)
  }

  close() {
    this.socket.disconnect()
  }
}

const enqueue = async (token, nodes, runs = 1) => {
  const batch = { graph: { id: 'g', nodes, edges: [] }, runs, origin: 'secret-origin', destination: 'secret-destination' }
  return (await call('POST', '/api/v1/queue/default/enqueue_batch', token, { batch })).item_ids
}
const add = { n: { id: 'n', type: 'add', a: 4711, b: 815 } }
const broken = { n: { id: 'n', type: 'img_blur', image: { image_name: '00000000-0000-4000-8000-000000000000.png' } } }

async function refusals(transport) {
  for (const [what, more] of [
    ['no token', {}],
    ['a wrong token', { auth: { token: 'x.y.z' } }],
    ['an empty token', { auth: { token: '' } }],
    ['a token that is no text', { auth: { token: { sub: 'system' } } }],
  ]) {
    const stranger = new Listener([transport], more)
    const outcome = await stranger.settled
    check(outcome !== 'connected', `${transport}: with ${what} nobody is let in (${outcome})`)
    stranger.close()
  }
}

async function play(transport, tokens, ids) {
  await refusals(transport)
  const by_header = new Listener([transport], { extraHeaders: { authorization: `Bearer ${tokens.alice}` } })
  check((await by_header.settled) === 'connected', `${transport}: a token in the header of the first request lets in`)
  by_header.close()

  const [alice, bob, admin] = await Promise.all(['alice', 'bob', 'admin'].map((name) => Listener.open([transport], tokens[name])))
  check(alice.socket.io.engine.transport.name === transport, `${transport}: that is what is spoken`)
  // Names of rooms that the original had, and those of things of Alice's.
  for (const room of [`user:${ids.alice}`, ids.alice, 'admin', 'system', 'default'])
    for (const ask of ['subscribe_queue', 'subscribe_bulk_download', 'subscribe', 'join'])
      bob.socket.emit(ask, { queue_id: room, bulk_download_id: room, room, user_id: ids.alice })
  // A message that is none of ours is not answered, and ends nothing.
  const answered = (...said) => bob.socket.timeout(1000).emitWithAck(...said).then(() => true, () => false)
  const strange = [['subscribe_queue', 'no object'], ['subscribe_queue', { queue_id: 1 }], ['unsubscribe_queue'], ['join', { queue_id: 'default' }]]
  check((await Promise.all(strange.map((said) => answered(...said)))).every((was) => !was), `${transport}: what nobody understands is not answered`)
  // What comes after them is answered once they have been taken in.
  await bob.ask('subscribe_queue')

  const [item] = await enqueue(tokens.alice, add)
  const of_item = (listener) => listener.of('queue_item_status_changed').filter((change) => change.item_id === item)
  await until(() => of_item(alice).some((change) => change.status === 'completed'), 'the end of the item')
  await until(() => of_item(admin).some((change) => change.status === 'completed'), 'the end of the item, for the administrator')
  await until(() => of_item(bob).some((change) => change.status === 'completed'), 'the end of the item, for another user')
  const order = alice.heard.map(([event, data]) => data.status ?? event)
  check(
    JSON.stringify(order) === JSON.stringify(['batch_enqueued', 'in_progress', 'invocation_started', 'invocation_complete', 'completed']),
    `${transport}: events come in the order of what happens`,
  )
  check(alice.of('invocation_complete')[0].result.value === 5526, `${transport}: the result comes along`)
  check(of_item(alice).every((change) => change.user_id === ids.alice), `${transport}: the owner is told who owns it`)
  check(of_item(admin).every((change) => change.user_id === ids.alice), `${transport}: an administrator as well`)
  check(
    bob.of('queue_item_status_changed', 'batch_enqueued').every((data) => data.user_id === 'redacted' && data.batch_id === 'redacted'),
    `${transport}: others hear that items moved`,
  )
  check(bob.of('invocation_started', 'invocation_complete', 'invocation_progress').length === 0, `${transport}: and nothing of the nodes`)

  const [failing] = await enqueue(tokens.alice, broken)
  const error = await until(() => alice.of('invocation_error').find((data) => data.item_id === failing), 'the error')
  check(error.error_type && error.error_message, `${transport}: an error says what it is`)
  const failed = await until(() => alice.of('queue_item_status_changed').find((data) => data.item_id === failing && data.status === 'failed'), 'the failure')
  check(failed.error_type === error.error_type, `${transport}: and the item as well`)

  await call('POST', '/api/v1/recall/default', tokens.alice, { positive_prompt: 'secret-prompt' })
  await until(() => alice.of('recall_parameters_updated').length === 1, 'recalled parameters')
  await call('POST', '/api/v1/recall/default', tokens.bob, { positive_prompt: 'his' })
  await until(() => bob.of('recall_parameters_updated').length === 1, "recalled parameters of bob's")
  check(!['4711', 'secret-', 'alice@', ids.alice].some((secret) => bob.text().includes(secret)), `${transport}: nothing of hers is in what he heard`)
  check(alice.of('recall_parameters_updated').length === 1, `${transport}: nor of his in what she heard`)

  await alice.ask('unsubscribe_queue')
  await bob.ask('unsubscribe_queue')
  const before = bob.heard.length
  const [last] = await enqueue(tokens.admin, add)
  await until(() => admin.of('queue_item_status_changed').some((data) => data.item_id === last && data.status === 'completed'), 'the last item')
  await pause(100)
  check(bob.heard.length === before, `${transport}: who has unsubscribed hears nothing of others' items`)
  for (const listener of [alice, bob, admin]) listener.close()
}

// A page begins with requests and goes over to a websocket.
async function upgrade(token) {
  const page = await Listener.open(['polling', 'websocket'], token)
  await until(() => page.socket.io.engine.transport.name === 'websocket', 'going over to a websocket')
  const items = await enqueue(token, add, 20)
  const done = () => page.of('queue_item_status_changed').filter((data) => items.includes(data.item_id) && data.status === 'completed')
  await until(() => done().length === 20, 'twenty items')
  check(new Set(done().map((data) => data.item_id)).size === 20, 'a page that goes over to a websocket misses nothing')
  page.close()
}

async function lost_access(admin_token) {
  for (const transport of ['websocket', 'polling']) {
    const name = `carol-${transport}`
    const { user_id } = await call('POST', '/api/v1/auth/users', admin_token, account(name))
    const token = await sign_in(name)
    const [one, other] = [await Listener.open([transport], token), await Listener.open([transport], await sign_in(name))]
    await call('PATCH', '/api/v1/auth/me', token, { current_password: account(name).password, new_password: 'An0ther-one' })
    await until(() => one.ended && other.ended, 'the end of sockets with old tokens')
    check(true, `${transport}: a new password ends what older tokens opened`)
    const again = await Listener.open([transport], await sign_in(name, 'An0ther-one'))
    await call('PATCH', `/api/v1/auth/users/${user_id}`, admin_token, { is_active: false })
    await until(() => again.ended, 'the end of a deactivated user')
    check(again.ended === 'io server disconnect' || again.ended === 'transport close', `${transport}: deactivation ends sockets (${again.ended})`)
  }
}

const root = mkdtempSync(join(tmpdir(), 'invoke-sockets-'))
writeFileSync(join(root, 'invokeai.yaml'), 'schema_version: 4.0.3\nmultiuser: true\n')
const log = openSync(join(root, 'server.log'), 'w')
const server = spawn(options.server, ['--root', root, '--port', options.port], { stdio: ['ignore', log, log] })
const gone = new Promise((resolve) => server.on('exit', resolve))
let failure
try {
  await until(() => call('GET', '/api/v1/app/version').catch(() => null), "the server's first answer")
  const [tokens, ids] = [{}, {}]
  await call('POST', '/api/v1/auth/setup', null, account('admin'))
  tokens.admin = await sign_in('admin')
  for (const name of ['alice', 'bob']) {
    ids[name] = (await call('POST', '/api/v1/auth/users', tokens.admin, account(name))).user_id
    tokens[name] = await sign_in(name)
  }
  for (const transport of ['websocket', 'polling']) await play(transport, tokens, ids)
  await upgrade(tokens.alice)
  await lost_access(tokens.admin)
} catch (error) {
  failure = error
} finally {
  server.kill('SIGTERM')
  const code = await gone
  closeSync(log)
  if (failure || code !== 0) {
    console.error(readFileSync(join(root, 'server.log'), 'utf8'))
    console.error(failure ?? `the server ended with ${code}`)
  }
  rmSync(root, { recursive: true, force: true })
  console.log(`${passed} passed`)
  process.exit(failure || code !== 0 ? 1 : 0)
}
