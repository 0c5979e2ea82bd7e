"""An answer as it comes; Ctrl-C ends it.   python stream.py MODEL [QUESTION]"""
import sys

from turgo import pipeline

question = sys.argv[2] if len(sys.argv) > 2 else "What is a water turbine?"
with pipeline(sys.argv[1]) as pipe:
    for piece in pipe.stream_infer(question, max_new_tokens=60):
        print(piece.text, end="", flush=True)
    print(f"\n[{piece.generate_token_len} tokens, {piece.finish_reason}]")
