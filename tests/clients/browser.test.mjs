// One page in headless Chromium, served from an origin of its own, runs the app: CORS as browsers enforce it.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'

const targets = JSON.parse(process.env.TARGETS)
const here = new URL('.', import.meta.url)
const files = {
  '/': ['page.html', 'text/html'],
  '/supabase.js': ['node_modules/@supabase/supabase-js/dist/umd/supabase.js', 'text/javascript'],
}
let browser, server, origin

before(async () => {
  server = createServer(async (request, response) => {
    const [file, type] = files[request.url] ?? []
    if (!file) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': type }).end(await readFile(new URL(file, here)))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${server.address().port}`
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  })
})

after(async () => {
  await browser?.close()
  server?.close()
})

for (const target of targets) {
  test(`${target.name}: a page on another origin`, async () => {
    const page = await browser.newPage()
    const errors = []
    page.on('pageerror', (error) => errors.push(String(error)))
    await page.goto(origin)
    const log = await page.evaluate((who) => run(who), {
      url: target.url,
      anon_key: target.anon_key,
      email: `page-${Math.random().toString(36).slice(2)}@example.com`,
      password: 'correct horse battery',
    })
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT })
    assert.deepEqual(log.trim().split('\n'), [
      'signed up', 'first of 2: bread', 'file: hello', 'refused: 42501', 'after sign-out: 0 rows',
    ])
    assert.deepEqual(errors, [])
    await page.close()
  })
}
