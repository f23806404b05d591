// The support bot of Kettle & Co. on AI SDK 7 (OpenAI Responses API), with @ai-sdk/otel. One question per run.
// BOT_PROMPT, BOT_RETRIES and BOT_TRUST bring the configurations of the incidents back; BOT_KB=empty is the empty index.
import { readFileSync } from 'node:fs';
import { trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { defaultResource } from '@opentelemetry/resources';
import { OpenTelemetry } from '@ai-sdk/otel';
import { createOpenAI } from '@ai-sdk/openai';
import { isStepCount, registerTelemetry, streamText, tool } from 'ai';
import { z } from 'zod';

const env = process.env;
const provider = new NodeTracerProvider({ resource: defaultResource(), spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
provider.register();
registerTelemetry(new OpenTelemetry());
const tracer = trace.getTracer('support-bot');

const read = name => readFileSync(`shop/${name}`, 'utf8');
const version = env.BOT_PROMPT ?? 'v1';
const question = process.argv[2];

function retrieve() {
  return tracer.startActiveSpan('retrieval support-kb', { attributes: { 'gen_ai.operation.name': 'retrieval' } }, span => {
    const words = new Set(question.toLowerCase().replace(/[?.,!]/g, '').split(' '));
    const passages = env.BOT_KB === 'empty' ? [] : JSON.parse(read('kb.json'));
    const found = passages.filter(passage => passage.title.toLowerCase().split(' ').some(word => words.has(word)));
    span.setAttribute('gen_ai.retrieval.documents', JSON.stringify(found.map(({ id }) => ({ id }))));
    span.end();
    return found;
  });
}

const lookup_order = tool({
  description: 'Look up an order by its id.',
  inputSchema: z.object({ order_id: z.string() }),
  execute: async ({ order_id }) => JSON.parse(read('orders.json'))[order_id] ?? { error: 'order not found' },
});

const OUTCOMES = { stop: 'answered', 'content-filter': 'blocked', length: 'truncated', 'tool-calls': 'error' };
const attributes = { 'app.request.id': 'r-1', 'session.id': 's-1', 'app.feature': 'support-chat', 'app.prompt.version': version };
let outcome, answer = '';
await tracer.startActiveSpan('POST /chat', { attributes }, async span => {
  try {
    const passages = retrieve().map(({ id, text }) => `[${id}] ${text}`).join('\n') || '(none)';
    const result = streamText({
      model: createOpenAI({ baseURL: env.OPENAI_BASE_URL })('gpt-4o-mini'),
      instructions: read(`prompt.${version}.txt`).replace('{passages}', passages),
      prompt: question, tools: { lookup_order }, temperature: 0.2, stopWhen: isStepCount(4),
      maxRetries: Number(env.BOT_RETRIES ?? 2), telemetry: { functionId: 'support-chat' }, onError: () => {},
    });
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta') answer += part.text;
      if (part.type === 'error') throw part.error;
    }
    outcome = OUTCOMES[await result.finishReason] ?? (env.BOT_TRUST ? 'answered' : 'truncated');
  } catch (error) {
    [outcome, answer] = ['error', `Sorry, that did not work: ${error.name}`];
  }
  if (outcome === 'truncated') answer += ' … (the answer was cut off; please ask again)';
  span.setAttribute('app.outcome', outcome);
  span.end();
});
console.log(JSON.stringify({ outcome, answer }));
await provider.shutdown();
process.exit(outcome === 'error' ? 1 : 0);
