// Drives OpenAI's own client for Node against the Responses routes of the server whose address is the first
// argument, and prints what came of it as one line of JSON. test_openai_node_responses.py judges it.
import OpenAI, { BadRequestError, NotFoundError, RateLimitError } from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const model = "demo-model";
const parameters = { type: "object", properties: { a: { type: "integer" } } };
const tools = [{ type: "function", name: "add", parameters, strict: false }];

async function create() {
  const answer = await client.responses.create({ model, input: "hi" });
  return { text: answer.output_text, status: answer.status, usage: answer.usage };
}

async function streamHelper() {
  const stream = client.responses.stream({ model: "calling-model", input: "hi", tools });
  const kinds = new Set();
  let seen = "";
  stream.on("event", (event) => kinds.add(event.type));
  stream.on("response.output_text.delta", (event) => (seen += event.delta));
  const final = await stream.finalResponse();
  return { seen, kinds: [...kinds].sort(), items: final.output.map((item) => item.type), text: final.output_text };
}

async function chain() {
  const first = await client.responses.create({ model, input: "add 4", tools });
  const call = first.output[0];
  const input = [{ type: "function_call_output", call_id: call.call_id, output: "5" }];
  const second = await client.responses.create({ model, input, previous_response_id: first.id, tools });
  return { called: [call.name, call.arguments], text: second.output_text };
}

async function background() {
  const begun = await client.responses.create({ model, input: "hi", background: true, stream: true });
  const seen = [];
  for await (const event of begun) {
    seen.push(event);
    if (event.type === "response.output_text.delta") break;
  }
  const last = seen.at(-1).sequence_number;
  const id = seen[0].response.id;
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
  for await (const event of rest) seen.push(event);
  const whole = await client.responses.retrieve(id);
  const gapless = seen.every((event, at) => event.sequence_number === at);
  await client.responses.delete(id);
  return { gapless, last: seen.at(-1).type, text: whole.output_text, gone: await failure(() => client.responses.retrieve(id)) };
}

async function resumedHelper() {
  const kept = await client.responses.create({ model, input: "one two" });
  const final = await client.responses.stream({ response_id: kept.id, starting_after: 2 }).finalResponse();
  return final.output_text;
}

async function conversation() {
  const { id } = await client.conversations.create({});
  for (const input of ["one", "two"]) await client.responses.create({ model, input, conversation: id });
  const said = [];
  for await (const item of client.conversations.items.list(id, { order: "asc" })) said.push(item.content[0].text);
  await client.conversations.delete(id);
  return said;
}

async function turn(socket, request) {
  const over = new Promise((resolve, reject) => {
    const last = (event) => resolve({ type: event.type, text: event.response.output_text ?? text(event.response), id: event.response.id });
    socket.once("response.completed", last);
    socket.once("error", (error) => resolve({ type: "error", message: String(error.message) }));
    socket.once("close", () => reject(new Error("closed within a turn")));
  });
  socket.send({ type: "response.create", model, store: false, ...request });
  return over;
}

const text = (response) => response.output.flatMap((item) => item.content ?? []).map((part) => part.text).join("");

async function sockets() {
  const socket = new ResponsesWS(client);
  await new Promise((resolve) => socket.socket.on("open", resolve));
  const first = await turn(socket, { input: "one" });
  const second = await turn(socket, { input: "two", previous_response_id: first.id });
  const lost = await turn(socket, { input: "three", previous_response_id: "resp_never" });
  socket.close();
  return { texts: [first.text, second.text], lost };
}

async function failure(ask) {
  try {
    await ask();
    return "no error";
  } catch (error) {
    const kinds = { NotFoundError, RateLimitError, BadRequestError };
    const kind = Object.keys(kinds).find((name) => error instanceof kinds[name]);
    return { kind: kind ?? String(error), status: error.status, code: error.code };
  }
}

async function brokenOff() {
  const events = [];
  for await (const event of await client.responses.create({ model: "cut-model", input: "hi", stream: true })) events.push(event);
  return { last: events.at(-1).type, code: events.at(-1).response.error.code };
}

const outcome = {
  create: await create(),
  streamHelper: await streamHelper(),
  chain: await chain(),
  background: await background(),
  resumedHelper: await resumedHelper(),
  conversation: await conversation(),
  sockets: await sockets(),
  brokenOff: await brokenOff(),
  unknownModel: await failure(() => client.responses.create({ model: "nothing", input: "hi" })),
  rateLimited: await failure(() => client.responses.create({ model: "limited-model", input: "hi" })),
  invalid: await failure(() => client.responses.create({ model, input: [] })),
  unknownPrevious: await failure(() => client.responses.create({ model, input: "hi", previous_response_id: "resp_never" })),
};
console.log(JSON.stringify(outcome));
