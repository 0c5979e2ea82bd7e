"""The pipeline: prompts in, answers out. Every call may come from any thread; the interpreter lock is free while the
engine works, and Ctrl-C is heard within POLL_SECONDS."""

from __future__ import annotations

import atexit
import os
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from . import _turgo
from .config import ChatTemplateConfig, EngineConfig, GenerationConfig, PytorchEngineConfig, as_path
from .errors import CancelledError, InvalidArgumentError, NotFoundError, ResourceExhaustedError, TurgoError
from .prompts import Prompt, as_ids, is_ids, read_prompt, split_prompts
from .response import Response
from .session import Session
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Self  # a type checker brings it

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Pipeline", "pipeline"]

POLL_SECONDS = 0.05  # a wait is cut in such pieces, between which Python sees signals

_open_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()


def _close_all() -> None:
    for one in list(_open_pipelines):
        one.close()


atexit.register(_close_all)  # before the interpreter takes modules apart, whatever still refers to a pipeline


class _Batch:
    """Prompts on their way through the engine: as many as it takes at once, the others waiting here."""

    def __init__(self, pipe: Pipeline, prompts: Iterable[Prompt], options: list[_turgo.Generation], whole: bool,
                 session: str = "", template_kwargs: dict[str, Any] | None = None) -> None:
        self._pipe, self._options, self._session, self._kwargs = pipe, options, session, template_kwargs
        self._waiting = deque(enumerate(prompts))
        self._num_running = 0
        self._counts: dict[int, int] = {}
        self._answers = _turgo.Answers(whole)

    def _feed(self) -> None:
        while self._waiting and self._num_running < 2 * self._pipe.max_batch_size:
            i, prompt = self._waiting[0]
            try:
                self._answers.submit(i, self._pipe._model, prompt.value, prompt.is_chat,
                                     self._options[i % len(self._options)], self._session, self._kwargs)
            except ResourceExhaustedError:
                if self._num_running == 0:
                    raise
                return  # others fill the queue; again when one of ours has ended
            except TurgoError as error:
                if i == 0 and len(self._waiting) == 1:
                    raise
                raise type(error)(f"prompts[{i}]: {error}") from None
            self._waiting.popleft()
            self._num_running += 1

    @property
    def has_more(self) -> bool:
        return bool(self._waiting) or self._num_running > 0

    def take(self, timeout: float) -> list[Response]:
        """What has come meanwhile; empty if nothing did within `timeout` seconds."""
        self._feed()
        return [self._response(*piece) for piece in self._answers.next(timeout)]

    def _response(self, i: int, text: str, ids: list[int], logprobs: list[dict[int, float]] | None, finish: str | None,
                  error: str, num_input: int, num_cached: int) -> Response:
        count = self._counts[i] = self._counts.get(i, 0) + len(ids)
        if finish is not None:
            self._num_running -= 1
        if finish == "error":
            raise ResourceExhaustedError(error)
        if finish == "cancelled" and self._pipe.closed:
            raise CancelledError("the pipeline was closed while it answered")
        return Response(text, count, num_input, i, finish, ids, logprobs, num_cached)

    def __iter__(self) -> Iterator[Response]:
        try:
            while self.has_more:
                yield from self.take(POLL_SECONDS)
        finally:
            self.cancel()

    def cancel(self) -> None:
        self._waiting.clear()
        self._answers.cancel()

    def fileno(self) -> int:
        """Readable when take() would give something."""
        return self._answers.fileno()


