/* Holds a conversation: streams each answer, and keeps what was computed in a session, so that every turn costs
 * only its new tokens.
 *   cc generate.c -lturgo && ./a.out MODEL "Question" "Another question"
 */
#include <stdio.h>
#include <string.h>

#include "turgo.h"

typedef struct text {
  char bytes[16384];
  size_t size;
} text;

static void append(text* out, const char* bytes, size_t n) {
  if (n >= sizeof out->bytes - out->size) n = sizeof out->bytes - out->size - 1;
  memcpy(out->bytes + out->size, bytes, n);
  out->bytes[out->size += n] = 0;
}

/* {"role": "user", "content": "..."} with the content's quotes, backslashes and control characters escaped. */
static void append_message(text* out, const char* role, const char* content) {
  append(out, out->size ? ", {\"role\": \"" : "{\"role\": \"", out->size ? 12 : 10);
  append(out, role, strlen(role));
  append(out, "\", \"content\": \"", 15);
  for (; *content; ++content) {
    char escaped[8] = {0};
    if ((unsigned char)*content < 0x20) sprintf(escaped, "\\u%04x", (unsigned)*content);
    else if (*content == '"' || *content == '\\') escaped[0] = '\\', escaped[1] = *content;
    else escaped[0] = *content;
    append(out, escaped, strlen(escaped));
  }
  append(out, "\"}", 2);
}

/* Prints each piece of text as it comes. Returning something else than 0 would cancel the answer. */
static int on_event(void* answer, const turgo_event* event) {
  append((text*)answer, event->text, event->text_bytes);
  fwrite(event->text, 1, event->text_bytes, stdout);
  fflush(stdout);
  return 0;
}

int main(int argc, char** argv) {
  static text messages, answer;
  static char request[sizeof messages.bytes + 200];
  turgo_model* model = NULL;
  int32_t num_tokens = 0;
  int turn;
  if (argc < 3) {
    fprintf(stderr, "usage: generate MODEL QUESTION...\n");
    return 2;
  }
  if (turgo_open(argv[1], "{\"session_len\": 2048, \"quant_policy\": 8}", &model) != TURGO_OK) goto failed;
  for (turn = 2; turn < argc; ++turn) {
    append_message(&messages, "user", argv[turn]);
    sprintf(request,
            "{\"messages\": [%s], \"session\": \"chat\", \"max_new_tokens\": 40, \"temperature\": 0}",
            messages.bytes);
    answer.size = 0;
    if (turgo_generate(model, request, on_event, &answer) != TURGO_OK) goto failed;
    append_message(&messages, "assistant", answer.bytes);
    printf("\n");
  }
  if (turgo_session_num_tokens(model, "chat", NULL, &num_tokens) != TURGO_OK) goto failed;
  printf("[the session holds %ld tokens]\n", (long)num_tokens);
  turgo_close(model);
  return 0;

failed:
  fprintf(stderr, "generate: %s\n", turgo_last_error());
  turgo_close(model);
  return 1;
}
