// b24jssdk in Node: the same jobs as `benchmarks/worker.py`, one JSON line in, one JSON line out.

import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'

// The package is looked up where npm put it, which need not be near this file.
const entry = createRequire(join(process.argv[2], 'package.json')).resolve('@bitrix24/b24jssdk')
const { B24OAuth, ParamsFactory } = await import(pathToFileURL(entry.replace('/cjs/index.cjs', '/esm/index.mjs')))

function opened(target) {
  const { params, secret } = target
  const usual = ParamsFactory.getDefault()
  const rateLimit = { burstLimit: target.burst ?? 1e9, drainRate: target.drain ?? 1e9, adaptiveEnabled: true }
  return new B24OAuth({
    applicationToken: params.application_token,
    userId: params.user_id,
    memberId: params.member_id,
    accessToken: params.access_token,
    refreshToken: params.refresh_token,
    expires: params.expires,
    expiresIn: params.expires_in,
    scope: params.scope,
    domain: params.domain,
    clientEndpoint: params.client_endpoint,
    serverEndpoint: params.server_endpoint,
    status: params.status,
  }, { clientId: secret.client_id, clientSecret: secret.client_secret }, { restrictionParams: { ...usual, rateLimit } })
}

async function measured(work) {
  const cpuBefore = process.cpuUsage()
  const wallBefore = process.hrtime.bigint()
  const result = await work()
  const cpu = process.cpuUsage(cpuBefore)
  return {
    ...result,
    cpu: (cpu.user + cpu.system) / 1e6,
    wall: Number(process.hrtime.bigint() - wallBefore) / 1e9,
    rss_kb: process.resourceUsage().maxRSS,
  }
}

async function makeCalls(b24, count, inFlight) {
  let next = 1
  let failed = 0
  let reason = ''
  async function worker() {
    while (next <= count) {
      try {
        const answer = await b24.actions.v2.call.make({ method: 'crm.deal.get', params: { id: next++ } })
        if (!answer.isSuccess || !answer.getData().result.ID) throw new Error(answer.getErrorMessages().join('; '))
      } catch (error) {
        failed++
        reason ||= String(error)
      }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return { failed, reason }
}

const jobs = {
  async calls({ target, calls, in_flight, warmup }) {
    const b24 = opened(target)
    await makeCalls(b24, warmup, in_flight)
    return measured(() => makeCalls(b24, calls, in_flight))
  },

  async export({ target, warmup }) {
    const b24 = opened(target)
    if (warmup) {
      await makeCalls(b24, warmup, warmup)
      // The bucket is empty again.
      await new Promise((resolve) => setTimeout(resolve, target.drain ? (warmup / target.drain) * 1000 : 0))
    }
    return measured(async () => {
      let rows = 0
      let last = 0
      let inOrder = true
      for await (const page of b24.actions.v2.fetchList.make({ method: 'crm.deal.list', params: {}, idKey: 'ID' })) {
        rows += page.length
        inOrder &&= last < Number(page[0].ID) && Number(page[0].ID) <= Number(page.at(-1).ID)
        last = Number(page.at(-1).ID)
      }
      return { rows, in_order: inOrder }
    })
  },

  async objects({ target, count }) {
    const kept = [opened(target)]
    globalThis.gc()
    const before = process.memoryUsage().heapUsed
    const answer = await measured(async () => {
      for (let number = 0; number < count; number++) kept.push(opened(target))
      return {}
    })
    globalThis.gc()
    return { ...answer, heap: process.memoryUsage().heapUsed - before, kept: kept.length }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { job, ...options } = JSON.parse(line)
  let answer
  try {
    answer = await jobs[job](options)
  } catch (error) {
    answer = { error: String(error?.stack ?? error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
