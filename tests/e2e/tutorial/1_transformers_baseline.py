# Step 1: the baseline with transformers, two turns with history.
import os
import sys

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(f"tutorial step 1: the transformers baseline needs {error.name}, which is not installed here", file=sys.stderr)
    sys.exit(2)

path = os.environ["MODEL"]
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForCausalLM.from_pretrained(path).float().eval()


def chat(question, history):  # what a model's own remote code called `chat`
    history = history + [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    return answer, history + [{"role": "assistant", "content": answer}]


response, history = chat("hello", history=[])
print(response)
response, history = chat("please provide three suggestions about time management", history=history)
print(response)
