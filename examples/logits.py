"""Next-token probabilities, hidden states and perplexity as numpy arrays.   python logits.py MODEL"""
import sys

import numpy as np

from turgo import pipeline

with pipeline(sys.argv[1]) as pipe:
    ids = pipe.tokenizer.encode("The capital of France is")
    logits = pipe.get_logits(ids)  # float32 [tokens, vocab_size], the engine's memory
    row = logits[-1] - logits[-1].max()
    probabilities = np.exp(row) / np.exp(row).sum()
    for token in np.argsort(probabilities)[::-1][:5]:
        print(f"{probabilities[token]:6.1%}  {pipe.tokenizer.decode([int(token)])!r}")
    print("hidden states:", pipe.get_hidden_states(ids).shape)
    for text in ("The capital of France is Paris.", "Capital the France is Paris of."):
        print(f"perplexity {np.exp(pipe.get_ppl(pipe.tokenizer.encode(text)))[0]:8.1f}  {text}")
