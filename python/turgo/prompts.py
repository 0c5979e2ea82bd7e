"""What may be asked, told apart: text, messages, token ids, and lists of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import InvalidArgumentError, UnsupportedError

EXPECTED = "text, a list of {'role', 'content'} messages, a list of token ids, or a list of these"


class Prompt(NamedTuple):
    """`value` for the engine: a list of messages if `is_chat`, else text or token ids to continue."""

    value: Any
    is_chat: bool


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "ndim")


def as_ids(value: Any, what: str) -> list[int]:
    """Token ids from a list or from an array (numpy, torch) of whole numbers, whatever its strides."""
    if not _is_array(value):
        return value if isinstance(value, list) else list(value) if isinstance(value, tuple) else _wrong_ids(value, what)
    kind = getattr(value.dtype, "kind", None) or ("i" if "int" in str(value.dtype) else "?")
    if kind not in "iu" or value.ndim != 1:
        raise InvalidArgumentError(f"{what}: expected a one-dimensional array of whole numbers, got {value.dtype} "
                                   f"of shape {tuple(value.shape)}; array.astype('int32') makes one")
    ids: list[int] = value.tolist()
    return ids


def _wrong_ids(value: Any, what: str) -> list[int]:
    raise InvalidArgumentError(f"{what}: expected a list of token ids, got {type(value).__name__}")


def is_ids(value: Any) -> bool:
    return _is_array(value) or (isinstance(value, (list, tuple)) and len(value) > 0
                                and isinstance(value[0], int) and not isinstance(value[0], bool))


def _content(content: Any, what: str) -> Any:
    """Text parts of a message become its text; pictures are refused."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict) or "type" not in part:
            raise InvalidArgumentError(f"{what}: expected parts like {{'type': 'text', 'text': …}}, got {part!r:.80}")
        if part["type"] != "text":
            raise UnsupportedError(f"{what}: parts of type {part['type']!r} are not built yet; expected text")
        texts.append(part.get("text", ""))
    return "".join(texts)


def _messages(value: list[Any], what: str) -> list[dict[str, Any]]:
    messages = []
    for i, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidArgumentError(f"{what}[{i}]: expected a message {{'role': …, 'content': …}}, got {message!r:.80}")
        if "content" in message and not isinstance(message["content"], (str, list, type(None))):
            raise InvalidArgumentError(f"{what}[{i}]['content']: expected text, got {type(message['content']).__name__}")
        messages.append({**message, "content": _content(message.get("content"), f"{what}[{i}]")})
    return messages


def read_prompt(value: Any, do_preprocess: bool, what: str = "prompts") -> Prompt:
    """One prompt. `do_preprocess`: text is a user's message, and not text to continue."""
    if isinstance(value, str):
        return Prompt([{"role": "user", "content": value}], True) if do_preprocess else Prompt(value, False)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        raise UnsupportedError(f"{what}: prompts with pictures are not built yet; expected {EXPECTED}")
    if is_ids(value):
        return Prompt(as_ids(value, what), False)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return Prompt(_messages(value, what), True)
    raise InvalidArgumentError(f"{what}: expected {EXPECTED}, got {_shown(value)}")


def _shown(value: Any) -> str:
    return "an empty list" if value == [] else f"{type(value).__name__} {value!r:.60}"


def split_prompts(prompts: Any, do_preprocess: bool) -> tuple[list[Prompt], bool]:
    """All prompts, and whether there is just one, that is no list."""
    is_batch = isinstance(prompts, list) and not is_ids(prompts) and not (prompts and isinstance(prompts[0], dict))
    if not is_batch:
        return [read_prompt(prompts, do_preprocess)], True
    return [read_prompt(one, do_preprocess, f"prompts[{i}]") for i, one in enumerate(prompts)], False
