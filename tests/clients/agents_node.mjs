// Drives OpenAI's Agents SDK for Node against the server whose address is the first argument, the way that the
// second names (responses, socket or chat), and prints what came of it as one line of JSON.
// test_openai_agents_node.py judges it.
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIConversationsSession,
  OpenAIResponsesModel,
  OpenAIResponsesWSModel,
  Runner,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

const [, , baseURL, kind] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const Model = { responses: OpenAIResponsesModel, socket: OpenAIResponsesWSModel, chat: OpenAIChatCompletionsModel }[kind];
const opened = [];
const named = (name) => {
  opened.push(new Model(client, name));
  return opened.at(-1);
};
const runner = new Runner({ tracingDisabled: true });
const doubled = tool({
  name: "doubled",
  description: "Twice a number.",
  parameters: z.object({ number: z.number().int() }),
  execute: async ({ number }) => String(2 * number),
});
const agent = (more = {}) => new Agent({ name: "a", instructions: "Be brief.", model: named("demo-model"), ...more });

async function runTools() {
  const result = await runner.run(agent({ tools: [doubled] }), "Twice 21?");
  return { output: result.finalOutput, responses: result.rawResponses.length };
}

async function runToolsStreamed() {
  const result = await runner.run(agent({ tools: [doubled] }), "Twice 21?", { stream: true });
  let seen = "";
  for await (const event of result)
    if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") seen += event.data.delta;
  await result.completed;
  return { seen, output: result.finalOutput };
}

async function shaped() {
  const outputType = z.object({ name: z.string(), people: z.number().int() });
  return (await runner.run(agent({ outputType }), "A city of 7?")).finalOutput;
}

async function session() {
  if (kind !== "responses") return null;
  const kept = new OpenAIConversationsSession({ client });
  const outputs = [];
  for (const number of [4, 5])
    outputs.push((await runner.run(agent({ tools: [doubled] }), `Twice ${number}?`, { session: kept })).finalOutput);
  const items = await kept.getItems();
  await kept.clearSession();
  return { outputs, items: items.length };
}

async function follows() {
  if (kind !== "responses") return null;
  const first = await runner.run(agent({ tools: [doubled] }), "Twice 4?");
  const previousResponseId = first.lastResponseId;
  return (await runner.run(agent({ tools: [doubled] }), "Twice 5?", { previousResponseId })).finalOutput;
}

async function failure(model, stream) {
  try {
    const result = await runner.run(new Agent({ name: "a", model: named(model) }), "hi", { stream });
    if (stream) {
      for await (const _ of result);
      await result.completed;
    }
    return "no error";
  } catch (error) {
    return String(error.message);
  }
}

const outcome = {
  runTools: await runTools(),
  runToolsStreamed: await runToolsStreamed(),
  shaped: await shaped(),
  session: await session(),
  follows: await follows(),
  unknownModel: await failure("nothing", false),
  brokenOff: await failure("cut-model", true),
};
for (const model of opened) await model.close?.();
console.log(JSON.stringify(outcome));
process.exit(0);
