// The official Node SDKs against a running gateway, whose address is in GATEWAY (see node_sdks.py).
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const openai = new OpenAI({ baseURL: `${process.env.GATEWAY}/v1`, apiKey: "unused", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: process.env.GATEWAY, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const cities = (calls) => calls.map((call) => JSON.parse(call).city);

test("chat completions, whole and streamed", async () => {
  const whole = await openai.chat.completions.create({ model: "auto", messages });
  assert.match(whole.choices[0].message.content, /^Hello from /);
  const stream = openai.chat.completions.stream({ model: "auto", messages, tools: [{ type: "function", function: { name: "weather", parameters } }] });
  const calls = (await stream.finalMessage()).tool_calls;
  assert.deepEqual(cities(calls.map((call) => call.function.arguments)), ["Oulu", "Turku"]);
});

test("responses, whole and streamed", async () => {
  const whole = await openai.responses.create({ model: "auto", input: "Say hello." });
  assert.match(whole.output_text, /^Hello from /);
  const stream = openai.responses.stream({ model: "auto", input: "Weather?", tools: [{ type: "function", name: "weather", parameters, strict: false }] });
  const final = await stream.finalResponse();
  assert.deepEqual(cities(final.output.map((item) => item.arguments)), ["Oulu", "Turku"]);
});

test("messages, whole and streamed", async () => {
  const whole = await anthropic.messages.create({ model: "auto", max_tokens: 50, messages });
  assert.match(whole.content[0].text, /^Hello from /);
  const stream = anthropic.messages.stream({ model: "auto", max_tokens: 50, messages, tools: [{ name: "weather", input_schema: parameters }] });
  const final = await stream.finalMessage();
  assert.deepEqual(final.content.map((block) => block.input.city), ["Oulu", "Turku"]);
  assert.equal(final.stop_reason, "tool_use");
});

test("an unknown model is a typed error in both", async () => {
  await assert.rejects(openai.chat.completions.create({ model: "nobody", messages }), OpenAI.NotFoundError);
  await assert.rejects(anthropic.messages.create({ model: "nobody", max_tokens: 1, messages }), Anthropic.NotFoundError);
});
