"""Several prompts at once: they share every step of the engine.   python batch.py MODEL"""
import sys

from turgo import GenerationConfig, pipeline

with pipeline(sys.argv[1]) as pipe:
    questions = ["What is gravity?", "Name three colours.", "上海是", "Write one line about the sea."]
    for question, answer in zip(questions, pipe(questions, GenerationConfig(max_new_tokens=40, temperature=0))):
        print(f"{question}\n  {answer.text}\n  [{answer.generate_token_len} tokens, {answer.finish_reason}]")
