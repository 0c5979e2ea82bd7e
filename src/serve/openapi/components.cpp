// What answers look like, as JSON Schema. Written by hand: tests hold every route's answers against it.
#include "core/json.h"
#include "serve/openapi/openapi.h"

namespace turgo {

static constexpr const char* kComponents = R"json({
"Error": {"anyOf": [
  {"type": "object", "required": ["error"], "properties": {"error": {"type": "object",
    "required": ["message", "type", "param", "code"], "properties": {
      "message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]},
      "code": {"type": ["string", "null"]}}}}},
  {"description": "Anthropic's", "type": "object", "required": ["type", "error"], "properties": {
    "type": {"const": "error"}, "error": {"type": "object", "required": ["type", "message"], "properties": {
      "type": {"type": "string"}, "message": {"type": "string"}}}}},
  {"description": "Ollama's", "type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}]},
"Status": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}},
"Success": {"type": "object", "required": ["success"], "properties": {"success": {"const": true}}},
"Version": {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}},
"Deleted": {"type": "object", "required": ["id", "object", "deleted"], "properties": {
  "id": {"type": "string"}, "object": {"type": "string"}, "deleted": {"const": true}}},
"Model": {"type": "object", "required": ["id", "object", "created", "owned_by"], "properties": {
  "id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"},
  "owned_by": {"type": "string"}, "root": {"type": "string"}, "parent": {"type": "null"},
  "size": {"type": "integer"}, "status": {"type": "object", "properties": {
    "value": {"enum": ["unloaded", "loading", "loaded", "sleeping", "failed"]}}}}},
