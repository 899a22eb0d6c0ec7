// The same app as app_test.py, with the stock supabase-js: two people, their todos, their pictures.
// TARGETS is a JSON list of {name, url, anon_key, service_role_key}; every test runs against each, and the last ones
// against all at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '@supabase/supabase-js'

const targets = JSON.parse(process.env.TARGETS)
const password = 'correct horse battery'

/** A client as a browser would have it. */
function client(target, key = target.anon_key) {
  return createClient(target.url, key, { auth: { autoRefreshToken: false, persistSession: false } })
}

/** Unwraps an answer; an error fails the test. */
async function ok(answer) {
  const { data, error } = await answer
  assert.equal(error, null, JSON.stringify(error))
  return data
}

/** The error of an answer that must not succeed. */
async function refused(answer) {
  const { error } = await answer
  assert.ok(error, 'expected an error')
  return error
}

async function signedUp(target, name) {
  const supabase = client(target)
  const { user, session } = await ok(supabase.auth.signUp({ email: `${name}@example.com`, password }))
  assert.ok(session, 'on loopback nobody has to confirm')
  return Object.assign(supabase, { user })
}

for (const target of targets) {
  test(`${target.name}: an app for two`, async (t) => {
    const run = Math.random().toString(36).slice(2, 8)
    const ann = await signedUp(target, `ann-${run}`)
    const bob = await signedUp(target, `bob-${run}`)

    await t.test('a taken address and a wrong password are refused', async () => {
      const email = `ann-${run}@example.com`
      assert.equal((await refused(client(target).auth.signUp({ email, password }))).code, 'user_already_exists')
      const wrong = await refused(client(target).auth.signInWithPassword({ email, password: 'not this one' }))
      assert.equal(wrong.code, 'invalid_credentials')
      assert.equal(wrong.message, 'Invalid login credentials')
    })

    await t.test('each inserts and reads their own rows only', async () => {
      await ok(ann.from('todos').insert({ title: 'milk', priority: 1 }))
      await ok(ann.from('todos').insert([{ title: 'bread', priority: 2 }, { title: 'tea', priority: 3 }]))
      await ok(bob.from('todos').insert({ title: 'milk' }))
      assert.equal((await ok(ann.from('todos').select())).length, 3)
      assert.deepEqual(await ok(bob.from('todos').select('title, owner')), [{ title: 'milk', owner: bob.user.id }])
      assert.deepEqual(await ok(client(target).from('todos').select()), [])
      const stolen = await refused(bob.from('todos').insert({ title: 'stolen', owner: ann.user.id }))
      assert.equal(stolen.code, '42501')
    })

    await t.test('filters, order, range and count', async () => {
      const titles = (rows) => rows.map((row) => row.title)
      assert.deepEqual(titles(await ok(ann.from('todos').select().gte('priority', 2).order('title'))), ['bread', 'tea'])
      assert.deepEqual(titles(await ok(ann.from('todos').select().ilike('title', '%EA%').order('id'))), ['bread', 'tea'])
      assert.deepEqual(titles(await ok(ann.from('todos').select().in('title', ['tea', 'x,y']))), ['tea'])
      assert.deepEqual(titles(await ok(ann.from('todos').select().or('title.eq.milk,priority.gt.2').order('id'))), ['milk', 'tea'])
      assert.deepEqual(titles(await ok(ann.from('todos').select().not('title', 'eq', 'milk').order('priority', { ascending: false }))), ['tea', 'bread'])
      const { data, count } = await ann.from('todos').select('title', { count: 'exact' }).order('title').range(1, 1)
      assert.deepEqual([titles(data), count], [['milk'], 3])
      const head = await ann.from('todos').select('*', { count: 'exact', head: true })
      assert.equal(head.count, 3)
    })

    await t.test('one row, at most one row, no row', async () => {
      assert.equal((await ok(ann.from('todos').select().eq('title', 'tea').single())).priority, 3)
      assert.equal(await ok(ann.from('todos').select().eq('title', 'gold').maybeSingle()), null)
      assert.equal((await refused(ann.from('todos').select().single())).code, 'PGRST116')
    })

    await t.test('upsert, update and delete', async () => {
      const row = await ok(
        ann.from('todos').upsert({ title: 'milk', priority: 9 }, { onConflict: 'owner,title' }).select().single(),
      )
      assert.equal(row.priority, 9)
      const done = await ok(ann.from('todos').update({ done: true }).eq('title', 'milk').select('title, done'))
      assert.deepEqual(done, [{ title: 'milk', done: true }])
      assert.deepEqual(await ok(bob.from('todos').update({ done: true }).eq('owner', ann.user.id).select()), [])
      assert.deepEqual(await ok(bob.from('todos').delete().eq('owner', ann.user.id).select()), [])
      assert.equal((await ok(ann.from('todos').delete().eq('title', 'tea').select())).length, 1)
    })

    await t.test('embedding both ways', async () => {
      const list = await ok(ann.from('lists').insert({ name: 'shop' }).select().single())
      await ok(ann.from('todos').update({ list: list.id }).eq('title', 'bread'))
      assert.deepEqual(await ok(ann.from('todos').select('title, lists(name)').eq('title', 'bread')), [
        { title: 'bread', lists: { name: 'shop' } },
      ])
      assert.deepEqual(await ok(ann.from('lists').select('name, todos(title)')), [
        { name: 'shop', todos: [{ title: 'bread' }] },
      ])
      assert.deepEqual(await ok(ann.from('todos').select('title, lists!inner(name)').eq('lists.name', 'shop')), [
        { title: 'bread', lists: { name: 'shop' } },
      ])
    })

    await t.test('more than PostgREST: related inserts, or across relations, batches, cursors, lines', async () => {
      const list = { name: 'trip', todos: [{ title: 'pack' }, { title: 'drive', priority: 2 }] }
      const { id, ...trip } = await ok(ann.from('lists').insert(list).select('id, name, todos(title)').single())
      assert.deepEqual(trip, { name: 'trip', todos: [{ title: 'pack' }, { title: 'drive' }] })
      const either = ann.from('todos').select('title, lists()').or('lists.name.eq.trip,title.eq.bread').order('id')
      assert.deepEqual((await ok(either)).map((todo) => todo.title), ['bread', 'pack', 'drive'])

      const requests = [
        { id: 'gone', method: 'DELETE', path: `/todos?list=eq.${id}&select=id`, headers: { Prefer: 'return=representation' } },
        { method: 'DELETE', path: `/lists?id=eq.${id}` },
        { path: '/todos?select=id&id=in.({{gone[*].id}})' },
      ]
      const { responses } = await ok(ann.from('batch').insert({ requests }))
      assert.deepEqual(responses.map((response) => response.status), [200, 204, 200])
      assert.deepEqual([responses[0].body.length, responses[2].body], [2, []])

      let link = null
      const fetched = async (...request) => {
        const response = await fetch(...request)
        link = response.headers.get('link')
        return response
      }
      const { session } = (await ann.auth.getSession()).data
      const headers = { Authorization: `Bearer ${session.access_token}` }
      const paged = createClient(target.url, target.anon_key, { global: { fetch: fetched, headers } })
      await ok(paged.from('todos').insert([{ title: 'one' }, { title: 'two' }]))
      const page = paged.from('todos').select('title').eq('done', false).order('id').limit(1)
      page.url.searchParams.set('after', '')
      assert.deepEqual(await ok(page), [{ title: 'bread' }])
      const next = new URL(link.match(/<(.*)>; rel="next"/)[1], page.url)
      assert.deepEqual(await (await fetched(next, { headers: { apikey: target.anon_key, ...headers } })).json(), [{ title: 'one' }])
      const lines = await fetch(`${target.url}/rest/v1/todos?select=title&done=is.false&order=id`, {
        headers: { apikey: target.anon_key, ...headers, Accept: 'application/x-ndjson' },
      })
      assert.equal(await lines.text(), '{"title":"bread"}\n{"title":"one"}\n{"title":"two"}\n')
      await ok(ann.from('todos').delete().in('title', ['one', 'two']))
    })

    await t.test('functions', async () => {
      assert.equal(await ok(ann.rpc('open_todos')), 1)
      assert.equal(await ok(ann.rpc('open_todos', { at_least: 5 }, { get: true })), 0)
      assert.deepEqual(await ok(ann.rpc('finish_all').select('title')), [{ title: 'bread' }])
      assert.equal(await ok(bob.rpc('open_todos')), 1)
      assert.equal((await refused(ann.rpc('no_such_function'))).code, 'PGRST202')
    })

    await t.test('a file under an owner-only policy', async () => {
      const path = `${ann.user.id}/cat 1.png`
      const bytes = new Uint8Array([137, 80, 78, 71, 1, 2, 3])
      const pictures = ann.storage.from('pictures')
      assert.equal((await ok(pictures.upload(path, bytes, { contentType: 'image/png' }))).path, path)
      assert.ok(await refused(pictures.upload(path, bytes)), 'an object is not replaced by accident')
      await ok(pictures.upload(path, bytes, { contentType: 'image/png', upsert: true }))
      const back = await ok(pictures.download(path))
      assert.deepEqual([new Uint8Array(await back.arrayBuffer()), back.type], [bytes, 'image/png'])
      assert.deepEqual((await ok(pictures.list(ann.user.id))).map((object) => object.name), ['cat 1.png'])

      const theirs = bob.storage.from('pictures')
      await refused(theirs.download(path))
      await refused(theirs.upload(`${ann.user.id}/dog.png`, bytes))
      assert.deepEqual(await ok(theirs.list(ann.user.id)), [])
      await refused(client(target).storage.from('pictures').download(path))

      const { signedUrl } = await ok(pictures.createSignedUrl(path, 60))
      const fetched = await fetch(signedUrl)
      assert.deepEqual([fetched.status, new Uint8Array(await fetched.arrayBuffer())], [200, bytes])
      assert.notEqual((await fetch(signedUrl.replace(/token=.{20}/, 'token=AAAAAAAAAAAAAAAAAAAA'))).status, 200)

      await ok(pictures.move(path, `${ann.user.id}/moved.png`))
      await ok(pictures.copy(`${ann.user.id}/moved.png`, `${ann.user.id}/copied.png`))
      assert.deepEqual(await ok(theirs.remove([`${ann.user.id}/moved.png`])), [])
      assert.equal((await ok(pictures.remove([`${ann.user.id}/moved.png`, `${ann.user.id}/copied.png`]))).length, 2)
    })

    await t.test('refresh, change of data, sign-out', async () => {
      const before = (await ok(ann.auth.getSession())).session
      const { session } = await ok(ann.auth.refreshSession())
      assert.notEqual(session.refresh_token, before.refresh_token)
      assert.equal((await ok(ann.auth.updateUser({ data: { nickname: 'annie' } }))).user.user_metadata.nickname, 'annie')
      assert.equal((await ok(ann.auth.getUser())).user.id, ann.user.id)
      const claims = await ok(ann.auth.getClaims())
      assert.equal(claims.claims.sub, ann.user.id)
      await ann.auth.signOut()
      const again = await refused(ann.auth.refreshSession({ refresh_token: session.refresh_token }))
      assert.match(again.code, /refresh_token_not_found|session_not_found/)
      assert.ok(await refused(ann.auth.getUser(session.access_token)))
    })

    await t.test('an administrator sees and changes everybody', async () => {
      const admin = client(target, target.service_role_key)
      assert.equal((await ok(admin.auth.admin.getUserById(bob.user.id))).user.email, `bob-${run}@example.com`)
      const made = await ok(
        admin.auth.admin.createUser({ email: `eve-${run}@example.com`, password, email_confirm: true }),
      )
      await ok(client(target).auth.signInWithPassword({ email: `eve-${run}@example.com`, password }))
      await ok(admin.auth.admin.deleteUser(made.user.id))
      assert.ok((await ok(admin.from('todos').select())).length >= 1)
      assert.equal((await refused(bob.auth.admin.listUsers())).code, 'not_admin')
    })
  })
}

