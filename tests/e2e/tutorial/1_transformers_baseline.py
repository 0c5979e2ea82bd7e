# Step 1: the baseline with transformers, two turns with history.
import os
import sys

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(f"tutorial step 1: the transformers baseline is not built yet: {error.name} is no dependency of this project",
          file=sys.stderr)
    sys.exit(2)

path = os.environ["MODEL"]
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.float16, trust_remote_code=True).eval()
response, history = model.chat(tokenizer, "hello", history=[])
print(response)
response, history = model.chat(tokenizer, "please provide three suggestions about time management", history=history)
print(response)
