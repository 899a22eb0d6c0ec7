// Judges statements by PostgreSQL's own parser. Each line of the input is [statement, text, harmless statement]: the
// statement must be one alone, and its tree must be the harmless one's with x in the place of the text in every name.
import { createInterface } from 'node:readline'
import { loadModule, parseSync } from 'libpg-query'

await loadModule()

const withoutPlaces = (key, value) => (key.endsWith('location') ? undefined : value)

/** The tree of the one statement, without places in its text. */
function tree(sql, text) {
  const { stmts } = parseSync(sql)
  if (stmts.length !== 1) throw new Error(`${stmts.length} statements`)
  return JSON.stringify(stmts[0].stmt, (key, value) => {
    // constants are ours
    if (key === 'A_Const') return JSON.stringify(value, withoutPlaces)
    return typeof value === 'string' ? value.replaceAll(text, 'x') : withoutPlaces(key, value)
  })
}

const harmless = new Map()
let wrong = 0
let judged = 0
for await (const line of createInterface({ input: process.stdin })) {
  const [sql, text, expected] = JSON.parse(line)
  if (!harmless.has(expected)) harmless.set(expected, tree(expected, 'x'))
  judged += 1
  try {
    if (tree(sql, text) === harmless.get(expected)) continue
    console.error(`another tree: ${JSON.stringify(text)} in ${sql}`)
  } catch (error) {
    console.error(`${error.message}: ${JSON.stringify(text)} in ${sql}`)
  }
  if ((wrong += 1) === 20) break
}
console.log(`${judged} statements judged, ${wrong} wrong`)
process.exit(wrong ? 1 : 0)