test('projects do not see each other', { skip: targets.length < 2 && 'only one project' }, async () => {
  const [one, two] = targets
  const run = Math.random().toString(36).slice(2, 8)
  // the same address in both: two people
  const [inOne, inTwo] = await Promise.all([signedUp(one, `sam-${run}`), signedUp(two, `sam-${run}`)])
  assert.notEqual(inOne.user.id, inTwo.user.id)
  await ok(inOne.from('todos').insert({ title: 'only here' }))
  const path = (who) => `${who.user.id}/same.txt`
  await ok(inOne.storage.from('pictures').upload(path(inOne), 'one', { contentType: 'text/plain' }))

  assert.deepEqual(await ok(inTwo.from('todos').select()), [])
  const service = client(two, two.service_role_key)
  assert.deepEqual(await ok(service.from('todos').select().eq('title', 'only here')), [])
  await refused(service.storage.from('pictures').download(path(inOne)))
  await refused(service.auth.admin.getUserById(inOne.user.id))

  // the key of one at the host of the other, the token of one with the key of the other
  const status = (url, apikey, token) =>
    fetch(`${url}/rest/v1/todos`, { headers: { apikey, authorization: `Bearer ${token ?? apikey}` } }).then((r) => r.status)
  const token = (await inOne.auth.getSession()).data.session.access_token
  assert.equal(await status(one.url, one.anon_key, token), 200)
  assert.equal(await status(two.url, one.anon_key), 401)
  assert.equal(await status(two.url, two.anon_key, token), 401)
})
