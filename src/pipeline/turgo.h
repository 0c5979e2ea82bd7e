/* Turgo's C interface: open a model, generate and stream, keep sessions. Stable: functions and fields are
 * only ever added, and turgo_abi_version() counts up when they are.
 *
 *  - Text is UTF-8, options are JSON objects with the names of the command line in snake_case
 *    ({"session_len": 4096, "quant_policy": 8}); unknown names are an error.
 *  - Every function that can fail returns a turgo_status; turgo_last_error() then says in one line what was
 *    expected, what came and what to do. No C++ exception leaves a function.
 *  - A model may be used from any number of threads at once; a stream by one thread at a time, except that
 *    turgo_cancel() may come from any.
 *  - Streams stay valid when their model is closed: they end as cancelled. Free them all the same.
 */
#ifndef TURGO_H
#define TURGO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TURGO_API __attribute__((visibility("default")))
#else
#define TURGO_API
#endif

typedef enum turgo_status {
  TURGO_OK = 0,
  TURGO_INVALID_ARGUMENT = 1,   /* an option, a field or a pointer */
  TURGO_NOT_FOUND = 2,          /* a file, a session */
  TURGO_CORRUPT = 3,            /* a file or JSON that breaks its format */
  TURGO_UNSUPPORTED = 4,        /* well-formed, but nothing here can handle it */
  TURGO_TOO_LONG = 5,           /* more tokens than the context holds */
  TURGO_RESOURCE_EXHAUSTED = 6, /* memory, disk, queue */
  TURGO_IO = 7,
  TURGO_CANCELLED = 8,
  TURGO_TIMEOUT = 9,  /* turgo_next(): nothing came in time; call it again */
  TURGO_END = 10,     /* turgo_next(): the last event was handed out before */
  TURGO_INTERNAL = 11 /* our fault: please report it */
} turgo_status;

typedef enum turgo_finish {
  TURGO_RUNNING = 0, /* more events follow */
  TURGO_STOP = 1,    /* an end token or a stop string */
  TURGO_LENGTH = 2,  /* max_new_tokens, or the context's end */
  TURGO_FINISH_CANCELLED = 3,
  TURGO_FINISH_ERROR = 4,
  TURGO_FINISH_TIMEOUT = 5
} turgo_finish;

typedef struct turgo_model turgo_model;
typedef struct turgo_stream turgo_stream;

/* A piece of an answer. Pointers stay valid until the next call with the same stream, or the callback's end.
 */
typedef struct turgo_event {
  const char* text;         /* whole UTF-8 characters, NUL-terminated; "" if there is nothing new */
  size_t text_bytes;        /* without the NUL */
  const int32_t* token_ids; /* the tokens that this event was made from */
  size_t num_tokens;
  turgo_finish finish; /* other than TURGO_RUNNING in the last event */
  const char* error;   /* with TURGO_FINISH_ERROR, else "" */
} turgo_event;

TURGO_API const char* turgo_version(void); /* "0.1.0" */
TURGO_API int turgo_abi_version(void);     /* 1 */
/* Of this thread's last call that failed; valid until its next one. "" if none did. */
TURGO_API const char* turgo_last_error(void);

/* path: a GGUF file or a Hugging Face folder. options_json: engine options, or NULL for the defaults. */
TURGO_API turgo_status turgo_open(const char* path, const char* options_json, turgo_model** model);
TURGO_API void turgo_close(turgo_model* model); /* NULL is fine */

/* request_json: one of "messages" [{"role", "content"}], "prompt" (text to continue) or "token_ids"; beside
 * it generation options ("max_new_tokens", "temperature", "seed", "stop", ...), and "session" and "owner" for
 * stateful inference: the tokens of a session and their KV stay in the engine between requests. */
TURGO_API turgo_status turgo_submit(turgo_model* model, const char* request_json, turgo_stream** stream);
/* Waits for the next event; timeout_ms < 0 waits for ever. TURGO_OK, TURGO_TIMEOUT or TURGO_END. */
TURGO_API turgo_status turgo_next(turgo_stream* stream, int timeout_ms, turgo_event* event);
TURGO_API void turgo_cancel(turgo_stream* stream);      /* its last event comes within a step */
TURGO_API void turgo_stream_free(turgo_stream* stream); /* cancels what still runs; NULL is fine */

/* submit, next and free in one: calls on_event for every event; a return value other than 0 cancels. The
 * status is TURGO_OK also for a cancelled answer, and says why where the answer ended with
 * TURGO_FINISH_ERROR. */
typedef int (*turgo_on_event)(void* user, const turgo_event* event);
TURGO_API turgo_status turgo_generate(turgo_model* model, const char* request_json, turgo_on_event on_event,
                                      void* user);

/* Sessions begin with the first request that names them. owner: NULL or "" for none. */
TURGO_API turgo_status turgo_session_num_tokens(turgo_model* model, const char* id, const char* owner,
                                                int32_t* num_tokens);
TURGO_API turgo_status turgo_session_fork(turgo_model* model, const char* id, const char* new_id,
                                          const char* owner);
TURGO_API turgo_status turgo_session_save(turgo_model* model, const char* id, const char* owner,
                                          const char* path);
TURGO_API turgo_status turgo_session_load(turgo_model* model, const char* path, const char* id,
                                          const char* owner);
TURGO_API turgo_status turgo_session_end(turgo_model* model, const char* id, const char* owner);

#ifdef __cplusplus
}
#endif

#endif /* TURGO_H */
