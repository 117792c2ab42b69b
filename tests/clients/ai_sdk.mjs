// Drives the AI SDK against the server whose address is the first argument, as one of its providers (the second:
// responses, chat or open-responses), and prints what came of it as one line of JSON. test_ai_sdk.py judges it.
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [, , baseURL, kind] = process.argv;
const openai = createOpenAI({ baseURL, apiKey: "unused" });
const openResponses = createOpenResponses({ name: "callboard", url: `${baseURL}/responses` });
const named = { responses: openai.responses, chat: openai.chat, "open-responses": openResponses }[kind];
const settings = (model) => ({ model: named(model), maxRetries: 0 });
const doubled = tool({
  description: "Twice a number.",
  inputSchema: z.object({ number: z.number().int() }),
  execute: async ({ number }) => 2 * number,
});
const withTool = { ...settings("demo-model"), prompt: "Twice 21?", tools: { doubled }, stopWhen: isStepCount(3) };

async function generate() {
  const result = await generateText({ ...settings("demo-model"), instructions: "Be brief.", prompt: "hi" });
  return { text: result.text, finish: result.finishReason, output: result.usage.outputTokens };
}

async function runTools() {
  const result = await generateText(withTool);
  const calls = result.steps.flatMap((step) => step.toolResults).map((each) => [each.input, each.output]);
  return { calls, text: result.text, steps: result.steps.map((step) => step.finishReason) };
}

async function runToolsStreamed() {
  const result = streamText(withTool);
  const deltas = [];
  for await (const piece of result.textStream) deltas.push(piece);
  const steps = await result.steps;
  return { deltas, steps: steps.map((step) => step.finishReason), output: (await result.usage).outputTokens };
}

async function thinking() {
  const result = streamText({ ...settings("thinking-model"), prompt: "hi" });
  const kinds = [];
  for await (const part of result.fullStream ?? result.stream) if (kinds.at(-1) !== part.type) kinds.push(part.type);
  return { kinds, thought: await result.reasoningText, text: await result.text };
}

async function shaped() {
  const schema = z.object({ name: z.string(), people: z.number().int() });
  const result = await generateText({ ...settings("demo-model"), prompt: "A city of 7?", output: Output.object({ schema }) });
  return result.output;
}

async function goesOn() {
  const first = await generateText(withTool);
  const messages = [{ role: "user", content: "Twice 21?" }, ...(first.responseMessages ?? first.response.messages), { role: "user", content: "Twice 4?" }];
  const { prompt, ...rest } = withTool;
  return (await generateText({ ...rest, messages })).text;
}

async function brokenOff() {
  const result = streamText({ ...settings("cut-model"), prompt: "hi", onError: () => {} });
  const kinds = new Set();
  let told = "";
  for await (const part of result.fullStream ?? result.stream) {
    kinds.add(part.type);
    if (part.type === "error") told = JSON.stringify(part.error?.message ?? part.error);
  }
  return { error: kinds.has("error"), told };
}

async function failure(model) {
  try {
    await generateText({ ...settings(model), prompt: "hi" });
    return "no error";
  } catch (error) {
    return { ours: APICallError.isInstance(error), status: error.statusCode, retryable: error.isRetryable, message: error.message };
  }
}

const outcome = {
  generate: await generate(),
  runTools: await runTools(),
  runToolsStreamed: await runToolsStreamed(),
  thinking: await thinking(),
  shaped: await shaped(),
  goesOn: await goesOn(),
  brokenOff: await brokenOff(),
  unknownModel: await failure("nothing"),
  rateLimited: await failure("limited-model"),
};
console.log(JSON.stringify(outcome));
