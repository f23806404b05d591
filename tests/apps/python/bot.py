"""The support bot of Kettle & Co. on the openai SDK: retrieve, stream, call a tool, answer. One question per run.

Telemetry: the GenAI instrumentation of the SDK and three spans of our own. BOT_PROMPT, BOT_RETRIES and BOT_TRUST bring the
configurations of the incidents back; BOT_KB=empty is the index that was empty.
"""
import json
import os
import pathlib
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
tracer = trace.get_tracer("support-bot")

import openai  # noqa: E402  (instrumented first)

SHOP = pathlib.Path("shop")
PROMPT = os.environ.get("BOT_PROMPT", "v1")
TOOLS = [{"type": "function", "function": {"name": "lookup_order", "description": "Look up an order by its id.", "parameters": {
    "type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}}}]


def retrieve(question):
    with tracer.start_as_current_span("retrieval support-kb", attributes={"gen_ai.operation.name": "retrieval"}) as span:
        words = {word.strip("?.,!").lower() for word in question.split()}
        passages = [] if os.environ.get("BOT_KB") == "empty" else json.loads((SHOP / "kb.json").read_text())
        found = [passage for passage in passages if words & set(passage["title"].lower().split())]
        span.set_attribute("gen_ai.retrieval.documents", json.dumps([{"id": passage["id"]} for passage in found]))
        return found


def lookup_order(call):
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call["name"], "gen_ai.tool.call.id": call["id"],
                  "gen_ai.tool.call.arguments": call["arguments"]}
    with tracer.start_as_current_span(f"execute_tool {call['name']}", attributes=attributes) as span:
        orders = json.loads((SHOP / "orders.json").read_text())
        result = orders.get(json.loads(call["arguments"])["order_id"]) or {"error": "order not found"}
        span.set_attribute("gen_ai.tool.call.result", json.dumps(result))
        return result


def turn(client, messages):
    """One streamed completion: its text, the tool that it asks for, and why it ended."""
    text, call, finish = "", None, None
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS, temperature=0.2, stream=True,
                                            stream_options={"include_usage": True})
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for part in choice.delta.tool_calls or []:
                call = call or {"id": part.id, "name": part.function.name, "arguments": ""}
                call["arguments"] += part.function.arguments or ""
            finish = choice.finish_reason or finish
    return text, call, finish


def converse(question, messages):
    client = openai.OpenAI(max_retries=int(os.environ.get("BOT_RETRIES", "2")))
    for _ in range(4):
        text, call, finish = turn(client, messages)
        if finish is None and not os.environ.get("BOT_TRUST"):
            return "truncated", text + " … (the answer was cut off; please ask again)"
        if call is None:
            return "answered", text
        function = {"name": call["name"], "arguments": call["arguments"]}
        messages.append({"role": "assistant", "content": text or None, "tool_calls": [{"id": call["id"], "type": "function", "function": function}]})
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(lookup_order(call))})
    return "error", "I could not finish that."


def main(question):
    attributes = {"app.request.id": "r-1", "session.id": "s-1", "app.feature": "support-chat", "app.prompt.version": PROMPT}
    with tracer.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER, attributes=attributes) as span:
        passages = "\n".join(f"[{passage['id']}] {passage['text']}" for passage in retrieve(question)) or "(none)"
        system = (SHOP / f"prompt.{PROMPT}.txt").read_text().format(passages=passages)
        try:
            outcome, answer = converse(question, [{"role": "system", "content": system}, {"role": "user", "content": question}])
        except openai.OpenAIError as error:
            outcome, answer = "error", f"Sorry, that did not work: {type(error).__name__}"
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
        span.set_attribute("app.outcome", outcome)
    print(json.dumps({"outcome": outcome, "answer": answer}))
    provider.shutdown()
    return outcome == "error"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