"ModelList": {"type": "object", "required": ["object", "data"], "properties": {
  "object": {"const": "list"}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
"Usage": {"type": "object", "required": ["prompt_tokens", "completion_tokens", "total_tokens"], "properties": {
  "prompt_tokens": {"type": "integer", "minimum": 0}, "completion_tokens": {"type": "integer", "minimum": 0},
  "total_tokens": {"type": "integer", "minimum": 0}, "prompt_tokens_details": {"type": "object", "properties": {
    "cached_tokens": {"type": "integer", "minimum": 0}}}, "completion_tokens_details": {"type": "object",
    "properties": {"reasoning_tokens": {"type": "integer", "minimum": 0}}}}},
"ToolCall": {"type": "object", "required": ["id", "type", "function"], "properties": {
  "id": {"type": "string"}, "type": {"const": "function"}, "function": {"type": "object",
    "required": ["name", "arguments"], "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}}}}},
"ChatCompletion": {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
  "properties": {"id": {"type": "string"}, "object": {"const": "chat.completion"}, "created": {"type": "integer"},
    "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"}, "choices": {"type": "array",
      "items": {"type": "object", "required": ["index", "message", "finish_reason"], "properties": {
        "index": {"type": "integer"}, "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
        "logprobs": {"type": ["object", "null"]}, "message": {"type": "object", "required": ["role", "content"],
          "properties": {"role": {"const": "assistant"}, "content": {"type": ["string", "null"]},
            "reasoning_content": {"type": "string"}, "refusal": {"type": "null"},
            "tool_calls": {"type": "array", "items": {"$ref": "#/components/schemas/ToolCall"}}}}}}}}},
"Completion": {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
  "properties": {"id": {"type": "string"}, "object": {"const": "text_completion"}, "created": {"type": "integer"},
    "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"}, "choices": {"type": "array",
      "items": {"type": "object", "required": ["index", "text", "finish_reason"], "properties": {
        "index": {"type": "integer"}, "text": {"type": "string"}, "finish_reason": {"enum": ["stop", "length"]},
        "logprobs": {"type": ["object", "null"]}}}}}},
"Embeddings": {"type": "object", "required": ["object", "data", "model", "usage"], "properties": {
  "object": {"const": "list"}, "model": {"type": "string"}, "usage": {"type": "object"}, "data": {"type": "array",
    "items": {"type": "object", "required": ["object", "index", "embedding"], "properties": {
      "object": {"const": "embedding"}, "index": {"type": "integer"}, "embedding": {"anyOf": [
        {"type": "string"}, {"type": "array", "items": {"type": "number"}}]}}}}}},
"Response": {"type": "object", "required": ["id", "object", "created_at", "status", "model", "output", "usage"],
  "properties": {"id": {"type": "string"}, "object": {"const": "response"}, "created_at": {"type": "integer"},
    "status": {"enum": ["completed", "incomplete"]}, "model": {"type": "string"}, "usage": {"type": "object"},
    "output": {"type": "array", "items": {"type": "object", "required": ["id", "type"], "properties": {
      "type": {"enum": ["message", "function_call", "reasoning"]}}}}}},
"InteractiveAnswer": {"type": "object",
  "required": ["text", "tokens", "input_tokens", "history_tokens", "finish_reason"], "properties": {
    "text": {"type": "string"}, "tokens": {"type": "integer"}, "input_tokens": {"type": "integer"},
    "history_tokens": {"type": "integer"}, "finish_reason": {"enum": ["stop", "length", null]}}},
"Encoded": {"type": "object", "required": ["input_ids", "length"], "properties": {
  "input_ids": {"type": "array"}, "length": {"type": ["integer", "array"]}}},
"Generated": {"type": "object", "required": ["text", "output_ids", "meta_info"], "properties": {
  "text": {"type": "string"}, "output_ids": {"type": "array", "items": {"type": "integer"}},
  "meta_info": {"type": "object"}}},
"Tokens": {"type": "object", "required": ["count", "max_model_len", "tokens"], "properties": {
  "count": {"type": "integer"}, "max_model_len": {"type": "integer"},
  "tokens": {"type": "array", "items": {"type": "integer"}},
  "token_strs": {"type": "array", "items": {"type": "string"}}}},
"Text": {"type": "object", "required": ["prompt", "content"], "properties": {
  "prompt": {"type": "string"}, "content": {"type": "string"}}},
"Prompt": {"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
"Infilled": {"type": "object", "required": ["content", "stop", "stop_type"], "properties": {
  "content": {"type": "string"}, "stop": {"const": true}, "stop_type": {"enum": ["limit", "eos"]},
  "tokens_predicted": {"type": "integer"}, "tokens_evaluated": {"type": "integer"}}},
"AnthropicMessage": {"type": "object",
  "required": ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"], "properties": {
    "id": {"type": "string"}, "type": {"const": "message"}, "role": {"const": "assistant"},
    "model": {"type": "string"}, "content": {"type": "array", "items": {"type": "object", "required": ["type"],
      "properties": {"type": {"enum": ["text", "tool_use", "thinking"]}}}},
    "stop_reason": {"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use"]},
    "stop_sequence": {"type": ["string", "null"]}, "usage": {"type": "object",
      "required": ["input_tokens", "output_tokens"]}}},
"AnthropicCount": {"type": "object", "required": ["input_tokens"], "properties": {
  "input_tokens": {"type": "integer", "minimum": 1}}},
"OllamaAnswer": {"type": "object", "required": ["model", "created_at", "done"], "properties": {
  "model": {"type": "string"}, "created_at": {"type": "string"}, "done": {"const": true},
  "done_reason": {"enum": ["stop", "length", "load"]}, "response": {"type": "string"},
  "message": {"type": "object", "required": ["role", "content"]}, "eval_count": {"type": "integer"},
  "prompt_eval_count": {"type": "integer"}}},
"OllamaModels": {"type": "object", "required": ["models"], "properties": {"models": {"type": "array",
  "items": {"type": "object", "required": ["name", "model", "modified_at", "size", "details"]}}}}
})json";

Json response_components() {
  return parse_json(kComponents, "the components of the API's description");
}

}  // namespace turgo
