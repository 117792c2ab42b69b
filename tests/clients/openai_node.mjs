// Drives OpenAI's own client for Node against the server whose address is the first argument,
// and prints what came of it as one line of JSON. test_openai_node.py judges it.
import OpenAI, { BadRequestError, NotFoundError, RateLimitError } from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const ask = (model, more = {}) => ({ model, messages: [{ role: "user", content: "hi" }], ...more });

async function create() {
  const answer = await client.chat.completions.create(ask("plain-model"));
  return { content: answer.choices[0].message.content, usage: answer.usage };
}

async function createStreamed() {
  const options = { stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await client.chat.completions.create(ask("plain-model", options))) chunks.push(chunk);
  const deltas = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? "");
  return { deltas: deltas.filter(Boolean), usage: chunks.at(-1).usage };
}

async function streamHelper() {
  const stream = client.chat.completions.stream(ask("plain-model"));
  let seen = "";
  stream.on("content", (delta) => (seen += delta));
  const final = await stream.finalChatCompletion();
  return { seen, content: final.choices[0].message.content, finish: final.choices[0].finish_reason };
}

async function runTools(stream) {
  const calls = [];
  const add = ({ a, b }) => {
    calls.push([a, b]);
    return String(a + b);
  };
  const parameters = { type: "object", properties: { a: { type: "number" }, b: { type: "number" } } };
  const tool = {
    type: "function",
    function: { name: "add", description: "Add.", parse: JSON.parse, function: add, parameters },
  };
  const runner = client.chat.completions.runTools(ask(stream ? "streamed-tools-model" : "tools-model", { tools: [tool], stream }));
  const content = await runner.finalContent();
  const results = runner.messages.filter((message) => message.role === "tool");
  return { calls, content, results: results.map((message) => [message.tool_call_id, message.content]) };
}

async function failure(request) {
  try {
    await client.chat.completions.create(request);
    return "no error";
  } catch (error) {
    const kinds = { NotFoundError, RateLimitError, BadRequestError };
    const kind = Object.keys(kinds).find((name) => error instanceof kinds[name]);
    return { kind: kind ?? String(error), status: error.status, code: error.code, retryAfter: error.headers?.get("retry-after") };
  }
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);
const outcome = {
  create: await create(),
  createStreamed: await createStreamed(),
  streamHelper: await streamHelper(),
  runTools: await runTools(false),
  runToolsStreamed: await runTools(true),
  unknownModel: await failure(ask("nothing")),
  rateLimited: await failure(ask("limited-model")),
  invalid: await failure({ model: "plain-model", messages: [] }),
  models,
};
console.log(JSON.stringify(outcome));