class _Done:
    """What `stop_session` and `end_session` return: they are done already, and may be awaited all the same."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


class Pipeline:
    """A loaded model: call it with prompts. See turgo.pipeline()."""

    def __init__(self, model_path: str | os.PathLike[str], config: EngineConfig) -> None:
        self.model_path = as_path(model_path)
        self.config = config
        self._model = _turgo.Model.open(self.model_path, config.to_options())
        self.info: dict[str, Any] = self._model.info()
        self.session_len: int = self.info["session_len"]
        self.max_batch_size: int = self.info["max_batch_size"]
        self._tokenizer: Tokenizer | None = None
        self._running: dict[str, _turgo.Answers] = {}  # generate()'s, for stop_session()
        self._conversations: dict[str, list[dict[str, Any]]] = {}  # and what its sessions have said
        _open_pipelines.add(self)

    @classmethod
    def open(cls, model_path: str | os.PathLike[str], model_name: str | None = None,
             backend_config: EngineConfig | PytorchEngineConfig | None = None,
             chat_template_config: ChatTemplateConfig | None = None, log_level: str | None = None,
             **options: Any) -> Self:
        """What turgo.pipeline() does."""
        if isinstance(backend_config, PytorchEngineConfig):
            backend_config = backend_config.to_engine_config()
        config = EngineConfig() if backend_config is None else backend_config
        if not isinstance(config, EngineConfig):
            raise InvalidArgumentError(f"backend_config: expected an EngineConfig, got {type(config).__name__}")
        if log_level is not None:
            options["log_level"] = log_level
        if chat_template_config is not None:
            if not isinstance(chat_template_config, ChatTemplateConfig):
                raise InvalidArgumentError("chat_template_config: expected a ChatTemplateConfig, got "
                                           f"{type(chat_template_config).__name__}")
            options["chat_template"] = chat_template_config.to_option()
        if options:
            config = _replaced(config, options, _turgo.check_engine_options)
        pipe = cls(model_path, config)
        name = model_name or config.model_name
        if not pipe.info["has_chat_template"] and name in _turgo.list_chat_templates():
            pipe.close()
            pipe = cls(model_path, replace(config, chat_template=str(name)))
        return pipe

    # -- asking ------------------------------------------------------------------------------------------------

    def __call__(self, prompts: Any, gen_config: GenerationConfig | list[GenerationConfig] | None = None, *,
                 do_preprocess: bool = True, progress: bool = False, chat_template_kwargs: dict[str, Any] | None = None,
                 **options: Any) -> Any:
        """Answers prompts: one gives a Response, a list of them a list in the same order.

        A prompt is text (a user's message), a list of {'role', 'content'} messages, or a list or integer array of
        token ids. do_preprocess=False continues text as it stands, without the chat template. `options` change
        gen_config: pipe('Hi', max_new_tokens=20, temperature=0). progress=True shows a bar (needs tqdm).
        """
        progress = bool(options.pop("use_tqdm", progress))
        items, is_single = split_prompts(prompts, self._preprocesses(do_preprocess))
        batch = _Batch(self, items, self._options(gen_config, options, len(items)), True,
                       template_kwargs=chat_template_kwargs)
        bar = _progress_bar(len(items)) if progress else None
        answers: list[Any] = [None] * len(items)
        try:
            for answer in batch:
                answers[answer.session_id] = answer
                if bar is not None:
                    bar.update(1)
        finally:
            if bar is not None:
                bar.close()
        return answers[0] if is_single else answers

    batch_infer = __call__
    infer = __call__

    def stream_infer(self, prompts: Any, gen_config: GenerationConfig | list[GenerationConfig] | None = None, *,
                     do_preprocess: bool = True, chat_template_kwargs: dict[str, Any] | None = None,
                     **options: Any) -> Iterator[Response]:
        """As a call, piece by piece: each Response has new text, and its session_id says whose. Leaving the loop
        ends what still runs."""
        items, _ = split_prompts(prompts, self._preprocesses(do_preprocess))
        batch = _Batch(self, items, self._options(gen_config, options, len(items)), False,
                       template_kwargs=chat_template_kwargs)
        return iter(batch)

    def chat(self, prompt: Any, session: Session | None = None, gen_config: GenerationConfig | None = None,
             stream_response: bool = False, **options: Any) -> Any:
        """A turn of a conversation; returns its session, whose `response` is the answer. With stream_response an
        iterator over the pieces."""
        session = self.session() if session is None else session
        if stream_response:
            return session.stream(prompt, gen_config, **options)
        session.ask(prompt, gen_config, **options)
        return session

    def session(self, system: str | None = None) -> Session:
        """A conversation whose tokens and KV stay in the engine between turns: `with pipe.session() as chat:`."""
        return Session(self, system)

    async def generate(self, messages: Any, session_id: int | str | None = None,
                       gen_config: GenerationConfig | None = None, stream_response: bool = True,
                       sequence_start: bool = True, sequence_end: bool = True, step: int = 0,
                       do_preprocess: bool = True, chat_template_kwargs: dict[str, Any] | None = None,
                       **options: Any) -> AsyncIterator[Response]:
        """For asyncio: `async for piece in pipe.generate('Hi')`. sequence_end=False keeps the conversation under
        session_id, sequence_start=False goes on with it. `step` is accepted: how much of a session's context is
        known already is found by comparing tokens."""
        import asyncio

        key = f"generate-{session_id}"
        prompt = read_prompt(messages, self._preprocesses(do_preprocess), "messages")
        is_stateful = session_id is not None and not (sequence_start and sequence_end)
        if sequence_start and self._conversations.pop(key, None) is not None:
            self._end_session(key)
        said = self._conversations.get(key, [])
        if is_stateful and prompt.is_chat:
            prompt = Prompt(said + prompt.value, True)
        batch = _Batch(self, [prompt], self._options(gen_config, options, 1), not stream_response,
                       key if is_stateful else "", chat_template_kwargs)
        self._running[key] = batch._answers
        came, text = asyncio.Event(), ""
        loop = asyncio.get_running_loop()
        loop.add_reader(batch.fileno(), came.set)
        try:
            while batch.has_more:
                for piece in batch.take(0):
                    text += piece.text
                    yield piece
                if batch.has_more:
                    await came.wait()
                    came.clear()
        finally:
            loop.remove_reader(batch.fileno())
            batch.cancel()
            self._running.pop(key, None)
            if is_stateful and not sequence_end and prompt.is_chat:
                self._conversations[key] = [*prompt.value, {"role": "assistant", "content": text}]
            elif is_stateful:
                self._conversations.pop(key, None)
                self._end_session(key)

    def stop_session(self, session_id: int | str) -> _Done:
        """Ends the answer that generate() is giving under this id; it keeps what it has said so far."""
        if (answers := self._running.get(f"generate-{session_id}")) is not None:
            answers.cancel()
        return _Done()

    def end_session(self, session_id: int | str) -> _Done:
        """Forgets a conversation that generate(sequence_end=False) kept."""
        self.stop_session(session_id)
        if self._conversations.pop(f"generate-{session_id}", None) is not None:
            self._end_session(f"generate-{session_id}")
        return _Done()

    # -- numbers -----------------------------------------------------------------------------------------------

    def get_ppl(self, input_ids: Any) -> NDArray[np.float64]:
        """For each list of token ids the mean of -log p(token | those before it) over all but its first token, as
        LMDeploy's function of this name: its exponential is the perplexity."""
        import numpy

        return numpy.array([self._model.mean_nll(ids) for ids in self._id_lists(input_ids)])

    def get_logits(self, input_ids: Any) -> Any:
        """float32 [num_tokens, vocab_size] for a list of token ids, and a list of such arrays for a list of lists.
        The array is the engine's own memory, not a copy."""
        return self._rows(self._model.logits, input_ids)

    def get_hidden_states(self, input_ids: Any) -> Any:
        """The same with each token's state behind the last norm: float32 [num_tokens, hidden_size]."""
        return self._rows(self._model.hidden_states, input_ids)

    def _rows(self, compute: Any, input_ids: Any) -> Any:
        arrays = [compute(ids) for ids in self._id_lists(input_ids)]
        return arrays[0] if is_ids(input_ids) and getattr(input_ids, "ndim", 1) == 1 else arrays

    def _id_lists(self, input_ids: Any) -> list[list[int]]:
        if is_ids(input_ids) and getattr(input_ids, "ndim", 1) == 1:
            return [as_ids(input_ids, "input_ids")]
        if isinstance(input_ids, (str, bytes)) or not hasattr(input_ids, "__iter__") or len(input_ids) == 0:
            raise InvalidArgumentError(f"input_ids: expected token ids or a list of them, got {input_ids!r:.60}")
        return [as_ids(one, f"input_ids[{i}]") for i, one in enumerate(input_ids)]

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self.model_path)
        return self._tokenizer

    @property
    def closed(self) -> bool:
        return self._model.is_closed

    def prompt_ids(self, prompt: Any, do_preprocess: bool = True,
                   chat_template_kwargs: dict[str, Any] | None = None) -> list[int]:
        """The token ids that a call with this prompt gives to the model."""
        item = read_prompt(prompt, self._preprocesses(do_preprocess), "prompt")
        if item.is_chat:
            return self._model.chat_tokens(item.value, chat_template_kwargs)
        return self._model.prompt_tokens(item.value) if isinstance(item.value, str) else list(item.value)

    def stats(self) -> dict[str, int]:
        """What the engine holds: requests running and waiting, blocks of the KV cache."""
        counts: dict[str, int] = self._model.stats()
        return counts

    def close(self) -> None:
        """Frees the model. What still runs ends with CancelledError; later calls raise InvalidArgumentError."""
        _open_pipelines.discard(self)
        self._model.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<turgo.Pipeline {self.model_path!r}{', closed' if self.closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Pipeline can not be pickled: open one in each process")

    # -- inside ------------------------------------------------------------------------------------------------

    def _preprocesses(self, do_preprocess: bool) -> bool:
        """A model without a template continues text, as LMDeploy's 'base' template does."""
        return do_preprocess and bool(self.info["has_chat_template"])

    def _options(self, gen_config: GenerationConfig | list[GenerationConfig] | None, changes: dict[str, Any],
                 count: int) -> list[_turgo.Generation]:
        """One for all prompts, or one for each."""
        configs = gen_config if isinstance(gen_config, list) else [gen_config or GenerationConfig()]
        if isinstance(gen_config, list) and len(configs) != count:
            raise InvalidArgumentError(f"gen_config: expected one for each of {count} prompts, got {len(configs)}")
        return [self._option(config, changes) for config in configs]

    def _option(self, config: GenerationConfig, changes: dict[str, Any]) -> _turgo.Generation:
        if not isinstance(config, GenerationConfig):
            raise InvalidArgumentError(f"gen_config: expected a GenerationConfig, got {type(config).__name__}")
        changes = dict(changes)
        if "request_output_len" in changes:
            changes["max_new_tokens"] = changes.pop("request_output_len")
        if changes.pop("adapter_name", None):
            raise InvalidArgumentError("adapter_name: expected None; LoRA adapters are not built yet")
        if changes:
            config = _replaced(config, changes, _turgo.Generation)
        banned = [self._single_token(word) for word in config.bad_words or []]
        return config.to_options([i for ids in banned for i in ids])

    def _single_token(self, word: Any) -> list[int]:
        """The tokens that are this word, also with a space in front."""
        if not isinstance(word, str) or not word:
            raise InvalidArgumentError(f"bad_words: expected words, got {word!r:.60}")
        spellings = [self.tokenizer.encode(text, add_bos=False) for text in (word, " " + word)]
        found = [ids[0] for ids in spellings if len(ids) == 1]
        if not found:
            raise InvalidArgumentError(f"bad_words: expected words of one token, {word!r} has {len(spellings[0])}")
        return found

    def _end_session(self, key: str) -> None:
        if not self.closed:
            try:
                self._model.session_end(key)
            except NotFoundError:  # it said nothing yet, or has expired
                return


_Config = TypeVar("_Config", EngineConfig, GenerationConfig)


def _replaced(config: _Config, changes: dict[str, Any], check: Callable[[dict[str, Any]], Any]) -> _Config:
    """dataclasses.replace(), except that an unknown name is an error that tells the closest known one."""
    unknown = set(changes) - {f.name for f in fields(config)}
    if unknown:
        check({name: changes[name] for name in unknown})
    return replace(config, **changes)


def _progress_bar(total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise InvalidArgumentError("progress=True needs tqdm; pip install tqdm") from None
    return tqdm(total=total, unit="answer")


def pipeline(model_path: str | os.PathLike[str], model_name: str | None = None,
             backend_config: EngineConfig | PytorchEngineConfig | None = None,
             chat_template_config: ChatTemplateConfig | None = None, log_level: str | None = None,
             **options: Any) -> Pipeline:
    """Opens a model: a GGUF file or a Hugging Face folder.

        pipe = pipeline('model.gguf')
        print(pipe('Hi').text)

    backend_config: EngineConfig (also under the name TurbomindEngineConfig). chat_template_config: another template
    than the model's own. model_name: a built-in template (list_models()) for a model that brings none. `options`
    change backend_config: pipeline(path, session_len=4096).
    """
    return Pipeline.open(model_path, model_name, backend_config, chat_template_config, log_level, **options)
