"""A conversation: the engine keeps its tokens and their KV, so each turn computes only what is new.
python chat_session.py MODEL"""
import sys

from turgo import pipeline

with pipeline(sys.argv[1]) as pipe, pipe.session(system="You are a helpful gardener.") as chat:
    for question in ("Name one spring flower.", "When is it planted?", "And how deep?"):
        answer = chat.ask(question, max_new_tokens=40, temperature=0)
        known, asked = answer.cached_token_len, answer.input_token_len
        print(f"> {question}\n{answer.text}\n[{known} of {asked} prompt tokens were known]")
